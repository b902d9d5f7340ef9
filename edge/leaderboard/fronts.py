"""Which rows are beaten by no other in two figures at once: the Pareto front."""

from __future__ import annotations

from typing import Sequence

from edge.leaderboard.leaderboard_record import BoardColumn, BoardFront, BoardRow

FRONTS = (("energy", "miou"), ("p50", "miou"), ("p99", "miou"), ("multiply-adds", "miou"))
"""Pairs of columns, horizontal and vertical, that fronts are made of."""


def fronts(rows: Sequence[BoardRow], columns: Sequence[BoardColumn]) -> tuple[BoardFront, ...]:
    """Return the fronts of all pairs of FRONTS, one for each group of rows that can be compared.

    Rows can be compared where machine and scenario are the same, and their accuracy is of the same frames.
    """
    by_name = {column.name: column for column in columns}
    made = []
    for x, y in FRONTS:
        groups: dict[str, list[BoardRow]] = {}
        for row in rows:
            if row.figures[x].value is not None and row.figures[y].value is not None:
                groups.setdefault(f"{row.machine}, {row.scenario}, {row.scored_on}", []).append(row)
        for group, members in groups.items():
            best = [row for row in members if not any(_beats(other, row, by_name[x], by_name[y]) for other in members)]
            made.append(BoardFront(x, y, group, tuple(r.name for r in members), tuple(r.name for r in best)))
    return tuple(made)


def _beats(first: BoardRow, second: BoardRow, *columns: BoardColumn) -> bool:
    """Return whether a row is better than another in one column, and worse in none."""
    gains = []
    for column in columns:
        gain = first.figures[column.name].value - second.figures[column.name].value
        gains.append(gain if column.is_more_better else -gain)
    return min(gains) >= 0 and max(gains) > 0
