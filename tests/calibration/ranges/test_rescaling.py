"""Ranges of scaled channels are those that a whole collection would find, as far as a division can tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.ranges.collector import tensor_range
from calibration.ranges.histogram import TensorCounter
from calibration.ranges.record import PREPROCESSING, Ranges
from calibration.ranges.rescaling import rescaled_ranges
from edge.errors import InputError

FACTORS = np.array([4.0, 0.5, 1.0, 0.01], np.float32).reshape(1, 4, 1, 1)
IMAGES = [np.random.default_rng(seed).normal(1.5, 1, (1, 4, 9, 9)).astype(np.float32) for seed in range(12)]


def range_of(images, **options):
    counter = TensorCounter(by_channel=True, **options)
    for image in images:
        counter.update(image, "x")
    return tensor_range(counter)


def ranges_of(seen, **others):
    tensors = {"x": seen, **others}
    return Ranges("a" * 64, "b" * 64, len(IMAGES), "test frames", PREPROCESSING, "c" * 64, tensors)


def rescaled(images, factors, few=3):
    before, counted = ranges_of(range_of(images)), ranges_of(range_of([image / factors for image in images[:few]]))
    return rescaled_ranges(before, {"x": factors}, counted, "d" * 64)


@pytest.mark.parametrize("sign", [1, -1])
def test_figures_of_channels_and_the_largest_magnitude_are_those_of_all_images(sign):
    images = [sign * image for image in IMAGES]
    got, expected = rescaled(images, FACTORS).tensors["x"], range_of([image / FACTORS for image in images])
    np.testing.assert_allclose(got.channel_maxima, expected.channel_maxima, rtol=1e-5)
    np.testing.assert_allclose(got.channel_means, expected.channel_means, rtol=1e-4)
    assert got.thresholds["min-max"] == pytest.approx(expected.thresholds["min-max"], rel=1e-5)
    ends = [-got.minimum, got.maximum]
    assert max(ends) == pytest.approx(max(-expected.minimum, expected.maximum), rel=1e-5)
    assert np.argmax(ends) == np.argmax([-expected.minimum, expected.maximum])


def test_thresholds_that_clip_are_those_of_the_images_that_were_counted():
    got, expected = rescaled(IMAGES, FACTORS).tensors["x"], range_of([image / FACTORS for image in IMAGES[:3]])
    for method in ("percentile", "entropy", "mse"):
        assert got.thresholds[method] == expected.thresholds[method]


def test_one_factor_for_all_channels_divides_everything():
    factors = np.full((1, 4, 1, 1), 8, np.float32)
    got, expected = rescaled(IMAGES, factors).tensors["x"], range_of([image / factors for image in IMAGES])
    assert got.thresholds == pytest.approx(expected.thresholds, rel=1e-5)
    assert (got.minimum, got.maximum) == pytest.approx((expected.minimum, expected.maximum), rel=1e-5)


def test_sign_that_only_other_images_showed_is_not_forgotten():
    images = [np.abs(image) for image in IMAGES]
    images[-1] = images[-1].copy()
    images[-1][0, 1, 4, 4] = -0.25
    got = rescaled(images, FACTORS).tensors["x"]
    assert got.is_signed
    assert rescaled([np.abs(image) for image in IMAGES], FACTORS).tensors["x"].minimum >= 0


def test_tensor_without_figures_per_channel_takes_what_was_counted_and_keeps_its_sign():
    before = dataclasses.replace(range_of(IMAGES), channel_maxima=None, channel_means=None)
    counted = dataclasses.replace(range_of([IMAGES[0] / FACTORS]), channel_maxima=None, channel_means=None)
    got = rescaled_ranges(ranges_of(before), {"x": FACTORS}, ranges_of(counted), "d" * 64).tensors["x"]
    assert got.channel_maxima is None
    assert got.thresholds["min-max"] == max(-got.minimum, got.maximum) >= counted.thresholds["min-max"]


def test_means_that_were_not_counted_stay_so():
    before, counted = range_of(IMAGES, with_means=False), range_of([IMAGES[0] / FACTORS], with_means=False)
    got = rescaled_ranges(ranges_of(before), {"x": FACTORS}, ranges_of(counted), "d" * 64).tensors["x"]
    assert before.channel_means is got.channel_means is None
    assert len(got.channel_maxima) == 4


def test_other_tensors_and_the_images_stay():
    other = range_of(IMAGES[:2])
    before, counted = ranges_of(range_of(IMAGES), other=other), ranges_of(range_of([IMAGES[0] / FACTORS]))
    got = rescaled_ranges(before, {"x": FACTORS}, dataclasses.replace(counted, image_count=1), "d" * 64)
    assert got.tensors["other"] == other
    assert (got.graph_sha256, got.image_count) == ("d" * 64, len(IMAGES))
    assert got.manifest_sha256 == before.manifest_sha256


def test_tensor_that_was_not_counted_is_refused():
    before = ranges_of(range_of(IMAGES))
    with pytest.raises(InputError, match="tensor x has scaled channels and no new range"):
        rescaled_ranges(before, {"x": FACTORS}, dataclasses.replace(before, tensors={}), "d" * 64)
