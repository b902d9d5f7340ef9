"""Figures of the labels that one network gave on a set of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.results import AccuracyFigures
from edge.metrics import ConfusionMatrix


@dataclass(frozen=True)
class SetLabels:
    """Figures of the labels that one network gave on a set of images.

    Attributes:
        agreements: share of pixels with the same label as the float graph in each image, (images,), 0 to 1.
        matrices: confusion matrix of each image, (images, classes, classes) int64; None without labels.
        overlaps: pixels of each class in each image, (images, classes, 3) int64: of the float graph, of this network,
            and of both.
        regions: connected regions of each class in each image, (images, classes, 3) int64, as
            calibration.budget.regions.count_regions counts them.
    """

    agreements: np.ndarray
    matrices: np.ndarray | None
    overlaps: np.ndarray
    regions: np.ndarray

    @property
    def agreement(self) -> float:
        """Return the mean agreement with the float graph, 0 to 1."""
        return float(self.agreements.mean())

    def miou(self) -> float | None:
        """Return the mIoU counted over the set, 0 to 1; None without labels."""
        return self._matrix().miou() if self.matrices is not None else None

    def figures(self, class_names: tuple[str, ...]) -> AccuracyFigures:
        """Return the figures for a report."""
        if self.matrices is None:
            return AccuracyFigures(None, {}, self.agreement)
        return AccuracyFigures(self.miou(), dict(zip(class_names, self._matrix().class_iou())), self.agreement)

    def _matrix(self) -> ConfusionMatrix:
        matrix = ConfusionMatrix(self.matrices.shape[1])
        matrix.counts = self.matrices.sum(0)
        return matrix
