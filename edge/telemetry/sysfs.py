"""Power and temperatures of a Jetson from the kernel's own files, without any package.

Source: edge.telemetry.power_monitors for the rails; the kernel's Documentation/ABI/testing/sysfs-class-thermal (temp is
in thousandths of a degree) and sysfs-class-devfreq (Hz), Documentation/hwmon/sysfs-interface.rst (pwm1 is 0 to 255).
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.boards import board_of_rails, coverage_of_rails, total_of_rails_mw
from edge.telemetry.kernel_file import read_number, read_text
from edge.telemetry.nvpmodel import power_mode, read_mode_names
from edge.telemetry.power_monitors import Rail, find_rails, total_resolution_mw
from edge.telemetry.processor_files import ProcessorFiles
from edge.telemetry.throttle_files import ThrottleFiles, find_zones

INTERVAL_S = 0.1
"""Seconds between samples."""

SLOW_INTERVAL_S = 0.5
"""Seconds between two readings of what changes slowly: temperatures, counters, limits, fan and power mode."""

READINGS = 5
"""Readings of the rails in one sample, whose mean it is. An INA3221 as the kernel leaves it converts in some
milliseconds and does not average, so a single reading is the power of a moment, and a spike between two is lost."""

_GPU_NAMES = (".gpu", ".gv11b", ".ga10b", ".gp10b", "gpu-gpc-0")
"""Ends of the kernel's names of the GPU's clock domain in JetPack 5 (by chip), in JetPack 6, and on Thor."""

_GOLDEN = (5**0.5 - 1) / 2
"""Step of the moments of readings within their part of an interval: multiples of it, without their whole parts, lie
more evenly than those of any other number. Source: Knuth, The Art of Computer Programming, volume 3, section 6.4."""

_OFFLINE_C = -200.0
"""Limit in degrees below which a value means "switched off", which the kernel writes as -256 degrees."""


class SysfsSource(PowerSource):
    """Reads INA3221 and INA238 monitors, thermal zones, clocks and loads, fan, power mode and what throttles.

    The power of a sample is the mean of several readings, each at another moment of its part of the interval, so that
    no rhythm of the work can fall in step with them: the moments go on by the golden ratio, which spreads them evenly.

    Args:
        root: Folder that takes the place of "/"; tests give another one.
        interval_s: Seconds between samples.
        readings: Number of readings of the rails in a sample.
        slow_interval_s: Seconds for which temperatures, what throttles, the processor, fan and power mode are kept.
    """

    name = "sysfs"
    is_paced = True

    def __init__(
        self,
        root: str | Path = "/",
        interval_s: float = INTERVAL_S,
        readings: int = READINGS,
        slow_interval_s: float = SLOW_INTERVAL_S,
    ) -> None:
        super().__init__(interval_s)
        self._root, self._readings, self._slow_interval_s = Path(root), readings, slow_interval_s
        self._slow: dict[str, Any] = {}
        self._slow_due_ns = 0
        self._phase = random.random()
        self._rails: dict[str, Rail] = {}
        self._zones: dict[str, Path] = {}
        self._gpu: Path | None = None
        self._fan: Path | None = None
        self._throttle: ThrottleFiles | None = None
        self._processor: ProcessorFiles | None = None
        self._mode_names: dict[int, str] = {}

    def open(self) -> None:
        """Find the power monitors and the other sensors.

        Raises:
            BackendError: There is no power monitor.
        """
        self._rails = find_rails(self._root)
        if not self._rails:
            raise BackendError(
                f"no INA3221 or INA238 power monitor under {self._root / 'sys/bus/i2c/devices'}, expected those of a "
                "Jetson. Next: --power jtop or nvml, or --power none"
            )
        self._zones = find_zones(self._root)
        gpus = sorted(self._root.glob("sys/class/devfreq/*"))
        self._gpu = next((path for path in gpus if path.name.endswith(_GPU_NAMES)), None)
        fans = sorted(self._root.glob("sys/class/hwmon/hwmon*"))
        self._fan = next((path / "pwm1" for path in fans if read_text(path / "name") == "pwmfan"), None)
        self._throttle, self._processor = ThrottleFiles(self._root), ProcessorFiles(self._root)
        self._mode_names = read_mode_names(self._root)
        self.covers = coverage_of_rails(self._rails)
        board = board_of_rails(self._rails)
        self.resolution_mw = total_resolution_mw(self._rails, board.summed) if board is not None else None

    def read(self) -> PowerSample:
        """Read the rails for as long as a sample lasts, then the other files, and return what they say."""
        time_ns, rails_mw = self._mean_rails()
        load = read_number(self._gpu / "device" / "load") if self._gpu else None
        if time_ns >= self._slow_due_ns:
            self._slow, self._slow_due_ns = self._slow_values(), time_ns + int(1e9 * self._slow_interval_s)
        return PowerSample(
            time_ns=time_ns,
            rails_mw=rails_mw,
            total_mw=total_of_rails_mw(rails_mw),
            gpu_load_percent=None if load is None else load / 10,
            gpu_clock_mhz=self._gpu_mhz("cur_freq"),
            gpu_clock_limit_mhz=self._gpu_mhz("max_freq"),
            **self._slow,
        )

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _mean_rails(self) -> tuple[int, dict[str, float | None]]:
        """Return the middle of the readings in ns, and rail -> mean of its readings in mW."""
        part_ns = int(1e9 * self.interval_s / self._readings)
        start_ns = time.perf_counter_ns()
        times_ns: list[int] = []
        readings: list[list[float | None]] = []
        for index in range(self._readings):
            self._phase = (self._phase + _GOLDEN) % 1.0
            due_ns = start_ns + int(part_ns * (index + self._phase))
            time.sleep(max(due_ns - time.perf_counter_ns(), 0) / 1e9)
            before_ns = time.perf_counter_ns()
            readings.append([rail.power_mw() for rail in self._rails.values()])
            times_ns.append((before_ns + time.perf_counter_ns()) // 2)
        time.sleep(max(start_ns + part_ns * self._readings - time.perf_counter_ns(), 0) / 1e9)
        means = (_mean(values) for values in zip(*readings))
        return sum(times_ns) // len(times_ns), dict(zip(self._rails, means))

    def _slow_values(self) -> dict[str, Any]:
        """Return the fields of a sample that change slowly."""
        zones = {folder: _temperature_c(folder / "temp") for folder in self._zones.values()}
        duty = read_number(self._fan) if self._fan else None
        throttle, processor = self._throttle, self._processor
        return {
            "temperatures_c": {name: zones[folder] for name, folder in self._zones.items()},
            "cpu_load_percent": processor.load_percent() if processor else None,
            "cpu_clock_mhz": processor.clock_mhz() if processor else None,
            "cpu_clock_limit_mhz": processor.clock_limit_mhz() if processor else None,
            "event_counts": throttle.event_counts() if throttle else {},
            "fan_percent": None if duty is None else 100 * duty / 255,
            "power_mode": power_mode(self._root, self._mode_names),
            "active_alerts": throttle.active_alerts(zones) if throttle else {},
        }

    def _gpu_mhz(self, name: str) -> float | None:
        clock_hz = read_number(self._gpu / name) if self._gpu else None
        return None if clock_hz is None else clock_hz / 1e6


def _mean(values: tuple[float | None, ...]) -> float | None:
    """Return the mean; None where a value is missing, since a mean of the rest would be one of other moments."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _temperature_c(path: Path) -> float | None:
    value = read_number(path)
    return None if value is None or value / 1000 < _OFFLINE_C else value / 1000
