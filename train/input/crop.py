"""Cutting one training pair: the frame and its labels are zoomed, cut, padded and mirrored by one and the same map.

A crop is a rectangle of whole pixels of the frame, resized with half-pixel centres: pixel i of n comes from
(i + 1/2) * source / n - 1/2 of the rectangle's `source` pixels, interpolated bilinearly for the frame and taken from
the pixel that holds that place for the labels. Nothing else of the frame is resized. The zoom is thus a quotient of
whole numbers, up to half a pixel of the rectangle off the one that was drawn.

What labels rest on is arithmetic of whole numbers in NumPy: OpenCV's nearest neighbour is without the half pixel, and
its exact one differs between versions. The pixels of the frame come from OpenCV, whose functions here do not depend on
the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.labels import IGNORE_ID
from edge.opencv import cv2
from train.input.augmentation import Variation

PADDING = 114
"""Level of all three colours outside of the frame, near the middle of street scenes: in a normalised frame about 0."""

_BLUR_SIZE_WH = (5, 5)


class AxisCrop(NamedTuple):
    """One axis of a crop: which pixels of the frame become which pixels of the crop.

    Attributes:
        source_start: First pixel of the frame.
        source_count: Number of pixels of the frame.
        start: First pixel of the crop that shows the frame; those before it are padding.
        count: Number of pixels of the crop that show the frame.
    """

    source_start: int
    source_count: int
    start: int
    count: int


def axis_crop(source: int, size: int, scale: float, place: float) -> AxisCrop:
    """Lay a crop over one axis of a frame, or the whole frame into a crop that is longer.

    Args:
        source: Pixels of the frame along this axis.
        size: Pixels of the crop along this axis.
        scale: Pixels of the crop for one pixel of the frame.
        place: Place among the possible ones, 0 for the first to below 1 for the last.
    """
    whole = max(1, round(source * scale))
    if whole <= size:
        return AxisCrop(0, source, int(place * (size - whole + 1)), whole)
    count = min(source, max(1, round(size / scale)))
    return AxisCrop(int(place * (source - count + 1)), count, 0, size)


def crop_pair(
    frame_rgb: np.ndarray,
    labels: np.ndarray,
    height: int,
    width: int,
    variation: Variation,
    network_size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one training pair out of a frame and its label map.

    The zoom is relative to the size at which the network sees whole frames, whatever that of the crop, so that objects
    are as large as they will be in use; and frames of any size serve.

    Args:
        frame_rgb: (h, w, 3) uint8 frame.
        labels: (h, w) uint8 train ids of the frame.
        height: Rows of the crop.
        width: Columns of the crop.
        variation: What was drawn for this sample.
        network_size: (height, width) of whole frames at zoom 1; a frame of another aspect is fitted into it.

    Returns:
        (height, width, 3) uint8 frame and (height, width) uint8 labels. Pixels outside of the frame are grey (PADDING),
        with the label IGNORE_ID.
    """
    frame_height, frame_width = labels.shape
    scale = variation.zoom * min(network_size[0] / frame_height, network_size[1] / frame_width)
    rows = axis_crop(frame_height, height, scale, variation.row)
    columns = axis_crop(frame_width, width, scale, variation.column)
    picture = _recolored(_resized(_part(frame_rgb, rows, columns), rows.count, columns.count), variation)
    marks = _resized_labels(_part(labels, rows, columns), rows.count, columns.count)
    if (rows.count, columns.count) != (height, width):
        border = (
            rows.start,
            height - rows.start - rows.count,
            columns.start,
            width - columns.start - columns.count,
            cv2.BORDER_CONSTANT,
        )
        picture = cv2.copyMakeBorder(picture, *border, value=(PADDING, PADDING, PADDING))
        marks = cv2.copyMakeBorder(marks, *border, value=IGNORE_ID)
    if variation.is_mirrored:
        picture, marks = cv2.flip(picture, 1), cv2.flip(marks, 1)
    return picture, marks


def _part(pixels: np.ndarray, rows: AxisCrop, columns: AxisCrop) -> np.ndarray:
    """Return the rectangle of a frame or label map that a crop shows, as a view."""
    return pixels[
        rows.source_start : rows.source_start + rows.source_count,
        columns.source_start : columns.source_start + columns.source_count,
    ]


def _resized(part_rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    if part_rgb.shape[:2] == (height, width):
        return part_rgb.copy()
    # Bilinear without antialiasing, as frames are prepared for the network in use (edge.preprocess).
    return cv2.resize(part_rgb, (width, height), interpolation=cv2.INTER_LINEAR)


def _resized_labels(part: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = (_nearest(source, count) for source, count in zip(part.shape, (height, width)))
    return part.take(rows, axis=0).take(columns, axis=1)


def _nearest(source: int, count: int) -> np.ndarray:
    """Return the pixel that holds the centre of each resized one: floor((i + 1/2) * source / count)."""
    return (2 * np.arange(count) + 1) * source // (2 * count)


def _recolored(picture_rgb: np.ndarray, variation: Variation) -> np.ndarray:
    """Return a picture with its colours changed, and blurred: brightness, then saturation, then contrast.

    All three are linear, so that they are one matrix. With grey g of a pixel and mean m of the picture, which is that
    of its greys too: x -> x + brightness, then g + saturation * (x - g), then m + contrast * (x - m).
    """
    brightness, contrast, saturation = variation.brightness, variation.contrast, variation.saturation
    if (brightness, contrast, saturation) != (0.0, 1.0, 1.0):
        mean = sum(cv2.mean(picture_rgb)[:3]) / 3
        matrix = np.full((3, 4), contrast * (1.0 - saturation) / 3)
        matrix[:, :3] += contrast * saturation * np.eye(3)
        matrix[:, 3] = brightness + (1.0 - contrast) * mean
        picture_rgb = cv2.transform(picture_rgb, matrix)
    if variation.blur_sigma > 0.0:
        picture_rgb = cv2.GaussianBlur(picture_rgb, _BLUR_SIZE_WH, variation.blur_sigma)
    return picture_rgb
