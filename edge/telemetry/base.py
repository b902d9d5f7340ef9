"""The protocol of a power source, and the contents of one sample."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PowerSample:
    """Power and temperatures at one moment; whatever is not there, or could not be read, is None and never 0.

    Attributes:
        time_ns: Time of the sample in ns, on the clock of time.perf_counter_ns, which latencies are measured on too. Of
            a mean over some time it is the middle of that time.
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
        measures_power: Whether the source is there for power; without it, it has load, clocks and temperatures alone.
        is_present: Whether `open` found the source on this machine, also where it then refused.
        covers: Text that says what `total_mw` is the power of.
        resolution_mw: Smallest step in mW in which `total_mw` can change; None where it is not known.
        version: Version of the service or driver behind the source; None where it has none.
    """

    name: str = ""
    is_paced: bool = False
    package: str | None = None
    is_of_graphics_card: bool = False
    measures_power: bool = True

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.is_present = False
        self.covers = ""
        self.resolution_mw: float | None = None
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

    def other_processes(self) -> tuple[str, ...] | None:
        """Return the names of other programs that compute on the measured GPU; None where the source cannot tell."""
        return None
