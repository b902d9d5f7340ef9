"""evaluation.html: the scores of an evaluation in one file that fetches nothing."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.evaluation.confusion_chart import confusion_chart, largest_confusions
from edge.evaluation.record import Evaluation
from edge.evaluation.scores import FALSE_POSITIVE
from edge.evaluation.text import percent
from edge.labels import ClassTable
from edge.page.charts import Bar, bars
from edge.page.document import document
from edge.page.elements import Headline, headlines, legend, paragraph, section, warnings_box
from edge.page.markup import Html, element, joined
from edge.page.pictures import picture_figure, picture_grid
from edge.page.tables import NUMBER, TEXT, WORD, Column, facts, table

EVALUATION_PAGE = "evaluation.html"

_MOST_CONFUSIONS = 12

FramePictures = Sequence["tuple[str, dict[str, np.ndarray]]"]
"""Caption and pictures of each frame that is shown."""


def evaluation_page(
    evaluation: Evaluation, class_table: ClassTable, pictures: FramePictures, notes: Sequence[str] = ()
) -> str:
    """Return the page of an evaluation.

    Args:
        evaluation: Record of the evaluation.
        class_table: Class table of the dataset.
        pictures: Pictures of the frames that are labelled worst.
        notes: Sentences on what may spoil the scores.
    """
    names = tuple(one.name for one in evaluation.classes)
    confusion = np.array(evaluation.confusion, np.int64)
    colors = _css_colors(class_table)
    return document(
        f"Evaluation on {evaluation.dataset} {evaluation.split}",
        f"{evaluation.subject.path}, {evaluation.finished_utc}",
        [
            headlines(_headlines(evaluation)),
            warnings_box(notes),
            section("Classes", _class_bars(evaluation), _class_table(evaluation)),
            section("Groups and categories", _group_table(evaluation), _category_table(evaluation)),
            section(
                "Confusion",
                confusion_chart(confusion, names, "Which share of each true class is predicted as which, in percent"),
                _confusion_table(confusion, names),
            ),
            section(
                "Frames that are labelled worst",
                legend([(colors[name], name) for name in names]),
                *_worst(pictures),
            ),
            section("How it was measured", facts(_conditions(evaluation))),
        ],
    )


def prediction_page(title: str, subtitle: str, class_table: ClassTable, pictures: FramePictures) -> str:
    """Return a page of predictions of which nothing says whether they are right.

    Args:
        title: Title of the page.
        subtitle: Line below the title.
        class_table: Class table of the dataset.
        pictures: Pictures of the frames that are shown.
    """
    colors = _css_colors(class_table)
    return document(
        title,
        subtitle,
        [
            paragraph("There are no label maps, so there is no score."),
            section("Frames", legend([(colors[name], name) for name in class_table.class_names]), *_worst(pictures)),
        ],
    )


def _css_colors(class_table: ClassTable) -> dict[str, str]:
    pairs = zip(class_table.class_names, class_table.painted_rgb)
    return {name: "#{:02x}{:02x}{:02x}".format(*color) for name, color in pairs}


def _classes(count: int) -> str:
    return f"{count} {'class' if count == 1 else 'classes'}"


def _headlines(evaluation: Evaluation) -> list[Headline]:
    figures = [Headline(f"{percent(evaluation.miou)} %", "mIoU", f"mean over {_classes(_scored(evaluation))}")]
    if evaluation.miiou is not None:
        figures.append(Headline(f"{percent(evaluation.miiou)} %", "iIoU", f"{evaluation.objects} objects"))
    figures.append(Headline(f"{percent(evaluation.category_miou)} %", "mIoU of categories"))
    if evaluation.mean_boundary_f1 is not None:
        figures.append(Headline(f"{percent(evaluation.mean_boundary_f1)} %", "boundary F1"))
    figures += [
        Headline(f"{percent(group.iou)} %", group.name, f"mean IoU of {_classes(len(group.classes))}")
        for group in evaluation.groups
        if group.iou is not None and group.name == "infrastructure"
    ]
    return [*figures, Headline(str(evaluation.frame_count), "frames")]


def _scored(evaluation: Evaluation) -> int:
    return sum(one.iou is not None for one in evaluation.classes)


def _class_bars(evaluation: Evaluation) -> Html:
    shown = sorted((one for one in evaluation.classes if one.iou is not None), key=lambda one: -one.iou)
    return bars([Bar(one.name, one.iou, f"{percent(one.iou)} %") for one in shown], "IoU of each class")


def _class_table(evaluation: Evaluation) -> Html:
    has_instances, has_boundaries = evaluation.miiou is not None, evaluation.mean_boundary_f1 is not None
    columns = [Column("class", TEXT), Column("category", WORD), Column("IoU", NUMBER)]
    columns += [Column("iIoU", NUMBER)] if has_instances else []
    if has_boundaries:
        columns += [Column(head, NUMBER) for head in ("boundary F1", "boundary precision", "boundary recall")]
    columns += [Column("pixels found", NUMBER), Column("pixels", NUMBER)]
    rows = []
    for one in evaluation.classes:
        scores = [one.iou, *([one.iiou] if has_instances else [])]
        if has_boundaries:
            scores += [one.boundary_f1, one.boundary_precision, one.boundary_recall]
        rows.append([one.name, one.category, *map(percent, [*scores, one.accuracy]), f"{one.pixels:,}"])
    means = [evaluation.miou, *([evaluation.miiou] if has_instances else [])]
    means += [evaluation.mean_boundary_f1, None, None] if has_boundaries else []
    total = sum(one.pixels for one in evaluation.classes)
    rows.append(["mean", "", *map(percent, [*means, evaluation.mean_accuracy]), f"{total:,}"])
    return joined(paragraph("Scores in percent.", is_faint=True), table(columns, rows, last_is_sum=True, is_dense=True))


def _group_table(evaluation: Evaluation) -> Html:
    has_boundaries = evaluation.mean_boundary_f1 is not None
    columns = [Column("group", TEXT), Column("mean IoU", NUMBER)]
    columns += [Column("mean boundary F1", NUMBER)] if has_boundaries else []
    columns.append(Column("classes", TEXT))
    rows = [
        [one.name, percent(one.iou), *([percent(one.boundary_f1)] if has_boundaries else []), ", ".join(one.classes)]
        for one in evaluation.groups
        if one.iou is not None
    ]
    return table(columns, rows) if rows else Html()


def _category_table(evaluation: Evaluation) -> Html:
    has_instances = evaluation.category_miiou is not None
    columns = [Column("category", TEXT), Column("IoU", NUMBER)]
    columns += [Column("iIoU", NUMBER)] if has_instances else []
    columns.append(Column("classes, which count as one", TEXT))
    rows = [
        [one.name, percent(one.iou), *([percent(one.iiou)] if has_instances else []), ", ".join(one.classes)]
        for one in evaluation.categories
    ]
    mean = ["mean", percent(evaluation.category_miou)]
    rows.append([*mean, *([percent(evaluation.category_miiou)] if has_instances else []), ""])
    return table(columns, rows, last_is_sum=True)


def _confusion_table(confusion: np.ndarray, names: tuple[str, ...]) -> Html:
    rows = [
        [true, predicted, f"{100 * share:.1f}", f"{pixels:,}"]
        for true, predicted, share, pixels in largest_confusions(confusion, names, _MOST_CONFUSIONS)
    ]
    columns = [Column("true class", TEXT), Column("taken for", WORD), Column("% of it", NUMBER)]
    return table([*columns, Column("pixels", NUMBER)], rows) if rows else Html()


def _worst(pictures: FramePictures) -> list[Html]:
    parts: list[Html] = []
    for caption, shown in pictures:
        figures = [picture_figure(picture, f"{name} of {caption}", name) for name, picture in shown.items()]
        parts += [element("h3", caption), picture_grid(figures, 2)]
    return parts


def _conditions(evaluation: Evaluation) -> dict[str, str]:
    subject = evaluation.subject
    found = {"what": f"{subject.kind} {subject.path}"}
    if subject.model is not None:
        found["network"] = (
            f"{subject.model}, {'x'.join(map(str, subject.size))}, {subject.precision}, {subject.backend}"
        )
        found["looks at a frame"] = subject.looks
    if subject.sha256 is not None:
        found["SHA-256"] = subject.sha256
    found["frames"] = f"{evaluation.frame_count} of {evaluation.dataset} {evaluation.split}"
    if evaluation.skipped:
        found["left out"] = f"{len(evaluation.skipped)} frames that cannot be used"
    void = "a false positive of the predicted class" if evaluation.void == FALSE_POSITIVE else "not counted"
    found["where the labels are ignored"] = void
    if evaluation.boundary_tolerance is not None:
        found["tolerance of boundaries"] = f"{100 * evaluation.boundary_tolerance:g} % of a frame's diagonal"
    found["pixels right"] = f"{percent(evaluation.pixel_accuracy)} %"
    found["time"] = f"{evaluation.seconds:.1f} s"
    return found
