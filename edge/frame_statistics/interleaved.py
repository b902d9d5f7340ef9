"""Comparison of two engines that took turns, so that whatever changes meanwhile changes for both.

A round is some frames of the first engine and then some of the second. Rounds are drawn as pairs, in blocks of rounds
that follow one another, so that heat or another program that slows both down for a while is in both figures of a draw.

Source: Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time" (2013), for rounds as the unit that is repeated.
"""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.frame_statistics.block_bootstrap import CONFIDENCE, block_draws, expanded_tail, nearest_rank
from edge.frame_statistics.comparison import Comparison, verdict_of

LEAST_ROUNDS = 8
"""Number of rounds below which nothing is compared: a bootstrap of fewer knows a handful of outcomes."""

_NEAR_LEVELS, _FAR_LEVELS = 448, 64
"""Number of latencies among which the percentile of a draw is looked for: around that of all frames, as far as 40
standard errors of independent frames, and over the whole range."""


def compare_interleaved(
    first_rounds_ns: Sequence[np.ndarray],
    second_rounds_ns: Sequence[np.ndarray],
    percent: float,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Comparison:
    """Compare a percentile of the latencies of two engines that took turns.

    Args:
        first_rounds_ns: Latencies of the first engine, one array of shape (frames,) a round, in ns.
        second_rounds_ns: Latencies of the second engine in the same rounds, in ns.
        percent: Percentile over the frames of all rounds that is compared, over 0 and below 100.
        confidence: Share of such intervals that hold the true difference, over 0 and below 1.
        seed: Seed of the draws.

    Returns:
        The comparison, in ms.

    Raises:
        InputError: There are fewer than LEAST_ROUNDS rounds, or the engines have not the same number of them.
    """
    rounds = len(first_rounds_ns)
    if rounds != len(second_rounds_ns) or rounds < LEAST_ROUNDS:
        raise InputError(
            f"engines that took turns have {rounds} and {len(second_rounds_ns)} rounds, expected the same number, at "
            f"least {LEAST_ROUNDS}. Next: measure more rounds"
        )
    block, freedom = _block_rounds(first_rounds_ns, second_rounds_ns)
    weights = block_draws(rounds, block, seed)
    first, first_draws = _percentile_draws(first_rounds_ns, weights, percent)
    second, second_draws = _percentile_draws(second_rounds_ns, weights, percent)
    tail = expanded_tail(freedom, confidence)
    low, high = np.quantile(second_draws - first_draws, [tail, 1.0 - tail])
    relative_low, relative_high = np.quantile(second_draws / first_draws - 1.0, [tail, 1.0 - tail])
    return Comparison(
        first=first,
        second=second,
        difference=second - first,
        low=float(low),
        high=float(high),
        relative=second / first - 1.0,
        relative_low=float(relative_low),
        relative_high=float(relative_high),
        confidence=confidence,
        verdict=verdict_of(low, high),
    )


def _block_rounds(first_ns: Sequence[np.ndarray], second_ns: Sequence[np.ndarray]) -> tuple[int, float]:
    """Return the number of rounds that are drawn as a whole, and the degrees of freedom of so many blocks."""
    rounds = len(first_ns)
    differences = np.array([np.median(after) - np.median(before) for before, after in zip(first_ns, second_ns)])
    if rounds < LEAST_FRAMES:
        return 1, rounds - 1.0
    seen = dependence(differences)
    return (seen.block_frames, seen.freedom) if seen.independent_frames < rounds else (1, rounds - 1.0)


def _percentile_draws(rounds_ns: Sequence[np.ndarray], weights: np.ndarray, percent: float) -> tuple[float, np.ndarray]:
    """Return the percentile over all frames in ms, and that of each draw, of shape (DRAWS,)."""
    latency_ns = np.concatenate(rounds_ns)
    round_of = np.repeat(np.arange(len(rounds_ns)), [len(each) for each in rounds_ns])
    order = np.argsort(latency_ns, kind="stable")
    frames = len(order)
    sizes = np.array([len(each) for each in rounds_ns], np.float64)
    drawn_frames = weights @ sizes
    rank = nearest_rank(percent, frames)
    span = 40.0 * math.sqrt(frames * percent / 100.0 * (1.0 - percent / 100.0)) + _NEAR_LEVELS / 2
    near = np.linspace(max(rank - span, 1.0), min(rank + span, float(frames)), _NEAR_LEVELS)
    far = np.linspace(1.0, float(frames), _FAR_LEVELS)
    ranks = np.unique(np.concatenate([near, far, [rank]]).round().astype(int))
    level_of = np.searchsorted(ranks, np.arange(1, frames + 1))
    counts = np.zeros((len(rounds_ns), len(ranks)))
    np.add.at(counts, (round_of[order], level_of), 1.0)
    below = weights @ np.cumsum(counts, 1)
    reached = np.argmax(below >= drawn_frames[:, None] * (percent / 100.0) - 1e-9, axis=1)
    ordered = latency_ns[order]
    return float(ordered[rank - 1]) / 1e6, ordered[ranks[reached] - 1] / 1e6
