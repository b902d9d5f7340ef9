"""Conversion of a camera's frame to the tensor that a network takes.

Normalisation is inside the graph (see edge.contract), so this is a resize and, for frames of OpenCV, a change of the
channel order. The resize is bilinear with half-pixel coordinates and without antialiasing, as in training.
"""

from __future__ import annotations

import numpy as np

from edge.errors import InputError
from edge.opencv import cv2

COLOR_ORDERS = ("rgb", "bgr")


class FramePreparer:
    """Resizes frames of any size to the input of one network, into a buffer that is allocated once.

    The next call overwrites the buffer; one preparer serves one thread.

    Args:
        height: Rows of the network's input, in pixels.
        width: Columns of the network's input, in pixels.
        color_order: Channel order of the frames, "rgb" or "bgr".
    """

    def __init__(self, height: int, width: int, color_order: str = "bgr") -> None:
        if color_order not in COLOR_ORDERS:
            raise InputError(f"colour order is '{color_order}', expected one of: {', '.join(COLOR_ORDERS)}")
        self._size_wh = (width, height)
        self._swap = color_order == "bgr"
        self._tensor = np.empty((1, height, width, 3), np.uint8)
        self._resized = np.empty((height, width, 3), np.uint8)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Prepare one frame for the network.

        Args:
            frame: (h, w, 3) uint8.

        Returns:
            (1, height, width, 3) uint8 RGB, C-contiguous.

        Raises:
            InputError: The frame has another shape or dtype.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise InputError(f"frame is {frame.shape} {frame.dtype}, expected (height, width, 3) uint8")
        target = self._tensor[0]
        same_size = frame.shape[1::-1] == self._size_wh
        if self._swap:
            source = frame if same_size else cv2.resize(frame, self._size_wh, self._resized)
            cv2.cvtColor(source, cv2.COLOR_BGR2RGB, target)
        elif same_size:
            np.copyto(target, frame)
        else:
            cv2.resize(frame, self._size_wh, target)
        return self._tensor


def to_nv12(frame_bgr: np.ndarray) -> np.ndarray:
    """Convert a frame to NV12, the format of cameras and decoders: luma, and below it U and V at half the size.

    Args:
        frame_bgr: (h, w, 3) uint8 with even sides.

    Returns:
        (h * 3 / 2, w) uint8, converted by ITU-R BT.601.

    Raises:
        InputError: A side is odd.
    """
    height, width = frame_bgr.shape[:2]
    if height % 2 or width % 2:
        raise InputError(f"frame is {height}x{width}, NV12 needs even sides: two pixels share a colour")
    planar = cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2YUV_I420)
    chroma = planar[height:].reshape(2, -1)
    return np.concatenate((planar[:height], np.stack(tuple(chroma), -1).reshape(height // 2, width)))


def prepare_rgb(frame_rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize one RGB frame into a new tensor, (1, height, width, 3) uint8."""
    return FramePreparer(height, width, "rgb")(frame_rgb)
