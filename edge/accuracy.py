"""Accuracy of anything that labels frames, measured one way for training, export and engines."""

from __future__ import annotations

from typing import Callable

import numpy as np

from edge.console import Progress
from edge.datasets import Dataset
from edge.errors import DatasetError
from edge.metrics import ConfusionMatrix
from edge.records import record

LabelFrame = Callable[[np.ndarray, int, int], np.ndarray]
"""(frame_rgb (h, w, 3) uint8, height, width) -> (height, width) uint8 labels."""


@record(schema=1, what="accuracy record")
class Accuracy:
    """What was measured on a labelled split.

    Attributes:
        dataset: its name.
        split: its split.
        frame_count: frames that were counted.
        miou: mean IoU, 0 to 1.
        pixel_accuracy: share of pixels that are right, 0 to 1.
        class_iou: class name -> IoU, None where the class is neither there nor predicted.
    """

    dataset: str
    split: str
    frame_count: int
    miou: float
    pixel_accuracy: float
    class_iou: dict[str, float | None]


def measure_accuracy(label_frame: LabelFrame, dataset: Dataset, show_progress: bool = False) -> Accuracy:
    """Label every frame of a split at the size of its label map, and count.

    Args:
        label_frame: what is measured.
        dataset: a labelled split.
        show_progress: print progress with the time left on stderr.

    Raises:
        DatasetError: an unreadable frame or label map, or no pixel that counts.
    """
    matrix = ConfusionMatrix(dataset.table.class_count)
    with Progress("measure mIoU", len(dataset), "frame") as progress:
        for index in range(len(dataset)):
            frame_rgb, truth = dataset.read_pair(index)
            matrix.update(truth, label_frame(frame_rgb, *truth.shape))
            if show_progress:
                progress.step()
    miou, pixel_accuracy = matrix.miou(), matrix.pixel_accuracy()
    if miou is None or pixel_accuracy is None or not matrix.counts.sum():
        raise DatasetError(f"{dataset.name} {dataset.split} has no pixel that counts: every label is ignored")
    return Accuracy(
        dataset=dataset.name,
        split=dataset.split,
        frame_count=len(dataset),
        miou=miou,
        pixel_accuracy=pixel_accuracy,
        class_iou=dict(zip(dataset.table.class_names, matrix.class_iou())),
    )
