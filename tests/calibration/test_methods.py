"""The threshold that each method draws from a histogram."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.histogram import BINS, RangeHistogram
from calibration.methods import METHODS, entropy, min_max, percentile

GENERATOR = np.random.default_rng(9)
HEAVY_TAILED = (GENERATOR.standard_t(3, 200_000) * 0.5).astype(np.float32)
UNIFORM = GENERATOR.uniform(-3, 3, 200_000).astype(np.float32)
BEHIND_RELU = np.maximum(GENERATOR.normal(-0.5, 1, 200_000), 0).astype(np.float32)


def histogram_of(values: np.ndarray) -> RangeHistogram:
    histogram = RangeHistogram()
    for part in np.array_split(values, 5):
        histogram.update(part, "features")
    return histogram


def bin_width(histogram: RangeHistogram) -> float:
    return 2 * histogram.limit / BINS


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, -BEHIND_RELU])
def test_min_max_is_exact(values):
    assert min_max(histogram_of(values)) == np.abs(values).max()


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, -BEHIND_RELU])
@pytest.mark.parametrize("percent", [90.0, 99.0, 99.99])
def test_percentile_is_that_of_the_values_that_are_not_zero(values, percent):
    histogram = histogram_of(values)
    magnitudes = np.abs(values[values != 0])
    # Between two values of a thin tail every threshold is right; beyond, one bin is allowed.
    lower, higher = (np.percentile(magnitudes, percent, method=method) for method in ("lower", "higher"))
    assert lower <= percentile(histogram, percent) <= higher + bin_width(histogram)


def test_percentile_cuts_an_outlier_however_far_out():
    values = GENERATOR.normal(0, 0.01, 200_000).astype(np.float32)
    values[123] = 1000.0
    histogram = histogram_of(values)
    assert percentile(histogram) <= np.percentile(np.abs(values), 99.99) + bin_width(histogram)


def test_percentile_is_never_beyond_the_largest_value():
    assert percentile(histogram_of(UNIFORM), 100.0) == np.abs(UNIFORM).max()


def test_entropy_clips_a_heavy_tail():
    histogram = histogram_of(HEAVY_TAILED)
    threshold = entropy(histogram)
    assert threshold < 0.5 * min_max(histogram)
    assert np.mean(np.abs(HEAVY_TAILED) <= threshold) > 0.98


def test_entropy_keeps_a_uniform_distribution():
    histogram = histogram_of(UNIFORM)
    assert entropy(histogram) == pytest.approx(min_max(histogram), rel=0.02)


def test_entropy_of_few_distinct_values_keeps_them_all():
    # Each value has a level of its own, so clipping gains nothing.
    values = np.array([0.0, 0.25, 0.5], np.float32)
    assert entropy(histogram_of(values)) == 0.5


@pytest.mark.parametrize("method", sorted(METHODS))
def test_tensor_of_zeros_has_threshold_zero(method):
    assert METHODS[method](histogram_of(np.zeros(1000, np.float32))) == 0.0


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU])
def test_threshold_is_within_what_was_seen(method, values):
    threshold = METHODS[method](histogram_of(values))
    assert 0 < threshold <= np.abs(values).max()


@pytest.mark.parametrize("method", sorted(METHODS))
def test_zeros_behind_a_relu_do_not_move_the_threshold(method):
    many_zeros = np.concatenate([BEHIND_RELU, np.zeros(1_000_000, np.float32)])
    assert METHODS[method](histogram_of(many_zeros)) == METHODS[method](histogram_of(BEHIND_RELU))
