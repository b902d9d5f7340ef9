"""The protocol of a power source, and what one sample of it holds."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import Container

INPUT_RAILS = ("VIN", "POM_5V_IN", "VDD_IN")
"""Rails that feed a whole Jetson module. Where one is there it is the total, and the others are parts of it.

Source: jtop/core/power.py of jetson-stats 7.2.2, which takes these three and gives the reasons' addresses.
"""

PARTS_OF_RAILS = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
"""Rail -> the rail that feeds it: what the first draws is in the second already, so a sum takes the second alone.

The memory of an AGX Orin. Source: Jetson Linux Developer Guide r36.4.3, Jetson AGX Orin, "Software-Based Power
Consumption Modeling". The rails of an AGX Xavier (GPU, CPU, SOC, CV, VDDRQ, SYS5V) lie beside each other.
"""


@dataclass(frozen=True)
class PowerSample:
    """What a source saw at one moment. Whatever is not there, or could not be read, is None; never 0.

    Attributes:
        time_ns: on the clock of time.perf_counter_ns, which latencies are measured on too.
        rails_mw: rail -> power in mW; a rail that did not answer is None.
        total_mw: power of everything that the source covers, in mW.
        temperatures_c: sensor -> temperature in degrees Celsius; an offline sensor is None.
        gpu_load_percent: share of the time that the GPU was busy, 0 to 100.
        gpu_clock_mhz: present clock of the GPU in MHz.
        fan_percent: duty of the first fan, 0 to 100.
        power_mode: name of the power mode, such as "MAXN".
    """

    time_ns: int
    rails_mw: dict[str, float | None] = field(default_factory=dict)
    total_mw: float | None = None
    temperatures_c: dict[str, float | None] = field(default_factory=dict)
    gpu_load_percent: float | None = None
    gpu_clock_mhz: float | None = None
    fan_percent: float | None = None
    power_mode: str | None = None


class PowerSource(abc.ABC):
    """Reads power and temperatures. Nothing is opened before `open`; a `with` block does both ends.

    One source serves one thread at a time, which need not be the one that opened it.

    Attributes:
        name: Key of the source in edge.telemetry.POWER_SOURCES, such as "jtop".
        interval_s: seconds from one sample to the next; what the source really does once it is open.
        is_paced: `read` itself waits for the next sample, so the caller must not.
        package: Python package that the source needs; None where it needs none.
        is_of_graphics_card: Whether the source measures a graphics card, and not the whole board.
        covers: what `total_mw` is the power of, in words.
        version: of what was asked, None where it has none.
    """

    name: str = ""
    is_paced: bool = False
    package: str | None = None
    is_of_graphics_card: bool = False

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.covers = ""
        self.version: str | None = None

    def __enter__(self) -> PowerSource:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abc.abstractmethod
    def open(self) -> None:
        """Find the sensors.

        Raises:
            BackendError: the source is not there, or refuses.
            MissingDependencyError: its package is not installed.
        """

    @abc.abstractmethod
    def read(self) -> PowerSample:
        """Return the next sample.

        Raises:
            BackendError: the source gives nothing any more.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give everything back; harmless when not open."""


def total_of_rails_mw(rails_mw: dict[str, float | None]) -> float | None:
    """Return the total of a Jetson's rails in mW: its input rail, or the sum of those that are no part of another.

    The total that jtop shows counts the memory of an AGX Orin twice, and jetson-stats before 7 adds what its USB-C
    ports negotiated; so this is what every source of a Jetson's power uses.

    Args:
        rails_mw: rail -> power in mW, None where a rail did not answer.

    Returns:
        The total; None where there are no rails, or where one that it needs is None: a sum that leaves a
        rail out is no total.
    """
    for name in INPUT_RAILS:
        if name in rails_mw:
            return rails_mw[name]
    summed = [value for name, value in rails_mw.items() if PARTS_OF_RAILS.get(name) not in rails_mw]
    return sum(summed) if summed and None not in summed else None


def coverage_of_rails(names: Container[str]) -> str:
    """Return what the total of these rails is the power of, in words.

    Args:
        names: the rails.
    """
    for name in INPUT_RAILS:
        if name in names:
            return f"the board's input rail {name}"
    parts = [
        f"{part}, which is in {whole}" for part, whole in PARTS_OF_RAILS.items() if part in names and whole in names
    ]
    return "the sum of the module's rails" + (f" without {'; '.join(parts)}" if parts else "")
