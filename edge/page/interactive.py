"""Interactive charts of a page: the drawn chart stays for paper and for who runs no scripts, a live one covers it.

A live chart is data in the schema of plotly's figures inside the page, and `interactive.js` draws it when the page is
opened. Without the library (edge/page/plotly_library.py) a page has the drawn charts alone, and no script.
"""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any, Mapping, Sequence

from edge.page import plotly_library
from edge.page.markup import Html

FIGURE_CLASS = "figure-data"
"""Class of the elements that hold the data of a live chart."""

MOST_COLUMNS = 12_000
"""Columns into which a long row of values is thinned for a live chart: twenty pixels of a desk's chart hold each."""

_DIGITS = 6
"""Digits of a number in a live chart: more than a reader can point at."""


def figure(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], shared_axis: str = "") -> Html:
    """Return the data of a live chart, or an empty text where the library is not installed.

    Args:
        traces: Traces in the schema of plotly's figures. Names in them are text; `shown_text` makes text of what a user
            named.
        layout: Layout in the same schema, without colours of texts and grounds, which the page sets.
        shared_axis: Name that charts have in common whose horizontal axes move together; "" for a chart of its own.

    Source: plotly's documentation, Figure Reference; the schema is the same in Python and JavaScript.
    """
    if not plotly_library.is_installed():
        return Html()
    text = json.dumps({"traces": traces, "layout": layout, "axis": shared_axis}, default=_number, separators=(",", ":"))
    # Inside a script element nothing but its end tag, or the start of a comment, means anything to a browser.
    return Html(
        f'<script type="application/json" class="{FIGURE_CLASS}">{text.replace("<", chr(92) + "u003c")}</script>'
    )


def script_elements(body: str) -> Html:
    """Return the scripts that a page's body needs: none where it holds no live chart."""
    if FIGURE_CLASS not in body:
        return Html()
    own = Path(__file__).with_name("interactive.js").read_text(encoding="utf-8")
    script, licence = plotly_library.packed_script()
    return Html(
        f"<!-- {licence.replace('--', '- -')} -->\n"
        f'<script type="application/gzip" id="plotly-script">{script}</script>\n'
        f"<script>{own}</script>\n"
    )


def shown_text(name: str) -> str:
    """Return a user's text so that plotly, which reads some tags in texts, shows it as it is."""
    return html.escape(name, quote=False)


def rounded(values: Sequence[float | None]) -> list[float | None]:
    """Return values with as many digits as a chart can show; what is no finite number is None, a gap."""
    return [None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}") for value in values]


def _number(value: Any) -> Any:
    return value.item()
