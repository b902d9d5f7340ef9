"""A survey of a dataset as lines for a person, and as JSON."""

from __future__ import annotations

from typing import Any

from edge.datasets.survey.splits import DatasetSurvey, SplitSurvey

_SHOWN = 20
"""Problems that are printed at most; all of them stand in the JSON."""


def survey_lines(survey: DatasetSurvey) -> list[str]:
    """Return what a dataset holds as lines of text: splits, a table of the classes, and what is wrong."""
    dataset = survey.any_split
    frames = sum(len(one.dataset) for one in survey.splits.values())
    lines = [f"{dataset.name} under {dataset.root}: {frames} frames, {dataset.table.class_count} classes"]
    lines += [f"  {split:6} {_split_line(one)}" for split, one in survey.splits.items()]
    lines += [f"  {split:6} not there: {reason}" for split, reason in survey.absent.items()]
    lines += ["", *_class_table(survey)]
    problems = survey.problems()
    lines += ["", *(f"wrong: {problem}" for problem in problems[:_SHOWN])] if problems else ["", "nothing is wrong"]
    if len(problems) > _SHOWN:
        lines.append(f"wrong: and {len(problems) - _SHOWN} more (--json has them all)")
    missing = survey.classes_that_do_not_train()
    if missing:
        lines.append(f"note: no frame of train has {', '.join(missing)}, which other splits have")
    return lines


def _split_line(survey: SplitSurvey) -> str:
    sizes = [f"{height}x{width}" for height, width in survey.sizes]
    shown = ", ".join(sizes[:3]) + (f" and {len(sizes) - 3} sizes more" if len(sizes) > 3 else "")
    parts = [f"{len(survey.dataset)} frames of {shown}" if sizes else f"{len(survey.dataset)} frames"]
    if survey.bare:
        parts.append(f"{len(survey.bare)} without a label map")
    if survey.bad:
        parts.append(f"{len(survey.bad)} bad")
    if survey.dataset.split_source:
        parts.append(survey.dataset.split_source)
    return "; ".join(parts)


def _class_table(survey: DatasetSurvey) -> list[str]:
    """Return the share of the pixels and the frames of each class, by split."""
    names = [*survey.any_split.table.class_names, "ignored"]
    width = max(len("class"), *map(len, names))
    labelled = {split: one for split, one in survey.splits.items() if len(one.bare) < len(one.dataset)}
    lines = [f"{'class':{width}}" + "".join(f"  {f'{split} pixels':>13}  {'frames':>6}" for split in labelled)]
    for index, name in enumerate(names):
        cells = ""
        for one in labelled.values():
            total = int(one.class_pixels.sum()) + one.ignored_pixels
            is_class = index < len(one.class_pixels)
            pixels = int(one.class_pixels[index]) if is_class else one.ignored_pixels
            share = f"{100 * pixels / total:.3f} %" if total else "-"
            cells += f"  {share:>13}  {int(one.class_frames[index]) if is_class else '':>6}"
        lines.append(f"{name:{width}}{cells}".rstrip())
    return lines


def survey_json(survey: DatasetSurvey) -> dict[str, Any]:
    """Return a survey as a value of dicts, lists, texts and numbers."""
    dataset = survey.any_split
    return {
        "dataset": dataset.name,
        "data_dir": str(dataset.root),
        "splits": {split: _split_json(one) for split, one in survey.splits.items()},
        "absent": survey.absent,
        "problems": survey.problems(),
        "classes_that_do_not_train": survey.classes_that_do_not_train(),
    }


def _split_json(survey: SplitSurvey) -> dict[str, Any]:
    rows = zip(survey.dataset.table.class_names, survey.class_pixels.tolist(), survey.class_frames.tolist())
    return {
        "frames": len(survey.dataset),
        "frames_without_labels": len(survey.bare),
        "split_source": survey.dataset.split_source,
        "sizes": [
            {"height": height, "width": width, "frames": count} for (height, width), count in survey.sizes.items()
        ],
        "bad": [{"name": name, "problem": problem} for name, problem in survey.bad.items()],
        "classes": [{"name": name, "pixels": pixels, "frames": frames} for name, pixels, frames in rows],
        "ignored_pixels": survey.ignored_pixels,
    }
