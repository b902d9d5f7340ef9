"""Labels of a frame by one look at it, or by the mean of several: scales, mirrored frames, sliding windows.

With several looks, the class probabilities of each (softmax of its logits, at the size of the label map) are averaged,
and a pixel has the class of the largest mean. Windows that overlap are averaged where they do.

    whole frame      the frame is brought to the network's size times the scale
    sliding window   the frame keeps its own size times the scale, and windows of the network's size cover it

Sources: Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (2018), section 4, for scales and mirrored
frames; Zhao et al., "Pyramid Scene Parsing Network" (2017), for windows.
"""

from __future__ import annotations

import functools

import numpy as np

from edge.errors import InputError
from edge.evaluation.looks import Looks
from edge.evaluation.networks import Network
from edge.opencv import cv2
from edge.postprocess.bilinear import axis_cells
from edge.preprocess import prepare_rgb

_ROWS = 64
"""Rows of a label map whose probabilities are made at a time, so that what is in between stays small."""


class Labeller:
    """Labels frames with one network.

    Args:
        network: Network that is evaluated.
        looks: How it looks at a frame.
    """

    def __init__(self, network: Network, looks: Looks) -> None:
        self._network, self._looks = network, looks

    def __call__(self, frame_rgb: np.ndarray, height: int, width: int) -> np.ndarray:
        """Label one frame.

        Args:
            frame_rgb: (h, w, 3) uint8 of any size.
            height: Rows of the label map.
            width: Columns of the label map.

        Returns:
            (height, width) uint8 labels, valid until the next call.

        Raises:
            InputError: Logits are NaN or infinite.
        """
        if self._looks.is_one:
            return self._network.label_frame(frame_rgb, height, width)
        total = np.zeros((len(self._network.class_names), height, width), np.float32)
        for scale in self._looks.scales:
            for is_mirrored in (False, True) if self._looks.flip else (False,):
                if self._looks.window is None:
                    self._add_whole(total, frame_rgb, scale, is_mirrored)
                else:
                    self._add_windows(total, frame_rgb, scale, is_mirrored)
        return total.argmax(0).astype(np.uint8)

    def _add_whole(self, total: np.ndarray, frame_rgb: np.ndarray, scale: float, is_mirrored: bool) -> None:
        size = scaled_size(self._network.size, scale, self._network.size_multiple)
        prepared = prepare_rgb(frame_rgb, *size)[0]
        self._add(total, self._planes(prepared, is_mirrored))

    def _add_windows(self, total: np.ndarray, frame_rgb: np.ndarray, scale: float, is_mirrored: bool) -> None:
        size, window = scaled_size(frame_rgb.shape[:2], scale, 1), self._looks.window
        frame = prepare_rgb(frame_rgb, *size)[0]
        missing = [max(own - side, 0) for own, side in zip(window.size, size)]
        if any(missing):  # a network of a fixed size needs a whole window
            frame = cv2.copyMakeBorder(frame, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        padded = frame.shape[:2]
        probabilities = np.zeros((len(total), *padded), np.float32)
        times = np.zeros(padded, np.float32)
        for top, left in window.places(*padded):
            rows, columns = slice(top, top + window.size[0]), slice(left, left + window.size[1])
            self._add(probabilities[:, rows, columns], self._planes(frame[rows, columns], is_mirrored))
            times[rows, columns] += 1.0
        probabilities /= times
        for plane, own in zip(total, probabilities):
            own = own[: size[0], : size[1]]
            plane += own if own.shape == plane.shape else cv2.resize(own, plane.shape[::-1])

    def _planes(self, frame_rgb: np.ndarray, is_mirrored: bool) -> np.ndarray:
        given = np.ascontiguousarray(frame_rgb[:, ::-1] if is_mirrored else frame_rgb)
        logits = self._network.planes(given)
        if not np.isfinite(logits).all():
            raise InputError("logits are NaN or infinite, expected finite numbers")
        return logits[..., ::-1] if is_mirrored else logits

    def _add(self, total: np.ndarray, logits: np.ndarray) -> None:
        """Add the class probabilities of some logits, at the size of `total`."""
        height, width = total.shape[1:]
        for first in range(0, height, _ROWS):
            rows = slice(first, min(first + _ROWS, height))
            total[:, rows] += softmax(upsampled_rows(logits, height, width, self._network.coordinates, rows))


def scaled_size(size: tuple[int, int], scale: float, multiple: int) -> tuple[int, int]:
    """Return height and width times a scale, to the nearest multiple of some number of pixels."""
    return tuple(max(1, round(side * scale / multiple)) * multiple for side in size)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the class probabilities of logits (classes, h, w), in place."""
    logits -= logits.max(0)
    np.exp(logits, out=logits)
    logits /= logits.sum(0)
    return logits


def upsampled_rows(logits: np.ndarray, height: int, width: int, coordinates: str, rows: slice) -> np.ndarray:
    """Return some rows of bilinearly upsampled logits.

    Args:
        logits: (classes, h, w) float32.
        height: Rows of the whole result.
        width: Columns of the result.
        coordinates: Coordinate rule, as in the network's contract.
        rows: Rows that are wanted.

    Returns:
        (classes, rows, width) float32.
    """
    low, high, share = (table[rows] for table in _weights(logits.shape[1], height, coordinates))
    part = logits[:, low]
    part = part + (logits[:, high] - part) * share[:, None]
    low, high, share = _weights(logits.shape[2], width, coordinates)
    result = part[..., low]
    result += (part[..., high] - result) * share
    return result


@functools.lru_cache(maxsize=32)
def _weights(nodes: int, pixels: int, coordinates: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two nodes around each pixel, and the share of the second of them."""
    cells = axis_cells(nodes, pixels, coordinates)
    cell = cells.cell_of_pixel()
    share = cells.high_weight / (cells.low_weight + cells.high_weight)
    return cells.low[cell], cells.high[cell], share.astype(np.float32)
