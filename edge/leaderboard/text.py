"""A leaderboard as text: a table for a terminal or in Markdown, and what a need got for an answer."""

from __future__ import annotations

from types import MappingProxyType
from typing import Mapping, Sequence

from edge.frame_statistics.percentiles import NO_FIGURE
from edge.leaderboard.leaderboard_record import (
    MET,
    NOT_MET,
    BoardColumn,
    BoardFigure,
    BoardRow,
    DemandAnswer,
    Leaderboard,
)

SHOWN = (
    *("miou", "miou(infrastructure)", "parameters", "multiply-adds", "training"),
    *("p50", "p99", "fps", "power", "energy", "temperature"),
)
"""Columns of a table that fits a page; the record has all of them."""

_SHORT = {
    "miou": "mIoU %",
    "miou(infrastructure)": "infra. %",
    "parameters": "param. M",
    "multiply-adds": "MAC G",
    "training": "train h",
    "p50": "p50 ms",
    "p99": "p99 ms",
    "power": "W",
    "energy": "mJ/frame",
    "temperature": "max °C",
}
"""Headings that are short enough for a terminal."""


def shown_columns(board: Leaderboard) -> list[BoardColumn]:
    """Return the columns that tables show: those of SHOWN, and whatever the need limits beside them."""
    limited = {answer.demand.split("<")[0].split(">")[0] for row in board.rows for answer in row.answers}
    return [column for column in board.columns if column.name in SHOWN or column.name in limited]


def board_lines(board: Leaderboard) -> list[str]:
    """Return the lines that a terminal shows of a leaderboard."""
    lines = [*_answer_lines(board), *([""] if board.need else [])]
    measured = [column for column in shown_columns(board) if any(_is_known(row, column) for row in board.rows)]
    lines += _aligned(_table(board, measured, _SHORT)) if board.rows else ["no valid run to show"]
    absent = [heading(column) for column in shown_columns(board) if column not in measured]
    lines += [f"measured of none: {', '.join(absent)}"] if absent and board.rows else []
    lines += [f"{NO_FIGURE}: not measured"] if _has_gaps(board, measured) else []
    lines += ["", *(f"note: {note}" for note in board.notes)] if board.notes else []
    for run in board.left_out:
        lines.append(f"left out: {run.name} ({run.run}): {'; '.join(run.reasons)}")
    return lines


def board_markdown(board: Leaderboard) -> str:
    """Return a leaderboard in Markdown, for a README or a report."""
    head, *body = _table(board, shown_columns(board))
    numbers = ["---", *("---:" for _ in head[1:])]
    lines = [f"| {' | '.join(_escaped(cells))} |" for cells in (head, numbers, *body)]
    answers = [f"- {line}" for line in _answer_lines(board)]
    notes = [f"- {note}" for note in board.notes]
    notes += [f"- {NO_FIGURE}: not measured"] if _has_gaps(board, shown_columns(board)) else []
    notes += [f"- left out: {run.name} ({run.run}): {'; '.join(run.reasons)}" for run in board.left_out]
    parts = [answers, lines, notes]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def answer_sentence(row: BoardRow) -> str:
    """Return what a need got of one row for an answer, as one line."""
    if row.verdict == MET:
        sure = f"with at least {100 * row.confidence:.3g} % confidence" if row.confidence is not None else ""
        nearest = min(
            (each for each in row.answers if each.margin_percent is not None),
            key=lambda each: each.margin_percent,
            default=None,
        )
        closest = f"closest: {demand_words(nearest)}" if nearest is not None else ""
        weak = [each.demand for each in row.answers if each.confidence is None]
        unsure = f"without an interval: {', '.join(weak)}" if weak else ""
        return f"{row.name}: met{' ' if sure else ''}{sure}; {'; '.join(part for part in (closest, unsure) if part)}"
    missed = [demand_words(each) for each in row.answers if each.verdict == NOT_MET]
    open_ones = [demand_words(each) for each in row.answers if each.verdict not in (MET, NOT_MET)]
    return f"{row.name}: {row.verdict}; {'; '.join(missed or open_ones)}"


def demand_words(answer: DemandAnswer) -> str:
    """Return one answer in words, such as "p99<=50 met by 12.3 (24.6 %), at least 11.0"."""
    if answer.margin is None:
        return f"{answer.demand} {answer.verdict} ({answer.reason})"
    by = "by" if answer.verdict in (MET, NOT_MET) else "with a margin of"
    margin = abs(answer.margin) if answer.verdict == NOT_MET else answer.margin
    text = f"{answer.demand} {answer.verdict} {by} {_short(margin)}"
    if answer.margin_percent is not None:
        text += f" ({_short(abs(answer.margin_percent))} %)"
    if answer.verdict == MET and answer.least_margin is not None:
        text += f", at least {_short(answer.least_margin)}"
    return text + (f" ({answer.reason})" if answer.reason else "")


def figure_text(figure: BoardFigure, column: BoardColumn) -> str:
    """Return the value of a figure with as many digits as its column shows; a sign for one that was not measured."""
    return NO_FIGURE if figure.value is None else f"{figure.value:.{column.digits}f}"


def heading(column: BoardColumn) -> str:
    """Return the heading of a column, with its unit."""
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _answer_lines(board: Leaderboard) -> list[str]:
    if not board.need:
        return []
    met = [row for row in board.rows if row.verdict == MET]
    count = f"{len(met)} of {len(board.rows)}" if met else "none"
    return [f"need {board.need}: met by {count}", *(answer_sentence(row) for row in board.rows)]


def _short(value: float) -> str:
    """Return a number with three digits that count, and all of them before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(
    board: Leaderboard, columns: Sequence[BoardColumn], heads: Mapping[str, str] = MappingProxyType({})
) -> list[list[str]]:
    """Return the cells of a table, its headings first: those of `heads`, else title and unit."""
    answers = ["need"] if board.need else []
    rows = [["engine", *answers, *(heads.get(column.name) or heading(column) for column in columns)]]
    for row in board.rows:
        mark = " (not valid)" if row.invalid else " (random weights)" if row.has_random_weights else ""
        verdict = [row.verdict] if board.need else []
        rows.append(
            [f"{row.name}{mark}", *verdict, *(figure_text(row.figures[column.name], column) for column in columns)]
        )
    return rows


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _is_known(row: BoardRow, column: BoardColumn) -> bool:
    return row.figures[column.name].value is not None


def _has_gaps(board: Leaderboard, columns: Sequence[BoardColumn]) -> bool:
    return any(not _is_known(row, column) for row in board.rows for column in columns)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in cells]
