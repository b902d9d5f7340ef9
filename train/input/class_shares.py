"""How many pixels of a split each class has, which weights of the classes rest on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.datasets import Dataset
from edge.read_ahead import read_ahead

MOST_FRAMES = 500
"""Frames that are counted at most: a few seconds of reading, and classes that few frames have are among them."""


@dataclass(frozen=True)
class ClassShares:
    """Shares of the labelled pixels of a split.

    Attributes:
        of_split: (classes,) float64, share of the class among all labelled pixels, summing to 1. At least one pixel is
            assumed for every class.
        where_present: (classes,) float64, share of the class among the labelled pixels of the frames that it occurs in:
            the frequency of median frequency balancing. It is NaN where no frame has the class.

    Source: Eigen, Fergus: Predicting depth, surface normals and semantic labels (ICCV 2015), section 4.3.
    """

    of_split: np.ndarray
    where_present: np.ndarray


def class_shares(dataset: Dataset, frame_count: int = MOST_FRAMES, threads: int | None = None) -> ClassShares:
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
    pixels = np.zeros(dataset.table.class_count, np.int64)
    pixels_of_frames = np.zeros_like(pixels)
    for counts in read_ahead(dataset.count_labels, map(int, indices), threads):
        of_classes = counts[: pixels.size]
        pixels += of_classes
        pixels_of_frames += np.where(of_classes > 0, of_classes.sum(), 0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class that is nowhere
        where_present = pixels / pixels_of_frames
    return ClassShares((pixels + 1) / (pixels + 1).sum(), where_present)
