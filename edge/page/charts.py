"""Small charts as SVG, so that a page needs no plotting package and stays sharp.

A chart holds the colours of a light page, and classes by which the page's style sheet sets those of a dark one.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Sequence, Tuple

from edge.page.markup import Html

_INK, _FAINT, _BAR, _GRID, _SHADE = "#1c2430", "#5a6675", "#3b6fb6", "#dde2ea", "#f0f2f6"
_GLYPH = 6.9
"""Pixels that a character takes at most on average, at the size of the charts' text."""

BLUE, ORANGE, GREEN, RED = _BAR, "#d9822b", "#2c8a4b", "#c8362f"
"""Colours that people with any sight tell apart in pairs: blue and orange, and by place or shape green and red."""

_WIDTH_OF_MARK = 16.0
"""Pixels that a segment of a strip needs to carry its mark."""

_CURVE_COLORS, _CURVE_DASHES = (BLUE, ORANGE, GREEN, RED), ("none", "5 3", "1 3")

_Box = Tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Bar:
    """One bar of a chart.

    Attributes:
        name: Text in front of the bar; a long one is cut in the middle, and shown whole when pointed at.
        value: Value that the length of the bar shows, not negative.
        text: Text behind the bar.
        color: Colour of the bar, "#rrggbb".
    """

    name: str
    value: float
    text: str
    color: str = BLUE


@dataclass(frozen=True)
class Segment:
    """One segment of a strip.

    Attributes:
        value: Value that the width of the segment shows, not negative.
        mark: Text of a few characters inside the segment, left out where there is no room.
        text: Text that is shown when the segment is pointed at.
        color: Colour "#rrggbb" on which white text can be read.
    """

    value: float
    mark: str
    text: str
    color: str


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


def bar_chart(values: dict[str, float], unit: str, caption: str) -> Html:
    """Draw horizontal bars, one per name.

    Args:
        values: Name -> value, not negative.
        unit: Unit that is written behind each value.
        caption: Text above the chart.
    """
    return bars([Bar(name, value, f"{value:.2f} {unit}") for name, value in values.items()], caption)


def bars(shown: Sequence[Bar], caption: str) -> Html:
    """Draw horizontal bars in their order.

    Args:
        shown: Bars from top to bottom. Names need not differ; a bar whose value is not finite has only its text.
        caption: Text above the chart.
    """
    row, width, longest = 22, 760, 44
    names = [shortened(bar.name, longest) for bar in shown]
    left = max(120, math.ceil(_GLYPH * max(map(len, names), default=0)) + 12)
    right = max(90, math.ceil(_GLYPH * max((len(bar.text) for bar in shown), default=0)) + 12)
    largest = max((bar.value for bar in shown if math.isfinite(bar.value)), default=0.0) or 1.0
    parts = [_text(0, 14, caption, weight="600")]
    for index, (name, bar) in enumerate(zip(names, shown)):
        y = 28 + row * index
        length = (width - left - right) * bar.value / largest if math.isfinite(bar.value) else 0.0
        parts.append(_text(left - 8, y + 13, name, anchor="end", title=bar.name if name != bar.name else ""))
        parts.append(
            f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 8}" rx="2" fill="{bar.color}"/>'
        )
        parts.append(_text(left + length + 6, y + 13, bar.text))
    return _svg(width, row * len(shown) + 28, parts, caption)


def bar_pair(first: float, second: float, largest: float) -> Html:
    """Draw two bars, one above the other, for a cell of a table: the first in orange, the second in blue.

    Args:
        first: Value of the upper bar, 0 to `largest`.
        second: Value of the lower bar, 0 to `largest`.
        largest: Value of a bar that fills the whole width.
    """
    width = 180
    upper, lower = (width * value / (largest or 1.0) for value in (first, second))
    parts = [
        f'<rect x="0" y="1" width="{upper:.1f}" height="7" fill="{ORANGE}"/>',
        f'<rect x="0" y="9" width="{lower:.1f}" height="7" fill="{BLUE}"/>',
    ]
    return _svg(
        width, 17, parts, f"{first / largest:.1%} and {second / largest:.1%} of the width" if largest else "none"
    )


def strip_chart(segments: Sequence[Segment], unit: str, label: str) -> Html:
    """Draw segments side by side, each as wide as its share of their sum, with a scale below.

    Args:
        segments: Segments from left to right, at least one; the sum of their values is positive.
        unit: Unit of the values.
        label: Description of the chart for a reader who cannot see it.
    """
    width, height = 960, 44
    total = sum(segment.value for segment in segments)
    parts, x = [], 0.0
    for segment in segments:
        size = width * segment.value / total
        # A hair of paper between two segments, as long as that leaves something of them.
        drawn = max(size - 0.6, size / 2)
        shape = f'<rect x="{x:.2f}" y="0" width="{drawn:.2f}" height="{height}" fill="{segment.color}"/>'
        mark = ""
        if size >= _WIDTH_OF_MARK:
            place = f'x="{x + size / 2:.1f}" y="{height / 2 + 4:.0f}"'
            mark = f'<text class="on" {place} font-size="11" fill="#fff" text-anchor="middle">{segment.mark}</text>'
        parts.append(f"<g>{_title(segment.text)}{shape}{mark}</g>")
        x += size
    for step in range(5):
        anchor = ("start", "middle", "middle", "middle", "end")[step]
        parts.append(_text(width * step / 4, height + 18, f"{total * step / 4:.2f} {unit}", anchor=anchor))
    return _svg(width, height + 24, parts, label)


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
    # A hopeless attempt must not press the limit and everything near it onto the axis.
    least = min(point.y for point in points)
    reach = 8 * max(abs(limit or 0.0), abs(least), 1e-6)
    highest = max(min(max(point.y for point in points), reach), 1.3 * (limit or 0.0), 1e-3)
    plot = _Plot(
        tuple(_ticks(min(point.x for point in points), max(point.x for point in points))),
        tuple(_ticks(min(0.0, least), highest)),
    )
    is_cut = any(point.y > plot.y_ticks[-1] for point in points)
    beyond = f"; triangles lie above {_tick_text(plot.y_ticks[-1], plot.y_ticks)}" if is_cut else ""
    parts = [_text(0, 14, caption, weight="600"), *plot.axes(x_name, y_name + beyond)]
    best = _best_steps(points)
    corners = [(point.x, y) for point, after in zip(best, best[1:] + best[-1:]) for y in (point.y, after.y)]
    path = " ".join(f"{plot.across(x):.1f},{plot.down(y):.1f}" for x, y in corners)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_BAR}" stroke-width="1.3" stroke-opacity="0.6"/>')
    places = [(plot.across(point.x), plot.down(point.y)) for point in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    if limit is not None:
        parts += plot.limit(limit, taken)
    for point, (x, y) in zip(points, places):
        parts.append(f"<g>{_title(point.text)}{_symbol(x, y, point, point.y > plot.y_ticks[-1])}</g>")
    for point, (x, y) in zip(points, places):
        place = _free_place(x, y, _GLYPH * len(point.mark), taken, plot.frame)
        if place is not None:
            # With a rim of paper, so that lines end at it.
            rim = 'class="halo" paint-order="stroke" stroke="#fff" stroke-width="3"'
            parts.append(f"<g {rim}>{_text(*place, point.mark)}</g>")
    return _svg(plot.width, plot.height, parts, caption)


def line_chart(values: Sequence[float], unit: str, caption: str) -> Html:
    """Draw values in their order as a line over a zero-based axis.

    Args:
        values: Values from left to right, at least one.
        unit: Unit of the values, written at the axis.
        caption: Text above the chart.
    """
    width, height, left, top, bottom = 760, 200, 60, 28, 22
    ticks = _ticks(0.0, max(values) or 1.0)
    plot_width, plot_height = width - left - 10, height - top - bottom

    def place(index: int, value: float) -> tuple[float, float]:
        share = index / max(len(values) - 1, 1)
        return left + plot_width * share, top + plot_height * (1 - value / ticks[-1])

    parts = [_text(0, 14, caption, weight="600")]
    for tick in ticks:
        _, y = place(0, tick)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{width - 10}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(left - 6, y + 4, _tick_text(tick, ticks), anchor="end"))
    points = " ".join("{:.1f},{:.1f}".format(*place(index, value)) for index, value in enumerate(values))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_BAR}" stroke-width="1.3"/>')
    parts.append(_text(left, height - 4, f"frame 1 to {len(values)}; {unit}", color=_FAINT))
    return _svg(width, height, parts, caption)


def time_chart(
    curves: Sequence[Curve], span_s: tuple[float, float], window_s: float, unit: str, caption: str, from_zero: bool
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
    """
    values = [value for curve in curves for value in curve.values if value is not None]
    low, high = min(values), max(values)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    x_ticks, y_ticks = tuple(_ticks(*span_s)), tuple(_ticks(low, high))
    plot = _Plot(x_ticks, y_ticks, height=260)
    left, top, right, bottom = plot.frame
    parts = [_text(0, 14, caption, weight="600")]
    for begin, end in ((left, plot.across(max(0.0, x_ticks[0]))), (plot.across(min(window_s, x_ticks[-1])), right)):
        width = max(0.0, end - begin)
        box = f'x="{begin:.1f}" y="{top}" width="{width:.1f}" height="{bottom - top}"'
        parts.append(f'<rect class="shade" {box} fill="{_SHADE}"/>')
    parts += plot.axes("s", unit)
    x = left + 60.0
    for index, curve in enumerate(curves):
        color = _CURVE_COLORS[index % len(_CURVE_COLORS)]
        dashes = _CURVE_DASHES[index // len(_CURVE_COLORS) % len(_CURVE_DASHES)]
        style = f'fill="none" stroke="{color}" stroke-width="1.3" stroke-dasharray="{dashes}"'
        for run in _unbroken(curve):
            points = " ".join(f"{plot.across(time_s):.1f},{plot.down(value):.1f}" for time_s, value in run)
            parts.append(f'<polyline points="{points}" {style}/>')
        if len(curves) > 1:
            parts.append(f'<line x1="{x:.1f}" y1="30" x2="{x + 18:.1f}" y2="30" {style}/>')
            parts.append(_text(x + 22, 34, curve.name))
            x += 34 + _GLYPH * len(curve.name)
    return _svg(plot.width, plot.height, parts, caption)


def _unbroken(curve: Curve) -> list[list[tuple[float, float]]]:
    """Return the (time, value) pairs of a curve, divided where a value is missing, so that no line covers a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for time_s, value in zip(curve.times_s, curve.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((time_s, value))
    return [run for run in runs if run]


@dataclass(frozen=True)
class _Plot:
    """The area of a chart with two axes, and where its values lie in it."""

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    width: int = 760
    height: int = 330

    @property
    def frame(self) -> _Box:
        return 60, 58, self.width - 24, self.height - 44

    def across(self, x: float) -> float:
        left, _, right, _ = self.frame
        return left + (right - left) * (x - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0])

    def down(self, y: float) -> float:
        _, top, _, bottom = self.frame
        share = (min(y, self.y_ticks[-1]) - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return bottom - (bottom - top) * share

    def axes(self, x_name: str, y_name: str) -> list[str]:
        left, _, right, bottom = self.frame
        parts = [_text(0, 34, y_name, color=_FAINT)]
        for tick in self.y_ticks:
            parts.append(self._level(tick, _GRID))
            parts.append(_text(left - 8, self.down(tick) + 4, _tick_text(tick, self.y_ticks), anchor="end"))
        for tick in self.x_ticks:
            parts.append(_text(self.across(tick), bottom + 18, _tick_text(tick, self.x_ticks), anchor="middle"))
        parts.append(_text(right, self.height - 6, x_name, anchor="end", color=_FAINT))
        return parts

    def limit(self, y: float, taken: list[_Box]) -> list[str]:
        """Draw the limit with its name at the end where it covers less, and add the box of the name to `taken`."""
        left, _, right, _ = self.frame
        name, base = f"budget {y:g}", self.down(y) - 5
        size = _GLYPH * len(name)
        ends = [("end", right, (right - size, base - 10, right, base + 2))]
        ends.append(("start", left + 2, (left + 2, base - 10, left + 2 + size, base + 2)))
        anchor, x, box = min(ends, key=lambda end: sum(_overlaps(end[2], other) for other in taken))
        taken.append(box)
        return [self._level(y, RED, "6 4"), _text(x, base, name, anchor=anchor, color=RED)]

    def _level(self, y: float, color: str, dashes: str = "none") -> str:
        left, _, right, _ = self.frame
        height = f"{self.down(y):.1f}"
        place = f'x1="{left}" y1="{height}" x2="{right}" y2="{height}"'
        return f'<line {_class_of(color)}{place} stroke="{color}" stroke-dasharray="{dashes}"/>'


def _best_steps(points: Sequence[Point]) -> list[Point]:
    """Return the points, by falling x, that no other point beats in both x and y."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (-point.x, point.y)):
        if not best or point.y < best[-1].y:
            best.append(point)
    return best


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers in equal steps, the first at most `low` and the last at least `high`; two or more."""
    if high == low:
        low = high - max(abs(high) * 0.02, 1e-3)
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= 6)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * index for index in range(first, max(last, first + 1) + 1)]


def _tick_text(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    digits = next((count for count in range(9) if abs(step * 10**count - round(step * 10**count)) < 1e-6), 9)
    return f"{value:.{digits}f}"


def _symbol(x: float, y: float, point: Point, is_beyond: bool) -> str:
    color = _FAINT if point.is_good is None else GREEN if point.is_good else RED
    if is_beyond:
        return f'<polygon points="{x - 5:.1f},{y + 5:.1f} {x + 5:.1f},{y + 5:.1f} {x:.1f},{y - 4:.1f}" fill="{color}"/>'
    if point.is_good is not False:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>'
    return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{color}"/>'


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


def shortened(name: str, longest: int) -> str:
    """Return a name of at most `longest` characters, cut in the middle if it has more."""
    if len(name) <= longest:
        return name
    # The end of a layer's name tells more than its beginning, which its neighbours share.
    front = longest // 3
    return f"{name[:front]}\u2026{name[len(name) - (longest - front - 1) :]}"


def _title(text: str) -> str:
    return f"<title>{html.escape(text)}</title>"


def _text(
    x: float, y: float, text: str, anchor: str = "start", weight: str = "400", color: str = _INK, title: str = ""
) -> str:
    return (
        f'<text {_class_of(color)}x="{x:.1f}" y="{y:.1f}" font-size="12" font-weight="{weight}" fill="{color}" '
        f'text-anchor="{anchor}">{_title(title) if title else ""}{html.escape(text)}</text>'
    )


def _class_of(color: str) -> str:
    """Return the class attribute by which the style sheet replaces a colour on a dark page; "" where it keeps it."""
    name = {_FAINT: "faint", _GRID: "grid", RED: "limit"}.get(color, "")
    return f'class="{name}" ' if name else ""


def _svg(width: int, height: int, parts: list[str], label: str) -> Html:
    return Html(
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )
