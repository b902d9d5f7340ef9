"""How busy a machine was with other work while something was measured on it, from what Linux counts by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from edge.records import record

DISTURBED_SHARE = 0.1
"""Share of the cores' time from which other programs disturb a measurement. A share s that others take makes work on
all cores about s / (1 - s) longer, so from here on a latency is off by more than a tenth: as much as two forms of one
network often differ by."""

_LEAST_S = 0.5
"""Shortest measurement in s that is judged. Linux counts in steps of 10 ms for each core: below this, a step or two at
either end would already be a noticeable share."""

_PROC_STAT = Path("/proc/stat")
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)
"""Columns of a core's line in /proc/stat that are work: user, nice, system, irq, softirq, steal; the others are idle,
iowait, and guest time that user holds already. Source: proc(5)."""


@record(schema=1, what="machine load")
class MachineLoad:
    """Load of a machine while something was measured on it.

    Attributes:
        load_average: Load average of one minute when the measurement began, in programs that run or wait for a core.
        other_cpu_share: Share of the time of the cores that this process may use which other programs took, 0 to 1,
            with what a hypervisor took for others; None where the measurement was too short to tell.
        is_disturbed: Whether that share is 0.1 or more; None where it is not known.
    """

    load_average: float
    other_cpu_share: float | None
    is_disturbed: bool | None

    def sentence(self) -> str:
        """Return the load as a text, such as "other programs took 3 % of the CPU; load average 0.4 at the start"."""
        average = f"load average {self.load_average:.1f} at the start"
        if self.other_cpu_share is None:
            return f"{average}; too short to tell what other programs took of the CPU"
        return f"other programs took {100 * self.other_cpu_share:.0f} % of the CPU; {average}"

    def disturbance(self) -> str:
        """Return what spoiled the figures, and the remedy; "" where nothing is known to."""
        if not self.is_disturbed:
            return ""
        return (
            f"disturbed: other programs took {100 * (self.other_cpu_share or 0.0):.0f} % of the CPU meanwhile, so the "
            "figures are those of a busy machine. Next: end them (top lists them), and measure again"
        )


class LoadWatch:
    """Sees what other programs take of the CPU, from its making until `load` is called."""

    def __init__(self) -> None:
        self._begin = _counted_s()
        self._own_ns, self._start_ns = time.process_time_ns(), time.perf_counter_ns()
        self._average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0

    def load(self) -> MachineLoad | None:
        """Return the load since this watch was made; None where the system does not count it, as macOS."""
        end = _counted_s()
        own_s = (time.process_time_ns() - self._own_ns) / 1e9
        if self._begin is None or end is None:
            return None
        busy_s, whole_s = (after - before for before, after in zip(self._begin, end))
        average = round(self._average, 2)
        if whole_s <= 0 or (time.perf_counter_ns() - self._start_ns) / 1e9 < _LEAST_S:
            return MachineLoad(average, None, None)
        share = round(min(max((busy_s - own_s) / whole_s, 0.0), 1.0), 4)
        return MachineLoad(average, share, share >= DISTURBED_SHARE)


def _counted_s() -> tuple[float, float] | None:
    """Return what the cores that this process may use have worked since the start, and all their time, in s."""
    try:
        text = _PROC_STAT.read_text(encoding="ascii")
        names = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        ticks = os.sysconf("SC_CLK_TCK")
        cores = [[int(field) for field in line.split()[1:]] for line in text.splitlines() if line.split()[0] in names]
    except (AttributeError, IndexError, OSError, ValueError):
        return None
    if not cores or min(map(len, cores)) < 8:
        return None
    busy = sum(core[field] for core in cores for field in _BUSY_FIELDS)
    return busy / ticks, sum(sum(core[:8]) for core in cores) / ticks
