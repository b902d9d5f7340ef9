"""How a range follows from statistics: the threshold beyond which values are clipped.

Each method takes a RangeHistogram and gives the largest magnitude that INT8 will represent.
"""

from __future__ import annotations

import numpy as np

from calibration.histogram import RangeHistogram

PERCENTILE = 99.99
"""Share of values, in percent, that the percentile method keeps unclipped."""

LEVELS = 128
"""Magnitudes that symmetric int8 tells apart."""


def min_max(histogram: RangeHistogram) -> float:
    """Return the largest magnitude seen: nothing is clipped."""
    return max(abs(histogram.minimum), abs(histogram.maximum))


def percentile(histogram: RangeHistogram, percent: float = PERCENTILE) -> float:
    """Return the magnitude that `percent` of all values but zeros stay below."""
    counts, width = histogram.magnitudes()
    # Zeros say nothing about a range; behind a ReLU they are often most of a tensor, and counting
    # them would push the threshold up to the outliers that it is there to cut.
    positive = counts.copy()
    positive[0] -= min(histogram.zero_count, positive[0])
    total = positive.sum()
    if not total:
        return min_max(histogram)
    index = int(np.searchsorted(np.cumsum(positive), total * percent / 100.0))
    return min((index + 1) * width, min_max(histogram))


def entropy(histogram: RangeHistogram) -> float:
    """Return the threshold whose clipped and quantised distribution is nearest to the real one.

    Source: Migacz, "8-bit inference with TensorRT", GTC 2017: for each threshold, the distribution
    clipped to it (what lies beyond goes into its last bin) against the same one in 128 levels;
    the threshold with the smallest Kullback-Leibler divergence wins. The first bin, zeros behind a
    ReLU, is left out on both sides.
    """
    counts, width = histogram.magnitudes()
    largest = min_max(histogram)
    used = int(np.ceil(largest / width)) if width else 0
    if used <= LEVELS:
        return largest
    counts = counts[:used].astype(np.float64)
    counts[0] = 0.0
    total = counts.sum()
    if total == 0.0:
        return largest
    tails = total - np.cumsum(counts)
    best, best_divergence = used, np.inf
    # From the largest, and with a margin for rounding: of thresholds as good, the one that clips least wins.
    for bins in [used, *reversed(range(LEVELS, used, max(1, used // 512)))]:
        reference = counts[:bins].copy()
        reference[-1] += tails[bins - 1]
        divergence = _divergence(reference, counts[:bins])
        if divergence < best_divergence - 1e-12:
            best, best_divergence = bins, divergence
    return min(best * width, largest)


def _divergence(reference: np.ndarray, sliced: np.ndarray) -> float:
    """Return the KL divergence of a distribution from its form in LEVELS levels, smoothed for empty bins."""
    bins = sliced.size
    level = np.arange(bins) * LEVELS // bins
    occupied = sliced > 0
    mass = np.bincount(level, sliced, LEVELS)
    members = np.bincount(level, occupied, LEVELS)
    spread = np.divide(mass, members, out=np.zeros(LEVELS), where=members > 0)
    candidate = np.where(occupied, spread[level], 0.0)
    if candidate.sum() == 0.0:
        return np.inf
    p, q = reference / reference.sum(), candidate / candidate.sum()
    there = p > 0
    # A bin that the candidate cannot represent at all is given a tiny share, as is usual.
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-9))))


METHODS = {"min-max": min_max, "percentile": percentile, "entropy": entropy}
