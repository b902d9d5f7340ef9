"""Intersection over union and pixel accuracy, counted over a whole set of frames."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from edge.errors import InputError
from edge.labels import IGNORE_ID, ClassTable
from edge.pixel_counts import count_pairs


class ConfusionMatrix:
    """Number of pixels for each pair of true class and predicted class.

    Attributes:
        counts: (classes, classes) int64; rows are true classes, columns predicted ones.
    """

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count
        self.counts = np.zeros((class_count, class_count), np.int64)

    def update(self, truth: np.ndarray, predicted: np.ndarray) -> None:
        """Count the pixels of one frame.

        Args:
            truth: (height, width) uint8 train ids; pixels with IGNORE_ID are not counted.
            predicted: (height, width) uint8 labels below class_count.

        Raises:
            InputError: The shapes or types differ from these, or a label is outside the classes.
        """
        if truth.shape != predicted.shape:
            raise InputError(f"labels are {predicted.shape}, the truth is {truth.shape}, expected the same size")
        if truth.dtype != np.uint8 or predicted.dtype != np.uint8:
            raise InputError(f"labels are {predicted.dtype}, the truth is {truth.dtype}, expected uint8")
        joint = count_pairs(truth, predicted)  # ignored pixels land in rows that are cut off
        predicted_outside = joint[: self.class_count, self.class_count :].sum()
        outside = int(predicted_outside + joint[self.class_count : IGNORE_ID].sum())
        if outside:
            raise InputError(f"{outside} pixels have labels outside 0..{self.class_count - 1}")
        self.counts += joint[: self.class_count, : self.class_count]

    def class_iou(self) -> list[float | None]:
        """Return the IoU of each class, 0 to 1; None where a class is neither in the truth nor predicted."""
        hits = np.diag(self.counts)
        union = self.counts.sum(0) + self.counts.sum(1) - hits
        return [float(hit / total) if total else None for hit, total in zip(hits, union)]

    def miou(self) -> float | None:
        """Return the mean of the class IoUs that exist, 0 to 1; None when no pixel was counted.

        As in the official Cityscapes evaluation, a class that is predicted although the set has none of it counts with
        an IoU of 0.
        """
        values = [value for value in self.class_iou() if value is not None]
        return float(np.mean(values)) if values else None

    def pixel_accuracy(self) -> float | None:
        """Return the share of counted pixels whose label is right, 0 to 1; None when no pixel was counted."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts) / total) if total else None


def group_iou(table: ClassTable, class_iou: Sequence[float | None]) -> dict[str, float | None]:
    """Return the score of each group of classes: the mean of the IoUs of its classes, each of which counts alike.

    A mean over all classes hides a few of them: with 19 classes a person who is never found costs 5 points of it.

    Args:
        table: Class table whose groups are scored.
        class_iou: IoU of each class, 0 to 1, in the order of the train ids; None where a class does not occur, which
            counts in no group.

    Returns:
        Name of a group -> its mean IoU, 0 to 1; None where none of its classes occurs.

    Raises:
        InputError: There are more or fewer IoUs than classes.
    """
    if len(class_iou) != table.class_count:
        raise InputError(f"{len(class_iou)} IoUs for table {table.name}, which has {table.class_count} classes")
    scores: dict[str, float | None] = {}
    for name, train_ids in table.groups.items():
        values = [class_iou[train_id] for train_id in train_ids if class_iou[train_id] is not None]
        scores[name] = float(np.mean(values)) if values else None
    return scores


def label_agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of pixels that have the same label in two label maps of one size, 0 to 1."""
    if first.shape != second.shape:
        raise InputError(f"label maps are {first.shape} and {second.shape}, expected the same size")
    return float(np.mean(first == second))
