"""Tables of a page: numbers are aligned to the right, text to the left; a wide table scrolls by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from edge.page.elements import scrollable
from edge.page.markup import Html, element

PLAIN, NUMBER, WORD, TEXT, BARS = "", "number", "word", "text", "bars"
"""Kinds of columns: numbers, but names of the rows in the first column; numbers in the first column too; words that
stay on one line; text that may break anywhere; small charts."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        head: Text above the column.
        kind: Kind of the cells: PLAIN, NUMBER, WORD, TEXT or BARS.
    """

    head: str
    kind: str = PLAIN


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], last_is_sum: bool = False, is_dense: bool = False
) -> Html:
    """Return a table with a row of headings.

    Args:
        columns: Columns from left to right.
        rows: Rows from top to bottom, each with a cell for every column; text is escaped, HTML is not.
        last_is_sum: Whether the last row is the sum of the others.
        is_dense: Whether the rows stand close together, for a table of many rows.
    """
    head = element("tr", *(element("th", column.head, scope="col", class_=column.kind) for column in columns))
    body = []
    for index, row in enumerate(rows):
        cells = (element("td", cell, class_=column.kind) for column, cell in zip(columns, row))
        is_sum = last_is_sum and index == len(rows) - 1
        body.append(element("tr", *cells, class_="sum" if is_sum else ""))
    whole = element("table", element("thead", head), element("tbody", *body), class_="dense" if is_dense else "")
    return scrollable(whole)


def facts(values: Mapping[str, str]) -> Html:
    """Return a table of two columns, names and values, whose lines may break on a narrow screen."""
    rows = (element("tr", element("th", name, scope="row"), element("td", text)) for name, text in values.items())
    return element("table", *rows, class_="facts")
