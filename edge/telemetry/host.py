"""Load, clocks and temperatures of a host that tells no power: what shows that it was busy or too warm.

/proc and /sys have all of it, so that psutil, which reads the same files, is not needed.
"""

from __future__ import annotations

import time
from pathlib import Path

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.kernel_file import read_number
from edge.telemetry.processor_files import ProcessorFiles
from edge.telemetry.throttle_files import ThrottleFiles, find_zones

INTERVAL_S = 0.5
"""Seconds between samples: load and heat change slowly, and no energy rests on them."""


class HostSource(PowerSource):
    """Reads load and clocks of the processor, thermal zones, and what the kernel counts of throttling.

    Args:
        root: Folder that takes the place of "/"; tests give another one.
        interval_s: Seconds between samples.
    """

    name = "host"
    measures_power = False

    def __init__(self, root: str | Path = "/", interval_s: float = INTERVAL_S) -> None:
        super().__init__(interval_s)
        self._root = Path(root)
        self._zones: dict[str, Path] = {}
        self._processor: ProcessorFiles | None = None
        self._throttle: ThrottleFiles | None = None

    def open(self) -> None:
        """Find the sensors.

        Raises:
            BackendError: The system counts nothing of its processor, as one that is not Linux.
        """
        self._processor, self._throttle = ProcessorFiles(self._root), ThrottleFiles(self._root)
        if not self._processor.is_readable:
            raise BackendError(f"no {self._root / 'proc/stat'} here, expected that of Linux. Next: --power none")
        self._zones = find_zones(self._root)
        self.covers = "nothing: this machine tells no power"

    def read(self) -> PowerSample:
        """Return the present values, without power."""
        return self._sample(time.perf_counter_ns(), {}, None)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _sample(self, time_ns: int, rails_mw: dict[str, float | None], total_mw: float | None) -> PowerSample:
        values = {folder: read_number(folder / "temp") for folder in self._zones.values()}
        zones = {folder: None if value is None else value / 1000 for folder, value in values.items()}
        processor, throttle = self._processor, self._throttle
        return PowerSample(
            time_ns=time_ns,
            rails_mw=rails_mw,
            total_mw=total_mw,
            temperatures_c={name: zones[folder] for name, folder in self._zones.items()},
            cpu_load_percent=processor.load_percent() if processor else None,
            cpu_clock_mhz=processor.clock_mhz() if processor else None,
            cpu_clock_limit_mhz=processor.clock_limit_mhz() if processor else None,
            event_counts=throttle.event_counts() if throttle else {},
            active_alerts=throttle.active_alerts(zones) if throttle else {},
        )
