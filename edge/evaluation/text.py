"""The result of an evaluation in a terminal."""

from __future__ import annotations

from typing import Sequence

from edge.evaluation.record import Evaluation
from edge.evaluation.scores import FALSE_POSITIVE

NO_SCORE = "-"


def percent(value: float | None) -> str:
    """Return a share as a percentage with one digit; NO_SCORE where there is none."""
    return NO_SCORE if value is None else f"{100 * value:.1f}"


def evaluation_text(evaluation: Evaluation) -> str:
    """Return the scores of an evaluation as lines of text, in percent."""
    has_instances, has_boundaries = evaluation.miiou is not None, evaluation.mean_boundary_f1 is not None
    heads = ["class", "IoU", *(["iIoU"] if has_instances else []), *(["boundary F1"] if has_boundaries else [])]
    rows = [
        [
            one.name,
            percent(one.iou),
            *([percent(one.iiou)] if has_instances else []),
            *([percent(one.boundary_f1)] if has_boundaries else []),
        ]
        for one in evaluation.classes
    ]
    mean = ["mean", percent(evaluation.miou)]
    mean += [percent(evaluation.miiou)] if has_instances else []
    mean += [percent(evaluation.mean_boundary_f1)] if has_boundaries else []
    lines = [headline(evaluation), "", *_columns([heads, *rows, mean])]
    lines += ["", *_columns([["category", *heads[1 : 2 + has_instances]], *_category_rows(evaluation, has_instances)])]
    groups = [
        [one.name, percent(one.iou), *([percent(one.boundary_f1)] if has_boundaries else []), ", ".join(one.classes)]
        for one in evaluation.groups
        if one.iou is not None
    ]
    if groups:
        heads = ["group (mean of classes)", "IoU", *(["boundary F1"] if has_boundaries else []), "classes"]
        lines += ["", *_columns([heads, *groups], last_is_text=True)]
    return "\n".join(lines)


def headline(evaluation: Evaluation) -> str:
    """Return the scores that count most, in one line."""
    parts = [f"mIoU {percent(evaluation.miou)} %"]
    parts += [f"iIoU {percent(evaluation.miiou)} %"] if evaluation.miiou is not None else []
    parts.append(f"categories {percent(evaluation.category_miou)} %")
    if evaluation.mean_boundary_f1 is not None:
        parts.append(f"boundary F1 {percent(evaluation.mean_boundary_f1)} %")
    parts.append(f"pixels right {percent(evaluation.pixel_accuracy)} %")
    void = ", void as false positive" if evaluation.void == FALSE_POSITIVE else ""
    frames = f"{evaluation.frame_count} frame{'' if evaluation.frame_count == 1 else 's'}"
    return f"{evaluation.dataset} {evaluation.split}, {frames}{void}: {', '.join(parts)}"


def _category_rows(evaluation: Evaluation, has_instances: bool) -> list[list[str]]:
    rows = [
        [one.name, percent(one.iou), *([percent(one.iiou)] if has_instances else [])] for one in evaluation.categories
    ]
    mean = ["mean", percent(evaluation.category_miou)]
    return [*rows, [*mean, *([percent(evaluation.category_miiou)] if has_instances else [])]]


def _columns(rows: Sequence[Sequence[str]], last_is_text: bool = False) -> list[str]:
    """Return rows whose first column is text and the others numbers, in aligned columns; the first row is the head."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(row[1:], widths[1:]))]
        if last_is_text:
            cells[-1] = row[-1]
        lines.append("  ".join(cells).rstrip())
    return lines
