"""Simulated latencies of runs, with the dependence, tails and disturbances of measured ones, whose truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

TYPICAL_NS = 20e6
"""Latency of a frame without noise, in ns."""

TRUE_FRAMES = 400_000
"""Number of frames over which the true figures of a kind of trace are taken."""


@dataclass(frozen=True)
class TraceKind:
    """One way in which latencies vary.

    Attributes:
        name: Name of the kind in tables.
        correlation: Correlation of the logarithm of the latency with that of the frame before, 0 to 1.
        noise: Standard deviation of the logarithm of the latency.
        spike_share: Share of frames with a spike, whose height has a Pareto tail with exponent 2.5.
        burst_chance: Chance that a burst of slow frames begins at a frame.
        burst_frames: Mean length of a burst in frames.
        burst_factor: Factor on the latency within a burst.
        drift: Share by which the latency grows over a run.
        period: Number of frames from one frame of twice the latency to the next; 0 for none.
    """

    name: str
    correlation: float = 0.0
    noise: float = 0.05
    spike_share: float = 0.02
    burst_chance: float = 0.0
    burst_frames: float = 6.0
    burst_factor: float = 1.3
    drift: float = 0.0
    period: int = 0


KINDS = (
    TraceKind("independent frames"),
    TraceKind("correlation 0.5", 0.5),
    TraceKind("correlation 0.8", 0.8),
    TraceKind("bursts", 0.5, burst_chance=1 / 200),
    TraceKind("a slow frame in 30", 0.3, period=30),
    TraceKind("drift of 2 %", 0.5, drift=0.02),
    TraceKind("correlation 0.95", 0.95),
)


def traces(kind: TraceKind, runs: int, frames: int, seed: int) -> np.ndarray:
    """Return the latencies of several runs of one kind.

    Args:
        kind: Way in which the latencies vary.
        runs: Number of runs.
        frames: Number of frames of each run.
        seed: Seed of the random numbers; equal seeds give equal traces.

    Returns:
        Latencies in ns, of shape (runs, frames) and float64.
    """
    draws = np.random.default_rng(seed)
    noise = draws.standard_normal((frames, runs))
    fresh = math.sqrt(1.0 - kind.correlation**2)
    for frame in range(1, frames):
        noise[frame] = kind.correlation * noise[frame - 1] + fresh * noise[frame]
    latency = np.exp(kind.noise * noise)
    has_spike = draws.random((frames, runs)) < kind.spike_share
    latency[has_spike] += 0.1 * draws.pareto(2.5, np.count_nonzero(has_spike))
    if kind.burst_chance:
        chances = draws.random((frames, runs))
        is_slow = np.zeros(runs, bool)
        for frame in range(frames):
            is_slow = np.where(is_slow, chances[frame] > 1.0 / kind.burst_frames, chances[frame] < kind.burst_chance)
            latency[frame] *= np.where(is_slow, kind.burst_factor, 1.0)
    if kind.period:
        first = draws.integers(0, kind.period, runs)
        latency *= np.where((np.arange(frames)[:, None] + first) % kind.period == 0, 2.0, 1.0)
    latency *= 1.0 + kind.drift * np.arange(frames)[:, None] / frames
    return np.ascontiguousarray(TYPICAL_NS * latency.T)


def true_percentiles_ns(kind: TraceKind, frames: int, percents: tuple[float, ...], seed: int = 999) -> list[float]:
    """Return the percentiles in ns of endlessly many runs of a kind, from TRUE_FRAMES frames that no test uses."""
    return np.percentile(traces(kind, TRUE_FRAMES // frames, frames, seed), percents).tolist()
