import ctypes
import ctypes.util
import platform
import threading

import numpy as np
import pytest

import edge.postprocess as postprocess
from edge.errors import BackendError, InputError
from edge.postprocess import COORDINATE_RULES, LabelUpsampler, reference_labels, upsample_argmax
from edge.postprocess.bilinear import MAX_SIDE, axis_cells
from edge.postprocess.native.build import load_library, unavailable_reason


@pytest.fixture(params=["native", "numpy"])
def backend(request):
    if request.param == "native" and load_library() is None:
        pytest.skip(f"no native kernel here: {unavailable_reason()}")
    return request.param


@pytest.fixture(params=COORDINATE_RULES)
def coordinates(request):
    return request.param


def labels_of(logits, height, width, coordinates, backend):
    return LabelUpsampler(*logits.shape, height, width, coordinates, backend=backend)(logits)


def assert_as_defined(logits, height, width, coordinates, backend):
    labels = labels_of(logits, height, width, coordinates, backend)
    expected = reference_labels(logits, height, width, coordinates)
    wrong = np.argwhere(labels != expected)
    assert not len(wrong), (
        f"{len(wrong)} of {labels.size} labels differ, first at {wrong[0]}: {logits.shape} to {labels.shape}"
    )


def street_like(generator, classes, height, width):
    """Smooth regions with a little noise: some cells inside a class, some on a boundary."""
    rows, columns = np.linspace(0, 3, height), np.linspace(0, 4, width)
    phase = generator.uniform(0, 6, (classes, 2, 1, 1))
    waves = np.sin(rows[:, None] + phase[:, 0]) * np.cos(columns + phase[:, 1])
    return (5 * waves + generator.normal(0, 0.1, (classes, height, width))).astype(np.float32)


# (classes, logit size, label size): strides that are whole, fractional, one, below one; odd sizes; single lines
SHAPES = [
    (19, (16, 32), (128, 256)),
    (19, (16, 32), (64, 128)),
    (11, (12, 15), (192, 240)),
    (5, (4, 5), (128, 160)),
    (19, (17, 33), (129, 257)),
    (7, (9, 14), (100, 131)),
    (3, (10, 10), (10, 10)),
    (9, (31, 45), (12, 20)),
    (9, (31, 45), (62, 20)),
    (8, (33, 17), (1, 1)),
    (4, (1, 1), (13, 9)),
    (4, (1, 23), (5, 100)),
    (4, (23, 1), (100, 5)),
    (16, (2, 2), (37, 41)),
    (2, (1, 1), (1, 1)),
]


class TestEqualsDefinition:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    @pytest.mark.parametrize("kind", ["noise", "street", "quantised"])
    def test_any_shape_and_stride(self, shape, kind, coordinates, backend):
        classes, (h, w), (height, width) = shape
        generator = np.random.default_rng(classes * h + w)
        logits = generator.normal(0, 4, (classes, h, w)).astype(np.float32)
        if kind == "street":
            logits = street_like(generator, classes, h, w)
        elif kind == "quantised":  # as an INT8 engine gives them: many equal values, so many ties between pixels
            logits = np.round(logits / 2).astype(np.float32)
        assert_as_defined(logits, height, width, coordinates, backend)

    @pytest.mark.parametrize("seed", range(25))
    def test_random_cases(self, seed, coordinates, backend):
        generator = np.random.default_rng(seed)
        classes = int(generator.integers(1, 40))
        h, w = (int(side) for side in generator.integers(1, 24, 2))
        height, width = (int(side) for side in generator.integers(1, 150, 2))
        scale = 10.0 ** generator.integers(-6, 7)
        logits = (scale * generator.normal(size=(classes, h, w))).astype(np.float32)
        if seed % 3 == 0:
            logits = (np.round(logits / scale) * scale).astype(np.float32)
        assert_as_defined(logits, height, width, coordinates, backend)

    @pytest.mark.parametrize("classes", [1, 2, 255, 256])
    def test_fewest_and_most_classes(self, classes, coordinates, backend):
        logits = np.random.default_rng(classes).normal(size=(classes, 6, 7)).astype(np.float32)
        assert_as_defined(logits, 48, 61, coordinates, backend)

    def test_margins_that_float_cannot_tell_apart(self, coordinates, backend):
        # Two classes cross at a shallow angle: their difference passes through every small value.
        generator = np.random.default_rng(5)
        logits = np.repeat(generator.normal(0, 10, (1, 8, 9)).astype(np.float32), 4, axis=0)
        logits[1:] += generator.integers(-2, 3, (3, 8, 9)).astype(np.float32) * np.spacing(logits[1:])
        assert len(np.unique(logits[:, 0, 0])) > 1
        for height, width in ((64, 72), (61, 75)):
            assert_as_defined(logits, height, width, coordinates, backend)

    @pytest.mark.parametrize("offset", [-3e6, 3e6])
    def test_small_differences_of_large_logits(self, offset, coordinates, backend):
        steps = np.random.default_rng(12).integers(0, 4, (6, 8, 9)).astype(np.float32)
        logits = np.float32(offset) + steps * np.spacing(np.float32(abs(offset)))
        assert len(np.unique(logits)) == 4
        assert_as_defined(logits, 61, 75, coordinates, backend)

    def test_the_caller_s_rounding_mode_changes_nothing(self, coordinates):
        upward = {"x86_64": 0x800, "aarch64": 0x400000}.get(platform.machine())
        if load_library() is None or upward is None:
            pytest.skip("no native kernel, or an unknown number for FE_UPWARD, here")
        generator = np.random.default_rng(13)
        # A large logit takes the small ones to where float64 rounds: its neighbours tie or not by rounding.
        logits = generator.integers(-3, 4, (6, 8, 9)).astype(np.float32)
        logits[:, ::2, ::2] += np.float32(2.0**50)
        logits[1:, 1::2] += generator.integers(-2, 3, (5, 4, 9)).astype(np.float32) * np.float32(1e-3)
        upsampler = LabelUpsampler(6, 8, 9, 61, 75, coordinates, backend="native")
        expected = reference_labels(logits, 61, 75, coordinates)
        libm = ctypes.CDLL(ctypes.util.find_library("m"))
        out = np.empty((61, 75), np.uint8)
        assert libm.fesetround(upward) == 0
        try:
            upsampler(logits, out)
            kept = libm.fegetround()
        finally:
            libm.fesetround(0)
        assert kept == upward
        np.testing.assert_array_equal(out, expected)

    @pytest.mark.parametrize("largest", [1e29, 3.4028235e38])
    def test_magnitudes_whose_differences_overflow_float(self, largest, coordinates, backend):
        generator = np.random.default_rng(6)
        logits = (generator.uniform(-1, 1, (6, 5, 7)) * largest).astype(np.float32)
        logits.flat[::5] = np.float32(largest)
        logits.flat[3::7] = -np.float32(largest)
        assert_as_defined(logits, 41, 56, coordinates, backend)

    def test_subnormal_logits(self, coordinates, backend):
        logits = np.random.default_rng(7).integers(-9, 10, (6, 5, 7)).astype(np.float32) * np.float32(1e-45)
        assert np.count_nonzero(logits) > 100
        assert_as_defined(logits, 40, 56, coordinates, backend)

    def test_huge_and_tiny_logits_together(self, coordinates, backend):
        generator = np.random.default_rng(8)
        logits = generator.normal(size=(7, 6, 7)) * 10.0 ** generator.integers(-40, 38, (7, 6, 7))
        assert_as_defined(logits.astype(np.float32), 45, 56, coordinates, backend)

    def test_a_masked_class(self, coordinates, backend):
        logits = np.random.default_rng(9).normal(size=(19, 6, 9)).astype(np.float32)
        logits[3] = -1e9
        assert_as_defined(logits, 48, 72, coordinates, backend)

    def test_one_hot_logits(self, coordinates, backend):
        winner = np.random.default_rng(10).integers(0, 19, (6, 9))
        logits = (winner == np.arange(19)[:, None, None]).astype(np.float32)
        assert_as_defined(logits, 48, 72, coordinates, backend)

    def test_negative_and_positive_zero_tie(self, coordinates, backend):
        logits = np.zeros((3, 2, 3), np.float32)
        logits[0] = -0.0
        logits[2, 0, 0] = 1
        assert_as_defined(logits, 16, 24, coordinates, backend)


class TestMeaning:
    def test_a_class_that_leads_at_no_corner_can_win_between_them(self, coordinates, backend):
        logits = np.zeros((3, 2, 2), np.float32)
        logits[0] = [[4, 0], [4, 0]]
        logits[1] = [[0, 4], [0, 4]]
        logits[2] = 3
        labels = labels_of(logits, 2, 32, coordinates, backend)
        assert {0, 1, 2} == set(labels[0].tolist())
        assert labels[0, 15] == labels[0, 16] == 2
        np.testing.assert_array_equal(labels, reference_labels(logits, 2, 32, coordinates))

    def test_constant_logits_give_the_lowest_class(self, coordinates, backend):
        assert not labels_of(np.full((5, 3, 4), 2.5, np.float32), 24, 32, coordinates, backend).any()

    def test_an_exact_tie_goes_to_the_lower_class(self, coordinates, backend):
        # align_corners puts pixel 2 of 5 exactly between the nodes, where both classes are 1/2.
        logits = np.array([[[1, 0]], [[0, 1]]], np.float32)
        for order, expected in (((0, 1), [0, 0, 0, 1, 1]), ((1, 0), [1, 1, 0, 0, 0])):
            labels = labels_of(np.ascontiguousarray(logits[list(order)]), 1, 5, coordinates, backend)
            assert labels[0].tolist() == expected

    def test_the_rules_differ_as_documented(self, backend):
        # The boundary lies at 2/3 of the way from the first node to the second.
        logits = np.array([[[2, -1]], [[0, 0]]], np.float32)
        half_pixel = labels_of(logits, 1, 8, "half_pixel", backend)[0]
        align_corners = labels_of(logits, 1, 8, "align_corners", backend)[0]
        # half_pixel: (pixel + 1/2) / 4 - 1/2 > 2/3 from pixel 5; align_corners: pixel / 7 > 2/3 from pixel 5.
        assert half_pixel.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
        assert align_corners.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
        logits = np.array([[[6, -1]], [[0, 0]]], np.float32)  # at 6/7: half_pixel pixel 5 has 7/8, the other 5/7
        assert labels_of(logits, 1, 8, "half_pixel", backend)[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
        assert labels_of(logits, 1, 8, "align_corners", backend)[0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]

    def test_agrees_with_opencv_except_where_classes_nearly_tie(self, backend):
        cv2 = pytest.importorskip("cv2")
        logits = street_like(np.random.default_rng(11), 19, 16, 32)
        resized = np.stack([cv2.resize(plane, (256, 128), interpolation=cv2.INTER_LINEAR) for plane in logits])
        labels = labels_of(logits, 128, 256, "half_pixel", backend)
        differ = labels != resized.argmax(axis=0)
        chosen = np.take_along_axis(resized, labels[None].astype(np.int64), axis=0)[0]
        # OpenCV rounds in float32; logits are below 8, so 1e-5 is some 10 units in the last place.
        assert (resized.max(axis=0) - chosen)[differ].max(initial=0) < 1e-5

    @pytest.mark.parametrize(("nodes", "pixels"), [(4, 32), (7, 31), (31, 7), (1, 5), (5, 1), (1, 1), (3, 3)])
    def test_weights_are_the_rule_s(self, nodes, pixels, coordinates):
        axis = axis_cells(nodes, pixels, coordinates)
        pixel = np.arange(pixels)
        if coordinates == "half_pixel":
            source = (pixel + 0.5) * nodes / pixels - 0.5
        else:
            source = pixel * ((nodes - 1) / (pixels - 1) if pixels > 1 else 0)
        cell = axis.cell_of_pixel()
        fraction = axis.high_weight / (axis.low_weight + axis.high_weight)
        position = axis.low[cell] + fraction * (axis.high - axis.low)[cell]
        np.testing.assert_allclose(position, np.clip(source, 0, nodes - 1), atol=1e-12)
        assert (np.diff(axis.start) > 0).all()


class TestArguments:
    def test_writes_into_out_and_returns_it(self, backend):
        logits = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
        out = np.full((40, 48), 77, np.uint8)
        assert LabelUpsampler(4, 5, 6, 40, 48, backend=backend)(logits, out) is out
        np.testing.assert_array_equal(out, reference_labels(logits, 40, 48))

    def test_out_may_be_a_part_of_a_larger_picture(self, backend):
        logits = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
        picture = np.full((60, 80), 99, np.uint8)
        LabelUpsampler(4, 5, 6, 40, 49, backend=backend)(logits, picture[10:50, 20:69])
        np.testing.assert_array_equal(picture[10:50, 20:69], reference_labels(logits, 40, 49))
        picture[10:50, 20:69] = 99
        assert (picture == 99).all()

    def test_a_batch_of_one_and_no_batch_are_alike(self):
        logits = np.random.default_rng(2).normal(size=(4, 5, 6)).astype(np.float32)
        np.testing.assert_array_equal(upsample_argmax(logits[None], 40, 48), upsample_argmax(logits, 40, 48))
        np.testing.assert_array_equal(reference_labels(logits[None], 40, 48), reference_labels(logits, 40, 48))

    def test_logits_need_not_be_contiguous(self, backend):
        channels_last = np.random.default_rng(3).normal(size=(5, 6, 4)).astype(np.float32)
        logits = channels_last.transpose(2, 0, 1)
        assert not logits.flags.c_contiguous
        assert_as_defined(logits, 40, 48, "half_pixel", backend)
        wide = np.random.default_rng(4).normal(size=(4, 10, 12)).astype(np.float32)[:, ::2, ::-2]
        assert_as_defined(wide, 40, 48, "half_pixel", backend)

    def test_logits_are_left_as_they_are(self, backend):
        logits = np.random.default_rng(4).normal(size=(4, 5, 6)).astype(np.float32)
        before = logits.copy()
        logits.flags.writeable = False
        labels_of(logits, 40, 48, "half_pixel", backend)
        np.testing.assert_array_equal(logits, before)

    def test_calls_of_one_upsampler_do_not_disturb_each_other(self, backend):
        generator = np.random.default_rng(5)
        frames = [generator.normal(size=(6, 16, 24)).astype(np.float32) for _ in range(4)]
        upsampler = LabelUpsampler(6, 16, 24, 128, 192, backend=backend)
        expected = [reference_labels(frame, 128, 192) for frame in frames]
        right = []

        def work(index):
            right.extend(np.array_equal(upsampler(frames[index]), expected[index]) for _ in range(10))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(frames))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert right == [True] * 40


def refused(call, *words):
    with pytest.raises(InputError) as raised:
        call()
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


class TestRefusals:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("place", [(0, 0, 0), (2, 4, 17), (3, 3, 5)])
    def test_logits_that_are_not_finite(self, value, place, backend):
        logits = np.zeros((4, 5, 18), np.float32)
        logits[place] = value
        upsampler = LabelUpsampler(4, 5, 18, 40, 144, backend=backend)
        refused(lambda: upsampler(logits), "1 of 360", f"class {place[0]}, row {place[1]}, column {place[2]}")

    def test_not_finite_where_no_pixel_looks(self, backend):
        logits = np.zeros((2, 9, 9), np.float32)
        logits[1, 8, 8] = np.nan
        refused(lambda: LabelUpsampler(2, 9, 9, 1, 1, "align_corners", backend=backend)(logits), "NaN")

    def test_more_classes_than_a_byte_holds(self):
        refused(lambda: upsample_argmax(np.zeros((257, 2, 2), np.float32), 4, 4), "257", "256")

    def test_no_classes(self):
        refused(lambda: upsample_argmax(np.zeros((0, 2, 2), np.float32), 4, 4), "0 classes")

    @pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, ">f4"])
    def test_other_types(self, dtype):
        refused(lambda: upsample_argmax(np.zeros((3, 2, 2), dtype), 4, 4), str(np.dtype(dtype)), "float32")

    def test_no_array(self):
        refused(lambda: upsample_argmax([[[0.0]]], 4, 4), "list", "float32")

    @pytest.mark.parametrize("shape", [(2, 2), (2, 3, 2, 2), (1, 1, 3, 2, 2), (0, 3, 2, 2)])
    def test_other_shapes(self, shape):
        refused(lambda: upsample_argmax(np.zeros(shape, np.float32), 4, 4), str(shape), "(classes, h, w)")

    def test_logits_of_another_frame_size(self):
        upsampler = LabelUpsampler(3, 4, 5, 32, 40)
        refused(lambda: upsampler(np.zeros((3, 5, 4), np.float32)), "(3, 5, 4)", "(3, 4, 5)")

    @pytest.mark.parametrize(("height", "width"), [(0, 4), (4, 0), (-1, 4), (4, MAX_SIDE + 1), (2.5, 4)])
    def test_impossible_sizes(self, height, width):
        refused(lambda: upsample_argmax(np.zeros((3, 2, 2), np.float32), height, width))

    def test_empty_logits(self):
        refused(lambda: upsample_argmax(np.zeros((3, 0, 2), np.float32), 4, 4), "0 logits")

    def test_unknown_rule(self):
        refused(
            lambda: upsample_argmax(np.zeros((3, 2, 2), np.float32), 4, 4, "asymmetric"), "asymmetric", "half_pixel"
        )

    def test_unknown_backend(self):
        refused(lambda: LabelUpsampler(3, 2, 2, 4, 4, backend="cuda"), "cuda", "native")

    @pytest.mark.parametrize(
        "out",
        [np.zeros((4, 5), np.uint8), np.zeros((4, 4), np.int64), np.zeros((4, 8), np.uint8)[:, ::2], [0] * 16],
        ids=["shape", "type", "strides", "list"],
    )
    def test_unfit_out(self, out):
        refused(lambda: upsample_argmax(np.zeros((3, 2, 2), np.float32), 4, 4, out=out), "out ")

    def test_read_only_out(self):
        out = np.zeros((4, 4), np.uint8)
        out.flags.writeable = False
        refused(lambda: upsample_argmax(np.zeros((3, 2, 2), np.float32), 4, 4, out=out), "writable")

    def test_out_inside_the_logits(self):
        logits = np.zeros((3, 2, 2), np.float32)
        out = logits.view(np.uint8).reshape(-1)[:16].reshape(4, 4)
        refused(lambda: upsample_argmax(logits, 4, 4, out=out), "shares memory")


class TestBackend:
    def test_numpy_takes_over_where_there_is_no_library(self, monkeypatch):
        monkeypatch.setattr(postprocess, "load_library", lambda: None)
        monkeypatch.setattr(postprocess, "unavailable_reason", lambda: "there is no compiler")
        assert postprocess.backend() == "numpy"
        assert LabelUpsampler(3, 2, 2, 4, 4).backend == "numpy"
        with pytest.raises(BackendError, match="there is no compiler"):
            LabelUpsampler(3, 2, 2, 4, 4, backend="native")

    def test_the_native_kernel_is_used_where_there_is_one(self):
        if load_library() is None:
            pytest.skip(f"no native kernel here: {unavailable_reason()}")
        assert postprocess.backend() == LabelUpsampler(3, 2, 2, 4, 4).backend == "native"

    def test_exported_names(self):
        assert sorted(postprocess.__all__) == [
            "BACKENDS",
            "COORDINATE_RULES",
            "LabelUpsampler",
            "backend",
            "reference_labels",
            "upsample_argmax",
        ]
