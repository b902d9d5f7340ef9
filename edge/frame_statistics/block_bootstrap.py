"""Intervals of percentiles and means of latencies that depend on one another.

A percentile is where the share of frames that take longer crosses a limit, so its interval is that of a share, read off
the ordered latencies: the ranks that a binomial distribution allows. The number of frames of that distribution is the
effective one, from the block bootstrap of the frames that lie beyond the percentile (see autocorrelation.py beside this
file). The bootstrap's variance of a share has a closed form, so that nothing is drawn, and a million frames take
milliseconds. For the 99th percentile of a thousand frames, ten of which lie beyond it, a drawn bootstrap covers less
than it says: it never gives a value above the largest sample, and knows a handful of outcomes
(benchmarks/comparison_statistics.py).

A figure that is no share, such as mIoU, is drawn (`block_draws`).

Sources: Woodruff, "Confidence Intervals for Medians and Other Position Measures" (1952); Korn and Graubard (1998) for
the exact binomial with an effective count; Sitter and Wu, "A Note on Woodruff Confidence Intervals for Quantiles"
(2001), for how well it covers; Politis and Romano (1992) for blocks of a circle; Hesterberg, "What Teachers Should Know
About the Bootstrap" (2015), section 4.4, the expanded percentile interval for few blocks.
"""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from edge.frame_statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.frame_statistics.distributions import (
    binomial_tail,
    normal_quantile,
    normal_share,
    root_of_rising,
    student_quantile,
)
from edge.percentile_rule import is_carried

CONFIDENCE = 0.95

DRAWS = 2000

TAIL_FRAMES = 32
"""Number of frames beyond a level from which the dependence of the frames beyond it is known. With fewer beyond the
percentile itself, it is taken from the level beyond which so many lie, where that says more."""

_EXACT_FRAMES = 100
"""Expected number of frames beyond a percentile from which the binomial is taken by its Cornish-Fisher expansion."""


def percentile_intervals(
    latency_ns: np.ndarray, percents: Sequence[float], confidence: float = CONFIDENCE
) -> dict[float, tuple[float, float]]:
    """Return the intervals of percentiles by nearest rank.

    Args:
        latency_ns: Latencies in the order of time, of shape (frames,), in ns.
        percents: Percentiles, each over 0 and below 100.
        confidence: Share of such intervals that hold the true percentile, over 0 and below 1.

    Returns:
        Percentile -> (low, high) in ns, two latencies that were measured. A percentile is absent where the frames do
        not carry it, or its interval would end beyond the fastest or the slowest of them.
    """
    latency_ns = np.asarray(latency_ns)
    if len(latency_ns) < LEAST_FRAMES:
        return {}
    ordered = np.sort(latency_ns)
    found = {}
    for percent in percents:
        ranks = _ranks(latency_ns, ordered, percent, confidence)
        if ranks is not None:
            found[percent] = (float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))
    return found


def mean_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Return the interval of the mean of a series, by Student's t over blocks; None where the values are too few.

    Args:
        values: Series in the order of time, of shape (frames,).
        confidence: Share of such intervals that hold the true mean, over 0 and below 1.
    """
    if len(values) < LEAST_FRAMES:
        return None
    seen = dependence(values)
    factor = student_quantile((1.0 + confidence) / 2.0, seen.freedom)
    half = factor * math.sqrt(seen.long_run_variance / seen.frames)
    mean = float(np.mean(values))
    return mean - half, mean + half


def nearest_rank(percent: float, frames: int) -> int:
    """Return the rank of a percentile among ordered frames, from 1 on."""
    # The rounding of 99.9 / 100 must not add a rank.
    return max(1, math.ceil(percent * frames / 100.0 - 1e-6))


def block_draws(count: int, block: int, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Return how often each of the parts of a series is in each draw of blocks, of shape (draws, count) and float64.

    Args:
        count: Number of parts in the order of time, such as rounds or pictures.
        block: Number of parts that are drawn as a whole.
        seed: Seed of the draws; equal seeds give equal draws.
        draws: Number of draws.
    """
    starts = np.random.default_rng(seed).integers(0, count, (draws, -(-count // block)))
    places = ((starts[:, :, None] + np.arange(block)) % count).reshape(draws, -1)[:, :count]
    flat = (places + np.arange(draws)[:, None] * count).ravel()
    return np.bincount(flat, minlength=draws * count).reshape(draws, count).astype(np.float64)


def expanded_tail(freedom: float, confidence: float) -> float:
    """Return the share of draws that an interval leaves out at one side, where few blocks were drawn.

    Args:
        freedom: Number of blocks less one.
        confidence: Share of such intervals that hold the true figure, over 0 and below 1.
    """
    return normal_share(-math.sqrt((freedom + 1.0) / freedom) * student_quantile((1.0 + confidence) / 2.0, freedom))


def _ranks(latency_ns: np.ndarray, ordered: np.ndarray, percent: float, confidence: float) -> tuple[int, int] | None:
    """Return the ranks between which a percentile lies; None where there are none."""
    frames, share, tail = len(ordered), percent / 100.0, (1.0 - confidence) / 2.0
    if not is_carried(percent, frames):
        return None
    count = _effective_frames(latency_ns, ordered, percent, tail)
    low = math.floor(_highest_low_rank(count, share, tail) / count * frames)
    # By symmetry: the frames beyond the percentile, counted from the slowest one.
    high = frames + 1 - math.floor(_highest_low_rank(count, 1.0 - share, tail) / count * frames)
    return (low, high) if 1 <= low <= high <= frames else None


def _effective_frames(latency_ns: np.ndarray, ordered: np.ndarray, percent: float, tail: float) -> float:
    frames = len(ordered)
    rank, fewest = nearest_rank(percent, frames), min(TAIL_FRAMES, frames // 2)
    known_rank = min(max(rank, fewest), frames - fewest)
    known = dependence(latency_ns > ordered[known_rank - 1])
    count = known.effective_frames(tail, min(known_rank, frames - known_rank))
    return count if known_rank == rank else min(count, dependence(latency_ns > ordered[rank - 1]).independent_frames)


def _highest_low_rank(count: float, share: float, tail: float) -> float:
    """Return the highest rank that lies above a quantile with at most a chance of `tail`, in effective frames.

    The rank lies above it where fewer frames than the rank lie below it, and their number is binomial.
    """
    z, deviation = normal_quantile(tail), math.sqrt(count * share * (1.0 - share))
    if min(count * share, count * (1.0 - share)) < _EXACT_FRAMES:
        # Eight deviations below the expected rank, and three more, lies nothing that is asked for.
        lowest = max(count * share - 8.0 * deviation - 3.0, 0.0)
        return root_of_rising(lambda rank: 1.0 - binomial_tail(rank, count, share) - tail, lowest, count * share + 1.0)
    return count * share + z * deviation + (z * z - 1.0) * (1.0 - 2.0 * share) / 6.0 + 0.5
