"""How many pixels of a split each class has, which weights of the classes rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.datasets import Dataset
from edge.read_ahead import read_ahead

MOST_FRAMES = 500
"""Frames that are counted at most: a few seconds of reading, and classes that few frames have are among them."""


@dataclass(frozen=True)
class ClassPixels:
    """Numbers of pixels in a split, by class.

    Attributes:
        of_class: (classes,) int64, pixels of the class.
        of_frames: (classes,) int64, all pixels of the frames that the class occurs in, ignored ones included.
    """

    of_class: np.ndarray
    of_frames: np.ndarray


def count_class_pixels(dataset: Dataset, frame_count: int = MOST_FRAMES, threads: int | None = None) -> ClassPixels:
    """Count the pixels of each class in a split, or in frames spread evenly over it.

    Args:
        dataset: Labelled split to count.
        frame_count: Number of frames that are counted, where the split has more.
        threads: Threads that read label maps; None for the number of cores, up to eight.

    Raises:
        DatasetError: A frame has no label map, or it holds ids that the dataset does not have.
        ImageError: A label map is damaged.
    """
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(frame_count, len(dataset))).astype(int))
    of_class = np.zeros(dataset.table.class_count, np.int64)
    of_frames = np.zeros_like(of_class)
    for counts in read_ahead(dataset.count_labels, map(int, indices), threads):
        own = counts[: of_class.size]
        of_class += own
        of_frames += np.where(own > 0, counts.sum(), 0)
    return ClassPixels(of_class, of_frames)
