"""Whether a run was steady: its last windows alike, and no slope in latency or temperature.

Sources: perf_analyzer of NVIDIA Triton, docs/cli.md, --stability-percentage: a measurement is stable where the largest
over the smallest of the last three windows is within 10 %, of inferences per second and of latency;
docs/measurements_metrics.md: windows of 5 s.
"""

from __future__ import annotations

import math

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.autocorrelation import LEAST_FRAMES, dependence
from edge.frame_statistics.block_bootstrap import CONFIDENCE
from edge.frame_statistics.distributions import student_quantile
from edge.records import record

WINDOW_S = 5.0
STEADY_WINDOWS = 3

WINDOW_SPREAD = 0.10
"""Share by which the largest of the last windows may be above the smallest one."""

DRIFT_LIMIT = 0.02
"""Share by which latency may rise or fall over a run."""

TEMPERATURE_SLOPE_C_PER_MIN = 1.0
"""Rise of the temperature in degrees Celsius a minute from which a board is still warming up."""

_CLIPPED = (5.0, 95.0)
"""Percentiles that latencies are clipped at for the slope, so that no single spike tilts the line."""


@record(schema=1, what="steadiness of a run")
class Steadiness:
    """Steadiness of a run by its last windows and by the slopes of latency and temperature; None where unknown.

    Attributes:
        window_s: Length of a window in s; that of the run over three where it is shorter than three windows.
        rate_spread: Share by which the rate of the fastest of the last three windows is above the slowest one's.
        latency_spread: Share by which the mean latency of the slowest of the last three windows is above the fastest
            one's.
        latency_drift: Share by which latency changes from the start to the end of the run, by a fitted line; positive
            where it grows.
        drift_low: Lower end of the interval of that share.
        drift_high: Upper end of the interval of that share.
        temperature_slope_c_per_min: Slope of the temperature over the last third of the run, in degrees Celsius a
            minute; None without temperatures.
        is_steady: Whether nothing speaks against it; None where the frames are too few to tell.
        reasons: Sentences on what speaks against it.
    """

    window_s: float
    rate_spread: float | None
    latency_spread: float | None
    latency_drift: float | None
    drift_low: float | None
    drift_high: float | None
    temperature_slope_c_per_min: float | None
    is_steady: bool | None
    reasons: tuple[str, ...]


def steadiness(
    end_ns: np.ndarray,
    latency_ns: np.ndarray,
    temperature_ns: np.ndarray | None = None,
    temperature_c: np.ndarray | None = None,
    window_s: float = WINDOW_S,
) -> Steadiness:
    """Return the steadiness of a run.

    Args:
        end_ns: End of each frame in ns since the start of the measured window, in order, of shape (frames,).
        latency_ns: Latency of each frame in ns, of shape (frames,).
        temperature_ns: Time of each temperature on the clock of `end_ns`, in ns, of shape (samples,); None without.
        temperature_c: Temperature of the hottest sensor in degrees Celsius, of shape (samples,); None without.
        window_s: Length of a window in s; shortened where three do not fit into the run.

    Raises:
        InputError: There are no frames.
    """
    end_ns, latency_ns = np.asarray(end_ns, np.float64), np.asarray(latency_ns, np.float64)
    if not len(end_ns):
        raise InputError("no frame was measured: there is no run to call steady")
    duration_s = float(end_ns[-1]) / 1e9
    window_s = min(window_s, duration_s / STEADY_WINDOWS)
    rate_spread, latency_spread = _last_windows(end_ns, latency_ns, window_s * 1e9)
    drift = _drift(end_ns, latency_ns)
    slope = _temperature_slope(temperature_ns, temperature_c, float(end_ns[-1]))
    reasons = []
    if rate_spread is not None and rate_spread > WINDOW_SPREAD:
        reasons.append(_spread_sentence("frames per second", rate_spread, window_s))
    if latency_spread is not None and latency_spread > WINDOW_SPREAD:
        reasons.append(_spread_sentence("latency", latency_spread, window_s))
    if drift is not None and abs(drift[0]) > DRIFT_LIMIT and (drift[1] > 0.0 or drift[2] < 0.0):
        reasons.append(
            f"latency {'rose' if drift[0] > 0 else 'fell'} by {100 * abs(drift[0]):.1f} % over the run "
            f"({100 * drift[1]:+.1f} to {100 * drift[2]:+.1f} %), expected at most {100 * DRIFT_LIMIT:g} %"
        )
    if slope is not None and slope > TEMPERATURE_SLOPE_C_PER_MIN:
        reasons.append(
            f"the temperature still rose by {slope:.1f} °C a minute at the end, expected at most "
            f"{TEMPERATURE_SLOPE_C_PER_MIN:g} °C"
        )
    is_known = latency_spread is not None or drift is not None
    return Steadiness(
        window_s=window_s,
        rate_spread=rate_spread,
        latency_spread=latency_spread,
        latency_drift=None if drift is None else drift[0],
        drift_low=None if drift is None else drift[1],
        drift_high=None if drift is None else drift[2],
        temperature_slope_c_per_min=slope,
        is_steady=not reasons if is_known or reasons else None,
        reasons=tuple(reasons),
    )


def _spread_sentence(what: str, spread: float, window_s: float) -> str:
    return (
        f"{what} of the last {STEADY_WINDOWS} windows of {window_s:.1f} s differ by {100 * spread:.1f} %, expected at "
        f"most {100 * WINDOW_SPREAD:g} %"
    )


def _last_windows(end_ns: np.ndarray, latency_ns: np.ndarray, window_ns: float) -> tuple[float | None, float | None]:
    """Return by how much the rates and the mean latencies of the last windows differ; None with too few frames."""
    edges_ns = end_ns[-1] - window_ns * np.arange(STEADY_WINDOWS, -1, -1)
    # A window holds the frames that end after its start, and at its end.
    places = np.searchsorted(end_ns, edges_ns, side="right")
    places[0] = 0 if edges_ns[0] <= 0 else places[0]
    counts = np.diff(places)
    if counts.min() < LEAST_FRAMES:
        return None, None
    means = np.array([latency_ns[start:end].mean() for start, end in zip(places[:-1], places[1:])])
    return float(counts.max() / counts.min() - 1.0), float(means.max() / means.min() - 1.0)


def _drift(end_ns: np.ndarray, latency_ns: np.ndarray) -> tuple[float, float, float] | None:
    """Return the change of the latency over the run as a share of its median, with the ends of its interval."""
    if len(latency_ns) < 3 * LEAST_FRAMES or end_ns[-1] <= end_ns[0]:
        return None
    clipped = np.clip(latency_ns, *np.percentile(latency_ns, _CLIPPED)) / np.median(latency_ns)
    times = (end_ns - end_ns.mean()) / (end_ns[-1] - end_ns[0])
    square = float(times @ times)
    slope = float(times @ clipped) / square
    seen = dependence(clipped - clipped.mean() - slope * times)
    half = student_quantile((1.0 + CONFIDENCE) / 2.0, seen.freedom) * math.sqrt(seen.long_run_variance / square)
    return slope, slope - half, slope + half


def _temperature_slope(
    temperature_ns: np.ndarray | None, temperature_c: np.ndarray | None, run_end_ns: float
) -> float | None:
    """Return the slope over the last third of the run in degrees Celsius a minute; None with too few samples."""
    if temperature_ns is None or temperature_c is None:
        return None
    times, values = np.asarray(temperature_ns, np.float64), np.asarray(temperature_c, np.float64)
    is_late = (times >= run_end_ns * 2.0 / 3.0) & (times <= run_end_ns) & np.isfinite(values)
    if np.count_nonzero(is_late) < 5 or np.ptp(times[is_late]) == 0.0:
        return None
    return float(np.polyfit(times[is_late] / 60e9, values[is_late], 1)[0])
