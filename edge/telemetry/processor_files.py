"""Load and clocks of the processor, from what Linux counts by itself.

Source: proc(5), /proc/stat; the kernel's Documentation/admin-guide/pm/cpufreq.rst (scaling_cur_freq and
scaling_max_freq, in kHz).
"""

from __future__ import annotations

from pathlib import Path

from edge.telemetry.kernel_file import read_number, read_text

_IDLE_FIELDS = (3, 4)
"""Columns of /proc/stat's first line that are no work: idle and iowait."""

_COUNTED_FIELDS = 8
"""Columns of it that count time once: guest time after them is in user time already."""


class ProcessorFiles:
    """Reads load and clocks of the processor.

    Args:
        root: Folder that takes the place of "/".
    """

    def __init__(self, root: str | Path = "/") -> None:
        root = Path(root)
        self._stat = root / "proc/stat"
        # Cores that share a clock share a policy, which is read once.
        self._policies = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*")) or sorted(
            root.glob("sys/devices/system/cpu/cpu*/cpufreq")
        )
        self._last = self._counted()

    @property
    def is_readable(self) -> bool:
        """Whether the system counts the time of its cores."""
        return self._last is not None

    def load_percent(self) -> float | None:
        """Return the share of the time since the last call that the cores were busy, 0 to 100; None where unknown."""
        last, self._last = self._last, self._counted()
        if last is None or self._last is None or self._last[1] <= last[1]:
            return None
        busy, whole = (now - before for now, before in zip(self._last, last))
        return min(max(100.0 * busy / whole, 0.0), 100.0)

    def clock_mhz(self) -> float | None:
        """Return the mean of the present clocks in MHz; None where the system does not tell them."""
        return self._mean_mhz("scaling_cur_freq")

    def clock_limit_mhz(self) -> float | None:
        """Return the mean of the clocks that may be reached at present, in MHz; None where they are not told."""
        return self._mean_mhz("scaling_max_freq")

    def _mean_mhz(self, name: str) -> float | None:
        # A core that is off has no clock, and no file that can be read.
        values = [value for value in (read_number(policy / name) for policy in self._policies) if value is not None]
        return sum(values) / len(values) / 1000 if values else None

    def _counted(self) -> tuple[int, int] | None:
        """Return how long the cores worked since the start, and all their time, in ticks."""
        line = (read_text(self._stat) or "").split("\n", 1)[0].split()
        try:
            fields = [int(field) for field in line[1 : 1 + _COUNTED_FIELDS]]
        except ValueError:
            return None
        if line[:1] != ["cpu"] or len(fields) < _COUNTED_FIELDS:
            return None
        return sum(fields) - sum(fields[index] for index in _IDLE_FIELDS), sum(fields)
