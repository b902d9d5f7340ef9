"""Tables of a page: numbers stand to the right, text to the left; on a phone the rows of a wide one become cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from edge.page.elements import scrollable
from edge.page.markup import Html, element, html_to_text

PLAIN, NUMBER, WORD, TEXT, WRAPPED, BARS = "", "number", "word", "text", "wrap", "bars"
"""Kinds of columns: numbers, but names of the rows in the first column; numbers in the first column too; words that
stay on one line; text that may break anywhere; numbers with words that may break between them; small charts."""


_PHONE_WIDTH, _TABLET_WIDTH = 362, 700
"""CSS pixels of a row on a phone of 390 and on a tablet of 820 pixels, whose tables have more room between columns."""

_GLYPH_WIDTH, _CELL_PADDING = 8.2, 12.8
"""CSS pixels of a bold character at the size of a table on a phone, and around a cell."""

_BROKEN_TEXT, _CHART = 16, 20
"""Characters that a column of text that may break takes, however short it is (edge/page/document.py), and that a small
chart takes; words that break between numbers take as many at most."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: Text above the column.
        kind: Kind of the cells: PLAIN, NUMBER, WORD, TEXT, WRAPPED or BARS.
    """

    head: str
    kind: str = PLAIN


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], last_is_sum: bool = False, is_dense: bool = False
) -> Html:
    """Return a table with a row of headings.

    A table that is too wide for a phone, or for a tablet, becomes a list of cards there: each row is a block that
    begins with its name, and has the heading of each column above its value. So no column is out of sight.

    Args:
        columns: Columns from left to right.
        rows: Rows from top to bottom, each with a cell for every column; text is escaped, HTML is not.
        last_is_sum: Whether the last row is the sum of the others.
        is_dense: Whether the rows stand close together, for a table of many rows.
    """
    head = element("tr", *(element("th", column.head, scope="col", class_=column.kind) for column in columns))
    width = _least_width(columns, rows)
    is_wide = width > _PHONE_WIDTH
    names = _name_column(columns)
    body = []
    for index, row in enumerate(rows):
        cells = []
        for place, (column, cell) in enumerate(zip(columns, row)):
            kind = f"{column.kind} name".strip() if is_wide and place == names else column.kind
            cells.append(element("td", cell, class_=kind, data_head=column.head if is_wide and cell else ""))
        is_sum = last_is_sum and index == len(rows) - 1
        body.append(element("tr", *cells, class_="sum" if is_sum else ""))
    shapes = (("dense", is_dense), ("cards", is_wide), ("broad", width > _TABLET_WIDTH))
    classes = " ".join(name for name, holds in shapes if holds)
    return scrollable(element("table", element("thead", head), element("tbody", *body), class_=classes))


def _name_column(columns: Sequence[Column]) -> int:
    """Return the position of the column that names the rows: the first of text, else the first."""
    return next((index for index, column in enumerate(columns) if column.kind == TEXT), 0)


def _least_width(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> float:
    """Return the CSS pixels of a row that is as wide as its columns, where those that may break are narrow."""
    whole = 0.0
    for place, column in enumerate(columns):
        widest = max((len(word) for word in column.head.split()), default=0)
        for row in rows:
            widest = max(widest, _least_characters(column.kind, html_to_text(row[place])))
        whole += _GLYPH_WIDTH * widest + _CELL_PADDING
    return whole


def _least_characters(kind: str, shown: str) -> int:
    """Return the characters that a cell is wide where it is as narrow as its column may be."""
    if kind in (BARS, TEXT):
        return _CHART if kind == BARS else _BROKEN_TEXT
    return min(len(shown), _BROKEN_TEXT) if kind == WRAPPED else len(shown)


def facts(values: Mapping[str, str]) -> Html:
    """Return a table of two columns, names and values, whose lines may break on a narrow screen."""
    rows = (element("tr", element("th", name, scope="row"), element("td", text)) for name, text in values.items())
    return element("table", *rows, class_="facts")
