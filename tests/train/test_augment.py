"""Augmentation moves labels with their pixels, is decided by its seed alone, and stays within its limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from edge.labels import CITYSCAPES, IGNORE_ID
from train.augment import Augmentation, augment_pair

HEIGHT, WIDTH = 48, 64
PLAIN = Augmentation(brightness=0.0, contrast=0.0, saturation=0.0)
GENERATOR = np.random.default_rng(12)


def blocks(height=96, width=128, cell=16) -> np.ndarray:
    """Return a label map of large cells, no two alike side by side."""
    coarse = np.arange(height // cell * (width // cell)).reshape(height // cell, -1) * 7 % CITYSCAPES.class_count
    return np.repeat(np.repeat(coarse, cell, 0), cell, 1).astype(np.uint8)


def painted(labels: np.ndarray) -> np.ndarray:
    return CITYSCAPES.palette_rgb()[labels]


def augment(frame, labels, seed=0, settings=PLAIN, network_size=(HEIGHT, WIDTH)):
    pair_seed = tf.constant([seed, seed], tf.int64)
    frame, labels = augment_pair(
        tf.constant(frame), tf.constant(labels), HEIGHT, WIDTH, settings, pair_seed, network_size
    )
    return frame.numpy(), labels.numpy()


@pytest.mark.parametrize("seed", range(12))
def test_labels_stay_with_their_pixels(seed):
    labels = blocks()
    frame, moved = augment(painted(labels), labels, seed)
    expected = painted(moved).astype(np.float32)
    expected[moved == IGNORE_ID] = 114.0
    # Colours blend between two cells, in a band of a pixel or two; inside, they are those of the label.
    inside = np.ones(moved.shape, bool)
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            inside &= moved == np.roll(moved, step, axis)
    assert inside.mean() > 0.1
    np.testing.assert_allclose(frame[inside], expected[inside], atol=0.01)


def test_no_label_comes_up_that_was_not_there():
    labels = np.where(blocks() % 2, np.uint8(18), np.uint8(2))  # between them lie the ids of fifteen other classes
    for seed in range(6):
        assert set(np.unique(augment(painted(labels), labels, seed)[1])) <= {2, 18, IGNORE_ID}


def test_edges_of_labels_lie_where_edges_of_pixels_are():
    # Half a step of intensity is where a bilinear edge crosses: labels have to change there, not a pixel beside it.
    labels = np.zeros((96, 128), np.uint8)
    labels[:, 50:] = 1
    frame = np.repeat((labels * 200)[..., None], 3, 2).astype(np.uint8)
    off = 0
    for seed in range(20):
        pixels, moved = augment(frame, labels, seed)
        counted = moved != IGNORE_ID
        off += np.sum((pixels[..., 0] > 100)[counted] != moved[counted].astype(bool)) / max(counted.sum(), 1)
    assert off / 20 < 0.01


def test_shapes_and_types_are_those_of_a_crop():
    frame, labels = augment(painted(blocks()), blocks())
    assert (frame.shape, frame.dtype) == ((HEIGHT, WIDTH, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((HEIGHT, WIDTH), np.uint8)


@pytest.mark.parametrize("size", [(96, 128), (50, 200), (200, 50), (20, 20)])
def test_frames_of_any_size_serve(size):
    labels = np.zeros(size, np.uint8)
    frame, moved = augment(np.zeros((*size, 3), np.uint8), labels, 5)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert set(np.unique(moved)) <= {0, IGNORE_ID}


def test_equal_seeds_give_equal_results_and_others_do_not():
    labels = blocks()
    first, again, other = (augment(painted(labels), labels, seed, Augmentation()) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_without_zoom_a_frame_of_the_crops_size_is_only_flipped():
    labels = blocks(HEIGHT, WIDTH)
    frame = GENERATOR.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    settings = dataclasses.replace(PLAIN, scale_min=1.0, scale_max=1.0)
    seen = set()
    for seed in range(10):
        pixels, moved = augment(frame, labels, seed, settings)
        flipped = not np.array_equal(moved, labels)
        seen.add(flipped)
        step = -1 if flipped else 1
        np.testing.assert_allclose(pixels, frame[:, ::step], atol=1e-3)
        np.testing.assert_array_equal(moved, labels[:, ::step])
    assert seen == {False, True}


def test_small_zoom_leaves_a_border_that_counts_for_nothing():
    settings = dataclasses.replace(PLAIN, scale_min=0.5, scale_max=0.5)
    frame, labels = augment(np.full((HEIGHT, WIDTH, 3), 50, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8), 1, settings)
    assert np.mean(labels == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(frame[labels == IGNORE_ID], 114.0)
    np.testing.assert_allclose(frame[labels == 0], 50.0, atol=1e-3)


def test_zoom_is_relative_to_the_frame_that_the_network_will_see():
    # At zoom 1 a crop is cut out of the frame at the network's size, and not out of one shrunk to the crop.
    settings = dataclasses.replace(PLAIN, scale_min=1.0, scale_max=1.0)
    labels = blocks(2 * HEIGHT, 2 * WIDTH)
    for seed in range(4):
        _, moved = augment(painted(labels), labels, seed, settings, labels.shape)
        cuts = np.lib.stride_tricks.sliding_window_view(np.stack([labels, labels[:, ::-1]]), (HEIGHT, WIDTH), (1, 2))
        assert (cuts == moved).all((-1, -2)).any()


def test_zoom_covers_its_range():
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    shares = [np.mean(augment(frame, labels, seed)[1] == 0) for seed in range(40)]
    assert min(shares) < 0.4  # a zoom near 0.5 covers a quarter
    # The zoom is drawn on a logarithmic scale: half of 0.5 to 2 fills the crop.
    assert 0.3 < np.mean(np.array(shares) == 1.0) < 0.7


def test_colours_vary_within_0_to_255_and_labels_do_not():
    frame = GENERATOR.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    labels = blocks(HEIGHT, WIDTH)
    settings = Augmentation(scale_min=1.0, scale_max=1.0)
    means = []
    for seed in range(10):
        pixels, moved = augment(frame, labels, seed, settings)
        assert pixels.min() >= 0 and pixels.max() <= 255
        assert set(np.unique(moved)) == set(np.unique(labels))
        means.append(pixels.mean())
    assert np.ptp(means) > 10
