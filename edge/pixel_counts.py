"""Counts of the pixels that have each value, of those that have each pair of values in two maps, and of objects.

A kernel in C++ counts runs of equal pixels at once (edge/label_kernels/). Without one, OpenCV counts bytes where they
lie, several times as fast as NumPy, which first widens each to eight bytes, and lets other threads run meanwhile. It
counts in whole numbers and hands them over as float32, which holds them up to 2**24: larger maps are counted in parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import numpy as np

from edge.errors import InputError
from edge.label_kernels import load_kernels
from edge.opencv import cv2

_MOST_PIXELS = 1 << 24

_MOST_OBJECTS = 256
"""Most objects of a frame that the kernel counts; frames with more are rare, and are counted by NumPy."""


def count_values(values: np.ndarray) -> np.ndarray:
    """Return how many pixels of a map have each value, (256,) int64.

    Args:
        values: (height, width) uint8.

    Raises:
        InputError: The values are no bytes.
    """
    _require_bytes(values)
    counts = np.zeros(256, np.int64)
    kernels = load_kernels()
    if kernels is not None:
        values = np.ascontiguousarray(values)
        kernels.segedge_count_values(values.ctypes.data, values.size, counts.ctypes.data)
        return counts
    for rows in _parts(*values.shape):
        part = cv2.calcHist([np.ascontiguousarray(values[rows])], [0], None, [256], [0, 256])
        counts += part.reshape(256).astype(np.int64)  # (256, 1) in OpenCV 4, (256,) in 5
    return counts


def count_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many pixels have each pair of values in two maps, (256, 256) int64; rows are values of the first.

    Args:
        first: (height, width) uint8.
        second: (height, width) uint8.

    Raises:
        InputError: The maps differ in size, or are no bytes.
    """
    _require_bytes(first, second)
    counts = np.zeros((256, 256), np.int64)
    kernels = load_kernels()
    if kernels is not None:
        first, second = np.ascontiguousarray(first), np.ascontiguousarray(second)
        kernels.segedge_count_pairs(first.ctypes.data, second.ctypes.data, first.size, counts.ctypes.data)
        return counts
    for rows in _parts(*first.shape):
        both = [np.ascontiguousarray(values[rows]) for values in (first, second)]
        counts += cv2.calcHist(both, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return counts


@dataclass(frozen=True)
class ObjectPixels:
    """Pixels of each object in a map of objects.

    Attributes:
        ids: (objects,) int64, ids of the objects, rising.
        counts: (objects, 256) int64, number of pixels of each object that have each value.
    """

    ids: np.ndarray
    counts: np.ndarray


def count_objects(ids: np.ndarray, values: np.ndarray, floor: int) -> ObjectPixels:
    """Return how many pixels of each object have each value.

    Args:
        ids: (height, width) uint8 or uint16; a pixel with an id above `floor` belongs to the object of that id.
        values: (height, width) uint8.
        floor: Largest id that is no object.

    Raises:
        InputError: The maps differ in size, or have other types.
    """
    if ids.dtype not in (np.uint8, np.uint16):
        raise InputError(f"ids of objects are {ids.dtype}, expected uint8 or uint16")
    _require_bytes(values)
    if ids.shape != values.shape:
        raise InputError(f"maps are {ids.shape} and {values.shape}, expected maps of one size")
    kernels = load_kernels()
    if kernels is None:
        return _count_objects_numpy(ids, values, floor)
    ids, values = np.ascontiguousarray(ids, np.uint16), np.ascontiguousarray(values)
    row_of_id = np.full(1 << 16, -1, np.int32)
    counts = np.zeros((_MOST_OBJECTS, 256), np.int64)
    places = (row_of_id.ctypes.data, counts.ctypes.data)
    rows = kernels.segedge_count_objects(ids.ctypes.data, values.ctypes.data, ids.size, floor, *places, _MOST_OBJECTS)
    if rows < 0:
        return _count_objects_numpy(ids, values, floor)
    found = np.flatnonzero(row_of_id >= 0)
    return ObjectPixels(found, counts[row_of_id[found]])


def _count_objects_numpy(ids: np.ndarray, values: np.ndarray, floor: int) -> ObjectPixels:
    is_object = ids > floor
    found = ids[is_object]
    present = np.flatnonzero(np.bincount(found)) if found.size else np.zeros(0, np.int64)
    row_of_id = np.zeros(1 << 16, np.int64)
    row_of_id[present] = np.arange(len(present))
    joint = np.bincount(row_of_id[found] * 256 + values[is_object], minlength=256 * len(present))
    return ObjectPixels(present, joint.reshape(-1, 256))


def _require_bytes(*maps: np.ndarray) -> None:
    for values in maps:
        if values.dtype != np.uint8:
            raise InputError(f"values are {values.dtype}, expected uint8")
        if values.shape != maps[0].shape:
            raise InputError(f"maps are {maps[0].shape} and {values.shape}, expected maps of one size")


def _parts(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, each with few enough pixels."""
    rows = max(1, _MOST_PIXELS // max(width, 1))
    for first in range(0, height if width else 0, rows):
        yield slice(first, first + rows)
