"""The record of an evaluation: what was evaluated, how, and every score."""

from __future__ import annotations

from edge.datasets import Dataset
from edge.errors import DatasetError
from edge.evaluation.counts import EvaluationCounts
from edge.evaluation.measure import Measured
from edge.evaluation.scores import IGNORED, Scores, scores_of
from edge.labels import ClassTable
from edge.records import record

EVALUATION_FILE = "evaluation.json"


@record(schema=1, what="score of a class")
class ClassScore:
    """The scores of one class.

    Attributes:
        name: Name of the class.
        category: Category that the class belongs to.
        iou: Intersection over union, 0 to 1; None where the class is neither in the labels nor predicted.
        iiou: IoU by objects, 0 to 1; None where objects of the class are not told apart.
        accuracy: Share of the class's pixels that are predicted right, 0 to 1; None where the labels have none.
        boundary_f1: F1 of the class's boundaries, 0 to 1; None where it was not measured, or there are none.
        boundary_precision: Share of predicted boundary pixels that are near a true one, 0 to 1; None likewise.
        boundary_recall: Share of true boundary pixels that are near a predicted one, 0 to 1; None likewise.
        pixels: Number of pixels that the labels have of the class.
    """

    name: str
    category: str
    iou: float | None
    iiou: float | None
    accuracy: float | None
    boundary_f1: float | None
    boundary_precision: float | None
    boundary_recall: float | None
    pixels: int


@record(schema=1, what="score of several classes")
class JointScore:
    """The scores of a category, whose classes count as one, or of a group, whose classes are averaged.

    Attributes:
        name: Name of the category or group.
        classes: Names of its classes.
        iou: Of a category the IoU of its classes as one, of a group the mean of theirs, 0 to 1; None where there is
            none.
        iiou: IoU of a category by objects, 0 to 1; None where objects are not told apart, and for a group.
        boundary_f1: Mean boundary F1 of a group's classes, 0 to 1; None where it was not measured, and for a category.
    """

    name: str
    classes: tuple[str, ...]
    iou: float | None
    iiou: float | None = None
    boundary_f1: float | None = None


@record(schema=1, what="frame of an evaluation")
class FrameScore:
    """A frame that is labelled worse than others.

    Attributes:
        name: Name of the frame.
        miou: Mean IoU over the classes that the frame has, or that are predicted in it, 0 to 1.
    """

    name: str
    miou: float


@record(schema=1, what="evaluated predictions")
class Subject:
    """What was evaluated.

    Attributes:
        kind: Kind of it: "keras weights", "onnx graph", "engine" or "files".
        path: Path of it, as it was given.
        sha256: SHA-256 of the weights, graph or engine; None of files.
        model: Name of the architecture; None of files.
        backend: Runtime that gave the logits, such as "keras" or "tensorrt"; None of files.
        precision: Precision of the engine; "float32" of weights and graphs, None of files.
        size: Height and width of the network's input in pixels; empty for files.
        looks: How the network looked at a frame: scales, mirrored frames, windows.
    """

    kind: str
    path: str
    sha256: str | None = None
    model: str | None = None
    backend: str | None = None
    precision: str | None = None
    size: tuple[int, ...] = ()
    looks: str = ""


@record(schema=1, what="evaluation", made_by="python train/evaluate.py")
class Evaluation:
    """The scores of predictions on one labelled split or folder.

    Attributes:
        subject: What was evaluated.
        dataset: Name of the dataset whose classes are evaluated.
        split: Name of the split, or the folder.
        frame_count: Number of frames that were counted.
        skipped: Names of the frames that were left out since they, or their label maps, cannot be used.
        void: Meaning of a class that is predicted where the labels are ignored: "ignored", or "false-positive".
        miou: Mean IoU over the classes, 0 to 1.
        miiou: Mean iIoU over the classes whose objects are told apart, 0 to 1; None without instance maps.
        category_miou: Mean IoU over the categories, 0 to 1.
        category_miiou: Mean iIoU over the categories, 0 to 1; None without instance maps.
        mean_boundary_f1: Mean boundary F1 over the classes, 0 to 1; None where it was not measured.
        boundary_tolerance: Tolerance of boundaries as a share of a frame's diagonal; None where it was not measured.
        pixel_accuracy: Share of the counted pixels that are right, 0 to 1.
        mean_accuracy: Mean over the classes of the share of their pixels that are right, 0 to 1.
        frequency_weighted_iou: Mean of the class IoUs by the number of their pixels, 0 to 1.
        classes: Scores of each class.
        categories: Scores of each category.
        groups: Scores of each group.
        objects: Number of objects behind iIoU.
        confusion: Rows of true classes, columns of predicted ones, in pixels; the last of each is what is ignored, or
            of no evaluated class.
        unknown_pixels: Number of pixels whose predicted value is of no class of the dataset; each counts as wrong.
        worst: Frames that are labelled worst, the worst first.
        seconds: Time in s from the first frame to the last.
        finished_utc: Time of the end, ISO 8601.
    """

    subject: Subject
    dataset: str
    split: str
    frame_count: int
    skipped: tuple[str, ...]
    void: str
    miou: float
    miiou: float | None
    category_miou: float | None
    category_miiou: float | None
    mean_boundary_f1: float | None
    boundary_tolerance: float | None
    pixel_accuracy: float
    mean_accuracy: float | None
    frequency_weighted_iou: float | None
    classes: tuple[ClassScore, ...]
    categories: tuple[JointScore, ...]
    groups: tuple[JointScore, ...]
    objects: int
    confusion: tuple[tuple[int, ...], ...]
    unknown_pixels: int
    worst: tuple[FrameScore, ...]
    seconds: float
    finished_utc: str


def evaluation_of(
    measured: Measured,
    subject: Subject,
    dataset: Dataset,
    boundary_tolerance: float | None,
    seconds: float,
    finished_utc: str,
    void: str = IGNORED,
) -> Evaluation:
    """Return the record of what was measured on a labelled split.

    Raises:
        DatasetError: Every pixel of the split is ignored.
    """
    counts = measured.counts
    scores = scores_of(counts, void)
    if scores.miou is None or scores.pixel_accuracy is None:
        raise DatasetError(f"{dataset.name} {dataset.split} has no pixel that counts: every label is ignored")
    table = dataset.table
    return Evaluation(
        subject=subject,
        dataset=dataset.name,
        split=dataset.split,
        frame_count=counts.frame_count,
        skipped=dataset.skipped,
        void=void,
        miou=scores.miou,
        miiou=scores.miiou,
        category_miou=scores.category_miou,
        category_miiou=scores.category_miiou,
        mean_boundary_f1=scores.mean_boundary_f1,
        boundary_tolerance=boundary_tolerance,
        pixel_accuracy=scores.pixel_accuracy,
        mean_accuracy=scores.mean_accuracy,
        frequency_weighted_iou=scores.frequency_weighted_iou,
        classes=_class_scores(counts, scores),
        categories=tuple(
            JointScore(name, _named(table, _members(table, name)), iou, scores.category_iiou[name])
            for name, iou in scores.category_iou.items()
        ),
        groups=tuple(
            JointScore(name, _named(table, table.groups[name]), iou, None, scores.group_boundary_f1[name])
            for name, iou in scores.group_iou.items()
        ),
        objects=counts.instances.object_count if counts.has_instances else 0,
        confusion=tuple(tuple(row) for row in counts.confusion().tolist()),
        unknown_pixels=measured.unknown_pixels,
        worst=tuple(FrameScore(frame.name, frame.miou) for frame in measured.worst),
        seconds=seconds,
        finished_utc=finished_utc,
    )


def _class_scores(counts: EvaluationCounts, scores: Scores) -> tuple[ClassScore, ...]:
    table, pixels = counts.table, counts.confusion().sum(1).tolist()
    made = []
    for train_id, name in enumerate(table.class_names):
        f1 = scores.boundary_f1[train_id]
        _, precision, recall, frames = counts.boundary_sums[train_id].tolist()
        made.append(
            ClassScore(
                name,
                table.categories[train_id],
                scores.class_iou[train_id],
                scores.class_iiou[train_id],
                scores.class_accuracy[train_id],
                f1,
                None if f1 is None else precision / frames,
                None if f1 is None else recall / frames,
                pixels[train_id],
            )
        )
    return tuple(made)


def _members(table: ClassTable, category: str) -> tuple[int, ...]:
    return tuple(train_id for train_id, own in enumerate(table.categories) if own == category)


def _named(table: ClassTable, members: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(table.class_names[train_id] for train_id in members)
