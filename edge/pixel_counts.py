"""Counts of the pixels that have each value, and of those that have each pair of values in two maps.

OpenCV counts bytes where they lie, several times as fast as NumPy, which first widens each to eight bytes, and lets
other threads run meanwhile. It counts in whole numbers and hands them over as float32, which holds them up to 2**24:
larger maps are counted in parts.
"""

from __future__ import annotations

from typing import Iterator

import numpy as np

from edge.opencv import cv2

_MOST_PIXELS = 1 << 24


def count_values(values: np.ndarray) -> np.ndarray:
    """Return how many pixels of a map have each value, (256,) int64.

    Args:
        values: (height, width) uint8.
    """
    counts = np.zeros(256, np.int64)
    for rows in _parts(*values.shape):
        part = cv2.calcHist([np.ascontiguousarray(values[rows])], [0], None, [256], [0, 256])
        counts += part.reshape(256).astype(np.int64)  # (256, 1) in OpenCV 4, (256,) in 5
    return counts


def count_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many pixels have each pair of values in two maps, (256, 256) int64; rows are values of the first.

    Args:
        first: (height, width) uint8.
        second: (height, width) uint8.
    """
    counts = np.zeros((256, 256), np.int64)
    for rows in _parts(*first.shape):
        both = [np.ascontiguousarray(values[rows]) for values in (first, second)]
        counts += cv2.calcHist(both, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return counts


def _parts(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, each with few enough pixels."""
    rows = max(1, _MOST_PIXELS // max(width, 1))
    for first in range(0, height if width else 0, rows):
        yield slice(first, first + rows)
