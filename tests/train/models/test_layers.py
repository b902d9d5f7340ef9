"""The shared layers equal their definitions, written out in NumPy."""

from __future__ import annotations

import math

import cv2
import keras
import numpy as np
import pytest

from train.models.layers import AdaptiveAveragePooling, BilinearResize

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


def test_resize_to_the_same_size_changes_nothing():
    features = GENERATOR.normal(0, 2, (1, 5, 7, 4)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(BilinearResize(5, 7)(features)), features)


@pytest.mark.parametrize("layer", [AdaptiveAveragePooling(3, name="pool"), BilinearResize(4, 6, name="resize")])
def test_layer_comes_back_from_its_config(layer):
    copy = keras.layers.deserialize(keras.layers.serialize(layer))
    assert copy.get_config() == layer.get_config()
    features = GENERATOR.normal(0, 2, (1, 8, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(copy(features)), np.asarray(layer(features)))
