from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency_traces import TraceKind, traces
from edge.errors import InputError
from edge.frame_statistics.comparison import FASTER, NO_DIFFERENCE, SLOWER, compare_figures, compare_latencies

DEPENDENT = TraceKind("", 0.5, burst_chance=1 / 300)


@pytest.fixture(scope="module")
def pairs():
    """Pairs of simulated runs of one engine, of 1,024 frames that depend on one another, with bursts and spikes."""
    drawn = traces(DEPENDENT, 400, 1024, 21)
    return list(zip(drawn[::2], drawn[1::2]))


def test_two_runs_of_one_engine_are_rarely_called_different(pairs):
    # At most 5 % of all pairs; of 200 pairs 16 are more than chance gives to such a rate once in 50 times.
    alarms = sum(compare_latencies(first, second, 50).is_shown for first, second in pairs)
    assert alarms <= 15


def test_slowdown_of_three_percent_is_found(pairs):
    found = [compare_latencies(first, 1.03 * second, 50).verdict for first, second in pairs]
    assert found.count(SLOWER) >= 0.95 * len(pairs)
    assert FASTER not in found


def test_verdict_turns_with_the_order():
    first, second = traces(DEPENDENT, 2, 1024, 3)
    assert compare_latencies(first, 1.1 * second, 50).verdict == SLOWER
    assert compare_latencies(1.1 * second, first, 50).verdict == FASTER


def test_figures_are_in_milliseconds_and_shares():
    latency_ns = np.random.default_rng(0).lognormal(np.log(20e6), 0.02, 1000)
    found = compare_latencies(latency_ns, 1.1 * latency_ns, 50)
    assert found.first == pytest.approx(20.0, rel=0.01)
    assert found.difference == pytest.approx(2.0, rel=0.01)
    assert found.relative == pytest.approx(0.1)
    assert found.low < found.difference < found.high
    assert found.relative_low < 0.1 < found.relative_high


@pytest.mark.parametrize("second", [1.9, 2.0, 2.1, 2.5, 3.0])
def test_ratio_leaves_one_out_where_the_difference_leaves_zero_out(second):
    found = compare_figures(2.0, (1.8, 2.4), second, (0.8 * second, 1.1 * second))
    assert (found.low > 0.0) == (found.relative_low > 0.0)
    assert (found.high < 0.0) == (found.relative_high < 0.0)


def test_symmetrical_intervals_give_that_of_independent_errors():
    found = compare_figures(10.0, (9.0, 11.0), 20.0, (18.0, 22.0))
    assert (found.low, found.high) == pytest.approx((10.0 - 5**0.5, 10.0 + 5**0.5))


def test_interval_that_reaches_twice_the_figure_has_a_ratio():
    # A tail's upper end may be far above it.
    found = compare_figures(10.0, (9.0, 20.0), 12.0, (11.0, 30.0))
    assert found.verdict == NO_DIFFERENCE
    assert -1.0 < found.relative_low < found.relative < found.relative_high < np.inf


def test_percentile_without_an_interval_is_refused_with_the_count_that_it_needs():
    latency_ns = np.random.default_rng(0).lognormal(16, 0.1, 200)
    with pytest.raises(InputError, match=r"p99 of the first run has no interval: it has 200 frames .* some 368"):
        compare_latencies(latency_ns, latency_ns, 99)
