"""Accuracy of anything that labels frames, measured one way for training, export and engines."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Callable, Sequence

import numpy as np

from edge.accuracy_interval import iou_intervals
from edge.console import Progress
from edge.datasets import Dataset
from edge.errors import DatasetError
from edge.frame_statistics.percentiles import Interval
from edge.metrics import ConfusionMatrix, group_iou
from edge.read_ahead import read_ahead
from edge.records import record

LabelFrame = Callable[[np.ndarray, int, int], np.ndarray]
"""Function that labels a frame: (frame_rgb (h, w, 3) uint8, height, width) -> (height, width) uint8 labels."""


@record(schema=1, what="accuracy record")
class Accuracy:
    """Accuracy of one network or engine on one labelled split.

    Attributes:
        dataset: Name of the dataset, such as "camvid".
        split: Name of the split, such as "val".
        frame_count: Number of frames that were counted.
        miou: Mean intersection over union, 0 to 1.
        pixel_accuracy: Share of counted pixels whose label is right, 0 to 1.
        class_iou: Class name -> IoU, 0 to 1; None where the class is neither in the labels nor predicted.
        groups: Group of classes, such as "infrastructure" or "people" -> mean IoU of its classes, 0 to 1; None where
            none of them occurs. Empty in records of before.
        frame_hits: Pixels of each frame that are of a class and labelled so: a tuple a frame, a number a class. Empty
            where they were not kept; an interval of the mIoU needs them.
        frame_unions: Pixels of each frame that are of a class or labelled so, in the same form.
        intervals: Figure, "miou", "miou(GROUP)" or "iou(CLASS)" -> interval that other frames like these would leave,
            0 to 1. Empty for few frames, and in records of before.
    """

    dataset: str
    split: str
    frame_count: int
    miou: float
    pixel_accuracy: float
    class_iou: dict[str, float | None]
    groups: dict[str, float | None] = field(default_factory=dict)
    frame_hits: tuple[tuple[int, ...], ...] = ()
    frame_unions: tuple[tuple[int, ...], ...] = ()
    intervals: dict[str, Interval] = field(default_factory=dict)

    def group_sentence(self) -> str:
        """Return the scores of the groups that occur as a phrase, which stands beside the mean; "" where none does."""
        scores = [f"{name} {100 * value:.2f} %" for name, value in self.groups.items() if value is not None]
        return f"mIoU of groups: {', '.join(scores)}" if scores else ""


def measure_accuracy(
    label_frame: LabelFrame,
    dataset: Dataset,
    show_progress: bool = False,
    threads: int | None = None,
    keeps_frames: bool = False,
) -> Accuracy:
    """Label every frame of a split at the size of its label map, and return the accuracy.

    Args:
        label_frame: Function that labels one frame: the network or engine that is measured.
        dataset: Labelled split whose frames are labelled and compared.
        show_progress: Whether progress and the time left are printed on stderr.
        threads: Threads that read frames ahead; None for the number of cores, up to eight.
        keeps_frames: Whether the counts of each frame are kept, for intervals and comparisons.

    Raises:
        DatasetError: A frame or label map cannot be read, or every pixel of the split is ignored.
    """
    frames: list[np.ndarray] = []
    accuracy = accuracy_of(count_labels(label_frame, dataset, None, show_progress, threads, frames.append), dataset)
    table = dataset.table
    intervals = iou_intervals(np.array(frames), table.class_names, table.groups)
    if not keeps_frames:
        return dataclasses.replace(accuracy, intervals=intervals)
    hits = [counts.diagonal() for counts in frames]
    unions = [counts.sum(0) + counts.sum(1) - counts.diagonal() for counts in frames]
    return dataclasses.replace(
        accuracy,
        intervals=intervals,
        frame_hits=tuple(tuple(each.tolist()) for each in hits),
        frame_unions=tuple(tuple(each.tolist()) for each in unions),
    )


def count_labels(
    label_frame: LabelFrame,
    dataset: Dataset,
    indices: Sequence[int] | None = None,
    show_progress: bool = False,
    threads: int | None = None,
    see_counts: Callable[[np.ndarray], None] = lambda counts: None,
) -> ConfusionMatrix:
    """Label frames of a split at the size of their label maps, and count how they are labelled.

    Frames are read by several threads, and labelled one after the other by the caller's. Counts are whole numbers: they
    do not depend on the threads, and those of parts of a split can be added.

    Args:
        label_frame: Function that labels one frame: the network or engine that is measured.
        dataset: Labelled split whose frames are labelled and compared.
        indices: Positions of the frames in the split; None for all.
        show_progress: Whether progress and the time left are printed on stderr.
        threads: Threads that read frames ahead; None for the number of cores, up to eight.
        see_counts: Function that is called with the counts of each frame, (classes, classes) int64.

    Raises:
        DatasetError: A frame or label map cannot be read.
    """
    wanted = range(len(dataset)) if indices is None else indices
    matrix = ConfusionMatrix(dataset.table.class_count)
    with Progress("measure mIoU", len(wanted), "frame") as progress:
        for frame_rgb, truth in read_ahead(dataset.read_pair, wanted, threads):
            frame = ConfusionMatrix(dataset.table.class_count)
            frame.update(truth, label_frame(frame_rgb, *truth.shape))
            matrix.counts += frame.counts
            see_counts(frame.counts)
            if show_progress:
                progress.step()
    return matrix


def accuracy_of(matrix: ConfusionMatrix, dataset: Dataset) -> Accuracy:
    """Return the accuracy that the counts over a whole split stand for.

    Raises:
        DatasetError: Every pixel of the split is ignored.
    """
    miou, pixel_accuracy = matrix.miou(), matrix.pixel_accuracy()
    if miou is None or pixel_accuracy is None or not matrix.counts.sum():
        raise DatasetError(f"{dataset.name} {dataset.split} has no pixel that counts: every label is ignored")
    class_iou = matrix.class_iou()
    return Accuracy(
        dataset=dataset.name,
        split=dataset.split,
        frame_count=len(dataset),
        miou=miou,
        pixel_accuracy=pixel_accuracy,
        class_iou=dict(zip(dataset.table.class_names, class_iou)),
        groups=group_iou(dataset.table, class_iou),
    )
