"""Small charts of bars and strips as SVG, so that a page needs no plotting package and stays sharp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from edge.page.axes import round_ticks, tick_text
from edge.page.markup import Html
from edge.page.svg import (
    BLUE,
    FAINT,
    GLYPH,
    ORANGE,
    WIDE,
    in_both_widths,
    rectangle,
    shortened,
    svg,
    text,
    title_of,
)

_LONGEST_NAME = 44
"""Characters of a name in front of its bar."""

_WIDTH_OF_DIGIT = 7.0
"""Pixels that a character of a segment's mark needs."""


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


def bar_chart(values: dict[str, float], unit: str, caption: str) -> Html:
    """Draw horizontal bars, one per name.

    Args:
        values: Name -> value, not negative.
        unit: Unit that is written behind each value.
        caption: Text above the chart.
    """
    return bars([Bar(name, value, f"{value:.2f} {unit}") for name, value in values.items()], caption)


def bars(shown: Sequence[Bar], caption: str) -> Html:
    """Draw horizontal bars in their order; on a phone each name stands above its bar.

    Args:
        shown: Bars from top to bottom. Names need not differ; a bar whose value is not finite has only its text.
        caption: Text above the chart.
    """
    return in_both_widths(caption, lambda width: _bars(shown, caption, width))


def _bars(shown: Sequence[Bar], caption: str, width: int) -> Html:
    is_wide = width == WIDE
    longest = _LONGEST_NAME if is_wide else int(width / GLYPH)
    names = [shortened(bar.name, longest) for bar in shown]
    left = max(120, math.ceil(GLYPH * max(map(len, names), default=0)) + 12) if is_wide else 0
    right = max(90 if is_wide else 0, math.ceil(GLYPH * max((len(bar.text) for bar in shown), default=0)) + 12)
    largest = max((bar.value for bar in shown if math.isfinite(bar.value)), default=0.0) or 1.0
    row, parts = 22 if is_wide else 36, []
    for index, (name, bar) in enumerate(zip(names, shown)):
        y = row * index
        length = (width - left - right) * bar.value / largest if math.isfinite(bar.value) else 0.0
        title = bar.name if name != bar.name else ""
        if is_wide:
            parts.append(text(left - 8, y + 13, name, anchor="end", title=title))
        else:
            parts.append(text(0, y + 12, name, title=title))
            y += 15
        parts.append(rectangle(left, y + 2, length, 14, bar.color, rounding=2))
        parts.append(text(left + length + 6, y + 13, bar.text))
    return svg(width, max(row * len(shown), 1) + 4, parts, caption)


def bar_pair(first: float, second: float, largest: float) -> Html:
    """Draw two bars, one above the other, for a cell of a table: the first in orange, the second in blue.

    Args:
        first: Value of the upper bar, 0 to `largest`.
        second: Value of the lower bar, 0 to `largest`.
        largest: Value of a bar that fills the whole width.
    """
    width = 100
    upper, lower = (width * value / (largest or 1.0) for value in (first, second))
    parts = [rectangle(0, 1, upper, 7, ORANGE), rectangle(0, 9, lower, 7, BLUE)]
    return svg(
        width, 17, parts, f"{first / largest:.1%} and {second / largest:.1%} of the width" if largest else "none"
    )


def strip_chart(segments: Sequence[Segment], unit: str, label: str) -> Html:
    """Draw segments side by side, each as wide as its share of their sum, with a scale below.

    Args:
        segments: Segments from left to right, at least one; the sum of their values is positive.
        unit: Unit of the values.
        label: Description of the chart for a reader who cannot see it.
    """
    return in_both_widths("", lambda width: _strip(segments, unit, label, width))


def _strip(segments: Sequence[Segment], unit: str, label: str, width: int) -> Html:
    height, total = 44, sum(segment.value for segment in segments)
    parts, x = [], 0.0
    for segment in segments:
        size = width * segment.value / total
        # A hair of paper between two segments, as long as that leaves something of them.
        shape = rectangle(x, 0, max(size - 0.6, size / 2), height, segment.color)
        mark = ""
        if size >= _WIDTH_OF_DIGIT * len(segment.mark) + 4:
            mark = text(x + size / 2, height / 2 + 4, segment.mark, anchor="middle", color="#fff", class_name="on")
        parts.append(f"<g>{title_of(segment.text)}{shape}{mark}</g>")
        x += size
    whole = f"{total:.2f} {unit}"
    parts.append(text(width, height + 18, whole, anchor="end", color=FAINT))
    ticks = round_ticks(0.0, total, 6 if width == WIDE else 4)
    for tick in ticks[:-1]:
        place = width * tick / total
        words = f"{tick_text(tick, ticks)} {unit}"
        # Up to the end of the strip, which has the whole as it is.
        if place + GLYPH * len(words) / 2 < width - GLYPH * len(whole) - 8:
            parts.append(text(place, height + 18, words, anchor="start" if tick == 0 else "middle", color=FAINT))
    return svg(width, height + 24, parts, label)
