"""Spans of time in which a machine held its work back: where they begin and end, and what is none."""

from __future__ import annotations

import pytest

from edge.telemetry.base import PowerSample
from edge.telemetry.throttling import ThrottledWindow, throttled_windows

STEP_NS = 100_000_000


def samples(**columns):
    """Return samples 0.1 s apart, with one value of each column."""
    (count,) = {len(values) for values in columns.values()}
    return [
        PowerSample(7 * STEP_NS + index * STEP_NS, **{name: values[index] for name, values in columns.items()})
        for index in range(count)
    ]


def test_calm_machine_has_no_spans():
    calm = samples(
        gpu_clock_limit_mhz=[1300.0] * 4,
        gpu_clock_mhz=[1300.0, 1290.0, 1300.0, 1300.0],
        gpu_load_percent=[99.0] * 4,
        event_counts=[{"average over-current": 813}] * 4,
        active_alerts=[{"gpu-throttle-alert": 0}] * 4,
        fan_percent=[40.0, 45.0, 50.0, 60.0],
    )
    assert throttled_windows(calm) == []
    assert throttled_windows([]) == []


def test_counted_event_lies_between_the_samples_around_it():
    counts = [{"average over-current": count} for count in (813, 813, 815, 815)]
    assert throttled_windows(samples(event_counts=counts)) == [
        ThrottledWindow(0.1, 0.2, ("average over-current",)),
    ]


def test_seconds_are_those_since_the_given_moment():
    counts = [{"under-voltage": count} for count in (0, 0, 1)]
    (window,) = throttled_windows(samples(event_counts=counts), zero_ns=8 * STEP_NS)
    assert (window.start_s, window.end_s) == (0.0, 0.1)


def test_counter_that_appears_late_is_no_event():
    assert throttled_windows(samples(event_counts=[{}, {"under-voltage": 3}, {"under-voltage": 3}])) == []


def test_alert_lasts_from_the_sample_before_to_the_sample_after():
    alerts = [{"gpu-throttle-alert": state} for state in (0, 0, 1, 1, 0, 0)]
    (window,) = throttled_windows(samples(active_alerts=alerts))
    assert window == ThrottledWindow(0.1, 0.4, ("gpu-throttle-alert",))


@pytest.mark.parametrize("what", ["gpu", "cpu"])
def test_clock_limit_below_its_set_point_is_throttling(what):
    limits = samples(**{f"{what}_clock_limit_mhz": [1301.0, 1301.0, None, 828.0, 1000.0, 1301.0]})
    (window,) = throttled_windows(limits)
    assert window == ThrottledWindow(0.2, 0.5, (f"{what.upper()} clock limit down to 828 of 1301 MHz",))


def test_busy_gpu_below_a_clock_that_it_reached_is_throttled():
    slow = samples(
        gpu_load_percent=[99.0] * 6,
        gpu_clock_mhz=[1301.0, 1301.0, 900.0, 900.0, 1301.0, 1301.0],
    )
    assert throttled_windows(slow) == [ThrottledWindow(0.1, 0.4, ("busy GPU below the 1301 MHz that it reached",))]


def test_clock_that_follows_the_load_is_not_throttling():
    idle = samples(gpu_load_percent=[99.0, 20.0, 20.0, 99.0], gpu_clock_mhz=[1301.0, 300.0, 300.0, 1301.0])
    late = samples(gpu_load_percent=[10.0, 99.0, 99.0, 99.0], gpu_clock_mhz=[300.0, 700.0, 1301.0, 1301.0])
    assert throttled_windows(idle) == throttled_windows(late) == []


def test_fan_that_came_to_its_limit_counts_and_one_that_was_set_to_it_does_not():
    (window,) = throttled_windows(samples(fan_percent=[60.0, 80.0, 100.0, 100.0]))
    assert window == ThrottledWindow(0.1, 0.3, ("fan at its limit",))
    assert throttled_windows(samples(fan_percent=[100.0] * 4)) == []


def test_causes_that_touch_are_one_span_with_both_and_others_stay_apart():
    alerts = [{"gpu-throttle-alert": state} for state in (0, 1, 0, 0, 0, 0, 0, 0)]
    counts = [{"under-voltage": count} for count in (0, 0, 0, 1, 1, 1, 1, 2)]
    first, second = throttled_windows(samples(active_alerts=alerts, event_counts=counts))
    assert first == ThrottledWindow(0.0, 0.3, ("gpu-throttle-alert", "under-voltage"))
    assert second == ThrottledWindow(0.6, 0.7, ("under-voltage",))
