"""The protocol of a power source, and the contents of one sample."""

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
    """Power and temperatures at one moment; whatever is not there, or could not be read, is None and never 0.

    Attributes:
        time_ns: Time of the sample in ns, on the clock of time.perf_counter_ns, which latencies are measured on too.
        rails_mw: Rail -> power in mW; a rail that did not answer is None.
        total_mw: Power of everything that the source covers, in mW.
        temperatures_c: Sensor -> temperature in degrees Celsius; an offline sensor is None.
        gpu_load_percent: Share of the time that the GPU was busy, 0 to 100.
        gpu_clock_mhz: Present clock of the GPU in MHz.
        gpu_clock_limit_mhz: Clock that the GPU may reach at present, in MHz: its set point, which throttling lowers.
        cpu_load_percent: Share of the time that the cores were busy, 0 to 100.
        cpu_clock_mhz: Mean of the present clocks of the cores that are on, in MHz.
        cpu_clock_limit_mhz: Mean of the clocks that these cores may reach at present, in MHz.
        event_counts: Cause of throttling that the machine counts, such as "average over-current" -> how often it
            happened since the start of the machine.
        fan_percent: Duty of the first fan, 0 to 100.
        power_mode: Name of the power mode, such as "MAXN".
        active_alerts: Cause of throttling that the machine does not count, such as "gpu-throttle-alert" -> 1 while it
            is in force, else 0.
    """

    time_ns: int
    rails_mw: dict[str, float | None] = field(default_factory=dict)
    total_mw: float | None = None
    temperatures_c: dict[str, float | None] = field(default_factory=dict)
    gpu_load_percent: float | None = None
    gpu_clock_mhz: float | None = None
    gpu_clock_limit_mhz: float | None = None
    cpu_load_percent: float | None = None
    cpu_clock_mhz: float | None = None
    cpu_clock_limit_mhz: float | None = None
    event_counts: dict[str, int] = field(default_factory=dict)
    fan_percent: float | None = None
    power_mode: str | None = None
    active_alerts: dict[str, int] = field(default_factory=dict)


class PowerSource(abc.ABC):
    """Reads power and temperatures; nothing is opened before `open`, and a `with` block opens and closes.

    One source serves one thread at a time, which need not be the one that opened it.

    Attributes:
        name: Name of the source, its key in edge.telemetry.POWER_SOURCES, such as "jtop".
        interval_s: Seconds from one sample to the next; the real value once the source is open.
        is_paced: Whether `read` itself waits for the next sample, so that the caller must not wait.
        package: Python package that the source needs; None where it needs none.
        is_of_graphics_card: Whether the source measures a graphics card, and not the whole board.
        covers: Text that says what `total_mw` is the power of.
        version: Version of the service or driver behind the source; None where it has none.
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
        """Find the sensors of the source.

        Raises:
            BackendError: The source does not exist on this machine, or refuses.
            MissingDependencyError: The package of the source is not installed.
        """

    @abc.abstractmethod
    def read(self) -> PowerSample:
        """Return the next sample.

        Raises:
            BackendError: The source gives no samples any more.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close the source; a call on a closed source does nothing."""


def total_of_rails_mw(rails_mw: dict[str, float | None]) -> float | None:
    """Return the total power of a Jetson's rails in mW.

    The total is that of the input rail, or the sum of the rails that are no part of another. The total that jtop shows
    counts the memory of an AGX Orin twice, and jetson-stats before 7 adds what its USB-C ports negotiated; so this
    function serves every source of a Jetson's power.

    Args:
        rails_mw: Rail -> power in mW; None where a rail did not answer.

    Returns:
        The total in mW; None where there are no rails, or where one that it needs is None: a sum that leaves a rail out
        is no total.
    """
    for name in INPUT_RAILS:
        if name in rails_mw:
            return rails_mw[name]
    summed = [value for name, value in rails_mw.items() if PARTS_OF_RAILS.get(name) not in rails_mw]
    return sum(summed) if summed and None not in summed else None


def coverage_of_rails(names: Container[str]) -> str:
    """Return a text that says what the total of some rails is the power of.

    Args:
        names: Names of the rails.
    """
    for name in INPUT_RAILS:
        if name in names:
            return f"the board's input rail {name}"
    parts = [
        f"{part}, which is in {whole}" for part, whole in PARTS_OF_RAILS.items() if part in names and whole in names
    ]
    return "the sum of the module's rails" + (f" without {'; '.join(parts)}" if parts else "")
