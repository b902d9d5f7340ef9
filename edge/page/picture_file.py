"""Charts as a picture in a file of its own, which a browser shows in light or dark as its user has it."""

from __future__ import annotations

from typing import Sequence

from edge.page.document import DARK, LIGHT
from edge.page.markup import Html, element
from edge.page.svg import FAINT, WIDE, text

_MARGIN, _TITLE_HEIGHT, _CAPTION_HEIGHT, _GAP = 20, 52, 22, 14
"""Pixels around the charts, for the title, above each chart, and below it."""

# Colours of a light page are attributes of the shapes, so that a program without style sheets shows them.
_DARK_STYLE = (
    "@media (prefers-color-scheme: dark) {"
    f" .ground {{ fill: {DARK['paper']}; }} text {{ fill: {DARK['ink']}; }} text.faint {{ fill: {DARK['faint']}; }}"
    f" text.limit {{ fill: {DARK['bad']}; }} line.limit {{ stroke: {DARK['bad']}; }}"
    f" .grid {{ stroke: {DARK['line']}; }} .shade {{ fill: {DARK['shade']}; }} .halo {{ stroke: {DARK['paper']}; }} }}"
)


def picture_file(title: str, subtitle: str, charts: Sequence[tuple[str, float, Html]]) -> str:
    """Return an SVG file with charts one below the other.

    Args:
        title: Title above all charts.
        subtitle: Line below the title.
        charts: Caption, height in pixels and SVG element of each chart; all are WIDE pixels wide.
    """
    parts = [
        f'<g font-size="16" font-weight="600">{_large(text(_MARGIN, 28, title))}</g>',
        text(_MARGIN, 46, subtitle, color=FAINT),
    ]
    y = float(_TITLE_HEIGHT)
    for caption, height, chart in charts:
        parts.append(f'<g font-weight="600">{text(_MARGIN, y + 16, caption)}</g>')
        parts.append(f'<g transform="translate({_MARGIN} {y + _CAPTION_HEIGHT:g})">{chart}</g>')
        y += _CAPTION_HEIGHT + height + _GAP
    width = WIDE + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:g}" width="{width}" height="{y:g}" '
        f'font-family="system-ui, sans-serif">{element("title", title)}<style>{_DARK_STYLE}</style>'
        f'<rect class="ground" width="{width}" height="{y:g}" fill="{LIGHT["paper"]}"/>{"".join(parts)}</svg>\n'
    )


def _large(content: str) -> str:
    return content.replace('font-size="12" ', "")
