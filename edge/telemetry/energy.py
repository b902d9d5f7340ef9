"""Energy of exactly one time window, from samples of power; refused where the samples do not cover it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

MIN_SAMPLES = 2
"""Fewest samples within the window; with fewer, the samples around it would decide all of its energy."""

COVERAGE_FACTOR = 2.0
"""Standard uncertainties in the half width of an interval of about 95 %."""


@dataclass(frozen=True)
class Energy:
    """Energy of one window, or the reason why there is none.

    Attributes:
        energy_mj: Energy in mJ (1 mW over 1 s is 1 mJ); None where it is refused.
        refusal: Reason of the refusal in one sentence; None where there is an energy.
        uncertainty_mj: Half width in mJ of the interval that holds the true energy with a confidence of about 95 %, as
            far as sampling and resolution go; None where it is refused.
    """

    energy_mj: float | None
    refusal: str | None
    uncertainty_mj: float | None = None


def integrate_power(
    times_ns: Sequence[int],
    power_mw: Sequence[float | None],
    window_ns: tuple[int, int],
    gap_limit_s: float,
    resolution_mw: float | None = None,
) -> Energy:
    """Integrate power over a window by the trapezoidal rule, with values interpolated at both of its ends.

    The result is exact for power that is linear between samples. Its uncertainty has two parts:

    - Sampling, from how much samples differ from their neighbours: half the sum of (step in time x step in power)^2 is
      the variance, the estimator for systematic samples of a series. It sees spikes between samples by those that a
      sample met, and is too careful for a power that changes slowly.
    - Resolution: a value that is rounded to steps of r is uncertain by r/sqrt(12), and since a steady power is rounded
      the same way each time, more samples do not help.

    What the sensor itself is off by (shunt and gain, about a percent) is in neither.

    Args:
        times_ns: Times of the samples in ns, rising.
        power_mw: Power at these times in mW; None where it was not measured.
        window_ns: Start and end of the window in ns, on the clock of `times_ns`.
        gap_limit_s: Longest time in s between two samples over which energy is counted.
        resolution_mw: Smallest step in which the power can change, in mW; None where it is not known, which leaves its
            part of the uncertainty out.

    Returns:
        The energy in mJ. It is refused where the window is empty, is not within the samples or holds fewer than two of
        them, and where a sample that it needs was not measured or follows its predecessor too late.

    Source: K. M. Wolter, Introduction to Variance Estimation, 2nd edition, section 8.2 (estimator v2); JCGM 100:2008
    (GUM), F.2.2.1 for a resolution and 6.3 for the factor of 2.
    """
    start_ns, end_ns = window_ns
    if end_ns <= start_ns:
        return _refused("the measured window is empty")
    if not times_ns:
        return _refused("there are no samples of power")
    if times_ns[0] > start_ns or times_ns[-1] < end_ns:
        late_s, early_s = max(0, times_ns[0] - start_ns) / 1e9, max(0, end_ns - times_ns[-1]) / 1e9
        return _refused(
            f"the samples do not cover the measured window: they begin {late_s:.3f} s late "
            f"and end {early_s:.3f} s early"
        )
    first = max(index for index, time_ns in enumerate(times_ns) if time_ns <= start_ns)
    last = min(index for index, time_ns in enumerate(times_ns) if time_ns >= end_ns)
    # Relative to the window while still whole numbers: nanoseconds since boot leave a float64 few digits.
    times_s = [(time_ns - start_ns) / 1e9 for time_ns in times_ns[first : last + 1]]
    values = list(power_mw[first : last + 1])
    missing = sum(value is None for value in values)
    if missing:
        return _refused(f"{missing} of the {len(values)} samples of the measured window were not measured")
    steps_s = [after - before for before, after in zip(times_s, times_s[1:])]
    if min(steps_s) <= 0:
        return _refused("the samples' clock did not rise")
    if max(steps_s) > gap_limit_s:
        return _refused(f"the samples have a gap of {max(steps_s):.3f} s, more than the limit of {gap_limit_s:.3f} s")
    window_s = (end_ns - start_ns) / 1e9
    inside = sum(0.0 <= time_s <= window_s for time_s in times_s)
    if inside < MIN_SAMPLES:
        return _refused(
            f"the measured window of {window_s:.3f} s holds {inside} samples, expected at least {MIN_SAMPLES}. "
            "Next: more --seconds"
        )
    values[0] = _between(times_s[:2], values[:2], 0.0)
    values[-1] = _between(times_s[-2:], values[-2:], window_s)
    times_s[0], times_s[-1] = 0.0, window_s
    areas = (
        (after_s - before_s) * (before + after) / 2
        for before_s, after_s, before, after in zip(times_s, times_s[1:], values, values[1:])
    )
    sampling = math.fsum(
        ((after_s - before_s) * (after - before)) ** 2 / 2
        for before_s, after_s, before, after in zip(times_s, times_s[1:], values, values[1:])
    )
    resolution = (window_s * (resolution_mw or 0.0)) ** 2 / 12
    return Energy(math.fsum(areas), None, COVERAGE_FACTOR * math.sqrt(sampling + resolution))


def _between(times_s: Sequence[float], values: Sequence[float], at_s: float) -> float:
    share = (at_s - times_s[0]) / (times_s[1] - times_s[0])
    return values[0] + share * (values[1] - values[0])


def _refused(why: str) -> Energy:
    return Energy(None, why)
