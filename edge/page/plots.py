"""Charts with two axes as SVG: points with a limit, values in their order, and curves over time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence, Tuple

from edge.page.markup import Html
from edge.page.svg import (
    BLUE,
    FAINT,
    GLYPH,
    GREEN,
    GRID,
    ORANGE,
    RED,
    SHADE,
    WIDE,
    in_both_widths,
    line,
    polyline,
    rectangle,
    svg,
    text,
    title_of,
)

_CURVE_COLORS, _CURVE_DASHES = (BLUE, ORANGE, GREEN, RED), ("none", "5 3", "1 3")

_STRETCH_TO_LEVEL = 2.0
"""How much higher than its values an axis may become for a level to be seen; beyond, the values would lie flat."""

_Box = Tuple[float, float, float, float]
"""Left, top, right, bottom."""


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


@dataclass(frozen=True)
class Level:
    """A value that a chart's values are compared with, drawn as a dashed line.

    Attributes:
        value: Value on the vertical axis, in the chart's unit.
        name: Name of the level, with its unit.
    """

    value: float
    name: str


@dataclass(frozen=True)
class Curve:
    """A curve of values over time.

    Attributes:
        name: Name in the legend; a chart with a single curve has no legend.
        times_s: Time of each value, in s.
        values: Value at each time; None where nothing was measured.
    """

    name: str
    times_s: Sequence[float]
    values: Sequence[float | None]


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
    return in_both_widths(caption, lambda width: _scatter(points, x_name, y_name, caption, limit, width))


def _scatter(points: Sequence[Point], x_name: str, y_name: str, caption: str, limit: float | None, width: int) -> Html:
    # A hopeless attempt must not press the limit and everything near it onto the axis.
    least = min(point.y for point in points)
    reach = 8 * max(abs(limit or 0.0), abs(least), 1e-6)
    highest = max(min(max(point.y for point in points), reach), 1.3 * (limit or 0.0), 1e-3)
    plot = _Plot(
        round_ticks(min(point.x for point in points), max(point.x for point in points), _most_steps(width)),
        round_ticks(min(0.0, least), highest),
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
        place = _free_place(x, y, GLYPH * len(point.mark), taken, plot.frame)
        if place is not None:
            parts.append(_with_halo(text(*place, point.mark)))
    return svg(plot.width, plot.height, parts, caption)


def line_chart(values: Sequence[float], unit: str, caption: str, levels: Sequence[Level] = ()) -> Html:
    """Draw values in their order as a line over a zero-based axis.

    Args:
        values: Values from left to right, at least one.
        unit: Unit of the values, written at the axis.
        caption: Text above the chart.
        levels: Levels that are drawn where they lie near the values, and named below the chart where they lie above it.
    """
    return in_both_widths(caption, lambda width: _line(values, unit, caption, levels, width))


def _line(values: Sequence[float], unit: str, caption: str, levels: Sequence[Level], width: int) -> Html:
    highest, above = _reach(max(values) or 1.0, levels)
    plot = _Plot((0.0, float(max(len(values) - 1, 1))), round_ticks(0.0, highest), width, height=210)
    left, _, right, bottom = plot.frame
    parts = [text(0, 12, unit, color=FAINT), *plot.rows()]
    parts.append(polyline([(plot.across(x), plot.down(y)) for x, y in _thinned(values, round(right - left))], BLUE))
    for level in levels:
        if level not in above:
            parts += plot.level(level.value, level.name, [])
    foot = f"frame 1 to {len(values)}" if len(values) > 1 else "frame 1"
    parts.append(
        text(left, bottom + 16, "; ".join([foot, *(f"{level.name} lies above" for level in above)]), color=FAINT)
    )
    return svg(width, bottom + 24, parts, caption)


def time_chart(
    curves: Sequence[Curve],
    span_s: tuple[float, float],
    window_s: float,
    unit: str,
    caption: str,
    from_zero: bool,
    levels: Sequence[Level] = (),
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
    """

    def draw(width: int) -> Html:
        values = [value for curve in curves for value in curve.values if value is not None]
        low, high = min(values), max(values)
        if from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        high, above = _reach(high, levels)
        rows = _legend_rows(curves, width) if len(curves) > 1 else []
        y_ticks = round_ticks(low, high)
        plot = _Plot(round_ticks(*span_s, _most_steps(width)), y_ticks, width, 240 + 16 * len(rows), 16 * len(rows))
        parts = [*_outside_window(plot, window_s), *plot.axes("s", unit), *_key_of_curves(rows)]
        for index, curve in enumerate(curves):
            for run in _unbroken(curve):
                places = [(plot.across(time_s), plot.down(value)) for time_s, value in run]
                parts.append(polyline(places, *_curve_style(index)))
        for level in levels:
            if level not in above:
                parts += plot.level(level.value, level.name, [])
        return svg(plot.width, plot.height, parts, caption)

    return in_both_widths(caption, draw)


def _outside_window(plot: _Plot, window_s: float) -> list[str]:
    left, top, right, bottom = plot.frame
    begin, end = plot.across(max(0.0, plot.x_ticks[0])), plot.across(min(window_s, plot.x_ticks[-1]))
    return [rectangle(a, top, max(0.0, b - a), bottom - top, SHADE) for a, b in ((left, begin), (end, right))]


def _curve_style(index: int) -> tuple[str, str]:
    color = _CURVE_COLORS[index % len(_CURVE_COLORS)]
    return color, _CURVE_DASHES[index // len(_CURVE_COLORS) % len(_CURVE_DASHES)]


def _legend_rows(curves: Sequence[Curve], width: int) -> list[list[tuple[float, int, str]]]:
    """Return the lines of a legend: each a list of where an entry begins, its number and its name."""
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
        y = 28 + 16 * row
        for x, index, name in entries:
            color, dashes = _curve_style(index)
            parts += [line(x, y - 4, x + 18, y - 4, color, dashes, 1.3), text(x + 22, y, name)]
    return parts


def _unbroken(curve: Curve) -> list[list[tuple[float, float]]]:
    """Return the (time, value) pairs of a curve, divided where a value is missing, so that no line covers a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for time_s, value in zip(curve.times_s, curve.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((time_s, value))
    return [run for run in runs if run]


def _thinned(values: Sequence[float], columns: int) -> list[tuple[float, float]]:
    """Return (position, value) of so many values that a line of so many pixels is the same: extremes all stay."""
    if len(values) <= 2 * columns:
        return [(float(index), value) for index, value in enumerate(values)]
    kept: list[int] = []
    for column in range(columns):
        first, last = column * len(values) // columns, (column + 1) * len(values) // columns
        part = range(first, last)
        kept += sorted({min(part, key=values.__getitem__), max(part, key=values.__getitem__)})
    return [(float(index), values[index]) for index in kept]


def _reach(highest: float, levels: Sequence[Level]) -> tuple[float, list[Level]]:
    """Return the highest value that the axis shows, and the levels that lie above it."""
    near = [level.value for level in levels if level.value <= _STRETCH_TO_LEVEL * highest]
    reach = max([highest, *near])
    return reach, [level for level in levels if level.value > reach]


@dataclass(frozen=True)
class _Plot:
    """The area of a chart with two axes, and where its values lie in it."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    width: int = WIDE
    height: int = 300
    legend_height: int = 0

    @property
    def frame(self) -> _Box:
        return 56, 26 + self.legend_height, self.width - 24, self.height - 44

    def across(self, x: float) -> float:
        left, _, right, _ = self.frame
        return left + (right - left) * (x - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])

    def down(self, y: float) -> float:
        _, top, _, bottom = self.frame
        share = (min(y, self.y_ticks[-1]) - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return bottom - (bottom - top) * share

    def rows(self) -> list[str]:
        """Draw the vertical axis: a line and a number at each tick."""
        left, _, right, _ = self.frame
        parts = []
        for tick in self.y_ticks:
            y = self.down(tick)
            parts.append(line(left, y, right, y, GRID))
            parts.append(text(left - 8, y + 4, tick_text(tick, self.y_ticks), anchor="end"))
        return parts

    def axes(self, x_name: str, y_name: str) -> list[str]:
        """Draw both axes with their names."""
        _, _, right, bottom = self.frame
        parts = [text(0, 12, y_name, color=FAINT), *self.rows()]
        for tick in self.x_ticks:
            parts.append(text(self.across(tick), bottom + 18, tick_text(tick, self.x_ticks), anchor="middle"))
        parts.append(text(right, self.height - 6, x_name, anchor="end", color=FAINT))
        return parts

    def level(self, y: float, name: str, taken: list[_Box]) -> list[str]:
        """Draw a level with its name at the end where it covers less, and add the box of the name to `taken`."""
        left, _, right, _ = self.frame
        base, size = self.down(y) - 5, GLYPH * len(name)
        ends = [("end", right, (right - size, base - 10, right, base + 2))]
        ends.append(("start", left + 2, (left + 2, base - 10, left + 2 + size, base + 2)))
        anchor, x, box = min(ends, key=lambda end: sum(_overlaps(end[2], other) for other in taken))
        taken.append(box)
        down = self.down(y)
        return [line(left, down, right, down, RED, "6 4"), _with_halo(text(x, base, name, anchor=anchor, color=RED))]


def _with_halo(content: str) -> str:
    """Return a text with a rim of paper, so that lines end at it."""
    return f'<g class="halo" paint-order="stroke" stroke="#fff" stroke-width="3">{content}</g>'


def _most_steps(width: int) -> int:
    return 6 if width == WIDE else 4


def _best_steps(points: Sequence[Point]) -> list[Point]:
    """Return the points, by falling x, that no other point beats in both x and y."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.x, point.y)):
        if not best or point.y < best[-1].y:
            best.append(point)
    return best


def round_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Return round numbers in equal steps of 1, 2 or 5 times a power of ten, for an axis.

    Args:
        low: Lowest value of the axis; the first tick is at most that.
        high: Highest value of the axis; the last tick is at least that.
        most: Most steps between `low` and `high`.

    Returns:
        Two ticks or more.
    """
    if high == low:
        low = high - max(abs(high) * 0.02, 1e-3)
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if span / (size * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(step * index for index in range(first, max(last, first + 1) + 1))


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """Return a tick as text, with as many digits as the step between ticks has."""
    step = ticks[1] - ticks[0]
    digits = next((count for count in range(9) if abs(step * 10**count - round(step * 10**count)) < 1e-6), 9)
    return f"{value:.{digits}f}"


def _symbol(x: float, y: float, point: Point, is_beyond: bool) -> str:
    color = FAINT if point.is_good is None else GREEN if point.is_good else RED
    if is_beyond:
        return f'<polygon points="{x - 5:.1f},{y + 5:.1f} {x + 5:.1f},{y + 5:.1f} {x:.1f},{y - 4:.1f}" fill="{color}"/>'
    if point.is_good is not False:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>'
    return rectangle(x - 4, y - 4, 8, 8, color)


def _free_place(x: float, y: float, text_width: float, taken: list[_Box], frame: _Box) -> tuple[float, float] | None:
    """Return where to write a mark beside a point, as (x, y) of the text's baseline; None if there is no free place.

    The box of the mark is added to `taken`.
    """
    middle = -text_width / 2
    # First where the line of the best, which comes from the right and leaves downwards, does not run.
    for dx, dy in ((middle, -8), (-8 - text_width, 4), (8, 16), (8, -8), (8, 4), (middle, 18)):
        box = (x + dx, y + dy - 10, x + dx + text_width, y + dy + 2)
        # Above and to the right of the frame are margins that a mark may stand in.
        inside = box[0] >= frame[0] and box[1] >= frame[1] - 20 and box[2] <= frame[2] + 20 and box[3] <= frame[3]
        if inside and not any(_overlaps(box, other) for other in taken):
            taken.append(box)
            return box[0], box[3] - 2
    return None


def _overlaps(first: _Box, second: _Box) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
