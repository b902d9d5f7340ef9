"""Charts of curves as SVG: values over time, epochs or any other axis, with a legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from edge.page.axes import Level, Plot, most_steps, reach_of, round_ticks
from edge.page.curve_style import curve_style, marked_positions
from edge.page.interactive import MOST_COLUMNS, figure, rounded, shown_text
from edge.page.live_axes import add_levels, live_layout
from edge.page.marked_windows import MarkedWindow, draw_windows, live_windows
from edge.page.markup import Html
from edge.page.svg import FAINT, GLYPH, SHADE, in_both_widths, line, polyline, rectangle, svg, text
from edge.page.thinning import thinned

_HEIGHT, _LEGEND_ROW = 240, 16
"""Pixels of a chart without a legend, and of a line of one."""


@dataclass(frozen=True)
class Curve:
    """A curve of values over time, or over another axis.

    Attributes:
        name: Name in the legend; a chart with a single curve has no legend.
        places: Place of each value on the horizontal axis, rising: a time in s, or an epoch.
        values: Value at each place; None where nothing was measured.
    """

    name: str
    places: Sequence[float]
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axes:
    """What the two axes of a chart of curves show.

    Attributes:
        x_name: Name or unit of the horizontal axis.
        x_span: First and last value of the horizontal axis.
        unit: Unit of the values.
        from_zero: True to have 0 on the vertical axis whatever the values are; False where 0 has no meaning, as for
            temperatures in degrees Celsius.
        is_whole: Whether the horizontal axis counts, so that its ticks are whole numbers.
    """

    x_name: str
    x_span: tuple[float, float]
    unit: str
    from_zero: bool = True
    is_whole: bool = False

    @property
    def shown_span(self) -> tuple[float, float] | None:
        """First and last value of the axis where it ends with its values; None where it ends at a tick."""
        return None if self.is_whole or self.x_span[0] == self.x_span[1] else self.x_span

    def x_ticks(self, width: int) -> tuple[float, ...]:
        """Return the ticks of the horizontal axis of a chart of some width in pixels."""
        low, high = self.x_span
        most = most_steps(width)
        return round_ticks(low, high, max(1, min(most, int(high - low))) if self.is_whole else most)


def time_chart(
    curves: Sequence[Curve],
    span_s: tuple[float, float],
    window_s: float,
    unit: str,
    caption: str,
    from_zero: bool,
    levels: Sequence[Level] = (),
    windows: Sequence[MarkedWindow] = (),
) -> Html:
    """Draw curves over time; the time axes of charts with the same span are aligned when they stand in a column.

    Args:
        curves: Curves to draw; at least one value among them was measured.
        span_s: First and last time of the chart, in s.
        window_s: End of the measured window in s, which begins at 0; the chart is shaded outside it.
        unit: Unit of the values.
        caption: Text above the chart.
        from_zero: True to have 0 on the axis whatever the values are; False where 0 has no meaning, as for
            temperatures in degrees Celsius.
        levels: Levels that are drawn where they lie near the values.
        windows: Windows of time that are marked; where there is one, all charts in the column mark it.
    """
    axes = Axes("s", span_s, unit, from_zero)

    def ground(plot: Plot) -> list[str]:
        return [*_outside_window(plot, window_s), *draw_windows(plot, windows)]

    def draw(width: int) -> Html:
        return draw_curves(curves, axes, caption, width, levels, ground)

    return in_both_widths(caption, draw, _live(curves, axes, levels, windows, (0.0, window_s), "time"))


def curve_chart(curves: Sequence[Curve], axes: Axes, caption: str) -> Html:
    """Draw curves for a page.

    Args:
        curves: Curves to draw; at least one value among them was measured.
        axes: Names and span of the axes.
        caption: Text above the chart.
    """
    return in_both_widths(
        caption, lambda width: draw_curves(curves, axes, caption, width), _live(curves, axes, (), (), None, "")
    )


def draw_curves(
    curves: Sequence[Curve],
    axes: Axes,
    caption: str,
    width: int,
    levels: Sequence[Level] = (),
    ground: Callable[[Plot], list[str]] | None = None,
) -> Html:
    """Draw curves at one width, as one SVG element.

    Args:
        curves: Curves to draw; at least one value among them was measured.
        axes: Names and span of the axes.
        caption: Description of the chart for a reader who cannot see it.
        width: Width of the chart in pixels.
        levels: Levels that are drawn where they lie near the values.
        ground: Function that draws what lies behind the curves; None for nothing.
    """
    values = [value for curve in curves for value in curve.values if value is not None]
    low, high = min(values), max(values)
    if axes.from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    high, above = reach_of(high, levels)
    rows = _legend_rows(curves, width)
    height = chart_height(curves, width)
    plot = Plot(axes.x_ticks(width), round_ticks(low, high), width, height, _LEGEND_ROW * len(rows), axes.shown_span)
    parts = [*(ground(plot) if ground else []), *plot.axes(axes.x_name, axes.unit), *_key_of_curves(rows)]
    for index, curve in enumerate(curves):
        style = curve_style(index)
        places, kept = thinned(curve.places, curve.values, round(plot.frame[2] - plot.frame[0]))
        points = [(plot.across(place), plot.down(value)) for place, value in zip(places, kept) if value is not None]
        for run in _unbroken(places, kept):
            # A line through one point has no length, and has a mark instead.
            if len(run) > 1:
                parts.append(polyline([(plot.across(place), plot.down(value)) for place, value in run], style.color))
            else:
                parts.append(style.mark(plot.across(run[0][0]), plot.down(run[0][1])))
        if len(curves) > 1:
            parts += [style.mark(*points[place]) for place in marked_positions(len(points), index, len(curves))]
    for level in levels:
        if level not in above:
            parts += plot.level(level.value, level.name, [])
    return svg(plot.width, plot.height, parts, caption)


def chart_height(curves: Sequence[Curve], width: int) -> int:
    """Return the height in pixels of a chart of curves that is so many pixels wide."""
    return _HEIGHT + _LEGEND_ROW * len(_legend_rows(curves, width))


def _outside_window(plot: Plot, window_s: float) -> list[str]:
    left, top, right, bottom = plot.frame
    begin, end = (min(max(plot.across(time_s), left), right) for time_s in (0.0, window_s))
    return [rectangle(a, top, max(0.0, b - a), bottom - top, SHADE) for a, b in ((left, begin), (end, right))]


def _legend_rows(curves: Sequence[Curve], width: int) -> list[list[tuple[float, int, str]]]:
    """Return the lines of a legend: each a list of where an entry begins, its number and its name."""
    if len(curves) < 2:
        return []
    rows: list[list[tuple[float, int, str]]] = [[]]
    x = 0.0
    for index, curve in enumerate(curves):
        size = 34 + GLYPH * len(curve.name)
        if rows[-1] and x + size > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, index, curve.name))
        x += size
    return rows


def _key_of_curves(rows: list[list[tuple[float, int, str]]]) -> list[str]:
    parts = []
    for row, entries in enumerate(rows):
        y = 28 + _LEGEND_ROW * row
        for x, index, name in entries:
            style = curve_style(index)
            parts += [line(x, y - 4, x + 18, y - 4, style.color, width=1.3), style.mark(x + 9, y - 4)]
            parts.append(text(x + 22, y, name))
    return parts


def _unbroken(places: Sequence[float], values: Sequence[float | None]) -> list[list[tuple[float, float]]]:
    """Return the (place, value) pairs of a curve, divided where a value is missing, so that no line covers a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(places, values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((place, value))
    return [run for run in runs if run]


def _live(
    curves: Sequence[Curve],
    axes: Axes,
    levels: Sequence[Level],
    windows: Sequence[MarkedWindow],
    measured: tuple[float, float] | None,
    shared_axis: str,
) -> Html:
    """Return the data of the live chart of the same curves."""
    has_legend = len(curves) > 1
    height = _HEIGHT + 40 + (_LEGEND_ROW * (1 + len(curves) // 4) if has_legend else 0)
    layout = live_layout(axes.x_name, axes.unit, height, axes.x_span, None, has_legend)
    layout["yaxis"]["rangemode"] = "tozero" if axes.from_zero else "normal"
    layout.update(live_windows(windows))
    for begin, end in ((axes.x_span[0], measured[0]), (measured[1], axes.x_span[1])) if measured else ():
        across = {"x0": begin, "x1": end, "y0": 0, "y1": 1, "yref": "paper"}
        layout["shapes"].append(
            {"type": "rect", **across, "fillcolor": FAINT, "opacity": 0.12, "line": {"width": 0}, "layer": "below"}
        )
    highest = max((value for curve in curves for value in curve.values if value is not None), default=0.0)
    add_levels(layout, [level for level in levels if level not in reach_of(highest, levels)[1]])
    traces = []
    for index, curve in enumerate(curves):
        style = curve_style(index)
        places, kept = thinned(curve.places, curve.values, MOST_COLUMNS)
        trace = {
            "type": "scatter",
            "name": shown_text(curve.name),
            "x": rounded(places),
            "y": rounded(kept),
            "line": {"color": style.color, "width": 1.3},
            "hovertemplate": f"%{{y}} {shown_text(axes.unit)}",
        }
        marks = {"color": style.color, "symbol": style.shape, "size": 8, "maxdisplayed": 8 if len(kept) > 8 else 0}
        is_marked = has_legend or sum(value is not None for value in kept) < 2
        traces.append({**trace, "mode": "lines+markers", "marker": marks} if is_marked else {**trace, "mode": "lines"})
    return figure(traces, layout, shared_axis)
