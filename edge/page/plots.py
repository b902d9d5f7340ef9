"""Charts with two axes as SVG: points with a limit, and values in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from edge.page.axes import Level, Plot, most_steps, reach_of, round_ticks, tick_text, with_halo
from edge.page.interactive import MOST_COLUMNS, figure, rounded, shown_text
from edge.page.labels import free_place
from edge.page.live_axes import add_levels, live_layout
from edge.page.markup import Html
from edge.page.svg import BLUE, FAINT, GLYPH, GREEN, RED, disc, in_both_widths, polyline, rectangle, svg, text, title_of
from edge.page.thinning import thinned


@dataclass(frozen=True)
class Point:
    """One point of a scatter chart.

    Attributes:
        x: Value on the horizontal axis.
        y: Value on the vertical axis, which grows upwards.
        mark: Text of one or two characters beside the point.
        text: Text that is shown when the point is pointed at.
        is_good: True to draw a green disc, False to draw a red square, None to draw a grey disc.
    """

    x: float
    y: float
    mark: str
    text: str
    is_good: bool | None


def scatter_chart(points: Sequence[Point], x_name: str, y_name: str, caption: str, limit: float | None) -> Html:
    """Draw points, a line of steps through the best of them, and a limit that y should not pass.

    A large x is a gain, and y is its price: at each x the line of steps shows the lowest y of all points with this x
    or a larger one. Points far above the rest are drawn as triangles at the upper edge, so that the others can be told
    apart.

    Args:
        points: Points to draw, at least one, all with finite coordinates.
        x_name: Name of the horizontal axis, with its unit.
        y_name: Name of the vertical axis, with its unit.
        caption: Text above the chart.
        limit: Largest y that is allowed; None to draw no limit.
    """
    return in_both_widths(
        caption,
        lambda width: _scatter(points, x_name, y_name, caption, limit, width),
        _live_scatter(points, x_name, y_name, limit),
    )


def _live_scatter(points: Sequence[Point], x_name: str, y_name: str, limit: float | None) -> Html:
    highest = _highest_shown(points, limit)
    layout = live_layout(x_name, y_name, 320, None, (min(0.0, min(point.y for point in points)), 1.06 * highest))
    layout["hovermode"] = "closest"
    if limit is not None:
        add_levels(layout, [Level(limit, f"budget {limit:g}")])
    colors = [FAINT if point.is_good is None else GREEN if point.is_good else RED for point in points]
    marks = {
        "color": colors,
        "symbol": ["square" if point.is_good is False else "circle" for point in points],
        "size": 9,
    }
    best = _best_steps(points)
    steps = {"x": [point.x for point in best], "y": [point.y for point in best], "line": {"color": BLUE, "shape": "vh"}}
    shown = {
        "x": rounded([point.x for point in points]),
        "y": rounded([point.y for point in points]),
        "text": [shown_text(point.mark) for point in points],
        "textposition": "top center",
        "hovertext": [shown_text(point.text) for point in points],
        "hoverinfo": "text",
    }
    return figure(
        [
            {"type": "scatter", "mode": "lines", "opacity": 0.6, "hoverinfo": "skip", **steps},
            {"type": "scatter", "mode": "markers+text", "marker": marks, **shown},
        ],
        layout,
    )


def _scatter(points: Sequence[Point], x_name: str, y_name: str, caption: str, limit: float | None, width: int) -> Html:
    plot = Plot(
        round_ticks(min(point.x for point in points), max(point.x for point in points), most_steps(width)),
        round_ticks(min(0.0, min(point.y for point in points)), _highest_shown(points, limit)),
        width,
    )
    is_cut = any(point.y > plot.y_ticks[-1] for point in points)
    beyond = f"; triangles lie above {tick_text(plot.y_ticks[-1], plot.y_ticks)}" if is_cut else ""
    parts = plot.axes(x_name, y_name + beyond)
    best = _best_steps(points)
    corners = [(point.x, y) for point, after in zip(best, best[1:] + best[-1:]) for y in (point.y, after.y)]
    parts.append(polyline([(plot.across(x), plot.down(y)) for x, y in corners], BLUE, opacity=0.6))
    places = [(plot.across(point.x), plot.down(point.y)) for point in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    if limit is not None:
        parts += plot.level(limit, f"budget {limit:g}", taken)
    for point, (x, y) in zip(points, places):
        parts.append(f"<g>{title_of(point.text)}{_symbol(x, y, point, point.y > plot.y_ticks[-1])}</g>")
    for point, (x, y) in zip(points, places):
        place = free_place(x, y, GLYPH * len(point.mark), taken, plot.frame)
        if place is not None:
            parts.append(with_halo(text(*place, point.mark)))
    return svg(plot.width, plot.height, parts, caption)


def line_chart(values: Sequence[float], unit: str, caption: str, levels: Sequence[Level] = ()) -> Html:
    """Draw values in their order as a line over a zero-based axis.

    Args:
        values: Values from left to right, at least one.
        unit: Unit of the values, written at the axis.
        caption: Text above the chart.
        levels: Levels that are drawn where they lie near the values, and named below the chart where they lie above it.
    """
    return in_both_widths(
        caption, lambda width: _line(values, unit, caption, levels, width), _live_line(values, unit, levels)
    )


def _live_line(values: Sequence[float], unit: str, levels: Sequence[Level]) -> Html:
    places, kept = thinned(range(1, len(values) + 1), values, MOST_COLUMNS)
    layout = live_layout("frame", unit, 260)
    layout["yaxis"]["rangemode"] = "tozero"
    add_levels(layout, [level for level in levels if level not in reach_of(max(values) or 1.0, levels)[1]])
    shown = {"x": places, "y": rounded(kept), "line": {"color": BLUE, "width": 1.3}, "hovertemplate": f"%{{y}} {unit}"}
    return figure([{"type": "scatter", "mode": "lines", "name": "", **shown}], layout)


def _line(values: Sequence[float], unit: str, caption: str, levels: Sequence[Level], width: int) -> Html:
    highest, above = reach_of(max(values) or 1.0, levels)
    plot = Plot((0.0, float(max(len(values) - 1, 1))), round_ticks(0.0, highest), width, height=210)
    left, _, right, bottom = plot.frame
    parts = [text(0, 12, unit, color=FAINT), *plot.rows()]
    places, kept = thinned(range(len(values)), values, round(right - left))
    parts.append(polyline([(plot.across(x), plot.down(y)) for x, y in zip(places, kept)], BLUE))
    for level in levels:
        if level not in above:
            parts += plot.level(level.value, level.name, [])
    foot = f"frame 1 to {len(values)}" if len(values) > 1 else "frame 1"
    parts.append(
        text(left, bottom + 16, "; ".join([foot, *(f"{level.name} lies above" for level in above)]), color=FAINT)
    )
    return svg(width, bottom + 24, parts, caption)


def _highest_shown(points: Sequence[Point], limit: float | None) -> float:
    """Return the end of the vertical axis: a hopeless attempt must not press the others onto the axis."""
    reach = 8 * max(abs(limit or 0.0), abs(min(point.y for point in points)), 1e-6)
    return max(min(max(point.y for point in points), reach), 1.3 * (limit or 0.0), 1e-3)


def _best_steps(points: Sequence[Point]) -> list[Point]:
    """Return the points, by falling x, that no other point beats in both x and y."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.x, point.y)):
        if not best or point.y < best[-1].y:
            best.append(point)
    return best


def _symbol(x: float, y: float, point: Point, is_beyond: bool) -> str:
    color = FAINT if point.is_good is None else GREEN if point.is_good else RED
    if is_beyond:
        return f'<polygon points="{x - 5:.1f},{y + 5:.1f} {x + 5:.1f},{y + 5:.1f} {x:.1f},{y - 4:.1f}" fill="{color}"/>'
    if point.is_good is not False:
        return disc(x, y, 4.5, color)
    return rectangle(x - 4, y - 4, 8, 8, color)
