from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.frame_statistics.steady_state import steadiness


def run(frames=1200, growth=0.0, noise=0.03, latency_ns=20e6):
    """Ends and latencies of a run whose latency grows by a share from its start to its end."""
    draws = np.random.default_rng(0)
    latencies = latency_ns * draws.lognormal(0.0, noise, frames) * (1.0 + growth * np.arange(frames) / frames)
    return np.cumsum(latencies), latencies


def test_even_run_is_steady():
    found = steadiness(*run())
    assert found.is_steady is True
    assert found.reasons == ()
    assert found.window_s == 5.0
    assert found.latency_spread < 0.02
    assert found.drift_low < 0.0 < found.drift_high


def test_slow_growth_is_a_drift_with_an_interval():
    found = steadiness(*run(growth=0.06))
    assert found.is_steady is False
    assert found.latency_drift == pytest.approx(0.06, abs=0.015)
    assert found.drift_low > 0.0
    assert found.reasons[0].startswith("latency rose by ")


def test_last_window_that_differs_is_found():
    latencies = run()[1]
    latencies[-250:] *= 1.3
    found = steadiness(np.cumsum(latencies), latencies)
    assert found.latency_spread == pytest.approx(0.3, abs=0.05)
    assert found.rate_spread == pytest.approx(0.3, abs=0.05)
    assert any("latency of the last 3 windows" in reason for reason in found.reasons)


def test_slow_start_that_is_over_is_no_matter_of_the_last_windows():
    latencies = run(3000)[1]
    latencies[:20] *= 5.0
    assert steadiness(np.cumsum(latencies), latencies).is_steady is True


def test_single_spike_is_no_drift():
    latencies = run()[1]
    latencies[-5] *= 50.0
    found = steadiness(np.cumsum(latencies), latencies)
    assert abs(found.latency_drift) < 0.02


def test_short_run_has_shorter_windows_and_tiny_one_says_nothing():
    ends, latencies = run(300)
    assert steadiness(ends, latencies).window_s == pytest.approx(ends[-1] / 3e9)
    tiny = steadiness(ends[:12], latencies[:12])
    assert (tiny.is_steady, tiny.latency_spread, tiny.latency_drift) == (None, None, None)


def test_board_that_still_warms_up_is_not_steady():
    ends, latencies = run()
    times_ns = np.linspace(0.0, ends[-1], 240)
    rising = steadiness(ends, latencies, times_ns, 40.0 + times_ns / 60e9 * 3.0)
    assert rising.temperature_slope_c_per_min == pytest.approx(3.0, abs=0.01)
    assert rising.is_steady is False
    # It warmed up first, and is warm.
    settled = steadiness(ends, latencies, times_ns, np.minimum(40.0 + times_ns / 60e9 * 60.0, 50.0))
    assert settled.temperature_slope_c_per_min == pytest.approx(0.0, abs=0.01)
    assert settled.is_steady is True


def test_run_without_frames_is_refused():
    with pytest.raises(InputError, match="no frame was measured"):
        steadiness(np.zeros(0), np.zeros(0))
