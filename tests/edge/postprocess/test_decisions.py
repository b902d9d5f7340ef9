"""A decision by thresholds is the argmax of planes: its labels are those of the definition, pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.postprocess import BACKENDS, COORDINATE_RULES, LabelUpsampler, backend
from edge.postprocess.bilinear import axis_cells

STRIDES = range(1, 9)


def interpolated(plane, height, width, coordinates):
    """One channel at full size in exact arithmetic up to 53 bits, times the denominators of both axes."""
    value = plane.astype(np.float64)
    for axis, pixels in ((0, height), (1, width)):
        cells = axis_cells(value.shape[axis], pixels, coordinates)
        cell = cells.cell_of_pixel()
        low, high = (np.expand_dims(weight, 1 - axis) for weight in (cells.low_weight, cells.high_weight))
        value = low * np.take(value, cells.low[cell], axis) + high * np.take(value, cells.high[cell], axis)
    return value


def distances(kind, channels, stride):
    """Values less their thresholds, (channels, h, w): noise, smooth regions, or a few steps with many ties."""
    generator = np.random.default_rng(10 * stride + channels)
    values = generator.normal(0, 3, (channels, 11, 14)).astype(np.float32)
    if kind == "smooth":
        values = np.stack([cv2.GaussianBlur(plane, (0, 0), 1) for plane in values])
        values = 2 * (values - values.mean((1, 2), keepdims=True)) / values.std((1, 2), keepdims=True)
    return np.round(values) if kind == "steps" else values


@pytest.fixture(params=BACKENDS)
def labels_of(request):
    if request.param == "native" and backend() != "native":
        pytest.skip("no C++ compiler")

    def label(planes, stride, coordinates):
        _, h, w = planes.shape
        return LabelUpsampler(*planes.shape, h * stride, w * stride, coordinates, request.param)(planes)

    return label


def behind_zeros(channels):
    return np.concatenate([np.zeros_like(channels[:1]), channels])


@pytest.mark.parametrize("kind", ["noise", "smooth", "steps"])
@pytest.mark.parametrize("coordinates", COORDINATE_RULES)
def test_one_channel_over_its_threshold_is_the_class_and_a_tie_is_background(labels_of, coordinates, kind):
    for stride in STRIDES:
        channel = distances(kind, 1, stride)
        value = interpolated(channel[0], 11 * stride, 14 * stride, coordinates)
        labels = labels_of(behind_zeros(channel), stride, coordinates)
        np.testing.assert_array_equal(labels, value > 0)
        assert 0.2 < labels.mean() < 0.8


@pytest.mark.parametrize("kind", ["noise", "smooth", "steps"])
@pytest.mark.parametrize("coordinates", COORDINATE_RULES)
@pytest.mark.any_python
def test_of_several_channels_the_one_that_is_over_by_most_wins_and_none_is_background(labels_of, coordinates, kind):
    for stride in STRIDES:
        channels = distances(kind, 4, stride) - 2
        values = np.stack([interpolated(plane, 11 * stride, 14 * stride, coordinates) for plane in channels])
        expected = np.where((values > 0).any(axis=0), values.argmax(axis=0) + 1, 0)
        labels = labels_of(behind_zeros(channels), stride, coordinates)
        np.testing.assert_array_equal(labels, expected)
        assert len(np.unique(labels)) == 5
