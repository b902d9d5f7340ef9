"""Power and temperatures of a Jetson from the kernel's own files, without any package.

Source: the kernel's Documentation/hwmon/ina3221.rst and sysfs-interface.rst (in*_input is mV, curr*_input mA,
power*_input uW), Documentation/ABI/testing/sysfs-class-thermal (temp is in thousandths of a degree) and
sysfs-class-devfreq (Hz).
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource, coverage_of_rails, total_of_rails_mw

INTERVAL_S = 0.1
"""Seconds between samples. An INA3221 converts in a few ms, and reading a dozen files takes about one."""

_GPU_NAMES = (".gpu", ".gv11b", ".ga10b", ".gp10b", "gpu-gpc-0")
"""Ends of the kernel's names of the GPU's clock domain in JetPack 5 (by chip), in JetPack 6, and on Thor."""

_OFFLINE_C = -200.0
"""Limit in degrees below which a value means "switched off", which the kernel writes as -256 degrees."""


class SysfsSource(PowerSource):
    """Reads INA3221 and INA238 monitors, thermal zones, the GPU's clock and load, fan and power mode.

    Args:
        root: Folder that takes the place of "/"; tests give another one.
        interval_s: Seconds between samples.
    """

    name = "sysfs"

    def __init__(self, root: str | Path = "/", interval_s: float = INTERVAL_S) -> None:
        super().__init__(interval_s)
        self._root = Path(root)
        self._rails: dict[str, tuple[Path, ...]] = {}
        self._zones: dict[str, Path] = {}
        self._gpu: Path | None = None
        self._fan: Path | None = None

    def open(self) -> None:
        """Find the power monitors and the other sensors.

        Raises:
            BackendError: There is no power monitor.
        """
        self._rails = self._find_rails()
        if not self._rails:
            raise BackendError(
                f"no INA3221 or INA238 power monitor under {self._root / 'sys/bus/i2c/devices'}, expected those of a "
                "Jetson. Next: --power jtop or nvml, or --power none"
            )
        self._zones = self._find_zones()
        self._gpu = next((path for path in self._listed("sys/class/devfreq/*") if path.name.endswith(_GPU_NAMES)), None)
        hwmon = self._listed("sys/class/hwmon/hwmon*")
        self._fan = next((path / "pwm1" for path in hwmon if _text(path / "name") == "pwmfan"), None)
        self.covers = coverage_of_rails(self._rails)

    def read(self) -> PowerSample:
        """Return the present values of the files; the time is the middle of reading the rails."""
        before_ns = time.perf_counter_ns()
        rails_mw = {name: _power_mw(paths) for name, paths in self._rails.items()}
        after_ns = time.perf_counter_ns()
        load = _number(self._gpu / "device" / "load") if self._gpu else None
        clock_hz = _number(self._gpu / "cur_freq") if self._gpu else None
        duty = _number(self._fan) if self._fan else None
        return PowerSample(
            time_ns=(before_ns + after_ns) // 2,
            rails_mw=rails_mw,
            total_mw=total_of_rails_mw(rails_mw),
            temperatures_c={name: _temperature_c(path) for name, path in self._zones.items()},
            gpu_load_percent=None if load is None else load / 10,
            gpu_clock_mhz=None if clock_hz is None else clock_hz / 1e6,
            fan_percent=None if duty is None else 100 * duty / 255,
            power_mode=self._power_mode(),
        )

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _listed(self, pattern: str) -> list[Path]:
        return sorted(self._root.glob(pattern))

    def _find_rails(self) -> dict[str, tuple[Path, ...]]:
        """Return rail -> (voltage in mV, current in mA), or (power in uW,) of a monitor that multiplies by itself."""
        rails: dict[str, tuple[Path, ...]] = {}
        for device in self._listed("sys/bus/i2c/devices/*"):
            chip = (_text(device / "name") or "").lower()
            for folder in sorted(device.glob("hwmon/hwmon*")):
                if "ina238" in chip and (folder / "power1_input").exists():
                    rails["VIN"] = (folder / "power1_input",)
                if "ina3221" not in chip:
                    continue
                # Channels 1 to 3 are rails; 4 to 6 are shunt voltages, and 7 is their sum.
                for channel in (1, 2, 3):
                    label = _text(folder / f"in{channel}_label")
                    # NC: the channel is not connected on this board, which is another thing than 0 mW.
                    if label and label != "NC":
                        # Two monitors may give a name twice; a rail that hides another would fall out of the sum.
                        name = f"{label} ({device.name})" if label in rails else label
                        rails[name] = (folder / f"in{channel}_input", folder / f"curr{channel}_input")
        return rails

    def _find_zones(self) -> dict[str, Path]:
        zones: dict[str, Path] = {}
        for folder in self._listed("sys/devices/virtual/thermal/thermal_zone*"):
            kind = _text(folder / "type")
            # The PMIC's zone of an AGX Xavier is a constant, not a measurement.
            if kind and "PMIC" not in kind:
                name = re.sub(r"[-_](therm|thermal)$", "", kind)
                zones[f"{name} ({folder.name})" if name in zones else name] = folder / "temp"
        return zones

    def _power_mode(self) -> str | None:
        """Return the name of nvpmodel's present mode, or its number where the table does not name it."""
        match = re.search(r"pmode:(\d+)", _text(self._root / "var/lib/nvpmodel/status") or "")
        if not match:
            return None
        number = int(match[1])
        table = _text(self._root / "etc/nvpmodel.conf") or ""
        named = re.search(rf"<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)\s*>", table)
        return named[1] if named else str(number)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\x00\n ")
    except OSError:
        return None


def _number(path: Path) -> float | None:
    # A rail that is switched off answers with an error (ENODATA), and a fan with an empty line.
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _power_mw(paths: tuple[Path, ...]) -> float | None:
    values = [_number(path) for path in paths]
    if any(value is None for value in values):
        return None
    return values[0] / 1000 if len(values) == 1 else values[0] * values[1] / 1000


def _temperature_c(path: Path) -> float | None:
    value = _number(path)
    return None if value is None or value / 1000 < _OFFLINE_C else value / 1000
