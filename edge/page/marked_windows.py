"""Windows of time that a chart marks, such as those in which a board throttled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from edge.page.axes import Box, Plot, overlaps, with_halo
from edge.page.interactive import shown_text
from edge.page.svg import GLYPH, RED, line, rectangle, text, title_of


@dataclass(frozen=True)
class MarkedWindow:
    """A window of a chart's horizontal axis that is marked in it.

    Attributes:
        start: First place of the window.
        end: Last place of the window.
        mark: Text of a few characters above the window, by which a table or a text names it.
        text: Text that is shown when the window is pointed at.
    """

    start: float
    end: float
    mark: str
    text: str


def draw_windows(plot: Plot, windows: Sequence[MarkedWindow]) -> list[str]:
    """Draw windows: a red ground between two dashed lines under a bar, and a mark where there is room for one."""
    left, top, right, bottom = plot.frame
    parts, taken = [], []
    for window in windows:
        begin, end = (min(max(plot.across(place), left), right) for place in (window.start, window.end))
        size = max(end - begin, 1.5)
        ground = rectangle(begin, top, size, bottom - top, RED).replace("/>", ' fill-opacity="0.14"/>')
        edges = [line(x, top, x, bottom, RED, "2 3", 0.8) for x in (begin, begin + size)]
        parts.append(f"<g>{title_of(window.text)}{ground}{rectangle(begin, top - 3, size, 3, RED)}{''.join(edges)}</g>")
        half = GLYPH * len(window.mark) / 2
        box: Box = (begin + size / 2 - half, top - 15, begin + size / 2 + half, top - 4)
        if not any(overlaps(box, other) for other in taken):
            taken.append(box)
            parts.append(with_halo(text(begin + size / 2, top - 6, window.mark, anchor="middle", color=RED)))
    return parts


def live_windows(windows: Sequence[MarkedWindow]) -> dict[str, Any]:
    """Return the same windows as shapes and annotations of a live chart's layout."""
    shapes, marks = [], []
    for window in windows:
        across = {"xref": "x", "x0": window.start, "x1": window.end, "yref": "paper"}
        shapes.append(
            {
                "type": "rect",
                **across,
                "y0": 0,
                "y1": 1,
                "fillcolor": RED,
                "opacity": 0.16,
                "line": {"color": RED, "width": 1, "dash": "dot"},
                "layer": "below",
            }
        )
        shapes.append({"type": "line", **across, "y0": 1, "y1": 1, "line": {"color": RED, "width": 5}})
        marks.append(
            {
                "x": (window.start + window.end) / 2,
                "y": 1,
                "xref": "x",
                "yref": "paper",
                "yanchor": "bottom",
                "text": shown_text(window.mark),
                "hovertext": shown_text(window.text),
                "showarrow": False,
                "font": {"color": RED},
            }
        )
    return {"shapes": shapes, "annotations": marks}
