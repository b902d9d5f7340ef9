"""What the kernels compute, run on the host from their launches, against edge.preprocess, edge.postprocess and cv2."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from edge.postprocess import COORDINATE_RULES, reference_labels, upsample_argmax
from edge.preprocess import FramePreparer
from edge.runtime.cuda import (
    cell_table,
    label_nodes,
    label_pixels,
    paint,
    palette_table,
    prepare_interleaved,
    prepare_nv12,
    resize_tables,
    widen,
)
from edge.stream.overlay import OverlayPainter


def address(array):
    return array.ctypes.data


def pitched(array, gap):
    """The same rows, `gap` bytes of 0xA5 between one and the next."""
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    wide = np.full((len(rows), rows.shape[1] + gap), 0xA5, np.uint8)
    wide[:, : rows.shape[1]] = rows
    return wide


def labels_on(gpu, logits, height, width, coordinates, gap=0, shift=0):
    """Labels by both kernels, into rows that start `shift` bytes into the memory and have `gap` bytes between them."""
    h, w = logits.shape[1:]
    rows, columns = cell_table(h, height, coordinates), cell_table(w, width, coordinates)
    winners, not_finite = np.empty((h, w), np.uint8), np.zeros(1, np.int32)
    memory = np.full(shift + height * (width + gap) + 4, 0xA5, np.uint8)
    labels = memory[shift : shift + height * (width + gap)].reshape(height, width + gap)
    gpu.run(label_nodes(address(logits), logits.shape, address(winners), address(not_finite)))
    launch = label_pixels(
        address(logits),
        logits.shape,
        address(winners),
        address(rows),
        address(columns),
        address(labels),
        width + gap,
        height,
        width,
    )
    gpu.run(launch)
    assert not not_finite[0]
    assert (memory[:shift] == 0xA5).all() and (memory[-4:] == 0xA5).all() and (labels[:, width:] == 0xA5).all()
    return labels[:, :width]


def assert_as_defined(gpu, logits, height, width, coordinates, **layout):
    labels = labels_on(gpu, logits, height, width, coordinates, **layout)
    np.testing.assert_array_equal(labels, reference_labels(logits, height, width, coordinates))
    np.testing.assert_array_equal(labels, upsample_argmax(logits, height, width, coordinates))


# (classes, logit size, label size): strides that are whole, fractional, one, below one; odd sizes; single lines
LABEL_SHAPES = [
    (19, (16, 32), (128, 256)),
    (19, (16, 32), (64, 128)),
    (11, (12, 15), (192, 240)),
    (5, (4, 5), (128, 160)),
    (19, (17, 33), (129, 257)),
    (7, (9, 14), (100, 131)),
    (3, (10, 10), (10, 10)),
    (9, (31, 45), (12, 20)),
    (8, (33, 17), (1, 1)),
    (4, (1, 1), (13, 9)),
    (4, (1, 23), (5, 100)),
    (4, (23, 1), (100, 5)),
]


@pytest.mark.parametrize("coordinates", COORDINATE_RULES)
class TestLabels:
    @pytest.mark.parametrize("shape", LABEL_SHAPES, ids=str)
    @pytest.mark.parametrize("kind", ["noise", "street", "quantised"])
    @pytest.mark.any_python
    def test_any_shape_and_stride(self, host_gpu, shape, kind, coordinates):
        classes, (h, w), (height, width) = shape
        generator = np.random.default_rng(classes * h + w)
        logits = generator.normal(0, 4, (classes, h, w)).astype(np.float32)
        if kind == "street":  # smooth regions: most cells are uniform
            logits = cv2.GaussianBlur(logits.transpose(1, 2, 0).copy(), (0, 0), 3).reshape(h, w, classes)
            logits = np.ascontiguousarray(logits.transpose(2, 0, 1))
        elif kind == "quantised":  # as an INT8 engine gives them: many equal values, so many ties
            logits = np.round(logits / 2).astype(np.float32)
        assert_as_defined(host_gpu, logits, height, width, coordinates)

    @pytest.mark.parametrize("seed", range(25))
    @pytest.mark.any_python
    def test_random_cases(self, host_gpu, seed, coordinates):
        generator = np.random.default_rng(1000 + seed)
        classes = int(generator.integers(1, 40))
        h, w = (int(side) for side in generator.integers(1, 24, 2))
        height, width = (int(side) for side in generator.integers(1, 150, 2))
        scale = 10.0 ** generator.integers(-6, 7)
        logits = (scale * generator.normal(size=(classes, h, w))).astype(np.float32)
        if seed % 3 == 0:
            logits = (np.round(logits / scale) * scale).astype(np.float32)
        gap, shift = (int(bytes_) for bytes_ in generator.integers(0, 5, 2))
        assert_as_defined(host_gpu, logits, height, width, coordinates, gap=gap, shift=shift)

    @pytest.mark.parametrize("classes", [1, 2, 255, 256])
    def test_fewest_and_most_classes(self, host_gpu, classes, coordinates):
        logits = np.random.default_rng(classes).normal(size=(classes, 6, 7)).astype(np.float32)
        assert_as_defined(host_gpu, logits, 48, 61, coordinates)

    def test_all_classes_equal_everywhere(self, host_gpu, coordinates):
        assert not labels_on(host_gpu, np.full((5, 4, 6), -2.5, np.float32), 32, 45, coordinates).any()

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.any_python
    def test_channels_over_a_threshold_behind_a_plane_of_zeros(self, host_gpu, channels, coordinates):
        generator = np.random.default_rng(channels)
        for step in (0.0, 1.0):  # with whole steps a value is often exactly at its threshold, which is label 0
            planes = generator.normal(0, 2, (1 + channels, 9, 13)).astype(np.float32)
            planes = np.round(planes) if step else planes
            planes[0] = 0
            assert_as_defined(host_gpu, planes, 72, 104, coordinates)
            assert (labels_on(host_gpu, np.minimum(planes, 0), 72, 104, coordinates) == 0).all()

    def test_ties_between_nodes_of_different_winners(self, host_gpu, coordinates):
        # Class 1 and 2 mirror each other around the middle of a cell: on the middle line they are exactly equal.
        logits = np.zeros((3, 2, 2), np.float32)
        logits[0] = -1
        logits[1, :, 1], logits[2, :, 0] = 3, 3
        assert_as_defined(host_gpu, logits, 9, 9, coordinates)
        assert (labels_on(host_gpu, logits, 9, 9, coordinates)[:, 4] == 1).all()

    def test_margins_that_float_cannot_tell_apart(self, host_gpu, coordinates):
        # Classes cross at a shallow angle: their difference passes through every small value.
        generator = np.random.default_rng(5)
        logits = np.repeat(generator.normal(0, 10, (1, 8, 9)).astype(np.float32), 4, axis=0)
        logits[1:] += generator.integers(-2, 3, (3, 8, 9)).astype(np.float32) * np.spacing(logits[1:])
        assert len(np.unique(logits[:, 0, 0])) > 1
        for height, width in ((64, 72), (61, 75)):
            assert_as_defined(host_gpu, logits, height, width, coordinates)

    def test_where_float64_rounds_too(self, host_gpu, coordinates):
        # A large logit beside small ones: neighbours tie or not by rounding, so the order of operations shows.
        generator = np.random.default_rng(13)
        logits = generator.integers(-3, 4, (6, 8, 9)).astype(np.float32)
        logits[:, ::2, ::2] += np.float32(2.0**50)
        logits[1:, 1::2] += generator.integers(-2, 3, (5, 4, 9)).astype(np.float32) * np.float32(1e-3)
        assert_as_defined(host_gpu, logits, 61, 75, coordinates)

    @pytest.mark.parametrize("largest", [1e-44, 1e-38, 1e29, 3.4028235e38])
    def test_smallest_and_largest_magnitudes(self, host_gpu, largest, coordinates):
        logits = (np.random.default_rng(6).uniform(-1, 1, (6, 5, 7)) * largest).astype(np.float32)
        assert len(np.unique(logits)) > 3
        assert_as_defined(host_gpu, logits, 43, 59, coordinates)

    def test_a_class_masked_with_a_huge_number(self, host_gpu, coordinates):
        logits = np.random.default_rng(7).normal(size=(6, 5, 7)).astype(np.float32)
        logits[3] = -1e9
        assert_as_defined(host_gpu, logits, 40, 56, coordinates)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_logit_that_is_not_finite_is_reported(self, host_gpu, bad, coordinates):
        logits = np.zeros((4, 9, 40), np.float32)
        winners, not_finite = np.empty((9, 40), np.uint8), np.zeros(1, np.int32)
        launch = label_nodes(address(logits), logits.shape, address(winners), address(not_finite))
        host_gpu.run(launch)
        assert not_finite[0] == 0
        for label, y, x in ((0, 0, 0), (3, 8, 39), (2, 4, 33)):
            logits[:] = 0
            logits[label, y, x] = bad
            not_finite[0] = 0
            host_gpu.run(launch)
            assert not_finite[0] == 1


def frame_of(generator, height, width, kind):
    frame = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return frame if kind == "noise" else (frame > 127).astype(np.uint8) * 255


RESIZES = [
    ((20, 44), (20, 44)),
    ((20, 44), (10, 22)),
    ((20, 44), (40, 88)),
    ((33, 57), (20, 44)),
    ((7, 9), (64, 128)),
    ((1, 1), (5, 6)),
    ((48, 64), (1, 1)),
    ((1, 40), (9, 17)),
    ((40, 2), (17, 9)),
    ((108, 192), (64, 128)),
]


class TestResize:
    @pytest.mark.parametrize("sizes", RESIZES, ids=str)
    @pytest.mark.parametrize("kind", ["noise", "black and white"])
    @pytest.mark.parametrize("order", ["bgr", "rgb"])
    def test_equals_preprocess(self, host_gpu, sizes, kind, order):
        frame = frame_of(np.random.default_rng(2), *sizes[0], kind)
        self.check(host_gpu, frame, *sizes[1], order, gap=0)

    @pytest.mark.parametrize("seed", range(30))
    def test_random_sizes_and_pitches(self, host_gpu, seed):
        generator = np.random.default_rng(seed)
        h, w, height, width = (int(side) for side in generator.integers(1, 90, 4))
        frame = frame_of(generator, h, w, ("noise", "black and white")[seed % 2])
        self.check(host_gpu, frame, height, width, "bgr", gap=int(generator.integers(0, 9)))

    @staticmethod
    def check(gpu, frame, height, width, order, gap):
        (rows, columns), out = resize_tables(frame.shape[:2], height, width), np.empty((height, width, 3), np.uint8)
        wide = pitched(frame, gap)
        launch = prepare_interleaved(
            address(wide), wide.shape[1], address(rows), address(columns), address(out), height, width, order
        )
        gpu.run(launch)
        expected = FramePreparer(height, width, order)(frame)[0]
        assert_as_opencv(out, expected)


def assert_as_opencv(out, expected):
    """Equal, unless this OpenCV hands its resize to a vendor's library: then within a level, which is rounding."""
    if not opencv_resizes_in_its_own_fixed_point():
        assert np.abs(out.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_array_equal(out, expected)


def opencv_resizes_in_its_own_fixed_point():
    """One row of known weights: 2048 * (1/6, 5/6) rounds to (341, 1707), and the products lose their last bits."""
    column = cv2.resize(np.array([[0], [251]], np.uint8), (1, 6))
    position = (np.arange(6) + 0.5) / 3 - 0.5
    weight = np.rint(2048 * np.clip(position, 0, 1)).astype(int)
    return column.ravel().tolist() == (((weight * (251 * 128) >> 16) + 2) >> 2).tolist()


class TestNv12:
    @pytest.mark.parametrize(
        "sizes", [((20, 44), (20, 44)), ((64, 96), (32, 48)), ((34, 58), (20, 47)), ((2, 2), (9, 7))]
    )
    @pytest.mark.parametrize("gap", [0, 6])
    def test_equals_conversion_and_then_preprocess(self, host_gpu, sizes, gap):
        (h, w), (height, width) = sizes
        planes = np.random.default_rng(h).integers(0, 256, (h * 3 // 2, w)).astype(np.uint8)
        wide, out = pitched(planes, gap), np.empty((height, width, 3), np.uint8)
        self.run(host_gpu, wide, (h, w), out)
        expected = FramePreparer(height, width, "bgr")(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_NV12))[0]
        assert_as_opencv(out, expected)

    def test_every_pair_of_chroma_converts_as_in_opencv(self, host_gpu):
        # All pairs of U and V, each beside four values of luma, which come in random order.
        generator = np.random.default_rng(3)
        chroma = np.stack(np.meshgrid(np.arange(256), np.arange(256)), axis=-1).astype(np.uint8).reshape(256, 512)
        luma = generator.permutation(np.arange(512 * 512) % 256).astype(np.uint8).reshape(512, 512)
        planes, out = np.concatenate((luma, chroma)), np.empty((512, 512, 3), np.uint8)
        self.run(host_gpu, planes, (512, 512), out)
        np.testing.assert_array_equal(out, cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12))

    @staticmethod
    def run(gpu, planes, size, out):
        (h, _), (height, width) = size, out.shape[:2]
        rows, columns = resize_tables(size, height, width)
        pitch = planes.shape[1]
        launch = prepare_nv12(
            address(planes),
            pitch,
            address(planes) + h * pitch,
            pitch,
            size,
            address(rows),
            address(columns),
            address(out),
            height,
            width,
        )
        gpu.run(launch)


def test_widened_bytes_are_the_same_numbers(host_gpu):
    pixels, out = np.arange(256, dtype=np.uint8).reshape(8, 32), np.full((8, 32), -1, np.float32)
    host_gpu.run(widen(address(pixels), address(out), 8, 32))
    np.testing.assert_array_equal(out, pixels)


class TestPaint:
    @pytest.mark.parametrize("alpha", [0.0, 0.25, 0.3, 0.5, 0.55, 0.7, 1.0])
    def test_every_pair_of_bytes_blends_as_in_opencv(self, host_gpu, alpha):
        frame, color = (np.ascontiguousarray(part, np.uint8) for part in np.meshgrid(np.arange(256), np.arange(256)))
        frames = np.repeat(frame[:, :, None], 3, axis=2)
        palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        picture = np.empty_like(frames)
        self.run(host_gpu, frames, color, palette, alpha, picture)
        expected = cv2.addWeighted(frames, 1.0 - alpha, palette[color], alpha, 0.0)
        # A processor without fused multiply-add rounds once more: a value near a half may fall the other way.
        difference = np.abs(picture.astype(int) - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() <= 0.01

    @pytest.mark.parametrize("order", ["bgr", "rgb"])
    @pytest.mark.parametrize("gap", [0, 5])
    def test_equals_the_overlay_without_its_legend(self, host_gpu, frame_rgb, order, gap):
        generator = np.random.default_rng(4)
        palette_rgb = generator.integers(0, 256, (7, 3)).astype(np.uint8)
        labels = generator.integers(0, 9, frame_rgb.shape[:2]).astype(np.uint8)  # 7 and 8 have no colour: black
        picture = np.full((frame_rgb.shape[0], frame_rgb.shape[1] * 3 + gap), 0xA5, np.uint8)
        palette = palette_table(palette_rgb, order)
        self.run(host_gpu, frame_rgb, labels, palette, 0.5, picture, gap)
        painter = OverlayPainter([f"class {i}" for i in range(7)], palette_rgb, 0.5, legend=False, color_order=order)
        # With equal shares every product is exact, so nothing is left to rounding.
        np.testing.assert_array_equal(
            picture[:, : 3 * labels.shape[1]].reshape(frame_rgb.shape), painter.paint(frame_rgb, labels)
        )
        assert (picture[:, 3 * labels.shape[1] :] == 0xA5).all()

    def test_a_picture_may_take_its_frame_s_place(self, host_gpu, frame_rgb):
        labels = np.random.default_rng(5).integers(0, 256, frame_rgb.shape[:2]).astype(np.uint8)
        palette, frame, apart = np.arange(768).astype(np.uint8).reshape(256, 3), frame_rgb.copy(), frame_rgb.copy()
        self.run(host_gpu, frame, labels, palette, 0.4, apart)
        self.run(host_gpu, frame, labels, palette, 0.4, frame)
        assert (frame != frame_rgb).any()
        np.testing.assert_array_equal(frame, apart)

    @staticmethod
    def run(gpu, frame, labels, palette, alpha, picture, gap=0):
        height, width = labels.shape
        wide_frame, wide_labels = (pitched(image, gap) if gap else image for image in (frame, labels))
        launch = paint(
            address(wide_frame),
            3 * width + gap,
            address(wide_labels),
            width + gap,
            address(palette),
            alpha,
            address(picture),
            3 * width + gap,
            height,
            width,
        )
        gpu.run(launch)


EDGES = [1, 3, 4, 5, 31, 32, 33, 127, 128, 129, 130]


class TestCover:
    """Every byte of an image is stored once: no gap, no overlap, nothing outside."""

    @pytest.mark.parametrize("size", [*itertools.product([1, 7, 8, 9, 17], EDGES)], ids=str)
    def test_each_pixel_is_written_exactly_once(self, host_gpu, size):
        height, width = size
        frame, out = np.zeros((2, 2, 3), np.uint8), np.empty((height, width, 3), np.uint8)
        nv12, plane = np.zeros((3, 2), np.uint8), np.zeros((height, width), np.uint8)
        rows, columns = (address(table) for table in self.keep(*resize_tables((2, 2), height, width)))
        cells = [cell_table(1, height, "half_pixel"), cell_table(1, width, "half_pixel")]
        logits, winners, flag = (
            np.zeros((2, height, width), np.float32),
            np.zeros((1, 1), np.uint8),
            np.zeros(1, np.int32),
        )
        palette = np.zeros((256, 3), np.uint8)
        both = (rows, columns, address(out), height, width)
        launches = [
            (prepare_interleaved(address(frame), 6, *both), out),
            (prepare_nv12(address(nv12), 2, address(nv12) + 4, 2, (2, 2), *both), out),
            (widen(address(plane), address(logits), height, width), logits[0].view(np.uint8)),
            (label_nodes(address(logits), logits.shape, address(plane), address(flag)), plane),
            (
                label_pixels(
                    address(logits),
                    (2, 1, 1),
                    address(winners),
                    address(cells[0]),
                    address(cells[1]),
                    address(plane),
                    width,
                    height,
                    width,
                ),
                plane,
            ),
            (
                paint(
                    address(out),
                    3 * width,
                    address(plane),
                    width,
                    address(palette),
                    0.5,
                    address(out),
                    3 * width,
                    height,
                    width,
                ),
                out,
            ),
        ]
        for launch, image in launches:
            counts = host_gpu.run(launch, counted=image)
            assert (counts == 1).all(), f"{launch.kernel}: {np.unique(counts)} stores a byte"

    def keep(self, *tables):
        self.kept = tables
        return tables
