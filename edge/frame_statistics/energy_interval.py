"""The interval of the energy of one frame: how well the samples of power and the frames of a run carry it."""

from __future__ import annotations

import math

import numpy as np

from edge.frame_statistics.block_bootstrap import CONFIDENCE, mean_interval


def energy_interval(
    energy_per_frame_mj: float,
    power_mw: np.ndarray,
    latency_ns: np.ndarray,
    uncertainty_mj: float = 0.0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float] | None:
    """Return the interval of the energy of a frame, which is mean power times mean time.

    Power changes slowly, so its samples depend on one another more than frames do. What the sensor itself is wrong by
    as a share is not in the interval: between two runs of one board it is the same for both.

    Args:
        energy_per_frame_mj: Energy of one frame in mJ.
        power_mw: Samples of the total power within the measured window in mW, in order, of shape (samples,).
        latency_ns: Latency of each frame in the order of time, of shape (frames,), in ns.
        uncertainty_mj: Half width in mJ of what sampling and resolution leave open.
        confidence: Share of such intervals that hold the true energy, over 0 and below 1.

    Returns:
        Lower and upper end in mJ; None where the samples or the frames are too few.
    """
    halves = []
    for values in (np.asarray(power_mw, np.float64), np.asarray(latency_ns, np.float64)):
        ends = mean_interval(values, confidence)
        if ends is None or values.mean() <= 0.0:
            return None
        halves.append((ends[1] - ends[0]) / 2.0 / float(values.mean()))
    half = math.hypot(energy_per_frame_mj * math.hypot(*halves), uncertainty_mj)
    return energy_per_frame_mj - half, energy_per_frame_mj + half
