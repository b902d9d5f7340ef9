"""Boundary F1: how well the edges of a class lie, whatever its area.

A pole, a rail or a sign is little more than its edge, and IoU hardly sees whether the edge of a large class is sharp. A
boundary pixel of a class has the class, and a neighbour above, below, left or right that has another one. Precision is
the share of predicted boundary pixels that lie within a tolerance of a true one, recall the share of true ones that
lie within it of a predicted one, and F1 their harmonic mean. Distances are Euclidean and exact, by a distance
transform. The tolerance is a share of the frame's diagonal. Ignored pixels have no boundary, and make none.

Sources: Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?" (BMVC 2013): F1 of
each class in each image, averaged over images; MathWorks' bfscore, after it, has the tolerance of 0.75 % of the
diagonal. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016)
take the same for one object, with 0.8 % in their toolkit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.errors import InputError
from edge.labels import IGNORE_ID
from edge.opencv import cv2

TOLERANCE = 0.0075
"""Tolerance as a share of the diagonal."""


@dataclass(frozen=True)
class BoundaryMatch:
    """How the boundaries of one class in one frame lie.

    Attributes:
        precision: Share of the predicted boundary pixels that are near a true one; 0 where none is predicted.
        recall: Share of the true boundary pixels that are near a predicted one; 0 where there is none.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2.0 * self.precision * self.recall / total if total else 0.0


def tolerance_pixels(height: int, width: int, tolerance: float = TOLERANCE) -> float:
    """Return the tolerance in pixels for frames of a size."""
    return tolerance * math.hypot(height, width)


def boundary_pixels(labels: np.ndarray) -> np.ndarray:
    """Return where a label map has boundaries, of any class.

    Args:
        labels: (height, width) uint8; IGNORE_ID where there is no label.

    Returns:
        (height, width) bool.
    """
    found = np.zeros(labels.shape, bool)
    is_labelled = labels != IGNORE_ID
    for first, second in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        differs = (labels[first] != labels[second]) & is_labelled[first] & is_labelled[second]
        found[first] |= differs
        found[second] |= differs
    return found


def match_boundaries(
    truth: np.ndarray, predicted: np.ndarray, class_count: int, tolerance: float = TOLERANCE
) -> dict[int, BoundaryMatch]:
    """Compare the boundaries of each class in one frame.

    Args:
        truth: (height, width) uint8 train ids; where it is IGNORE_ID, the prediction is ignored too.
        predicted: (height, width) uint8 train ids; IGNORE_ID where no evaluated class is predicted.
        class_count: Number of classes.
        tolerance: Tolerance as a share of the diagonal.

    Returns:
        Train id -> match, of the classes that have a boundary in either map.

    Raises:
        InputError: The two differ in size.
    """
    if truth.shape != predicted.shape:
        raise InputError(f"predicted map is {predicted.shape}, the truth is {truth.shape}, expected one size")
    reach = tolerance_pixels(*truth.shape, tolerance)
    # A class that is not evaluated has edges all the same; only what has no truth has none.
    shown = np.where(predicted == IGNORE_ID, np.uint8(IGNORE_ID - 1), predicted)
    shown[truth == IGNORE_ID] = IGNORE_ID
    places = [_places_by_class(labels, class_count) for labels in (truth, shown)]
    return {
        class_id: _match(*(by_class.get(class_id) for by_class in places), truth.shape, reach)
        for class_id in sorted(set(places[0]) | set(places[1]))
    }


def _places_by_class(labels: np.ndarray, class_count: int) -> dict[int, np.ndarray]:
    """Return the boundary pixels of each class, as (pixels, 2) rows and columns."""
    rows, columns = np.nonzero(boundary_pixels(labels))
    classes = labels[rows, columns]
    order = np.argsort(classes, kind="stable")
    places = np.stack((rows[order], columns[order]), 1)
    ends = np.cumsum(np.bincount(classes, minlength=256))
    return {
        class_id: places[ends[class_id] - count : ends[class_id]]
        for class_id, count in enumerate(np.bincount(classes, minlength=256)[:class_count].tolist())
        if count
    }


def _match(
    true: np.ndarray | None, predicted: np.ndarray | None, shape: tuple[int, int], reach: float
) -> BoundaryMatch:
    if true is None or predicted is None:
        return BoundaryMatch(0.0, 0.0)
    return BoundaryMatch(_share_near(predicted, true, shape, reach), _share_near(true, predicted, shape, reach))


def _share_near(places: np.ndarray, targets: np.ndarray, shape: tuple[int, int], reach: float) -> float:
    """Return the share of some places that have a target within reach, in pixels."""
    margin = math.ceil(reach) + 1
    low = np.maximum(targets.min(0) - margin, 0)
    high = np.minimum(targets.max(0) + margin + 1, shape)
    within = places[((places >= low) & (places < high)).all(1)] - low  # whatever lies outside has no target near
    if not len(within):
        return 0.0
    is_other = np.ones(high - low, np.uint8)
    is_other[tuple((targets - low).T)] = 0
    distances = cv2.distanceTransform(is_other, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[tuple(within.T)]
    # Squares of distances are whole numbers, of which the root is rounded.
    squares = np.rint(distances.astype(np.float64) ** 2)
    return float((squares <= reach * reach).sum() / len(places))
