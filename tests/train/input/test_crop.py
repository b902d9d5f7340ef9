"""Crops: labels stay with their pixels whatever is done to them, and nothing comes up that was not there."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from edge.labels import CITYSCAPES, IGNORE_ID
from train.input.augmentation import Augmentation, Variation, draw_variation
from train.input.crop import PADDING, axis_crop, crop_pair

HEIGHT, WIDTH = 48, 64
PLAIN = Augmentation(brightness=0.0, contrast=0.0, saturation=0.0)
GENERATOR = np.random.default_rng(12)


def blocks(height=96, width=128, cell=16) -> np.ndarray:
    """Return a label map of large cells, no two alike side by side."""
    coarse = np.arange(height // cell * (width // cell)).reshape(height // cell, -1) * 7 % CITYSCAPES.class_count
    return np.repeat(np.repeat(coarse, cell, 0), cell, 1).astype(np.uint8)


def painted(labels: np.ndarray) -> np.ndarray:
    return CITYSCAPES.palette_rgb()[labels]


def noise(height=HEIGHT, width=WIDTH) -> np.ndarray:
    return GENERATOR.integers(0, 256, (height, width, 3)).astype(np.uint8)


def crop(frame, labels, variation=None, network_size=(HEIGHT, WIDTH), size=(HEIGHT, WIDTH)):
    return crop_pair(frame, labels, *size, variation or Variation(), network_size)


def drawn(frame, labels, sample, settings=PLAIN, network_size=(HEIGHT, WIDTH)):
    return crop(frame, labels, draw_variation(settings, 0, sample), network_size)


@pytest.mark.parametrize("sample", range(16))
def test_labels_stay_with_their_pixels(sample):
    labels = blocks()
    frame, moved = drawn(painted(labels), labels, sample)
    expected = painted(moved)
    expected[moved == IGNORE_ID] = PADDING
    # Colours blend between two cells, in a band of a pixel or two; inside, they are those of the label.
    inside = np.ones(moved.shape, bool)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inside &= moved == np.roll(moved, step, axis)
    assert inside.mean() > 0.1
    np.testing.assert_array_equal(frame[inside], expected[inside])


def test_no_label_comes_up_that_was_not_there():
    labels = np.where(blocks() % 2, np.uint8(18), np.uint8(2))  # between them lie the ids of fifteen other classes
    for sample in range(12):
        assert set(np.unique(drawn(painted(labels), labels, sample)[1])) <= {2, 18, IGNORE_ID}


@pytest.mark.parametrize("zoom", [0.5, 0.7, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_edges_of_labels_lie_where_edges_of_pixels_are(zoom, is_mirrored):
    # Half a step of intensity is where a bilinear edge crosses: labels have to change there, not a pixel beside it.
    labels = np.zeros((96, 128), np.uint8)
    labels[37:] = 1
    labels[:, 51:] = 1
    frame = np.repeat((labels * 200)[..., None], 3, 2).astype(np.uint8)
    off = []
    for place in np.linspace(0.0, 0.99, 12):
        variation = Variation(zoom, place, 0.99 - place, is_mirrored)
        pixels, moved = crop(frame, labels, variation, (96, 128))
        counted = moved != IGNORE_ID
        counted &= np.abs(pixels[..., 0].astype(int) - 100) > 1  # halfway, either label is as near
        off.append(np.mean((pixels[..., 0] > 100)[counted] != moved[counted].astype(bool)))
    assert max(off) < 0.004


@pytest.mark.parametrize(("source", "count"), [(10, 10), (30, 10), (10, 30), (7, 16), (16, 7), (1, 5), (5, 1)])
def test_label_of_a_pixel_is_that_of_the_place_it_is_interpolated_at(source, count):
    # A ramp shows where each pixel of the frame comes from: within half a pixel of the label's own place.
    ramp = np.arange(source, dtype=np.uint8) * 8
    frame, labels = crop(
        np.repeat(ramp[None, :, None], 3, 2),
        np.arange(source, dtype=np.uint8)[None],
        Variation(zoom=count / source),
        network_size=(max(source, 64), source),
        size=(1 if count <= source else round(count / source), count),
    )
    np.testing.assert_allclose(frame[0, :, 0] / 8, labels[0], atol=0.5 + 1 / 8)


def test_types_are_those_of_the_files():
    frame, labels = drawn(painted(blocks()), blocks(), 0, Augmentation(blur=1.0))
    assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((HEIGHT, WIDTH), np.uint8)
    assert frame.flags.c_contiguous and labels.flags.c_contiguous


@pytest.mark.parametrize("size", [(96, 128), (50, 200), (200, 50), (20, 20), (1, 1)])
def test_frames_of_any_size_serve(size):
    labels = np.zeros(size, np.uint8)
    for sample in range(8):
        frame, moved = drawn(np.zeros((*size, 3), np.uint8), labels, sample)
        assert frame.shape == (HEIGHT, WIDTH, 3)
        assert 0 in moved and set(np.unique(moved)) <= {0, IGNORE_ID}


def test_without_zoom_a_frame_of_the_crops_size_is_only_flipped():
    frame, labels = noise(), blocks(HEIGHT, WIDTH)
    for is_mirrored in (False, True):
        step = -1 if is_mirrored else 1
        pixels, moved = crop(frame, labels, Variation(is_mirrored=is_mirrored))
        np.testing.assert_array_equal(pixels, frame[:, ::step])
        np.testing.assert_array_equal(moved, labels[:, ::step])


def test_frame_that_was_read_is_not_written_to():
    frame, labels = noise(), blocks(HEIGHT, WIDTH)
    kept = frame.copy(), labels.copy()
    for variation in (Variation(), Variation(brightness=20.0), Variation(blur_sigma=1.0)):
        pixels, moved = crop(frame, labels, variation)
        pixels[:], moved[:] = 0, 0
    np.testing.assert_array_equal(frame, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


def test_small_zoom_leaves_a_border_that_counts_for_nothing():
    frame, labels = np.full((HEIGHT, WIDTH, 3), 50, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels, moved = crop(frame, labels, Variation(0.5, 0.4, 0.9, brightness=30.0, contrast=1.2, blur_sigma=1.0))
    assert np.mean(moved == 0) == 0.25
    np.testing.assert_array_equal(pixels[moved == IGNORE_ID], PADDING)
    np.testing.assert_array_equal(pixels[moved == 0], 80)


def test_places_reach_from_one_border_to_the_other():
    for source, size in ((40, 100), (100, 40)):
        crops = [axis_crop(source, size, 1.0, place) for place in np.linspace(0.0, 1.0 - 1e-9, 500)]
        starts = {each.source_start + each.start for each in crops}
        assert starts == set(range(abs(source - size) + 1))
        for each in crops:
            assert each.source_start + each.source_count <= source and each.start + each.count <= size


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.0, 1.3, 2.0, 3.1])
def test_zoom_of_a_crop_is_the_one_that_was_drawn(scale):
    for source, size in ((1024, 512), (512, 1024), (360, 384), (2048, 1024)):
        crop = axis_crop(source, size, scale, 0.5)
        assert crop.count / crop.source_count == pytest.approx(scale, rel=0.5 / min(crop.count, crop.source_count))


def test_zoom_is_relative_to_the_frame_that_the_network_will_see():
    # At zoom 1 a crop is cut out of the frame at the network's size, and not out of one shrunk to the crop.
    settings = dataclasses.replace(PLAIN, scale_min=1.0, scale_max=1.0)
    labels = blocks(2 * HEIGHT, 2 * WIDTH)
    cuts = np.lib.stride_tricks.sliding_window_view(np.stack([labels, labels[:, ::-1]]), (HEIGHT, WIDTH), (1, 2))
    for sample in range(4):
        _, moved = drawn(painted(labels), labels, sample, settings, labels.shape)
        assert (cuts == moved).all((-1, -2)).any()


def test_aspect_of_a_frame_is_kept():
    labels = np.zeros((100, 100), np.uint8)
    _, moved = crop(painted(labels), labels, network_size=(50, 300), size=(50, 300))
    assert (moved == 0).any(0).sum() == (moved == 0).any(1).sum() == 50


def test_zoom_covers_its_range():
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    shares = [np.mean(drawn(painted(labels), labels, sample)[1] == 0) for sample in range(60)]
    assert min(shares) < 0.35  # a zoom near 0.5 covers a quarter
    # The zoom is drawn on a logarithmic scale: half of 0.5 to 2 fills the crop.
    assert 0.3 < np.mean(np.array(shares) == 1.0) < 0.7


@pytest.mark.parametrize(
    ("brightness", "contrast", "saturation"), [(20, 1, 1), (0, 1.2, 1), (0, 1, 0.8), (-9, 0.8, 1.2)]
)
def test_colours_change_as_they_are_defined_to(brightness, contrast, saturation):
    frame, labels = GENERATOR.integers(90, 160, (HEIGHT, WIDTH, 3)).astype(np.uint8), blocks(HEIGHT, WIDTH)
    variation = Variation(brightness=brightness, contrast=contrast, saturation=saturation)
    pixels, moved = crop(frame, labels, variation)
    expected = frame.astype(float) + brightness
    grey = expected.mean(-1, keepdims=True)
    expected = grey + saturation * (expected - grey)
    expected = expected.mean() + contrast * (expected - expected.mean())
    np.testing.assert_allclose(pixels, expected, atol=0.9)  # OpenCV multiplies bytes in steps of 1 / 1024
    np.testing.assert_array_equal(moved, labels)


def test_colours_end_at_black_and_white():
    frame, labels = noise(), blocks(HEIGHT, WIDTH)
    assert crop(frame, labels, Variation(brightness=300.0))[0].min() == 255
    assert crop(frame, labels, Variation(brightness=-300.0))[0].max() == 0


def test_blur_softens_the_frame_and_leaves_the_labels():
    frame, labels = noise(), blocks(HEIGHT, WIDTH)
    contrasts = []
    for sigma in (0.0, 0.5, 1.3):
        pixels, moved = crop(frame, labels, Variation(blur_sigma=sigma))
        contrasts.append(pixels.std())
        np.testing.assert_array_equal(moved, labels)
    assert contrasts[0] > 1.2 * contrasts[1] > 1.44 * contrasts[2]


def test_threads_of_opencv_do_not_change_a_crop():
    frame, labels = noise(512, 512), blocks(512, 512)
    variation = Variation(0.77, 0.3, 0.6, True, 10.0, 1.1, 0.9, 0.8)
    crops, threads = [], cv2.getNumThreads()
    try:
        for count in (1, 4):
            cv2.setNumThreads(count)
            crops.append(crop(frame, labels, variation, (512, 512), (384, 256)))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(crops[0][0], crops[1][0])
    np.testing.assert_array_equal(crops[0][1], crops[1][1])
