"""The shared layers equal their definitions, written out in NumPy."""

from __future__ import annotations

import math

import cv2
import keras
import numpy as np
import pytest

from train.models.layers import AdaptiveAveragePooling, BilinearResize, align_corners_matrix

GENERATOR = np.random.default_rng(1)


def naive_pooling(features: np.ndarray, bins: int) -> np.ndarray:
    _, height, width, channels = features.shape
    pooled = np.empty((len(features), bins, bins, channels))
    for row in range(bins):
        top, bottom = math.floor(row * height / bins), math.ceil((row + 1) * height / bins)
        for column in range(bins):
            left, right = math.floor(column * width / bins), math.ceil((column + 1) * width / bins)
            pooled[:, row, column] = features[:, top:bottom, left:right].mean((1, 2))
    return pooled


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(16, 32), (12, 16), (6, 6), (7, 11), (2, 4), (1, 1)])
def test_pooling_averages_each_cell(size, bins):
    features = GENERATOR.normal(0, 2, (2, *size, 3)).astype(np.float32)
    pooled = np.asarray(AdaptiveAveragePooling(bins)(features))
    assert pooled.shape == (2, bins, bins, 3)
    # A mean of means of rows: float32 rounding.
    np.testing.assert_allclose(pooled, naive_pooling(features.astype(np.float64), bins), atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [((2, 3), (16, 24)), ((6, 6), (12, 16)), ((8, 8), (3, 5))])
def test_resize_is_bilinear_at_half_pixels_without_antialiasing(source, target):
    features = GENERATOR.normal(0, 2, (1, *source, 4)).astype(np.float32)
    resized = np.asarray(BilinearResize(*target)(features))
    expected = cv2.resize(features[0], target[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized[0], expected, atol=1e-5)


def aligned(features: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear with the corners kept in place, pixel by pixel as the formula has it, in float64."""

    def neighbours(index: int, old: int, new: int) -> tuple[int, int, float]:
        position = index * (old - 1) / (new - 1) if new > 1 else 0.0
        below = math.floor(position)
        return below, min(below + 1, old - 1), position - below

    _, old_height, old_width, _ = features.shape
    resized = np.empty((len(features), height, width, features.shape[-1]))
    for row in range(height):
        top, bottom, down = neighbours(row, old_height, height)
        for column in range(width):
            left, right, across = neighbours(column, old_width, width)
            upper = (1 - across) * features[:, top, left] + across * features[:, top, right]
            lower = (1 - across) * features[:, bottom, left] + across * features[:, bottom, right]
            resized[:, row, column] = (1 - down) * upper + down * lower
    return resized


ALIGNED_SIZES = [
    ((2, 3), (16, 24)),
    ((6, 6), (12, 16)),
    ((8, 8), (3, 5)),
    ((5, 7), (9, 13)),
    ((1, 1), (4, 6)),
    ((1, 5), (3, 5)),
    ((4, 6), (1, 1)),
    ((4, 6), (1, 8)),
    ((1, 1), (1, 3)),
]


@pytest.mark.parametrize(("source", "target"), ALIGNED_SIZES)
def test_resize_with_aligned_corners_equals_the_formula(source, target):
    features = GENERATOR.normal(0, 2, (2, *source, 3)).astype(np.float32)
    resized = np.asarray(BilinearResize(*target, "align_corners")(features))
    # Positions are computed in float32: an error of 1e-6 of a step between values of about 2.
    np.testing.assert_allclose(resized, aligned(features.astype(np.float64), *target), atol=2e-5)
    corners = np.ix_([0, -1], [0, -1])
    if min(target) > 1:
        np.testing.assert_array_equal(resized[0][corners], features[0][corners])


@pytest.mark.parametrize(("source", "target"), ALIGNED_SIZES)
def test_other_backends_resize_with_aligned_corners_alike(source, target, monkeypatch):
    features = GENERATOR.normal(0, 2, (2, *source, 3)).astype(np.float32)
    layer = BilinearResize(*target, "align_corners")
    expected = np.asarray(layer(features))
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    np.testing.assert_allclose(np.asarray(layer(features)), expected, atol=2e-5)


@pytest.mark.parametrize(("old", "new"), [(1, 1), (1, 4), (2, 5), (5, 2), (6, 1), (7, 7), (13, 25)])
def test_rows_of_the_interpolation_matrix_are_means_of_neighbours(old, new):
    matrix = align_corners_matrix(old, new)
    assert (matrix.shape, matrix.dtype) == ((new, old), np.float32)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)
    for row in matrix:
        assert np.ptp(np.flatnonzero(row)) <= 1
    if old == new:
        np.testing.assert_array_equal(matrix, np.eye(old))


def test_coordinate_rules_differ_and_half_pixel_is_the_default():
    features = GENERATOR.normal(0, 2, (1, 4, 6, 2)).astype(np.float32)
    default, half, corners = (
        np.asarray(layer(features))
        for layer in (BilinearResize(8, 9), BilinearResize(8, 9, "half_pixel"), BilinearResize(8, 9, "align_corners"))
    )
    np.testing.assert_array_equal(default, half)
    assert np.abs(half - corners).max() > 0.1


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_resize_keeps_the_type_of_its_numbers(coordinates):
    features = GENERATOR.normal(0, 2, (1, 4, 6, 2)).astype(np.float16)
    layer = BilinearResize(7, 9, coordinates, dtype="float16")
    resized = np.asarray(layer(features))
    assert resized.dtype == np.float16
    expected = np.asarray(BilinearResize(7, 9, coordinates)(features.astype(np.float32)))
    # Some roundings to 11 binary digits, of numbers below 8.
    np.testing.assert_allclose(resized.astype(np.float32), expected, atol=4 * 2.0**-9)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_resize_to_the_same_size_changes_nothing(coordinates):
    features = GENERATOR.normal(0, 2, (1, 5, 7, 4)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(BilinearResize(5, 7, coordinates)(features)), features)


@pytest.mark.parametrize(
    "layer",
    [
        AdaptiveAveragePooling(3, name="pool"),
        BilinearResize(4, 6, name="resize"),
        BilinearResize(4, 6, "align_corners", name="resize"),
    ],
)
def test_layer_comes_back_from_its_config(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    features = GENERATOR.normal(0, 2, (1, 8, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(copy(features)), np.asarray(layer(features)))
