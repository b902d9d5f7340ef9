"""Statistics of the images of a split, for the selection of calibration images: class pixels, group and luma.

Every picture is decoded whole: a PNG cannot be read at a reduced size for less, and a mean over all
pixels of a lossless picture is the same number on every machine.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Sequence

from calibration.images.coverage import ImageStatistics
from edge.console import Progress
from edge.datasets import Dataset
from edge.labels import IGNORE_ID
from edge.opencv import cv2

MOST_THREADS = 8
"""Largest number of reading threads: OpenCV decodes outside the interpreter, and a disk serves no more than these."""


def read_image_statistics(
    dataset: Dataset, indices: Sequence[int] | None = None, show_progress: bool = True
) -> list[ImageStatistics]:
    """Read some or all images of a split, and return statistics of them.

    Args:
        dataset: the split; images without a label map have no class pixels.
        indices: positions of the images in the split; None for all.
        show_progress: True to print progress with the time left on stderr.

    Returns:
        Statistics of each image, in the order of `indices`.

    Raises:
        DatasetError: a label map holds ids that the dataset does not have.
        ImageError: a picture or a label map is damaged.
    """
    wanted = range(len(dataset)) if indices is None else indices
    statistics = []
    with Progress("look at images", len(wanted), "image") as progress, ThreadPoolExecutor(_threads()) as pool:
        jobs = [pool.submit(_image_statistics, dataset, index) for index in wanted]
        try:
            for job in jobs:
                statistics.append(job.result())
                if show_progress:
                    progress.step()
        finally:
            # After an error or Ctrl-C nobody waits for the rest; once all are done this does nothing.
            for job in jobs:
                job.cancel()
    return statistics


def _threads() -> int:
    return min(MOST_THREADS, os.cpu_count() or 1)


def _image_statistics(dataset: Dataset, index: int) -> ImageStatistics:
    sample = dataset.samples[index]
    red, green, blue, _ = cv2.mean(dataset.read_frame(index))
    luma = round(0.299 * red + 0.587 * green + 0.114 * blue)  # ITU-R BT.601
    if sample.label_path is None:
        return ImageStatistics(sample.name, sample.group, luma)
    counts = dataset.count_labels(index)
    classes = tuple(int(count) for count in counts[: dataset.table.class_count])
    return ImageStatistics(sample.name, sample.group, luma, classes, sum(classes) + int(counts[IGNORE_ID]))
