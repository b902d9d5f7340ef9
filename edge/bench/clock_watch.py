"""A watch that sees jumps of the wall clock while something is measured on the monotonic one."""

from __future__ import annotations

import time

from edge.bench.scenarios.scenario_record import ClockJump

_JUMP_NS = 100_000_000
"""Difference between two clocks, from one look to the next, that is a jump. A time service that corrects a clock slowly
changes it by at most 500 parts in a million (adjtimex(2)): 0.05 s would need 100 s from one look to the next."""

_LOOK_EVERY_NS = 1_000_000_000


class ClockWatch:
    """Compares the wall clock with time.perf_counter_ns, about once a second.

    The latter neither goes back nor stands still while the machine works; on Linux it stands while the machine sleeps,
    which is a jump of the wall clock then.

    Args:
        start_ns: Start of the measured window, on time.perf_counter_ns.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._difference_ns, self._looked_ns = _difference_ns()
        self._jumps: list[ClockJump] = []

    def look(self, now_ns: int) -> None:
        """Look at the clocks, unless that was done within the last second.

        Args:
            now_ns: Present value of time.perf_counter_ns.
        """
        if now_ns - self._looked_ns >= _LOOK_EVERY_NS:
            self._compare()

    def jumps(self) -> tuple[ClockJump, ...]:
        """Look at the clocks once more, and return all jumps that were seen."""
        self._compare()
        return tuple(self._jumps)

    def _compare(self) -> None:
        difference_ns, self._looked_ns = _difference_ns()
        by_ns, self._difference_ns = difference_ns - self._difference_ns, difference_ns
        if abs(by_ns) >= _JUMP_NS:
            at_s = round((self._looked_ns - self._start_ns) / 1e9, 3)
            self._jumps.append(ClockJump(at_s, round(by_ns / 1e9, 3)))


def _difference_ns() -> tuple[int, int]:
    """Return how far the wall clock is ahead of the monotonic one, and the monotonic one, both in ns.

    The closest of three looks is taken, since a process may be made to wait between two clocks.
    """
    looks = []
    for _ in range(3):
        before_ns = time.perf_counter_ns()
        wall_ns = time.time_ns()
        after_ns = time.perf_counter_ns()
        looks.append((after_ns - before_ns, wall_ns - before_ns, before_ns))
    _, difference_ns, looked_ns = min(looks)
    return difference_ns, looked_ns
