"""The Pareto pictures of a leaderboard: accuracy against energy and against latency."""

from __future__ import annotations

from edge.card import PRECISIONS
from edge.leaderboard.leaderboard_record import BoardColumn, BoardFigure, BoardFront, BoardRow, Leaderboard
from edge.leaderboard.need import parse_need
from edge.leaderboard.text import figure_text, heading
from edge.page.markup import Html
from edge.page.pareto import Choice, ParetoAxes, draw_pareto, pareto_chart, pareto_height
from edge.page.picture_file import picture_file
from edge.page.svg import WIDE

PICTURED = ("energy", "p50")
"""Columns that a picture of its own is drawn for, the horizontal ones."""


def front_charts(board: Leaderboard) -> list[Html]:
    """Return a Pareto picture of each front for a page; fronts of a single row are left out."""
    return [
        pareto_chart(*_parts(board, front), _caption(board, front)) for front in board.fronts if len(front.rows) > 1
    ]


def leaderboard_svg(board: Leaderboard) -> str:
    """Return accuracy against energy and against latency as an SVG file, such as a README shows.

    Of several groups of rows that cannot be compared, the one with most rows is drawn; without energy, latency alone.
    """
    charts = []
    for x in PICTURED:
        fronts = [front for front in board.fronts if front.x == x]
        if fronts:
            front = max(fronts, key=lambda each: len(each.rows))
            choices, axes = _parts(board, front)
            caption = _caption(board, front).split("; ")[0] + _limits_words(board, front)
            charts.append((caption, pareto_height(choices, WIDE), draw_pareto(choices, axes, caption, WIDE)))
    groups = list(dict.fromkeys(front.group for front in board.fronts if front.x in PICTURED))
    where = groups[0] if len(groups) == 1 else "the largest group of engines that can be compared"
    return picture_file("Which network is fit for the site", where, charts)


def _parts(board: Leaderboard, front: BoardFront) -> tuple[list[Choice], ParetoAxes]:
    columns = {column.name: column for column in board.columns}
    x, y = columns[front.x], columns[front.y]
    limits = {demand.name: demand.limit for demand in parse_need(board.need)} if board.need else {}
    shown = [row for row in board.rows if row.name in front.rows]
    # By precision, so that a precision has the same mark in every picture.
    rows = sorted(shown, key=lambda row: (PRECISIONS.index(row.precision), row.has_random_weights))
    choices = [_choice(row, rows, x, y, row.name in front.best) for row in rows]
    return choices, ParetoAxes(heading(x), heading(y), limits.get(front.x), limits.get(front.y))


def _choice(row: BoardRow, rows: list[BoardRow], x: BoardColumn, y: BoardColumn, is_best: bool) -> Choice:
    price, gain = row.figures[x.name], row.figures[y.name]
    has_one_size = len({(each.height, each.width) for each in rows}) == 1
    name = row.model if has_one_size else f"{row.model} {row.height}x{row.width}"
    words = "\n".join([row.name, _figure_words(x, price), _figure_words(y, gain)])
    return Choice(name, _group(row), price.value, gain.value, _interval(price), _interval(gain), is_best, words)


def _group(row: BoardRow) -> str:
    return f"{row.precision}, random weights" if row.has_random_weights else row.precision


def _figure_words(column: BoardColumn, figure: BoardFigure) -> str:
    text = f"{column.title} {figure_text(figure, column)} {column.unit}".rstrip()
    if figure.low is not None and figure.high is not None and figure.low < figure.high:
        text += f" ({figure.low:.{column.digits}f} to {figure.high:.{column.digits}f})"
    return text


def _interval(figure: BoardFigure) -> tuple[float, float] | None:
    return None if figure.low is None or figure.high is None else (figure.low, figure.high)


def _limits_words(board: Leaderboard, front: BoardFront) -> str:
    """Return what the need says of the two figures of a front, as a phrase; "" where it says nothing."""
    demands = parse_need(board.need) if board.need else ()
    limited = [demand.text for demand in demands if demand.name in (front.x, front.y)]
    return f"; need: {', '.join(limited)}" if limited else ""


def _caption(board: Leaderboard, front: BoardFront) -> str:
    titles = {column.name: column.title for column in board.columns}
    return f"{titles[front.y]} against {titles[front.x]}; {front.group}"
