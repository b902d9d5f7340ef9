"""Small charts as SVG text, so that a report needs no plotting package and stays sharp."""

from __future__ import annotations

import html
from typing import Sequence

_INK, _BAR, _GRID = "#1c2430", "#3b6fb6", "#dde2ea"


def bar_chart(values: dict[str, float], unit: str, caption: str) -> str:
    """Draw horizontal bars, one per name.

    Args:
        values: name -> value, not negative.
        unit: behind each value.
        caption: above the chart.
    """
    row, left, width = 22, 120, 760
    height = row * len(values) + 28
    largest = max(values.values(), default=0.0) or 1.0
    parts = [_text(0, 14, caption, weight="600")]
    for index, (name, value) in enumerate(values.items()):
        y = 28 + row * index
        length = (width - left - 90) * value / largest
        parts.append(_text(left - 8, y + 13, name, anchor="end"))
        parts.append(f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="{row - 8}" rx="2" fill="{_BAR}"/>')
        parts.append(_text(left + length + 6, y + 13, f"{value:.2f} {unit}"))
    return _svg(width, height, parts)


def line_chart(values: Sequence[float], unit: str, caption: str) -> str:
    """Draw values in their order as a line over a zero-based axis.

    Args:
        values: at least one.
        unit: of the axis.
        caption: above the chart.
    """
    width, height, left, top, bottom = 760, 200, 60, 28, 22
    largest = max(values) * 1.1 or 1.0
    plot_width, plot_height = width - left - 10, height - top - bottom

    def place(index: int, value: float) -> tuple[float, float]:
        share = index / max(len(values) - 1, 1)
        return left + plot_width * share, top + plot_height * (1 - value / largest)

    parts = [_text(0, 14, caption, weight="600")]
    for step in range(5):
        value = largest * step / 4
        _, y = place(0, value)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 10}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(left - 6, y + 4, f"{value:.1f}", anchor="end"))
    points = " ".join("{:.1f},{:.1f}".format(*place(index, value)) for index, value in enumerate(values))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_BAR}" stroke-width="1.3"/>')
    parts.append(_text(left, height - 4, f"frame 1 to {len(values)}; {unit}"))
    return _svg(width, height, parts)


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" font-weight="{weight}" fill="{_INK}" '
        f'text-anchor="{anchor}">{html.escape(text)}</text>'
    )


def _svg(width: int, height: int, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" '
        f'role="img">{"".join(parts)}</svg>'
    )
