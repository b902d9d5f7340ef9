"""Connected regions of one class: which of the float network's are found again, so that small things count.

An IoU counts pixels, so a large road hides a small person in it, and a hundred persons at the roadside hide the one on
the track. Counted one by one, each of them is a region that was found or lost, whatever its size.
"""

from __future__ import annotations

import numpy as np

from edge.errors import InputError
from edge.opencv import cv2

REGIONS, FOUND, NEW = range(3)
"""Columns of what `count_regions` returns."""

SMALLEST_SHARE = 1e-4
"""Share of the frame that a region has at least: 210 pixels (14 x 15) of 1024x2048, 17 of 360x480. What is smaller
flickers from frame to frame in the float network as well."""

FOUND_SHARE = 0.5
"""Share of a region's pixels that have its class in the other label map where it counts as found."""

_SMALLEST_PIXELS = 4
_MOST_PIXELS = 1 << 18  # larger label maps are thinned out: a region is either some pixels wide or not counted


def count_regions(float_labels: np.ndarray, labels: np.ndarray, class_count: int) -> np.ndarray:
    """Count the connected regions of every class that another network finds, loses and adds.

    Regions are 8-connected. Those smaller than SMALLEST_SHARE of the frame are not counted. A region is found where at
    least half of its pixels have its class in the other label map, in one piece or in several.

    Args:
        float_labels: labels of the float network, (height, width) uint8.
        labels: labels of the other network, (height, width) uint8.
        class_count: number of classes; labels are below it.

    Returns:
        (class_count, 3) int64: regions of the float network, how many of them are found, and how many regions of the
        other network are no regions of the float network's.

    Raises:
        InputError: the label maps have different sizes.
    """
    if float_labels.shape != labels.shape:
        raise InputError(f"label maps are {float_labels.shape} and {labels.shape}, expected the same size")
    step = int(np.ceil(np.sqrt(max(labels.size / _MOST_PIXELS, 1.0))))
    before, after = (np.ascontiguousarray(each[::step, ::step]) for each in (float_labels, labels))
    smallest = max(_SMALLEST_PIXELS, SMALLEST_SHARE * before.size)
    counts = np.zeros((class_count, 3), np.int64)
    totals = [np.bincount(each.ravel(), minlength=class_count) for each in (before, after)]
    for label in range(class_count):
        masks = [cv2.compare(each, label, cv2.CMP_EQ) for each in (before, after)]
        if totals[0][label] >= smallest:
            counts[label, REGIONS], counts[label, FOUND] = _found(*masks, smallest)
        if totals[1][label] >= smallest:
            regions, known = _found(*reversed(masks), smallest)
            counts[label, NEW] = regions - known
    return counts


def _found(mask: np.ndarray, other: np.ndarray, smallest: float) -> tuple[int, int]:
    """Return how many regions a mask has, and how many of them another one has too."""
    left, top, width, height = cv2.boundingRect(mask)
    mask, other = (each[top : top + height, left : left + width] for each in (mask, other))
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    shared = np.bincount(numbers[other > 0], minlength=count)[1:]
    counted = areas >= smallest
    return int(counted.sum()), int((shared[counted] >= FOUND_SHARE * areas[counted]).sum())
