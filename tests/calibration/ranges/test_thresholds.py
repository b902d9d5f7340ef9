"""The threshold that each method draws from a histogram."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.ranges.histogram import BINS, RangeHistogram
from calibration.ranges.thresholds import (
    CALIBRATION_METHODS,
    LEVELS,
    STEPS,
    UNSIGNED_STEPS,
    clipped_divergences,
    entropy,
    mean_square,
    method_errors,
    min_max,
    mse,
    percentile,
    squared_errors,
)

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
    return histogram.limit / BINS


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


def plain_divergence(counts: np.ndarray, bins: int) -> float:
    """The definition, bin by bin: the clipped distribution against the same one in LEVELS levels."""
    reference, sliced = counts[:bins].copy(), counts[:bins]
    reference[-1] += counts[bins:].sum()
    level = np.arange(bins) * LEVELS // bins
    occupied = sliced > 0
    candidate = np.zeros(bins)
    for step in range(LEVELS):
        inside = (level == step) & occupied
        if inside.any():
            candidate[inside] = sliced[level == step].sum() / inside.sum()
    p, q = reference / reference.sum(), candidate / candidate.sum()
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-9))))


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, HEAVY_TAILED[:300]])
def test_divergences_are_those_of_the_definition(values):
    counts = histogram_of(values).counts.astype(np.float64)
    counts[0] = 0
    candidates = np.array([4096, 4001, 2500, 1024, 777, 200, 129, 128])
    expected = [plain_divergence(counts, bins) for bins in candidates]
    # Both are sums of some thousand float64 terms below 1.
    np.testing.assert_allclose(clipped_divergences(counts, candidates), expected, rtol=0, atol=1e-12)


def test_divergence_without_anything_kept_is_infinite():
    counts = np.zeros(400)
    counts[300] = 5
    assert clipped_divergences(counts, np.array([400, 200])).tolist() == [pytest.approx(0, abs=1e-12), np.inf]


def quantisation_error(values: np.ndarray, threshold: float, steps: int = STEPS) -> float:
    magnitudes, step = np.abs(values.astype(np.float64)), threshold / steps
    return float(np.sum((magnitudes - np.minimum(np.rint(magnitudes / step), steps) * step) ** 2))


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, -BEHIND_RELU])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_squared_errors_are_those_of_quantising_the_values(values, share):
    histogram = histogram_of(values)
    largest, width = min_max(histogram), bin_width(histogram)
    used = int(np.ceil(largest / width))
    expected = quantisation_error(values, share * largest) / np.count_nonzero(values)
    found = squared_errors(histogram.counts[:used], width, largest, np.array([share * largest]))[0]
    # Within a bin, 200,000 values are not quite evenly spread.
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, -BEHIND_RELU])
def test_error_of_each_method_is_that_of_quantising_all_values_by_its_threshold(values):
    histogram = histogram_of(values)
    thresholds = {name: float(method(histogram)) for name, method in CALIBRATION_METHODS.items()}
    errors = method_errors(histogram, thresholds)
    assert set(errors) == set(CALIBRATION_METHODS)
    for name, found in errors.items():
        expected = [quantisation_error(values, thresholds[name], steps) / values.size for steps in (127, 255)]
        assert UNSIGNED_STEPS == 255
        assert found == pytest.approx(expected, rel=0.03), name


def test_error_of_zeros_alone_is_none():
    histogram = histogram_of(np.zeros(100, np.float32))
    assert method_errors(histogram, {"mse": 0.0}) == {"mse": (0.0, 0.0)}
    assert mean_square(histogram) == 0.0


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU, -BEHIND_RELU])
def test_mean_square_is_that_of_all_values(values):
    assert mean_square(histogram_of(values)) == pytest.approx(np.square(values, dtype=np.float64).mean(), rel=1e-3)


@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU])
def test_mse_is_where_quantising_the_values_costs_least(values):
    tried = np.abs(values).max() * 0.97 ** np.arange(150)
    least = min(quantisation_error(values, threshold) for threshold in tried)
    assert quantisation_error(values, mse(histogram_of(values))) <= 1.01 * least


def test_mse_clips_a_long_tail_and_nothing_of_a_uniform_one():
    laplace = GENERATOR.laplace(0, 1, 1_000_000).astype(np.float32)
    assert mse(histogram_of(laplace)) < 0.9 * np.abs(laplace).max()
    assert mse(histogram_of(UNIFORM)) == min_max(histogram_of(UNIFORM))


def test_mse_keeps_an_outlier_whose_clipping_would_cost_more_than_all_rounding():
    values = GENERATOR.normal(0, 0.01, 2000).astype(np.float32)
    values[123] = 1000.0
    assert mse(histogram_of(values)) == 1000.0


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
@pytest.mark.parametrize("value", [0.3, -0.3, 1.0, -64.0, 1e-20])
def test_constant_tensor_has_its_value_as_threshold(method, value):
    values = np.full(1000, value, np.float32)
    assert CALIBRATION_METHODS[method](histogram_of(values)) == abs(np.float32(value))


@pytest.mark.parametrize("method", ["entropy", "mse"])
def test_many_values_on_the_edge_of_a_bin_are_not_overlooked(method):
    # A saturated sigmoid: a quarter of all values is exactly 1, which is a power of two.
    values = np.minimum(GENERATOR.uniform(0, 1.33, 200_000), 1).astype(np.float32)
    assert CALIBRATION_METHODS[method](histogram_of(values)) == 1.0


def test_entropy_of_few_distinct_values_keeps_them_all():
    # Each value has a level of its own, so clipping gains nothing.
    values = np.array([0.0, 0.25, 0.5], np.float32)
    assert entropy(histogram_of(values)) == 0.5


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
def test_tensor_of_zeros_has_threshold_zero(method):
    assert CALIBRATION_METHODS[method](histogram_of(np.zeros(1000, np.float32))) == 0.0


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
@pytest.mark.parametrize("values", [HEAVY_TAILED, UNIFORM, BEHIND_RELU])
def test_threshold_is_within_what_was_seen(method, values):
    threshold = CALIBRATION_METHODS[method](histogram_of(values))
    assert 0 < threshold <= np.abs(values).max()


@pytest.mark.parametrize("method", sorted(CALIBRATION_METHODS))
def test_zeros_behind_a_relu_do_not_move_the_threshold(method):
    many_zeros = np.concatenate([BEHIND_RELU, np.zeros(1_000_000, np.float32)])
    assert CALIBRATION_METHODS[method](histogram_of(many_zeros)) == CALIBRATION_METHODS[method](
        histogram_of(BEHIND_RELU)
    )
