"""leaderboard.html: engines side by side, which of them meet a need, and Pareto pictures, in one file."""

from __future__ import annotations

from pathlib import Path

from edge.artifacts import write_text
from edge.leaderboard.leaderboard_pictures import front_charts
from edge.leaderboard.leaderboard_record import (
    MET,
    NOT_MET,
    NOT_SHOWN,
    UNKNOWN,
    UNMEASURED,
    BoardColumn,
    BoardFigure,
    BoardRow,
    DemandAnswer,
    Leaderboard,
)
from edge.leaderboard.text import answer_sentence, figure_text, heading, shown_columns
from edge.page.document import document
from edge.page.elements import (
    BAD,
    DOUBT,
    GOOD,
    NEUTRAL,
    Headline,
    badge,
    banner,
    faint,
    folded,
    headlines,
    paragraph,
    remarks,
    section,
    warnings_box,
)
from edge.page.markup import Html, joined
from edge.page.tables import TEXT, WORD, WRAPPED, Column, facts, table

LEADERBOARD_PAGE = "leaderboard.html"

_KINDS = {MET: GOOD, NOT_MET: BAD, NOT_SHOWN: DOUBT, UNMEASURED: NEUTRAL, UNKNOWN: DOUBT}
"""Kind of the badge of a verdict, whose word stands in it."""


def write_page(path: Path, board: Leaderboard) -> None:
    """Write the page of a leaderboard: one HTML file that fetches nothing.

    Args:
        path: Path of the HTML file.
        board: Leaderboard that is shown.

    Raises:
        StorageError: The page cannot be written.
    """
    write_text(path, leaderboard_html(board))


def leaderboard_html(board: Leaderboard) -> str:
    """Return the page of a leaderboard."""
    return document(
        "Which network is fit for the site" if board.need else "Networks side by side",
        f"{_count(board.rows, 'engine')}, made {board.made_utc}",
        [
            *_answer(board),
            headlines(_headlines(board)),
            warnings_box(board.notes),
            section("Accuracy against its price", *_pictures(board)),
            section("Engines", _table(board)),
            section("What the need got for an answer", *_answers(board)),
            section("Every figure, with its interval", *(_row_figures(board, row) for row in board.rows)),
            section("Left out", remarks(_left_out(board), "run")),
        ],
    )


def _answer(board: Leaderboard) -> list[Html]:
    if not board.need:
        return []
    met = [row for row in board.rows if row.verdict == MET]
    unknown = [row for row in board.rows if row.verdict == UNKNOWN]
    kind = GOOD if met else DOUBT if unknown else BAD
    title = f"{len(met)} of {_count(board.rows, 'engine')} {'meets' if len(met) == 1 else 'meet'} the need"
    sentences = [f"Need: {board.need}.", *(f"{answer_sentence(row)}." for row in met)]
    if unknown:
        sentences.append(f"{_count(unknown, 'engine')} may meet it: a figure is not measured, or too uncertain.")
    return [banner(kind, title, sentences)]


def _headlines(board: Leaderboard) -> list[Headline]:
    """Return who is first in the figures that matter most, among rows whose run is valid."""
    figures = []
    columns = {column.name: column for column in board.columns}
    for name, words in (("miou", "most accurate"), ("p50", "fastest"), ("energy", "least energy")):
        column = columns.get(name)
        rows = [row for row in board.rows if not row.invalid and row.figures[name].value is not None] if column else []
        if column is not None and rows:
            way = -1.0 if column.is_more_better else 1.0
            first = min(rows, key=lambda row: way * (row.figures[name].value or 0.0))
            value = f"{figure_text(first.figures[name], column)} {column.unit}".rstrip()
            figures.append(Headline(value, words, first.name))
    return figures


def _pictures(board: Leaderboard) -> list[Html]:
    charts = front_charts(board)
    if not charts:
        return []
    words = (
        "Up and to the left is better. Full marks on the dashed line: no other engine is better in both figures; pale "
        "ones are beaten. Fine lines are intervals."
    )
    return [*charts, paragraph(words, is_faint=True)]


def _table(board: Leaderboard) -> Html:
    columns = shown_columns(board)
    heads = [Column("engine", TEXT), *([Column("need", WORD)] if board.need else [])]
    rows = []
    for row in board.rows:
        cells = [_name(row), *([badge(row.verdict, _KINDS[row.verdict])] if board.need else [])]
        rows.append([*cells, *(figure_text(row.figures[column.name], column) for column in columns)])
    return table([*heads, *(Column(heading(column)) for column in columns)], rows, is_dense=True)


def _name(row: BoardRow) -> Html:
    parts = [row.name]
    if row.invalid:
        parts += [" ", badge("not valid", BAD)]
    if row.has_random_weights:
        parts += [" ", badge("random weights", DOUBT)]
    return joined(*parts)


def _answers(board: Leaderboard) -> list[Html]:
    """Return a table of each engine's answer to each demand, with its margin."""
    if not board.need or not board.rows:
        return []
    demands = [answer.demand for answer in board.rows[0].answers]
    rows = [
        [_name(row), badge(row.verdict, _KINDS[row.verdict]), *(_answer_cell(answer) for answer in row.answers)]
        for row in board.rows
    ]
    columns = [Column("engine", TEXT), Column("all", WORD), *(Column(demand, WRAPPED) for demand in demands)]
    words = "In brackets: distance from the limit in percent of it, positive on the good side, and the confidence."
    return [table(columns, rows, is_dense=True), paragraph(words, is_faint=True)]


def _answer_cell(answer: DemandAnswer) -> Html:
    parts = []
    if answer.margin_percent is not None:
        parts.append(f"{answer.margin_percent:+.3g} %")
    if answer.confidence is not None:
        parts.append(f"{100 * answer.confidence:.3g} % sure")
    words = f" ({'; '.join(parts)})" if parts else f" ({answer.reason})" if answer.reason else ""
    return joined(badge(answer.verdict, _KINDS[answer.verdict]), faint(words) if words else "")


def _row_figures(board: Leaderboard, row: BoardRow) -> Html:
    """Return all that is known of a row, folded behind its name."""
    about = {
        "weights": row.weights,
        "labels": row.labels,
        "machine": row.machine,
        "scenario": row.scenario,
        "accuracy of": row.scored_on or "not measured",
        "run": f"{row.run}, {row.started_utc}; {row.run_count} were given of this engine",
    }
    if row.invalid:
        about["not valid"] = "; ".join(row.invalid)
    figures = {heading(column): _figure_words(row.figures[column.name], column) for column in board.columns}
    return folded(row.name, facts({**about, **figures}))


def _figure_words(figure: BoardFigure, column: BoardColumn) -> str:
    if figure.value is None:
        return figure.unknown
    text = figure_text(figure, column)
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return text
    sure = f" with {100 * figure.confidence:.3g} % confidence" if figure.confidence is not None else ""
    return f"{text}, {figure.low:.{column.digits}f} to {figure.high:.{column.digits}f}{sure}"


def _left_out(board: Leaderboard) -> list[str]:
    return [f"{run.name} ({run.run}): {'; '.join(run.reasons)}" for run in board.left_out]


def _count(items: object, name: str) -> str:
    count = len(items)  # type: ignore[arg-type]
    return f"{count} {name}{'' if count == 1 else 's'}"
