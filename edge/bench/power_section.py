"""Power, temperatures and energy of a benchmark record, as lines of text and as part of its page."""

from __future__ import annotations

from typing import Sequence

from edge.bench.verdict import CAMERA_FPS, FRAME_PERIOD_MS
from edge.page.axes import Level
from edge.page.curves import Curve, time_chart
from edge.page.elements import paragraph, warnings_box
from edge.page.marked_windows import MarkedWindow
from edge.page.markup import Html, joined
from edge.page.tables import TEXT, Column, table
from edge.telemetry.power_record import PowerRecord, RailPower, inside_window

FRAME_PERIOD = Level(FRAME_PERIOD_MS, f"{FRAME_PERIOD_MS:.1f} ms of {CAMERA_FPS} fps")
"""Level that charts of latency show."""


def power_lines(power: PowerRecord | None) -> list[str]:
    """Return what a terminal shows of a record's power.

    Args:
        power: None where it was not measured.
    """
    if power is None:
        return ["power: not measured"]
    lines = [f"power: {_mw(power.total.mean_mw)} mean, {power.covers} ({power.source})"]
    if not power.rails_mw:
        lines = [f"power: not measured, {power.covers.split(': ')[-1]} ({power.source})"]
    elif power.energy_per_frame_mj is None:
        lines.append(f"energy: none, {power.refusal}")
    else:
        lines.append(
            f"energy: {power.energy_per_frame_mj:.3f}{_plus_minus(power.energy_per_frame_uncertainty_mj)} mJ a frame, "
            f"{power.total.energy_mj:.1f} mJ for {power.frame_count} frames in {power.window_s:.2f} s"
        )
    if power.net_energy_per_frame_mj is not None:
        lines.append(
            f"energy net of idle: {power.net_energy_per_frame_mj:.3f}"
            f"{_plus_minus(power.net_energy_per_frame_uncertainty_mj)} mJ a frame; the idle machine drew "
            f"{_mw(power.idle_mean_mw)} for {power.idle_s:.1f} s"
        )
    warmest = _warmest(power)
    if warmest:
        lines.append(f"temperature: {warmest}")
    if power.failure:
        lines.append(f"power ended early: {power.failure}")
    return lines


def power_section(power: PowerRecord, latency_ms: Sequence[float]) -> list[Html]:
    """Return the parts of the page's section: charts on one axis of time, and a table of rails.

    Args:
        power: what was seen.
        latency_ms: end to end, of each measured frame.
    """
    reasons = (power.refusal and f"No energy: {power.refusal}", power.failure)
    parts = [warnings_box([reason for reason in reasons if reason])]
    moments = [*power.times_s, *power.frame_start_s, 0.0, power.window_s]
    span_s = (min(moments), max(moments))
    windows = _marked_windows(power)
    for curves, unit, caption in _charts(power, latency_ms):
        shown = [curve for curve in curves if any(value is not None for value in curve.values)]
        if shown:
            levels = (FRAME_PERIOD,) if unit == "ms" else ()
            parts.append(time_chart(shown, span_s, power.window_s, unit, caption, unit != "°C", levels, windows))
            parts.append(paragraph("; ".join(_range_words(curve, unit) for curve in shown), is_faint=True))
    shading = "Grey is outside of what was measured: the warm-up, and the samples that close the window."
    return [*parts, paragraph(shading, is_faint=True), _window_table(power, windows), _rail_table(power)]


def power_facts(power: PowerRecord | None) -> dict[str, str]:
    """Return how power was measured: what -> in which way."""
    if power is None:
        return {"power": "not measured"}
    version = f" {power.version}" if power.version else ""
    modes = list(dict.fromkeys(mode for mode in power.power_mode if mode is not None))
    return {
        "power": f"{power.source}{version}, every {power.interval_s:g} s; the total is {power.covers}",
        "energy": "trapezoids over exactly the measured frames, ends interpolated; refused over gaps of more than "
        f"{power.gap_limit_s:g} s",
        "power mode": ", then ".join(modes) if modes else "not known",
    }


def _charts(power: PowerRecord, latency_ms: Sequence[float]) -> list[tuple[list[Curve], str, str]]:
    times_s = power.times_s
    rails = [Curve(name, times_s, values) for name, values in power.rails_mw.items()]
    total = Curve("total", times_s, power.total_mw)
    return [
        ([Curve("latency", power.frame_start_s, latency_ms)], "ms", "latency, end to end, when each frame began"),
        ([total], "mW", f"power, {power.covers}"),
        # One rail is the total again.
        (rails if len(rails) > 1 else [], "mW", "power of each rail"),
        ([Curve(name, times_s, values) for name, values in power.temperatures_c.items()], "°C", "temperatures"),
        (
            [
                Curve("GPU load", times_s, power.gpu_load_percent),
                Curve("CPU load", times_s, power.cpu_load_percent),
                Curve("fan", times_s, power.fan_percent),
            ],
            "%",
            "load, and fan",
        ),
        (
            [
                Curve("GPU", times_s, power.gpu_clock_mhz),
                Curve("GPU limit", times_s, power.gpu_clock_limit_mhz),
                Curve("CPU", times_s, power.cpu_clock_mhz),
                Curve("CPU limit", times_s, power.cpu_clock_limit_mhz),
            ],
            "MHz",
            "clocks, and what they may reach",
        ),
    ]


def _marked_windows(power: PowerRecord) -> list[MarkedWindow]:
    """Return the throttled windows of a record as charts mark them: T1, T2 and so on."""
    return [
        MarkedWindow(
            window.start_s,
            window.end_s,
            f"T{number}",
            f"T{number}, throttled {window.start_s:.1f} to {window.end_s:.1f} s: {'; '.join(window.causes)}",
        )
        for number, window in enumerate(power.throttled, 1)
    ]


def _window_table(power: PowerRecord, windows: Sequence[MarkedWindow]) -> Html:
    """Return a table of the throttled windows, with their marks and causes; "" where there is none."""
    if not windows:
        return Html()
    rows = [
        [shown.mark, f"{window.start_s:.1f}", f"{window.end_s:.1f}", "; ".join(window.causes)]
        for shown, window in zip(windows, power.throttled)
    ]
    columns = [Column("throttled"), Column("from s"), Column("to s"), Column("because of", TEXT)]
    return joined(
        paragraph("Red in the charts, between two dashed lines: the machine held its work back."), table(columns, rows)
    )


def _range_words(curve: Curve, unit: str) -> str:
    """Return a curve as text, for who cannot see the chart: "GPU 40.0 to 61.5 °C"."""
    values = [value for value in curve.values if value is not None]
    return f"{curve.name} {min(values):.1f} to {max(values):.1f} {unit}"


def _rail_table(power: PowerRecord) -> Html:
    columns = [*map(Column, ("rail", "mean mW", "min mW", "max mW", "energy J"))]
    rails = [*power.rails.items(), ("total", power.total)]
    return table(columns, [[name, *map(_cell, _columns(rail))] for name, rail in rails], last_is_sum=True)


def _columns(rail: RailPower) -> tuple[float | None, ...]:
    return rail.mean_mw, rail.min_mw, rail.max_mw, None if rail.energy_mj is None else rail.energy_mj / 1000


def _cell(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f}"


def _mw(value: float | None) -> str:
    return "no" if value is None else f"{value:.0f} mW"


def _warmest(power: PowerRecord) -> str | None:
    """Return the sensor that was warmest within the measured window, and how warm."""
    highest = {
        name: max(seen)
        for name, seen in ((n, inside_window(power, v)) for n, v in power.temperatures_c.items())
        if seen
    }
    if not highest:
        return None
    name = max(highest, key=highest.__getitem__)
    return f"{name} was warmest, {highest[name]:.1f} °C"


def _plus_minus(uncertainty_mj: float | None) -> str:
    """Return the half width of an interval of 95 % behind its figure; "" where it is not known."""
    return "" if uncertainty_mj is None else f" ±{uncertainty_mj:.3f}"
