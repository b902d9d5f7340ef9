"""The power monitors of a board as the kernel's hwmon shows them: INA3221 with three rails, INA238 with one.

Source: the kernel's Documentation/hwmon/ina3221.rst and ina238.rst (in*_input is mV, curr*_input mA, power*_input uW,
shunt*_resistor uOhm); Texas Instruments SBOS576 (INA3221), section 8.6.2: one step of the shunt voltage is 40 uV;
SBOSA20 (INA238), section 7.6.1: it is 5 uV.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from edge.telemetry.kernel_file import read_number, read_text

_INA3221_STEP_UV = 40.0
_INA238_STEP_UV = 5.0

_UNCONNECTED = "NC"
"""Label of a channel that this board does not use, which is another thing than 0 mW."""

INA238_RAIL = "VIN"
"""Name of the rail that an INA238 measures: the driver gives it none, and AGX Thor's tools call it so."""


@dataclass(frozen=True)
class Rail:
    """Files of one rail.

    Attributes:
        factors: Paths of the files whose product is the power: voltage in mV and current in mA, or the power in uW. As
            text, since they are opened fifty times a second.
        voltage: File of the voltage in mV.
        shunt: File of the shunt resistor in uOhm.
        step_uv: Step of the shunt voltage in uV.
    """

    factors: tuple[str, ...]
    voltage: Path
    shunt: Path
    step_uv: float

    def power_mw(self) -> float | None:
        """Return the present power in mW; None where a file does not answer."""
        product = 1.0
        for path in self.factors:
            value = read_number(path)
            if value is None:
                return None
            product *= value
        return product / 1000

    def resolution_mw(self) -> float | None:
        """Return the smallest step of the power in mW at the present voltage; None where the shunt is not known."""
        voltage_mv, shunt_uohm = read_number(self.voltage), read_number(self.shunt)
        if not voltage_mv or not shunt_uohm:
            return None
        return voltage_mv * self.step_uv / shunt_uohm


def find_rails(root: Path) -> dict[str, Rail]:
    """Return rail -> its files, of all monitors.

    Args:
        root: Folder that takes the place of "/".
    """
    rails: dict[str, Rail] = {}
    for folder, chip, place in _monitors(root):
        found = _ina238_rail(folder) if "ina238" in chip else _ina3221_rails(folder)
        for name, rail in found.items():
            # Two monitors may give a name twice; a rail that hides another would fall out of the sum.
            rails[f"{name} ({place})" if name in rails else name] = rail
    return rails


def total_resolution_mw(rails: dict[str, Rail], summed: tuple[str, ...]) -> float | None:
    """Return the step of a sum of rails in mW, whose roundings are independent; None where one is not known."""
    steps = [rails[name].resolution_mw() if name in rails else None for name in summed]
    known = [step for step in steps if step is not None]
    return math.sqrt(sum(step**2 for step in known)) if known and len(known) == len(steps) else None


def _monitors(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Return the hwmon folder of each monitor, the name of its chip, and the name of its place."""
    seen = set()
    for device in sorted(root.glob("sys/bus/i2c/devices/*")):
        chip = (read_text(device / "name") or "").lower()
        for folder in sorted(device.glob("hwmon/hwmon*")):
            if "ina3221" in chip or "ina238" in chip:
                seen.add(folder.resolve())
                yield folder, chip, device.name
    # A container may be given the class of monitors alone.
    for folder in sorted(root.glob("sys/class/hwmon/hwmon*")):
        chip = (read_text(folder / "name") or "").lower()
        if ("ina3221" in chip or "ina238" in chip) and folder.resolve() not in seen:
            yield folder, chip, folder.name


def _ina3221_rails(folder: Path) -> dict[str, Rail]:
    rails = {}
    # Channels 1 to 3 are rails; 4 to 6 are shunt voltages, and 7 is their sum.
    for channel in (1, 2, 3):
        label = read_text(folder / f"in{channel}_label")
        if label and label != _UNCONNECTED:
            voltage, current = folder / f"in{channel}_input", folder / f"curr{channel}_input"
            rails[label] = Rail(
                (str(voltage), str(current)), voltage, folder / f"shunt{channel}_resistor", _INA3221_STEP_UV
            )
    return rails


def _ina238_rail(folder: Path) -> dict[str, Rail]:
    power, voltage = folder / "power1_input", folder / "in1_input"
    factors = (power,) if power.exists() else (voltage, folder / "curr1_input")
    if not factors[-1].exists():
        return {}
    return {INA238_RAIL: Rail(tuple(map(str, factors)), voltage, folder / "shunt_resistor", _INA238_STEP_UV)}
