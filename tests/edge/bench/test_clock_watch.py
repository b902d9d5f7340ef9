"""Jumps of the wall clock while something is measured."""

from __future__ import annotations

import types

import pytest

from edge.bench import clock_watch
from edge.bench.clock_watch import ClockWatch

S = 1_000_000_000


@pytest.fixture
def clocks(monkeypatch):
    """Two clocks that a test sets: `mono` and `wall`, in ns."""
    made = types.SimpleNamespace(mono=5 * S, wall=1_000 * S)
    made.perf_counter_ns, made.time_ns = lambda: made.mono, lambda: made.wall
    monkeypatch.setattr(clock_watch, "time", made)
    return made


def go_on(clocks, watch, seconds, wall_seconds=None):
    clocks.mono += round(seconds * S)
    clocks.wall += round((seconds if wall_seconds is None else wall_seconds) * S)
    watch.look(clocks.mono)


@pytest.mark.parametrize("by_s", [3600.0, -2.5, 0.2])
def test_jump_is_seen_with_its_moment_and_size(clocks, by_s):
    watch = ClockWatch(clocks.mono)
    go_on(clocks, watch, 2.0)
    go_on(clocks, watch, 1.5, 1.5 + by_s)
    go_on(clocks, watch, 2.0)
    assert [(jump.at_s, jump.by_s) for jump in watch.jumps()] == [(3.5, by_s)]


def test_jump_after_the_last_look_is_seen_at_the_end(clocks):
    watch = ClockWatch(clocks.mono)
    go_on(clocks, watch, 0.3, 10.3)
    assert [jump.by_s for jump in watch.jumps()] == [10.0]


def test_clock_that_is_corrected_slowly_does_not_jump(clocks):
    watch = ClockWatch(clocks.mono)
    for _ in range(600):
        go_on(clocks, watch, 1.0, 1.0005)  # 500 parts in a million, the most that adjtimex(2) allows
    assert watch.jumps() == ()
