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
    """

    dataset: str
    split: str
    frame_count: int
    miou: float
    pixel_accuracy: float
    class_iou: dict[str, float | None]


def measure_accuracy(label_frame: LabelFrame, dataset: Dataset, show_progress: bool = False) -> Accuracy:
    """Label every frame of a split at the size of its label map, and return the accuracy.

    Args:
        label_frame: Function that labels one frame: the network or engine that is measured.
        dataset: Labelled split whose frames are labelled and compared.
        show_progress: Whether progress and the time left are printed on stderr.

    Raises:
        DatasetError: A frame or label map cannot be read, or every pixel of the split is ignored.
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
