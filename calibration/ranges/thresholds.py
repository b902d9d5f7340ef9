"""Calibration methods: each computes from a histogram the threshold beyond which values are clipped.

A method takes a RangeHistogram and returns the largest magnitude that INT8 will represent.
"""

from __future__ import annotations

from typing import Mapping

import numpy as np

from calibration.ranges.histogram import BINS, RangeHistogram

PERCENTILE = 99.99
"""Share of values, in percent, that the percentile method keeps unclipped."""

LEVELS = 128
"""Number of magnitudes that symmetric int8 can represent, zero among them."""

STEPS = LEVELS - 1
"""Number of quantisation steps of symmetric int8 from zero to its threshold."""

UNSIGNED_STEPS = 255
"""Number of quantisation steps of uint8 from zero to its threshold."""

MSE_RATIO = 0.98
"""Ratio of each threshold that the "mse" method tries to the one before; the error is flat around its minimum."""


def min_max(histogram: RangeHistogram) -> float:
    """Return the largest magnitude seen: nothing is clipped."""
    return max(abs(histogram.minimum), abs(histogram.maximum))


def percentile(histogram: RangeHistogram, percent: float = PERCENTILE) -> float:
    """Return the magnitude that `percent` of all values but zeros stay below."""
    # Zeros say nothing about a range; behind a ReLU they are often most of a tensor, and counting
    # them would push the threshold up to the outliers that it is there to cut.
    counts, width = histogram.magnitudes()
    total = counts.sum()
    if not total:
        return min_max(histogram)
    index = int(np.searchsorted(np.cumsum(counts), total * percent / 100.0))
    return min((index + 1) * width, min_max(histogram))


def entropy(histogram: RangeHistogram) -> float:
    """Return the threshold whose clipped and quantised distribution is nearest to the real one.

    Source: Migacz, "8-bit inference with TensorRT", GTC 2017: for each threshold, the distribution
    clipped to it (what lies beyond goes into its last bin) against the same one in 128 levels;
    the threshold with the smallest Kullback-Leibler divergence wins. Zeros and the first bin, most
    of a tensor behind a ReLU, are left out on both sides.
    """
    counts, width = histogram.magnitudes()
    largest = min_max(histogram)
    used = _used_bins(largest, width)
    if used <= LEVELS:
        return largest
    counts = counts[:used].astype(np.float64)
    counts[0] = 0.0
    if not counts.any():
        return largest
    # From the largest, and with a margin for rounding: of thresholds as good, the one that clips least wins.
    candidates = np.array([used, *reversed(range(LEVELS, used, max(1, used // 512)))])
    divergences = clipped_divergences(counts, candidates)
    best, best_divergence = used, np.inf
    for bins, divergence in zip(candidates.tolist(), divergences.tolist()):
        if divergence < best_divergence - 1e-12:
            best, best_divergence = bins, divergence
    return min(best * width, largest)


def clipped_divergences(counts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return the KL divergence of a histogram from its form in LEVELS levels, for each number of bins kept.

    Within a level, all occupied bins have the same share of the quantised distribution. So sums over
    bins become differences of cumulative sums at the levels' borders, and no bin is looked at twice.

    Args:
        counts: number of magnitudes in each bin, (bins,) float64.
        candidates: numbers of bins that are kept, (n,) int64, LEVELS to bins; what lies beyond goes into the last bin.

    Returns:
        Divergence of each candidate, (n,) float64; infinite where all that is kept is empty.
    """
    occupied = counts > 0.0
    mass, members = _cumulative(counts), _cumulative(occupied)
    self_information = _cumulative(counts * np.log(np.where(occupied, counts, 1.0)))
    total = mass[-1]
    # Bin j of b is in level j * LEVELS // b, so level k starts at the first j that is at least k * b / LEVELS.
    borders = -(-np.arange(LEVELS + 1) * candidates[:, None] // LEVELS)  # (n, LEVELS + 1)
    level_mass, level_members = np.diff(mass[borders]), np.diff(members[borders])
    kept, tail = mass[candidates], total - mass[candidates]
    # The share of each occupied bin of a level in the quantised distribution. A bin that it cannot represent at all
    # is given a tiny one, as is usual.
    tiny, divisor = 1e-9, level_members * kept[:, None]
    share = np.divide(level_mass, divisor, out=np.full(divisor.shape, tiny), where=divisor > 0.0)
    log_share = np.log(np.maximum(share, tiny))
    last = counts[candidates - 1]
    last_log_share = np.where(last > 0.0, log_share[:, -1], np.log(tiny))
    # Sum of P log P and of P log Q over bins, P being the counts with the tail in the last bin kept.
    heavier = last + tail
    plogp = self_information[candidates] - _xlogx(last) + _xlogx(heavier)
    plogq = (level_mass * log_share).sum(axis=1) + tail * last_log_share
    divergences = (plogp - plogq) / total - np.log(total)
    return np.where(kept > 0.0, divergences, np.inf)


def _cumulative(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])


def _xlogx(values: np.ndarray) -> np.ndarray:
    return values * np.log(np.where(values > 0.0, values, 1.0))


def mse(histogram: RangeHistogram) -> float:
    """Return the threshold with the smallest expected squared error of rounding and clipping together.

    Zeros are exact at any scale and cost nothing.
    """
    counts, width = histogram.magnitudes()
    largest = min_max(histogram)
    used = _used_bins(largest, width)
    if not counts.any():
        return largest
    # From the largest down to where a step of INT8 is a small part of a bin, which says nothing more.
    number = int(np.log(2.0 / used) / np.log(MSE_RATIO)) + 1
    thresholds = largest * MSE_RATIO ** np.arange(max(number, 1))
    return float(thresholds[np.argmin(squared_errors(counts[:used], width, largest, thresholds))])


def mean_square(histogram: RangeHistogram) -> float:
    """Return the mean of the squares of all values, zeros among them; values are taken to be spread evenly in a bin."""
    counts, width = histogram.magnitudes()
    largest = min_max(histogram)
    used = _used_bins(largest, width)
    low = np.arange(used) * width
    high = np.minimum(low + width, largest)
    total = int(counts.sum()) + histogram.zero_count
    squares = float((counts[:used] * (low * low + low * high + high * high)).sum()) / 3.0
    return squares / total if total else 0.0


def method_errors(histogram: RangeHistogram, thresholds: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return what rounding and clipping cost by each threshold.

    Args:
        histogram: statistics of a tensor.
        thresholds: calibration method -> its threshold.

    Returns:
        Calibration method -> mean squared errors over all values, zeros among them: with STEPS steps from zero to the
        threshold, as symmetric int8 has, and with UNSIGNED_STEPS, as uint8 has behind a ReLU.
    """
    counts, width = histogram.magnitudes()
    largest = min_max(histogram)
    used = _used_bins(largest, width)
    if not counts.any():
        return dict.fromkeys(thresholds, (0.0, 0.0))
    tried = np.clip(np.array(list(thresholds.values())), largest * 1e-6, largest)
    share = 1.0 - histogram.zero_share
    by_steps = [
        share * np.maximum(squared_errors(counts[:used], width, largest, tried, steps), 0.0)
        for steps in (STEPS, UNSIGNED_STEPS)
    ]
    return {name: (float(signed), float(unsigned)) for name, signed, unsigned in zip(thresholds, *by_steps)}


def squared_errors(
    counts: np.ndarray, width: float, largest: float, thresholds: np.ndarray, steps: int = STEPS
) -> np.ndarray:
    """Return the expected squared error of INT8 for each threshold.

    Values are taken to be spread evenly within a bin. The squared error of all values that become
    k steps is the sum of (x - k step)^2, so it follows from the cumulative sums of 1, x and x^2 at
    the borders between steps.

    Args:
        counts: number of magnitudes in each bin, (bins,).
        width: width of a bin.
        largest: largest magnitude, which lies within the last bin; that bin ends there.
        thresholds: thresholds, (n,), positive and at most `largest`.
        steps: number of steps from zero to the threshold.

    Returns:
        Mean squared error of each threshold over all counts, (n,) float64.
    """
    low = np.arange(len(counts)) * width
    high = np.minimum(low + width, largest)
    density = counts / (high - low)
    count = _cumulative(counts)
    first = _cumulative(counts * (low + high) / 2.0)
    second = _cumulative(counts * (low * low + low * high + high * high) / 3.0)
    step = thresholds[:, None] / steps
    borders = (
        np.arange(steps) + 0.5
    ) * step  # (n, steps); values below the first round to zero, above the last to the threshold
    index = np.minimum((borders / width).astype(np.int64), len(counts) - 1)
    # Of the bin that a border is in, the part below it counts.
    part = (borders - low[index]) * density[index]
    below_count = count[index] + part
    below_first = first[index] + part * (low[index] + borders) / 2.0
    # Level k has what lies below border k, without what lies below border k - 1; the last level has all the rest.
    # Summed by parts, for k from 0 to steps: sum of k step (first_k - first_(k - 1)), and likewise for the counts.
    levels = np.arange(steps)
    first_sum = steps * first[-1] - below_first.sum(axis=1)
    count_sum = steps * steps * count[-1] - ((2 * levels + 1) * below_count).sum(axis=1)
    step = step[:, 0]
    return (second[-1] - 2.0 * step * first_sum + step * step * count_sum) / count[-1]


def _used_bins(largest: float, width: float) -> int:
    """Return how many bins reach up to the largest magnitude."""
    return min(int(np.ceil(largest / width)), BINS) if width else 0


CALIBRATION_METHODS = {"min-max": min_max, "percentile": percentile, "entropy": entropy, "mse": mse}
"""Name of a calibration method, as commands and records spell it -> function from a histogram to a threshold."""
