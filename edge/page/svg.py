"""What all charts are made of: SVG text and shapes, their colours, and a form for wide and one for narrow screens.

A chart holds the colours of a light page, and classes by which the page's style sheet sets those of a dark one. Text in
a picture that is scaled to a phone would be five pixels high, so each chart is drawn twice, at its real size for a
desktop and for a phone, and the style sheet shows one of them. Captions are text of the page, which wraps.
"""

from __future__ import annotations

import html
from typing import Callable, Sequence

from edge.page.markup import Html, as_html, element

INK, FAINT, GRID, SHADE = "#1c2430", "#5a6675", "#dde2ea", "#f0f2f6"

BLUE, ORANGE, GREEN, RED = "#3b6fb6", "#a25f1d", "#287f45", "#c8362f"
"""Colours that people with any sight tell apart in pairs: blue and orange, and by place or shape green and red. Each
has a contrast of 3 to both papers, and white text on it one of 4.5 (WCAG 2.2, 1.4.3 and 1.4.11)."""

WIDE, NARROW = 760, 340
"""Widths in CSS pixels that charts are drawn for: a desktop's or a tablet's, and a phone's."""

GLYPH = 6.9
"""Pixels that a character takes at most on average, at the size of the charts' text."""


def in_both_widths(caption: str, draw: Callable[[int], Html], live: str = "") -> Html:
    """Return a chart with its caption, drawn for wide and for narrow screens.

    Args:
        caption: Text above the chart; "" shows none.
        draw: Function that draws the chart for a width in pixels.
        live: Data of the interactive chart that covers the drawn one (edge/page/interactive.py); "" for none.
    """
    above = element("p", caption, class_="caption") if caption else Html()
    return element("div", above, draw(WIDE), draw(NARROW), live, class_="chart")


def svg(width: float, height: float, parts: Sequence[str], label: str) -> Html:
    """Return a picture of SVG elements; `label` describes it for a reader who cannot see it."""
    form = {WIDE: 'class="for-wide" ', NARROW: 'class="for-narrow" '}.get(round(width), "")
    return Html(
        f'<svg {form}viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'font-family="system-ui, sans-serif" role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )


def text(
    x: float, y: float, content: str, anchor: str = "start", color: str = INK, title: str = "", class_name: str = ""
) -> str:
    """Return a text at a place; the text `title` is shown when it is pointed at."""
    name = class_name or class_of(color)
    return (
        f'<text {_attribute(name)}x="{x:.1f}" y="{y:.1f}" font-size="12" fill="{color}" '
        f'text-anchor="{anchor}">{title_of(title) if title else ""}{as_html(content)}</text>'
    )


def rectangle(x: float, y: float, width: float, height: float, color: str, rounding: float = 0) -> str:
    """Return a filled rectangle."""
    corner = f' rx="{rounding:g}"' if rounding else ""
    shade = _attribute("shade") if color == SHADE else ""
    return f'<rect {shade}x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"{corner} fill="{color}"/>'


def line(x1: float, y1: float, x2: float, y2: float, color: str, dashes: str = "none", width: float = 1) -> str:
    """Return a straight line; `dashes` are lengths of its strokes and gaps, as SVG writes them."""
    return (
        f'<line {_attribute(class_of(color))}x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="{width:g}" stroke-dasharray="{dashes}"/>'
    )


def polyline(points: Sequence[tuple[float, float]], color: str, dashes: str = "none", opacity: float = 1) -> str:
    """Return a line through points."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.3" stroke-opacity="{opacity:g}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def disc(x: float, y: float, radius: float, color: str) -> str:
    """Return a filled disc around a place."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{color}"/>'


def polygon(points: Sequence[tuple[float, float]], color: str) -> str:
    """Return a filled polygon."""
    return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="{color}"/>'


def title_of(content: str) -> str:
    """Return the title of a shape, which is shown when it is pointed at."""
    return f"<title>{html.escape(content)}</title>"


def class_of(color: str) -> str:
    """Return the class by which the style sheet replaces a colour on a dark page; "" where the colour stays."""
    return {FAINT: "faint", GRID: "grid", RED: "limit"}.get(color, "")


def shortened(name: str, longest: int) -> str:
    """Return a name of at most `longest` characters, cut in the middle if it has more."""
    if len(name) <= longest:
        return name
    # The end of a layer's name tells more than its beginning, which its neighbours share.
    front = longest // 3
    return f"{name[:front]}\u2026{name[len(name) - (longest - front - 1) :]}"


def _attribute(class_name: str) -> str:
    return f'class="{class_name}" ' if class_name else ""
