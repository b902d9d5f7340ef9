"""A leaderboard of measured runs: columns, rows in their order, fronts, and what to know before two are compared."""

from __future__ import annotations

import datetime
import difflib
from typing import Sequence

from edge.errors import InputError
from edge.labels import GROUPS, plain_class_name
from edge.leaderboard.figures import FIGURES, MIOU, OF_A_CLASS, kind_of
from edge.leaderboard.fronts import fronts
from edge.leaderboard.leaderboard_record import MET, NOT_MET, UNKNOWN, BoardColumn, BoardRow, Leaderboard
from edge.leaderboard.need import Demand, need_text
from edge.leaderboard.rows import board_rows
from edge.leaderboard.runs import MeasuredRun

_ORDER = {MET: 0, UNKNOWN: 1, "": 1, NOT_MET: 2}


def make_leaderboard(
    runs: Sequence[MeasuredRun], need: Sequence[Demand] = (), with_invalid: bool = False
) -> Leaderboard:
    """Put measured engines side by side, and answer a need.

    Args:
        runs: Runs in the order of their start.
        need: Demands; empty for a table alone.
        with_invalid: Whether runs that are not valid count too, where an engine has no valid one.

    Raises:
        InputError: The need names a class or group that none of the engines has.
    """
    _check_names(runs, need)
    columns = _columns(runs, need)
    rows, left_out = board_rows(runs, [column.name for column in columns], need, with_invalid)
    rows = sorted(rows, key=_place)
    return Leaderboard(
        made_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        need=need_text(tuple(need)),
        columns=tuple(columns),
        rows=tuple(rows),
        fronts=fronts(rows, columns),
        left_out=tuple(left_out),
        notes=tuple(_notes(rows)),
    )


def _columns(runs: Sequence[MeasuredRun], need: Sequence[Demand]) -> list[BoardColumn]:
    """Return all columns: every figure, mIoU of every group that was scored, and IoU of every class of an engine."""
    scored = [run.record.accuracy for run in runs if run.record.accuracy is not None]
    groups = dict.fromkeys(GROUPS)
    groups.update((name, None) for accuracy in scored for name in accuracy.groups)
    found = {name for accuracy in scored for name, value in accuracy.groups.items() if value is not None}
    classes = {plain_class_name(name): None for run in runs for name in run.record.engine.contract.class_names}
    columns = []
    for kind in FIGURES:
        if kind.name == OF_A_CLASS:
            continue
        columns.append(kind.column())
        if kind.name == MIOU:
            shown = [name for name in groups if name in found or name == GROUPS[0]]
            columns += [kind.column(name) for name in shown]
    columns += [kind_of(OF_A_CLASS).column(name) for name in classes]
    there = {column.name for column in columns}
    for demand in need:
        if demand.name not in there:
            base, _, inside = demand.name.partition("(")
            columns.append(kind_of(base).column(inside[:-1]))
            there.add(demand.name)
    return columns


def _check_names(runs: Sequence[MeasuredRun], need: Sequence[Demand]) -> None:
    """Refuse a need with a class or group that no engine has, which is a misspelling and not a missing measurement."""
    classes = {plain_class_name(name) for run in runs for name in run.record.engine.contract.class_names}
    groups = set(GROUPS)
    for run in runs:
        groups.update(plain_class_name(group) for each in run.record.engine.contract.classes for group in each.groups)
        groups.update(plain_class_name(name) for name in (run.record.accuracy.groups if run.record.accuracy else ()))
    for demand in need:
        inside = demand.name.partition("(")[2][:-1]
        what, known = ("class", classes) if demand.kind.name == OF_A_CLASS else ("group", groups)
        if inside and runs and inside not in known:
            near = difflib.get_close_matches(inside, sorted(known), 1)
            guess = f". Next: {demand.kind.name}({near[0]})" if near else ""
            raise InputError(
                f"need has '{demand.text}': no engine here has the {what} '{inside}', expected one of: "
                f"{', '.join(sorted(known))}{guess}"
            )


def _place(row: BoardRow) -> tuple:
    """Return what rows are ordered by: the answer to the need, then accuracy, then speed."""
    miou, p50 = row.figures[MIOU].value, row.figures["p50"].value
    return (_ORDER[row.verdict], -1.0 if miou is None else -miou, p50 if p50 is not None else 0.0, row.name)


def _notes(rows: Sequence[BoardRow]) -> list[str]:
    """Return sentences on rows that differ in more than the engine."""
    found = []
    for what, values in (
        ("machines", {row.machine for row in rows}),
        ("scenarios", {row.scenario for row in rows}),
        ("sets of frames", {row.scored_on for row in rows if row.scored_on}),
    ):
        if len(values) > 1:
            compared = "accuracy" if what == "sets of frames" else "speed, power and energy"
            listed = "; ".join(sorted(values))
            found.append(f"{compared} of these rows is of {len(values)} {what}, compare within one: {listed}")
    random = sum(row.has_random_weights for row in rows)
    if random:
        found.append(f"{random} of {len(rows)} rows have random weights: their speed alone means anything")
    invalid = sum(bool(row.invalid) for row in rows)
    if invalid:
        found.append(
            f"{invalid} of {len(rows)} rows are of runs that are not valid, and are here since they were asked for"
        )
    return found
