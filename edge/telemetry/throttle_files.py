"""What the kernel tells of throttling: counters of over-current and heat, alerts in force, and trip points.

Source: drivers/hwmon/tegra23x-oc-event.c of NVIDIA's kernel and Jetson Linux Developer Guide r36.4.3, Jetson Orin
series, "Jetson Orin OC events" (oc1 is under-voltage, oc2 average and oc3 instantaneous over-current; Jetson Thor has
the same files); the same guide, "Thermal Management" (cooling devices called *-alert are 1 and more while a part is
throttled); the kernel's Documentation/ABI/testing/sysfs-class-thermal (trip points in thousandths of a degree) and
Documentation/admin-guide/thermal (thermal_throttle of a core of x86).
"""

from __future__ import annotations

import re
from pathlib import Path

from edge.telemetry.kernel_file import read_number, read_text

_OVER_CURRENTS = {"1": "under-voltage", "2": "average over-current", "3": "instantaneous over-current"}
"""Number in the name of a counter -> its cause."""

_TRIPS = ("passive", "hot", "critical")
"""Kinds of a trip point from which the kernel slows the machine, or stops it; "active" ones start the fan."""


class ThrottleFiles:
    """Reads what the kernel counts and announces of throttling.

    Args:
        root: Folder that takes the place of "/".
    """

    def __init__(self, root: str | Path = "/") -> None:
        root = Path(root)
        self._counters: dict[str, list[Path]] = {}
        for path in sorted(root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")):
            number = re.fullmatch(r"oc(\d+)_event_cnt", path.name)
            if number:
                self._counters.setdefault(_OVER_CURRENTS.get(number[1], f"over-current {number[1]}"), []).append(path)
        for what in ("core", "package"):
            paths = sorted(root.glob(f"sys/devices/system/cpu/cpu*/thermal_throttle/{what}_throttle_count"))
            if paths:
                self._counters[f"heat of the CPU's {what}"] = paths
        self._alerts = {
            kind: path.parent / "cur_state"
            for path in sorted(root.glob("sys/class/thermal/cooling_device*/type"))
            for kind in (read_text(path),)
            if kind and kind.endswith("-alert")
        }
        self._trips = _trip_points(root)

    def event_counts(self) -> dict[str, int]:
        """Return cause -> how often it happened since the start of the machine; what cannot be read is left out."""
        counts = {}
        for cause, paths in self._counters.items():
            values = [read_number(path) for path in paths]
            known = [int(value) for value in values if value is not None]
            # A sum over fewer files than before would fall and rise again, which looks like an event.
            if len(known) == len(paths):
                counts[cause] = sum(known)
        return counts

    def active_alerts(self, temperatures: dict[Path, float | None]) -> dict[str, int]:
        """Return cause -> 1 while it is in force, else 0; what cannot be read is left out.

        Args:
            temperatures: Folder of a thermal zone -> its temperature in degrees Celsius.
        """
        alerts = {}
        for cause, path in self._alerts.items():
            state = read_number(path)
            if state is not None:
                alerts[cause] = int(state > 0)
        for zone, trips in self._trips.items():
            temperature_c = temperatures.get(zone)
            for cause, trip_c in trips.items():
                if temperature_c is not None:
                    alerts[cause] = int(temperature_c >= trip_c)
        return alerts


def find_zones(root: Path) -> dict[str, Path]:
    """Return sensor -> folder of its thermal zone.

    Args:
        root: Folder that takes the place of "/".
    """
    zones: dict[str, Path] = {}
    # The class is links to the devices; a container or an image may have one of both alone.
    folders = sorted(root.glob("sys/devices/virtual/thermal/thermal_zone*")) or sorted(
        root.glob("sys/class/thermal/thermal_zone*")
    )
    for folder in folders:
        kind = read_text(folder / "type")
        # The PMIC's zone of an AGX Xavier is a constant, not a measurement.
        if kind and "PMIC" not in kind:
            name = re.sub(r"[-_](therm|thermal)$", "", kind)
            zones[f"{name} ({folder.name})" if name in zones else name] = folder
    return zones


def _trip_points(root: Path) -> dict[Path, dict[str, float]]:
    """Return folder of a thermal zone -> cause -> temperature in degrees Celsius from which it is in force."""
    trips: dict[Path, dict[str, float]] = {}
    for name, folder in find_zones(root).items():
        for path in sorted(folder.glob("trip_point_*_type")):
            kind, limit = read_text(path), read_number(path.with_name(path.name.replace("_type", "_temp")))
            # A trip point that is not used stands at 0 or below.
            if kind in _TRIPS and limit is not None and limit > 0:
                trips.setdefault(folder, {})[f"{name} over its {kind} trip point of {limit / 1000:g} °C"] = limit / 1000
    return trips
