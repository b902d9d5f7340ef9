"""Pictures of an evaluation: a frame with its labels, the truth, the prediction, and where they differ."""

from __future__ import annotations

import numpy as np

from edge.datasets import Dataset
from edge.evaluation.worst_frames import WorstFrame
from edge.labels import IGNORE_ID
from edge.opencv import cv2
from edge.page.pictures import shrunk

WIDTH = 720
"""Most columns of a picture in pixels."""

_WRONG, _RIGHT_SHARE = (255, 64, 48), 0.35
"""Colour of wrong pixels, and the share of a frame's grey that is left where a pixel is right."""

_GAP = 6


def frame_pictures(frame: WorstFrame, dataset: Dataset) -> dict[str, np.ndarray]:
    """Return the pictures of one frame, all of one size, at most WIDTH columns wide.

    Args:
        frame: Frame with its predicted labels.
        dataset: Split that it is of; without label maps, only the first and the prediction are drawn.

    Returns:
        Name -> (h, w, 3) uint8 RGB: "labels over the frame", "truth", "prediction" and "difference", the last with
        wrong pixels in red, right ones in grey, and ignored ones in black.
    """
    table = dataset.table
    image, predicted = dataset.read_frame(frame.index), frame.labels()
    height, width = predicted.shape
    if image.shape[:2] != predicted.shape:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    palette = np.zeros((256, 3), np.uint8)
    palette[: table.class_count] = table.painted_rgb
    small = _nearest(predicted)
    shown = shrunk(image, WIDTH)
    painted = palette[small]
    pictures = {"labels over the frame": cv2.addWeighted(shown, 0.45, painted, 0.55, 0.0), "prediction": painted}
    if dataset.samples[frame.index].label_path is None:
        return pictures
    truth = _nearest(dataset.read_labels(frame.index))
    grey = cv2.cvtColor(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    difference = (grey * _RIGHT_SHARE).astype(np.uint8)
    difference[small != truth] = _WRONG
    difference[truth == IGNORE_ID] = 0
    return {
        "labels over the frame": pictures["labels over the frame"],
        "truth": palette[truth],
        "prediction": painted,
        "difference": difference,
    }


def side_by_side(pictures: dict[str, np.ndarray]) -> np.ndarray:
    """Return pictures of one size in one row, (h, w, 3) uint8 RGB, with a gap between them."""
    parts = []
    for picture in pictures.values():
        parts += [np.full((picture.shape[0], _GAP, 3), 255, np.uint8), picture] if parts else [picture]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _nearest(labels: np.ndarray) -> np.ndarray:
    height, width = labels.shape
    if width <= WIDTH:
        return labels
    return cv2.resize(labels, (WIDTH, max(height * WIDTH // width, 1)), interpolation=cv2.INTER_NEAREST)
