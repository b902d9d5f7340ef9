"""The axes of a chart: where values lie, round ticks, and levels that values are compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence, Tuple

from edge.page.svg import FAINT, GLYPH, GRID, RED, WIDE, line, text

_STRETCH_TO_LEVEL = 2.0
"""How much higher than its values an axis may become for a level to be seen; beyond, the values would lie flat."""

Box = Tuple[float, float, float, float]
"""Left, top, right, bottom."""


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
class Plot:
    """The area of a chart with two axes, and where its values lie in it.

    Attributes:
        x_ticks: Values with a tick on the horizontal axis, two or more.
        y_ticks: Values with a tick on the vertical axis, likewise.
        width: Width of the chart in pixels.
        height: Height of the chart in pixels.
        legend_height: Height of the legend above the area, in pixels.
        x_span: First and last value of the horizontal axis; None for the first and the last tick.
    """

    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    width: int = WIDE
    height: int = 300
    legend_height: int = 0
    x_span: tuple[float, float] | None = None

    @property
    def frame(self) -> Box:
        """Edges of the area in which values lie."""
        return 56, 26 + self.legend_height, self.width - 24, self.height - 44

    def across(self, x: float) -> float:
        """Return the place of a value on the horizontal axis, in pixels from the left."""
        left, _, right, _ = self.frame
        first, last = self.x_span or (self.x_ticks[0], self.x_ticks[-1])
        return left + (right - left) * (x - first) / (last - first)

    def down(self, y: float) -> float:
        """Return the place of a value on the vertical axis, in pixels from the top; a higher one is at its end."""
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
        first, last = self.x_span or (self.x_ticks[0], self.x_ticks[-1])
        for tick in (tick for tick in self.x_ticks if first <= tick <= last):
            parts.append(text(self.across(tick), bottom + 18, tick_text(tick, self.x_ticks), anchor="middle"))
        parts.append(text(right, self.height - 6, x_name, anchor="end", color=FAINT))
        return parts

    def level(self, y: float, name: str, taken: list[Box]) -> list[str]:
        """Draw a level with its name at the end where it covers less, and add the box of the name to `taken`."""
        left, _, right, _ = self.frame
        base, size = self.down(y) - 5, GLYPH * len(name)
        ends = [("end", right, (right - size, base - 10, right, base + 2))]
        ends.append(("start", left + 2, (left + 2, base - 10, left + 2 + size, base + 2)))
        anchor, x, box = min(ends, key=lambda end: sum(overlaps(end[2], other) for other in taken))
        taken.append(box)
        down = self.down(y)
        return [line(left, down, right, down, RED, "6 4"), with_halo(text(x, base, name, anchor=anchor, color=RED))]


def reach_of(highest: float, levels: Sequence[Level]) -> tuple[float, list[Level]]:
    """Return the highest value that the axis shows, and the levels that lie above it."""
    near = [level.value for level in levels if level.value <= _STRETCH_TO_LEVEL * highest]
    reach = max([highest, *near])
    return reach, [level for level in levels if level.value > reach]


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


def with_halo(content: str) -> str:
    """Return a text with a rim of paper, so that lines end at it."""
    return f'<g class="halo" paint-order="stroke" stroke="#fff" stroke-width="3">{content}</g>'


def most_steps(width: int) -> int:
    """Return the most steps between ticks of a horizontal axis for which a chart of some width has room."""
    return 6 if width == WIDE else 4


def overlaps(first: Box, second: Box) -> bool:
    """Return whether two boxes have a point in common."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
