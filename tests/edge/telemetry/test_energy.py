"""Energy over exactly the measured window, of power whose integral is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.telemetry.energy import integrate_power

# A clock that has run for 116 days: a difference that is taken in float64 seconds would be off by 2e-9 s.
ZERO_NS = 10_000_000_000_000_123


def moments_ns(*times_s):
    return [ZERO_NS + round(time_s * 1e9) for time_s in times_s]


def energy(times_s, power_mw, window_s, gap_limit_s=10.0):
    return integrate_power(moments_ns(*times_s), power_mw, tuple(moments_ns(*window_s)), gap_limit_s)


def test_constant_power_times_time():
    found = energy([0.0, 0.3, 0.7, 1.1, 2.0], [18060.0] * 5, (0.1, 1.9))
    # mW times s are mJ. The sum of five areas is exact to a few rounding errors of float64.
    assert found.energy_mj == pytest.approx(18060.0 * 1.8, rel=1e-12)
    assert found.refusal is None


def test_ramp_is_exact_wherever_the_samples_lie():
    # P(t) = 2000 + 3000 t mW; a trapezoid is exact for it, whatever the distances between samples.
    times_s = np.cumsum(np.random.default_rng(3).integers(5, 200, 60)) / 1000.0
    start_s, end_s = times_s[4] + 0.0013, times_s[55] - 0.0007
    found = energy(times_s, [2000 + 3000 * time_s for time_s in times_s], (start_s, end_s))
    expected = 2000 * (end_s - start_s) + 1500 * (end_s**2 - start_s**2)
    assert found.energy_mj == pytest.approx(expected, rel=1e-9)


def test_step_counts_only_its_part_within_the_window():
    # 1000 mW, then within 1 ms 5000 mW; the window takes 0.25 s of the first and 0.449 s of the second.
    times_s, power_mw = [0.0, 0.5, 0.501, 1.0], [1000.0, 1000.0, 5000.0, 5000.0]
    found = energy(times_s, power_mw, (0.25, 0.95))
    assert found.energy_mj == pytest.approx(0.25 * 1000 + 0.001 * 3000 + 0.449 * 5000, rel=1e-9)


def test_both_ends_are_interpolated():
    # A triangle from 0 to 4 W and back, cut at its two halves.
    found = energy([0.0, 1.0, 1.5, 2.5], [0.0, 4000.0, 4000.0, 0.0], (0.5, 2.0))
    assert found.energy_mj == pytest.approx(1500.0 + 2000.0 + 1500.0, rel=1e-9)


def test_windows_side_by_side_add_up():
    times_s = [index * 0.1 for index in range(41)]
    power_mw = [5000 + 800 * math.sin(time_s * 7) for time_s in times_s]
    whole = energy(times_s, power_mw, (0.33, 3.77)).energy_mj
    parts = [energy(times_s, power_mw, window).energy_mj for window in ((0.33, 1.21), (1.21, 3.77))]
    assert sum(parts) == pytest.approx(whole, rel=1e-9)


def test_samples_outside_of_the_window_change_nothing():
    inside = energy([1.0, 1.2, 1.4, 1.6], [900.0, 1100.0, 1000.0, 1200.0], (1.1, 1.5))
    padded = energy(
        [0.0, 0.1, 1.0, 1.2, 1.4, 1.6, 1.7], [9e6, None, 900.0, 1100.0, 1000.0, 1200.0, None], (1.1, 1.5), 0.25
    )
    assert padded == inside


def test_window_that_ends_on_samples_needs_no_others():
    assert energy([0.0, 1.0], [1000.0, 3000.0], (0.0, 1.0)).energy_mj == pytest.approx(2000.0, rel=1e-12)


def test_nothing_consumed_is_zero_and_not_refused():
    found = energy([0.0, 0.5, 1.0], [0.0, 0.0, 0.0], (0.1, 0.9), 1.0)
    assert found.refusal == "the measured window of 0.800 s holds 1 samples, expected at least 2. Next: more --seconds"
    assert energy([0.0, 0.5, 0.7, 1.0], [0.0] * 4, (0.1, 0.9)).energy_mj == 0.0


@pytest.mark.parametrize(
    ("times_s", "power_mw", "window_s", "message"),
    [
        ([], [], (0.0, 1.0), "there are no samples of power"),
        ([0.5, 0.8, 2.0], [1.0] * 3, (0.2, 1.5), "begin 0.300 s late and end 0.000 s early"),
        ([0.0, 0.8, 1.2], [1.0] * 3, (0.2, 1.5), "begin 0.000 s late and end 0.300 s early"),
        ([0.0, 0.4, 1.4, 1.8], [1.0] * 4, (0.1, 1.5), "a gap of 1.000 s, more than the limit of 0.500 s"),
        ([0.0, 0.3, 0.6, 0.9], [1.0, None, 1.0, 1.0], (0.1, 0.8), "1 of the 4 samples of the measured window"),
        ([0.0, 0.3, 0.6, 0.9], [None, 1.0, 1.0, 1.0], (0.1, 0.8), "were not measured"),
        ([0.0, 0.3, 0.6, 0.9], [1.0, 1.0, 1.0, None], (0.1, 0.8), "were not measured"),
        ([0.0, 0.3, 0.3, 0.6], [1.0] * 4, (0.1, 0.5), "clock did not rise"),
        ([0.0, 0.4], [1.0, 1.0], (0.1, 0.3), "holds 0 samples"),
        ([0.0, 1.0], [1.0, 1.0], (0.5, 0.5), "the measured window is empty"),
    ],
)
def test_energy_is_refused_with_a_reason_and_never_zero(times_s, power_mw, window_s, message):
    found = energy(times_s, power_mw, window_s, 0.5)
    assert found.energy_mj is None
    assert message in found.refusal


def test_gap_outside_of_the_window_is_none_of_its_business():
    found = energy([0.0, 5.0, 5.2, 5.4, 5.6, 9.0], [1000.0] * 6, (5.1, 5.5), 0.5)
    assert found.energy_mj == pytest.approx(400.0, rel=1e-9)
