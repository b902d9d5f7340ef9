"""From counts to scores, by the rules of cityscapesScripts.

    IoU          TP / (TP + FP + FN) of a class. FN has the pixels that are predicted as no evaluated class; FP has no
                 pixels whose truth is ignored
    category     the same for all classes of a category together: a bus that is called a car is right
    iIoU         iTP / (iTP + FP + iFN), where the pixels of an object weigh the mean size of its class over its own
    mean         over the classes that have a score: those that are neither in the labels nor predicted have none

Sums of floats are made in the order in which cityscapesScripts makes them, so that scores are equal to the last bit.

Source: cityscapesScripts 2.3.0, evaluation/evalPixelLevelSemanticLabeling.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

import numpy as np

from edge.errors import InputError
from edge.evaluation.counts import EvaluationCounts

IGNORED, FALSE_POSITIVE = "ignored", "false-positive"
VOIDS = (IGNORED, FALSE_POSITIVE)
"""What a predicted class is where the truth is ignored: nothing, or a false positive of its class."""


@dataclass(frozen=True)
class Scores:
    """Scores of a set; each is 0 to 1, or None where it does not exist.

    Attributes:
        class_iou: IoU of each class, by train id.
        class_iiou: iIoU of each class, by train id; None for a class whose objects are not told apart.
        class_accuracy: Share of the true pixels of each class that are predicted right.
        boundary_f1: Boundary F1 of each class, by train id.
        category_iou: Name of a category -> IoU.
        category_iiou: Name of a category -> iIoU.
        group_iou: Name of a group -> mean IoU of its classes.
        group_boundary_f1: Name of a group -> mean boundary F1 of its classes.
        pixel_accuracy: Share of the counted pixels that are right.
        frequency_weighted_iou: Mean of the class IoUs, weighted by the true pixels of each class.
    """

    class_iou: tuple[float | None, ...]
    class_iiou: tuple[float | None, ...]
    class_accuracy: tuple[float | None, ...]
    boundary_f1: tuple[float | None, ...]
    category_iou: dict[str, float | None]
    category_iiou: dict[str, float | None]
    group_iou: dict[str, float | None]
    group_boundary_f1: dict[str, float | None]
    pixel_accuracy: float | None
    frequency_weighted_iou: float | None

    @property
    def miou(self) -> float | None:
        """Mean IoU over the classes."""
        return mean_of(self.class_iou)

    @property
    def miiou(self) -> float | None:
        """Mean iIoU over the classes whose objects are told apart."""
        return mean_of(self.class_iiou)

    @property
    def category_miou(self) -> float | None:
        """Mean IoU over the categories."""
        return mean_of(self.category_iou.values())

    @property
    def category_miiou(self) -> float | None:
        """Mean iIoU over the categories whose objects are told apart."""
        return mean_of(self.category_iiou.values())

    @property
    def mean_boundary_f1(self) -> float | None:
        """Mean boundary F1 over the classes."""
        return mean_of(self.boundary_f1)

    @property
    def mean_accuracy(self) -> float | None:
        """Mean over the classes of the share of true pixels that are right."""
        return mean_of(self.class_accuracy)


def mean_of(scores: Iterable[float | None]) -> float | None:
    """Return the mean of the scores that exist; None where none does."""
    existing = [score for score in scores if score is not None]
    return sum(existing) / len(existing) if existing else None


def ratio(part: float, whole: float) -> float | None:
    """Return a share; None where there is nothing that it could be a share of."""
    return float(part) / whole if whole else None


def scores_of(counts: EvaluationCounts, void: str = IGNORED) -> Scores:
    """Return the scores of a set.

    Args:
        counts: Counts over all frames.
        void: One of VOIDS.

    Raises:
        InputError: `void` is none of VOIDS.
    """
    if void not in VOIDS:
        raise InputError(f"void is '{void}', expected one of: {', '.join(VOIDS)}")
    table = counts.table
    matrix = counts.confusion()
    classes = table.class_count
    inside = matrix[:classes]
    # Rows that make false positives.
    charged = matrix if void == FALSE_POSITIVE else inside
    hits = np.diag(matrix)[:classes]
    true = inside.sum(1)
    false_positives = charged[:, :classes].sum(0) - hits
    class_iou = tuple(ratio(*pair) for pair in zip(hits.tolist(), (true + false_positives).tolist()))
    boundary_f1 = _boundary_f1(counts)
    counted = int(inside.sum())
    weighted = [iou * int(size) for iou, size in zip(class_iou, true) if iou is not None and size]
    return Scores(
        class_iou=class_iou,
        class_iiou=tuple(
            _instance_iou(counts.instances.classes, counts, k, false_positives[k]) for k in range(classes)
        ),
        class_accuracy=tuple(ratio(*pair) for pair in zip(hits.tolist(), true.tolist())),
        boundary_f1=boundary_f1,
        category_iou={name: _category_iou(name, counts, matrix, charged) for name in dict.fromkeys(table.categories)},
        category_iiou={
            name: _instance_iou(counts.instances.categories, counts, name, _category_charge(name, counts, void))
            for name in dict.fromkeys(table.categories)
        },
        group_iou={name: mean_of(class_iou[k] for k in members) for name, members in table.groups.items()},
        group_boundary_f1={name: mean_of(boundary_f1[k] for k in members) for name, members in table.groups.items()},
        pixel_accuracy=ratio(int(hits.sum()), counted),
        frequency_weighted_iou=ratio(sum(weighted), counted) if counted else None,
    )


def _boundary_f1(counts: EvaluationCounts) -> tuple[float | None, ...]:
    if not counts.has_boundaries:
        return (None,) * counts.table.class_count
    return tuple(ratio(*pair) for pair in zip(counts.boundary_sums[:, 0].tolist(), counts.boundary_sums[:, 3].tolist()))


def _instance_iou(sums: dict, counts: EvaluationCounts, key: object, false_positives: int) -> float | None:
    if not counts.has_instances or key not in sums:
        return None
    found, missed = sums[key]
    return ratio(found, found + int(false_positives) + missed)


def _members(name: str, counts: EvaluationCounts) -> list[int]:
    return [train_id for train_id, category in enumerate(counts.table.categories) if category == name]


def _category_iou(name: str, counts: EvaluationCounts, matrix: np.ndarray, charged: np.ndarray) -> float | None:
    own = _members(name, counts)
    others = [row for row in range(len(charged)) if row not in own]
    hits = int(matrix[own][:, own].sum())
    missed = int(matrix[own].sum()) - hits
    return ratio(hits, hits + int(charged[others][:, own].sum()) + missed)


def _category_charge(name: str, counts: EvaluationCounts, void: str) -> int:
    """Return the false positives of a category with instances: classes of it that are not evaluated make some too."""
    values = list(counts.values.instance_categories.get(name, ()))
    own = set(_members(name, counts))
    rows = [row for row in range(counts.table.class_count) if row not in own]
    if void == FALSE_POSITIVE:
        rows.append(len(counts.pairs) - 1)
    return int(counts.pairs[rows][:, values].sum())
