"""What is counted of one frame, and the sums over a whole set: all that scores are made of.

The counts of a frame can be made by any thread; they are added in the order of the frames, so that sums of floats do
not depend on the threads. Memory does not grow with the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.datasets.label_values import FileLabels
from edge.errors import InputError
from edge.evaluation.boundaries import BoundaryMatch, match_boundaries
from edge.evaluation.instances import InstanceCounts, pixels_of_instances
from edge.evaluation.predicted_values import PredictedValues
from edge.labels import IGNORE_ID, ClassTable
from edge.opencv import cv2
from edge.pixel_counts import ObjectPixels, count_pairs


@dataclass(frozen=True)
class FrameCounts:
    """What is counted of one frame.

    Attributes:
        pairs: (256, 256) int64, pixels of each true train id (rows, IGNORE_ID for the ignored) and predicted value.
        objects: Objects of the frame; None where they are not told apart.
        boundaries: Train id -> match of its boundaries; None where they were not compared.
    """

    pairs: np.ndarray
    objects: ObjectPixels | None = None
    boundaries: dict[int, BoundaryMatch] | None = None


def count_frame(
    table: ClassTable,
    values: PredictedValues,
    truth: FileLabels,
    predicted: np.ndarray,
    instance_ids: np.ndarray | None = None,
    boundary_tolerance: float | None = None,
) -> FrameCounts:
    """Count one frame.

    Args:
        table: Class table of the dataset.
        values: Meaning of the predicted values.
        truth: Label map of the frame, and what its values mean.
        predicted: (height, width) uint8 predicted values.
        instance_ids: (height, width) uint16 objects; None where they are not told apart.
        boundary_tolerance: Tolerance of boundaries as a share of the diagonal; None to leave them out.

    Raises:
        InputError: The maps differ in size or have another type.
    """
    if truth.values.shape != predicted.shape:
        raise InputError(f"labels are {predicted.shape}, the truth is {truth.values.shape}, expected the same size")
    if predicted.dtype != np.uint8:
        raise InputError(f"labels are {predicted.dtype}, expected uint8")
    boundaries = None
    if boundary_tolerance is not None:
        labels = cv2.LUT(predicted, values.to_train.astype(np.uint8))
        boundaries = match_boundaries(truth.train_ids(), labels, table.class_count, boundary_tolerance)
    objects = None if instance_ids is None else pixels_of_instances(instance_ids, predicted)
    # Folding the rows takes less than changing every pixel of the map.
    stored = count_pairs(truth.values, predicted)
    pairs = np.zeros_like(stored)
    for value in np.flatnonzero(stored.any(1)).tolist():
        pairs[truth.to_train[value]] += stored[value]
    return FrameCounts(pairs, objects, boundaries)


class EvaluationCounts:
    """Sums over the frames of a set.

    Attributes:
        table: Class table of the dataset.
        values: Meaning of the predicted values.
        pairs: (256, 256) int64, pixels of each true train id (rows) and predicted value.
        instances: Objects that are told apart; they count only while every frame has them (`has_instances`).
        boundary_sums: (classes, 4) float64: sums over frames of F1, precision and recall, and the number of frames in
            which the class has a boundary.
        frame_count: Number of frames.
    """

    def __init__(self, table: ClassTable, values: PredictedValues) -> None:
        self.table, self.values = table, values
        self.pairs = np.zeros((256, 256), np.int64)
        self.instances = InstanceCounts(table, values)
        self.boundary_sums = np.zeros((table.class_count, 4))
        self.frame_count = 0
        self._with_objects = self._with_boundaries = 0

    def add(self, frame: FrameCounts) -> None:
        """Add one frame."""
        self.frame_count += 1
        self.pairs += frame.pairs
        if frame.objects is not None:
            self._with_objects += 1
            self.instances.update(frame.objects)
        if frame.boundaries is not None:
            self._with_boundaries += 1
            for class_id, match in frame.boundaries.items():
                self.boundary_sums[class_id] += (match.f1, match.precision, match.recall, 1.0)

    @property
    def has_instances(self) -> bool:
        """Whether the objects of every frame are told apart, so that there are instance scores."""
        return self.frame_count > 0 and self._with_objects == self.frame_count

    @property
    def has_boundaries(self) -> bool:
        """Whether the boundaries of every frame were compared."""
        return self.frame_count > 0 and self._with_boundaries == self.frame_count

    def confusion(self) -> np.ndarray:
        """Return the pixels of each true and predicted class.

        Returns:
            (classes + 1, classes + 1) int64; rows are true classes, columns predicted ones, the last of each is what
            is ignored, or of no evaluated class.
        """
        return folded(self.pairs, self.values, self.table.class_count)


def folded(pairs: np.ndarray, values: PredictedValues, class_count: int) -> np.ndarray:
    """Return pairs of true train ids and predicted values as pairs of classes, see `EvaluationCounts.confusion`."""
    columns = np.zeros((256, class_count + 1), np.int64)
    for value, train_id in enumerate(values.to_train.tolist()):
        columns[:, class_count if train_id == IGNORE_ID else train_id] += pairs[:, value]
    return np.concatenate((columns[:class_count], columns[IGNORE_ID:]))
