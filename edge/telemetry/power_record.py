"""Power and temperatures of one benchmark, in the form that its record keeps."""

from __future__ import annotations

import math
from typing import Iterable, NamedTuple, Sequence

from edge.records import record
from edge.telemetry.energy import Energy, integrate_power
from edge.telemetry.sampler import PowerSampler
from edge.telemetry.throttling import ThrottledWindow, throttled_windows


@record(schema=1, what="power of a rail")
class RailPower:
    """Power of one rail, or of the total, over the measured window; an unmeasured value is None.

    Attributes:
        mean_mw: Mean power in mW: energy over time, not the mean of the samples, whose distances differ.
        min_mw: Smallest sample within the window, in mW.
        max_mw: Largest sample within the window, in mW.
        energy_mj: Energy of the window in mJ; None where it is refused.
    """

    mean_mw: float | None
    min_mw: float | None
    max_mw: float | None
    energy_mj: float | None


@record(schema=1, what="power record")
class PowerRecord:
    """Power and temperatures while frames were measured; an unmeasured value is None, and gives no energy.

    The measured window goes from the moment before the first measured frame to the moment after the last one; 0 s is
    its start. Samples before and after it come from the warm-up, and serve to interpolate its ends.

    Attributes:
        source: Name of the power source, a key of edge.telemetry.POWER_SOURCES such as "jtop".
        version: Version of the service or driver behind the source; None where it has none.
        covers: Text that says what the total is the power of.
        interval_s: Real time in s from one sample to the next.
        gap_limit_s: Longest time in s between two samples over which energy is counted.
        window_s: Length of the measured window in s.
        frame_count: Number of frames in the window.
        total: Power of everything that the source covers.
        rails: Rail -> power of the rail. An input rail is also the total, and the other rails are parts of it.
        energy_per_frame_mj: Energy of the total for one frame, in mJ; None where it is refused.
        refusal: Reason why there is no energy; None where there is one.
        failure: Reason why the samples ended early; None where they did not.
        times_s: Time of each sample in s, negative before the window. The columns below have one value for each sample.
        total_mw: Total power of each sample in mW.
        rails_mw: Rail -> power of each sample in mW.
        temperatures_c: Sensor -> temperature of each sample in degrees Celsius.
        gpu_load_percent: Share of the time that the GPU was busy, 0 to 100, for each sample.
        gpu_clock_mhz: Clock of the GPU in MHz, for each sample.
        fan_percent: Duty of the first fan, 0 to 100, for each sample.
        power_mode: Name of the board's power mode, for each sample.
        frame_start_s: Start of each measured frame in s, on the clock of `times_s`.
        energy_uncertainty_mj: Half width in mJ of the interval that holds the energy of the total with a confidence of
            95 %, from sampling and resolution; None where there is no energy, and in older records.
        energy_per_frame_uncertainty_mj: The same for one frame, in mJ.
        resolution_mw: Smallest step in mW in which the total can change; None where it is not known.
        idle_start_s: Start of the time before the warm-up in which nothing was done, in s and negative; None where
            there was none.
        idle_s: Length of that time in s; None where there was none.
        idle_mean_mw: Mean total power of that time in mW; None where it was not measured.
        idle_gpu_load_percent: Mean load of the GPU in that time, 0 to 100; None where it was not measured.
        net_energy_per_frame_mj: Energy of the total for one frame without what the idle machine would have drawn, in
            mJ; None where either was not measured.
        net_energy_per_frame_uncertainty_mj: Half width of its interval of 95 %, in mJ.
        gpu_clock_limit_mhz: Clock that the GPU might reach, in MHz, for each sample; empty in older records.
        cpu_load_percent: Share of the time that the cores were busy, 0 to 100, for each sample.
        cpu_clock_mhz: Mean clock of the cores in MHz, for each sample.
        cpu_clock_limit_mhz: Mean clock that the cores might reach, in MHz, for each sample.
        throttled: Spans of time in which the machine held its work back, and why.
    """

    source: str
    version: str | None
    covers: str
    interval_s: float
    gap_limit_s: float
    window_s: float
    frame_count: int
    total: RailPower
    rails: dict[str, RailPower]
    energy_per_frame_mj: float | None
    refusal: str | None
    failure: str | None
    times_s: tuple[float, ...]
    total_mw: tuple[float | None, ...]
    rails_mw: dict[str, tuple[float | None, ...]]
    temperatures_c: dict[str, tuple[float | None, ...]]
    gpu_load_percent: tuple[float | None, ...]
    gpu_clock_mhz: tuple[float | None, ...]
    fan_percent: tuple[float | None, ...]
    power_mode: tuple[str | None, ...]
    frame_start_s: tuple[float, ...]
    energy_uncertainty_mj: float | None = None
    energy_per_frame_uncertainty_mj: float | None = None
    resolution_mw: float | None = None
    idle_start_s: float | None = None
    idle_s: float | None = None
    idle_mean_mw: float | None = None
    idle_gpu_load_percent: float | None = None
    net_energy_per_frame_mj: float | None = None
    net_energy_per_frame_uncertainty_mj: float | None = None
    gpu_clock_limit_mhz: tuple[float | None, ...] = ()
    cpu_load_percent: tuple[float | None, ...] = ()
    cpu_clock_mhz: tuple[float | None, ...] = ()
    cpu_clock_limit_mhz: tuple[float | None, ...] = ()
    throttled: tuple[ThrottledWindow, ...] = ()


def throttled_s(record: PowerRecord) -> float:
    """Return how long the machine held its work back within the measured window, in s."""
    return sum(max(0.0, min(window.end_s, record.window_s) - max(window.start_s, 0.0)) for window in record.throttled)


class _Idle(NamedTuple):
    """What the machine did before the work; None where it was not measured."""

    duration_s: float | None = None
    energy: Energy | None = None
    gpu_load_percent: float | None = None


def power_record(
    sampler: PowerSampler, marks_ns: Sequence[int], idle_window_ns: tuple[int, int] | None = None
) -> PowerRecord:
    """Return the record of a sampler after its block has ended.

    Args:
        sampler: Sampler that read the power source during the window.
        marks_ns: Start of each measured frame, then the moment when the labels of all of them were in host memory; all
            on time.perf_counter_ns. For frames that overlap, the window begins with the first frame, when nothing is in
            flight, and ends with the last labels; so energy and frames belong to the same work.
        idle_window_ns: Start and end in ns of a time before the warm-up in which nothing was done; None where there was
            none, and so no net energy.
    """
    samples = sampler.samples
    times_ns = [sample.time_ns for sample in samples]
    window_ns = (marks_ns[0], marks_ns[-1])
    window_s = (window_ns[1] - window_ns[0]) / 1e9
    frame_count = len(marks_ns) - 1
    total_mw = [sample.total_mw for sample in samples]
    rails_mw = {
        name: [sample.rails_mw.get(name) for sample in samples]
        for name in _names(sample.rails_mw for sample in samples)
    }
    resolution_mw = sampler.source.resolution_mw
    whole = integrate_power(times_ns, total_mw, window_ns, sampler.gap_limit_s, resolution_mw)
    if idle_window_ns is not None:
        # To the microsecond that the record keeps, so that whoever has it computes the same.
        start_ns, end_ns = (window_ns[0] + round((time_ns - window_ns[0]) / 1e3) * 1000 for time_ns in idle_window_ns)
        idle_window_ns = (start_ns, end_ns)
    idle = _idle(sampler, times_ns, total_mw, idle_window_ns)
    net_mj, net_uncertainty_mj = _net(whole, idle, window_s)
    return PowerRecord(
        source=sampler.source.name,
        version=sampler.source.version,
        covers=sampler.source.covers,
        interval_s=sampler.source.interval_s,
        gap_limit_s=sampler.gap_limit_s,
        window_s=window_s,
        frame_count=frame_count,
        total=_rail(times_ns, total_mw, window_ns, whole),
        rails={
            name: _rail(times_ns, values, window_ns, integrate_power(times_ns, values, window_ns, sampler.gap_limit_s))
            for name, values in rails_mw.items()
        },
        energy_per_frame_mj=_of_a_frame(whole.energy_mj, frame_count),
        # A source without rails is there for the rest of the samples, and says in its own words why.
        refusal=whole.refusal if rails_mw or not samples else f"the source measures {sampler.source.covers}",
        failure=sampler.failure,
        times_s=_seconds(times_ns, window_ns[0]),
        total_mw=tuple(total_mw),
        rails_mw={name: tuple(values) for name, values in rails_mw.items()},
        temperatures_c={
            name: tuple(sample.temperatures_c.get(name) for sample in samples)
            for name in _names(sample.temperatures_c for sample in samples)
        },
        gpu_load_percent=tuple(sample.gpu_load_percent for sample in samples),
        gpu_clock_mhz=tuple(sample.gpu_clock_mhz for sample in samples),
        fan_percent=tuple(sample.fan_percent for sample in samples),
        power_mode=tuple(sample.power_mode for sample in samples),
        frame_start_s=_seconds(marks_ns[:-1], window_ns[0]),
        energy_uncertainty_mj=whole.uncertainty_mj,
        energy_per_frame_uncertainty_mj=_of_a_frame(whole.uncertainty_mj, frame_count),
        resolution_mw=resolution_mw,
        idle_start_s=None if idle_window_ns is None else _seconds(idle_window_ns[:1], window_ns[0])[0],
        idle_s=idle.duration_s,
        idle_mean_mw=_mean_mw(idle),
        idle_gpu_load_percent=idle.gpu_load_percent,
        net_energy_per_frame_mj=_of_a_frame(net_mj, frame_count),
        net_energy_per_frame_uncertainty_mj=_of_a_frame(net_uncertainty_mj, frame_count),
        gpu_clock_limit_mhz=tuple(sample.gpu_clock_limit_mhz for sample in samples),
        cpu_load_percent=tuple(sample.cpu_load_percent for sample in samples),
        cpu_clock_mhz=tuple(sample.cpu_clock_mhz for sample in samples),
        cpu_clock_limit_mhz=tuple(sample.cpu_clock_limit_mhz for sample in samples),
        throttled=tuple(throttled_windows(samples, window_ns[0])),
    )


def inside_window(record: PowerRecord, values: Sequence[float | None]) -> list[float]:
    """Return the measured values within the window, of one column of a record."""
    return [
        value for time_s, value in zip(record.times_s, values) if value is not None and 0 <= time_s <= record.window_s
    ]


def _idle(
    sampler: PowerSampler,
    times_ns: Sequence[int],
    total_mw: Sequence[float | None],
    window_ns: tuple[int, int] | None,
) -> _Idle:
    if window_ns is None:
        return _Idle()
    energy = integrate_power(times_ns, total_mw, window_ns, sampler.gap_limit_s, sampler.source.resolution_mw)
    loads = [
        sample.gpu_load_percent
        for sample in sampler.samples
        if sample.gpu_load_percent is not None and window_ns[0] <= sample.time_ns <= window_ns[1]
    ]
    return _Idle(round((window_ns[1] - window_ns[0]) / 1e9, 6), energy, sum(loads) / len(loads) if loads else None)


def _mean_mw(idle: _Idle) -> float | None:
    if idle.energy is None or idle.energy.energy_mj is None or not idle.duration_s:
        return None
    return idle.energy.energy_mj / idle.duration_s


def _net(whole: Energy, idle: _Idle, window_s: float) -> tuple[float | None, float | None]:
    """Return the energy of a window less that of an idle machine, and its uncertainty, both in mJ.

    Both parts are rounded by the same sensor, so that to add their uncertainties as independent is careful.
    """
    mean_mw = _mean_mw(idle)
    if whole.energy_mj is None or mean_mw is None or idle.energy is None or not idle.duration_s:
        return None, None
    idle_uncertainty_mj = (idle.energy.uncertainty_mj or 0.0) * window_s / idle.duration_s
    return whole.energy_mj - mean_mw * window_s, math.hypot(whole.uncertainty_mj or 0.0, idle_uncertainty_mj)


def _of_a_frame(energy_mj: float | None, frame_count: int) -> float | None:
    return None if energy_mj is None else energy_mj / frame_count


def _rail(
    times_ns: Sequence[int], values: Sequence[float | None], window_ns: tuple[int, int], energy: Energy
) -> RailPower:
    start_ns, end_ns = window_ns
    inside = [value for time_ns, value in zip(times_ns, values) if value is not None and start_ns <= time_ns <= end_ns]
    mean_mw = None if energy.energy_mj is None else energy.energy_mj / ((end_ns - start_ns) / 1e9)
    return RailPower(mean_mw, min(inside, default=None), max(inside, default=None), energy.energy_mj)


def _names(columns: Iterable[dict[str, float | None]]) -> list[str]:
    """Return all names in the order of their first appearance: a rail that appears late is None before."""
    return list(dict.fromkeys(name for column in columns for name in column))


def _seconds(times_ns: Sequence[int], zero_ns: int) -> tuple[float, ...]:
    # A microsecond is far below what a source knows, and keeps the file readable.
    return tuple(round((time_ns - zero_ns) / 1e9, 6) for time_ns in times_ns)
