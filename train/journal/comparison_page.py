"""A comparison of runs as text for a terminal, as a page, and as a picture."""

from __future__ import annotations

from typing import Callable, Sequence

from edge.page.curves import Axes, Curve, chart_height, curve_chart, draw_curves
from edge.page.document import document
from edge.page.elements import section, warnings_box
from edge.page.picture_file import picture_file
from edge.page.svg import WIDE
from edge.page.tables import TEXT, WRAPPED, Column, facts, table
from train.journal.comparison import ComparedRun, Row, class_rows, fact_rows, obstacles, setting_rows

_GAP = 2
"""Blanks between two columns of text."""

_LONGEST_CELL = 40


def comparison_text(runs: Sequence[ComparedRun], with_classes: bool, width: int) -> str:
    """Return the comparison as lines of text.

    Args:
        runs: runs to compare.
        with_classes: whether the IoU of each class is listed.
        width: characters of a line; more runs than fit side by side come in blocks.
    """
    lines = [f"{run.mark}  {run.folder}" for run in runs]
    rows = fact_rows(runs)
    settings = setting_rows(runs)
    parts = [("", rows)]
    if settings:
        parts.append(("settings that differ", settings))
    if with_classes:
        parts.append(("IoU of each class, best epoch", class_rows(runs)))
    names = max(len(row[0]) for _, part in parts for row in part)
    for columns in _blocks(runs, [row for _, part in parts for row in part], names, width):
        lines += ["", _line("", [(runs[index].mark, size) for index, size in columns], names)]
        for title, part in parts:
            lines += [title] if title else []
            lines += [_line(row[0], [(_cut(row[1 + index]), size) for index, size in columns], names) for row in part]
    return "\n".join(lines)


def _blocks(runs: Sequence[ComparedRun], rows: Sequence[Row], names: int, width: int) -> list[list[tuple[int, int]]]:
    """Return the columns of each block: pairs of a run's position and the characters of its column."""
    blocks: list[list[tuple[int, int]]] = [[]]
    taken = names
    for index, run in enumerate(runs):
        size = max([len(run.mark), *(len(_cut(row[1 + index])) for row in rows)])
        if blocks[-1] and taken + _GAP + size > width:
            blocks.append([])
            taken = names
        blocks[-1].append((index, size))
        taken += _GAP + size
    return blocks


def _line(name: str, cells: Sequence[tuple[str, int]], names: int) -> str:
    return (name.ljust(names) + "".join(" " * _GAP + cell.ljust(size) for cell, size in cells)).rstrip()


def _cut(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_CELL else f"{cell[: _LONGEST_CELL - 1]}\u2026"


def comparison_html(runs: Sequence[ComparedRun]) -> str:
    """Return the comparison as a page."""
    charts = [curve_chart(curves, axes, caption) for caption, curves, axes in _charts(runs)]
    columns = [Column(run.mark, WRAPPED) for run in runs]
    settings, classes = setting_rows(runs), class_rows(runs)
    return document(
        f"{len(runs)} trainings side by side",
        ", ".join(dict.fromkeys(f"{run.record.model} on {run.record.dataset}" for run in runs)),
        [
            warnings_box(obstacles(runs)),
            facts({run.mark: str(run.folder) for run in runs}),
            section("What they came to, and what they cost", table([Column("", TEXT), *columns], fact_rows(runs))),
            section("Curves", *charts),
            section("Settings that differ", table([Column("setting", TEXT), *columns], settings) if settings else ""),
            section(
                "IoU of each class", table([Column("in the best epoch", TEXT), *columns], classes) if classes else ""
            ),
        ],
    )


def comparison_svg(runs: Sequence[ComparedRun]) -> str:
    """Return the curves of runs as a picture."""
    charts = [
        (caption, chart_height(curves, WIDE), draw_curves(curves, axes, caption, WIDE))
        for caption, curves, axes in _charts(runs)
    ]
    marks = ", ".join(f"{run.mark} {run.folder.name}" for run in runs)
    return picture_file(f"{len(runs)} trainings side by side", marks, charts)


def _charts(runs: Sequence[ComparedRun]) -> list[tuple[str, list[Curve], Axes]]:
    """Return caption, curves and axes of each chart; runs without an epoch have no curve."""
    ran = [run for run in runs if run.epochs]
    if not ran:
        return []
    last = float(max(entry.epoch for run in ran for entry in run.epochs))
    epochs = Axes("epoch", (0.0, max(last, 1.0)), "", is_whole=True)
    charts = []
    scored = [run for run in ran if run.best is not None]
    if scored:
        scores = [_curve(run, lambda run: [float(entry.epoch) for entry in run.epochs], _scores) for run in scored]
        charts.append(("mIoU over epochs, in per cent", scores, epochs))
        longest_s = max(_times_s(run)[-1] for run in scored)
        unit, size_s = next((pair for pair in (("h", 3600.0), ("min", 60.0)) if longest_s >= 2 * pair[1]), ("s", 1.0))
        timed = [_curve(run, lambda run: [time_s / size_s for time_s in _times_s(run)], _scores) for run in scored]
        axes = Axes(unit, (0.0, max(longest_s / size_s, 1e-3)), "")
        charts.append(("mIoU over time, in per cent", timed, axes))
    losses = [_curve(run, lambda run: [float(entry.epoch) for entry in run.epochs], _losses) for run in ran]
    charts.append(("loss over epochs", losses, epochs))
    return charts


def _curve(
    run: ComparedRun,
    places_of: Callable[[ComparedRun], list[float]],
    values_of: Callable[[ComparedRun], list[float | None]],
) -> Curve:
    pairs = [pair for pair in zip(places_of(run), values_of(run)) if pair[1] is not None]
    name = f"{run.mark} {run.record.model}"
    return Curve(name, [place for place, _ in pairs], [value for _, value in pairs])


def _scores(run: ComparedRun) -> list[float | None]:
    return [None if entry.miou is None else 100 * entry.miou for entry in run.epochs]


def _losses(run: ComparedRun) -> list[float | None]:
    return [entry.loss for entry in run.epochs]


def _times_s(run: ComparedRun) -> list[float]:
    """Return the time from the start to the end of each epoch, in s."""
    times_s, total_s = [], 0.0
    for entry in run.epochs:
        total_s += entry.seconds
        times_s.append(total_s)
    return times_s
