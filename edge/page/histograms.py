"""Histograms as SVG and as live charts, with percentiles marked."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.page.axes import Box, Level, Plot, most_steps, overlaps, round_ticks, with_halo
from edge.page.interactive import figure, rounded, shown_text
from edge.page.live_axes import live_layout
from edge.page.markup import Html
from edge.page.svg import BLUE, GLYPH, NARROW, RED, in_both_widths, line, rectangle, svg, text, title_of

_MOST_BINS, _LEAST_BAR = 60, 1.5
"""Most bins, and pixels of the shortest bar, so that one frame in a hundred thousand is seen."""

_FAR = 3.0
"""What lies more than so many times as far from the median as the 99th percentile is left to a sentence."""

_ROW = 14


def histogram_chart(values: Sequence[float], unit: str, caption: str, marks: Sequence[Level] = ()) -> Html:
    """Draw how often values of some size were measured.

    Values far beyond the others would press these into one bar; they are left out, and the axis says how many.

    Args:
        values: Values in any order, at least one, all finite.
        unit: Unit of the values.
        caption: Text above the chart.
        marks: Values that are marked by a dashed line with a name, such as percentiles.
    """
    every = np.asarray(values, np.float64)
    shown = every[every <= _reach(every)]
    beyond = len(every) - len(shown)
    counts, edges = np.histogram(shown, _bin_count(shown))
    name = f"{unit}; {beyond} more up to {every.max():.4g} {unit} are not shown" if beyond else unit
    inside = [mark for mark in marks if edges[0] <= mark.value <= edges[-1]]
    return in_both_widths(
        caption,
        lambda width: _draw(counts, edges, name, unit, caption, inside, width),
        _live(counts, edges, name, unit, inside),
    )


def _reach(values: np.ndarray) -> float:
    median, high = np.percentile(values, (50, 99))
    return max(float(median + _FAR * (high - median)), float(high))


def _bin_count(values: np.ndarray) -> int:
    """Return the number of bins by the rule of Freedman and Diaconis (1981), within what a chart has room for."""
    low, high = np.percentile(values, (25, 75))
    width = 2 * (high - low) / len(values) ** (1 / 3)
    return int(min(_MOST_BINS, max(10, (values.max() - values.min()) / width))) if width > 0 else 10


def _draw(
    counts: np.ndarray,
    edges: np.ndarray,
    name: str,
    unit: str,
    caption: str,
    marks: Sequence[Level],
    width: int,
) -> Html:
    rows = _mark_rows(marks, edges, width)
    x_ticks = round_ticks(float(edges[0]), float(edges[-1]), most_steps(width))
    above = _ROW * len(set(rows))
    span = float(edges[0]), float(edges[-1])
    plot = Plot(x_ticks, round_ticks(0.0, float(counts.max()), 4), width, 240 + above, above, span)
    _, top, _, bottom = plot.frame
    parts = plot.axes(name, "frames")
    for count, begin, end in zip(counts, edges, edges[1:]):
        if count:
            height = max(bottom - plot.down(float(count)), _LEAST_BAR)
            left = plot.across(float(begin))
            bar = rectangle(left, bottom - height, max(plot.across(float(end)) - left - 0.6, 0.8), height, BLUE)
            parts.append(f"<g>{title_of(f'{begin:.4g} to {end:.4g} {unit}: {count}')}{bar}</g>")
    for mark, row in zip(marks, rows):
        x, y = plot.across(mark.value), top - 8 - _ROW * row
        anchor = "end" if x + GLYPH * len(mark.name) > width else "start"
        parts.append(line(x, y - 4, x, bottom, RED, "6 4"))
        parts.append(with_halo(text(x + (3 if anchor == "start" else -3), y, mark.name, anchor=anchor, color=RED)))
    return svg(width, plot.height, parts, caption)


def _mark_rows(marks: Sequence[Level], edges: np.ndarray, width: int) -> list[int]:
    """Return the row of each mark's name above the chart, so that no two lie on each other."""
    taken: list[tuple[int, Box]] = []
    rows = []
    for mark in marks:
        x = width * (mark.value - edges[0]) / ((edges[-1] - edges[0]) or 1.0)
        size = GLYPH * len(mark.name) + 6
        box: Box = (x - size, 0.0, x + size, 1.0) if x + size > width else (x, 0.0, x + size, 1.0)
        row = next(row for row in range(len(marks)) if not any(at == row and overlaps(box, b) for at, b in taken))
        taken.append((row, box))
        rows.append(row)
    return rows


def _live(counts: np.ndarray, edges: np.ndarray, name: str, unit: str, marks: Sequence[Level]) -> Html:
    rows = _mark_rows(marks, edges, NARROW)
    layout = live_layout(name, "frames", 280 + _ROW * len(set(rows)))
    layout["margin"]["t"] = 36 + _ROW * len(set(rows))
    layout["bargap"] = 0.04
    layout["hovermode"] = "closest"
    for mark, row in zip(marks, rows):
        layout["shapes"].append(
            {
                "type": "line",
                "x0": mark.value,
                "x1": mark.value,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": RED, "width": 1, "dash": "dash"},
            }
        )
        layout["annotations"].append(
            {
                "x": mark.value,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": _ROW * row,
                "xanchor": "left",
                "text": shown_text(mark.name),
                "showarrow": False,
                "font": {"color": RED},
            }
        )
    widths = np.diff(edges)
    words = [f"{begin:.4g} to {end:.4g} {unit}: {count}" for count, begin, end in zip(counts, edges, edges[1:])]
    bars = {
        "type": "bar",
        "x": rounded((edges[:-1] + widths / 2).tolist()),
        "y": [int(count) or None for count in counts],
        "width": rounded((0.96 * widths).tolist()),
        # The edge of a bar is seen where the bar itself is lower than a pixel.
        "marker": {"color": BLUE, "line": {"color": BLUE, "width": 1.2}},
        "hovertext": words,
        "hoverinfo": "text",
    }
    return figure([bars], layout)
