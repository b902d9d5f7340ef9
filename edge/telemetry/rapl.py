"""Power of the processors of a host from RAPL, the energy counters of Intel and AMD, and what else its kernel tells.

Source: the kernel's Documentation/power/powercap/powercap.rst (energy_uj counts microjoules and starts again after
max_energy_range_uj); Intel Software Developer's Manual, volume 3B, section "RAPL Domains" (the memory is no part of the
package, core and uncore are); the kernel's commit 949dd0104c49 of 2020: since CVE-2020-8694 root alone may read it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from edge.errors import BackendError
from edge.telemetry.base import PowerSample
from edge.telemetry.host import HostSource
from edge.telemetry.kernel_file import read_number, read_text

INTERVAL_S = 0.1
"""Seconds between samples. The counters are renewed about every millisecond, and count what lies between."""

_LEAST_STEP_NS = 10_000_000
"""Shortest time in ns between two readings of a counter: below it, its millisecond is too coarse."""

_POWERCAP = "sys/class/powercap"


@dataclass
class _Counter:
    """Energy counter of one domain.

    Attributes:
        energy: File of the counter in microjoules.
        range_uj: Value after which it starts again at 0; None where it is not known.
        last_uj: Value of the last reading; None where it failed.
    """

    energy: Path
    range_uj: float | None
    last_uj: float | None

    def step_uj(self) -> float | None:
        """Return the energy since the last reading in microjoules; None where one of both failed."""
        last_uj, self.last_uj = self.last_uj, read_number(self.energy)
        if last_uj is None or self.last_uj is None:
            return None
        step_uj = self.last_uj - last_uj
        if step_uj >= 0:
            return step_uj
        return None if self.range_uj is None else step_uj + self.range_uj


class RaplSource(HostSource):
    """Reads the energy counters of packages and memory, with load, clocks and temperatures of the host.

    A sample is the mean power since the one before it, and its time the middle between both.

    Args:
        root: Folder that takes the place of "/"; tests give another one.
        interval_s: Seconds between samples.
    """

    name = "rapl"
    measures_power = True

    def __init__(self, root: str | Path = "/", interval_s: float = INTERVAL_S) -> None:
        super().__init__(root, interval_s)
        self._counters: dict[str, _Counter] = {}
        self._last_ns = 0

    def open(self) -> None:
        """Find the counters, and read them for the first time.

        Raises:
            BackendError: The processor has no such counters, or they are for root alone.
        """
        folder = self._root / _POWERCAP
        found = {}
        # Packages, and the memory below them; the same counters come again by another way as intel-rapl-mmio.
        for zone in sorted(folder.glob("intel-rapl:*")):
            name = read_text(zone / "name") or zone.name
            is_package = zone.name.count(":") == 1 and name != "psys"
            if is_package or name == "dram":
                place = zone.name if name in found else ""
                found[f"{name} ({place})" if place else name] = zone
        if not found:
            raise BackendError(
                f"no RAPL counters under {folder}, expected those of an Intel or AMD processor, which a virtual "
                "machine does not show. Next: --power host for load and temperatures, or --power none"
            )
        self.is_present = True
        super().open()
        self._counters = {
            name: _Counter(
                zone / "energy_uj", read_number(zone / "max_energy_range_uj"), read_number(zone / "energy_uj")
            )
            for name, zone in found.items()
        }
        if all(counter.last_uj is None for counter in self._counters.values()):
            raise BackendError(
                f"the RAPL counters under {folder} cannot be read, expected the right to. "
                f"Next: sudo chmod a+r {folder}/intel-rapl:*/energy_uj, or --power host or none"
            )
        self._last_ns = time.perf_counter_ns()
        memory = any(name.startswith("dram") for name in self._counters)
        self.covers = f"the processor{' and its memory' if memory else ', without memory'}, as RAPL counts them"

    def read(self) -> PowerSample:
        """Return the mean power since the last call, and the present values of the host."""
        time.sleep(max(self._last_ns + _LEAST_STEP_NS - time.perf_counter_ns(), 0) / 1e9)
        before_ns = time.perf_counter_ns()
        steps_uj = {name: counter.step_uj() for name, counter in self._counters.items()}
        now_ns = (before_ns + time.perf_counter_ns()) // 2
        last_ns, self._last_ns = self._last_ns, now_ns
        # 1 uJ in 1 ns is 1 kW.
        rails_mw = {
            name: None if step_uj is None else step_uj * 1e6 / (now_ns - last_ns) for name, step_uj in steps_uj.items()
        }
        known = [value for value in rails_mw.values() if value is not None]
        total_mw = sum(known) if len(known) == len(rails_mw) else None
        return self._sample((last_ns + now_ns) // 2, rails_mw, total_mw)
