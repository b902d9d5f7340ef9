"""Drawn frames of any size that a camera may have: portrait, odd, smaller or larger than scenes are drawn.

A scene is drawn in the frame's proportions, as near to its size as scenes can be drawn, and resized to it. Labels are
not resized with it, so this is for speed and for looking at, not for accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.errors import SizeError
from edge.opencv import cv2
from edge.synthetic.scene import MAX_HEIGHT, MAX_WIDTH, MIN_HEIGHT, MIN_WIDTH
from edge.synthetic.video import SyntheticVideo

LEAST_SIDE, MOST_SIDE = 16, 8192
"""Sides in pixels of a frame that can be drawn: cameras give more than the one and, up to 8K, less than the other."""


@dataclass(frozen=True)
class CameraSize:
    """Size of a camera's frames, and the size that scenes are drawn at for them.

    Attributes:
        height: Rows of a frame, in pixels.
        width: Columns of a frame, in pixels.

    Raises:
        SizeError: A side is shorter than LEAST_SIDE or longer than MOST_SIDE.
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        if not all(LEAST_SIDE <= side <= MOST_SIDE for side in (self.height, self.width)):
            raise SizeError(
                f"frames cannot be drawn at {self.height}x{self.width}, expected sides of {LEAST_SIDE} to {MOST_SIDE} "
                "pixels. Next: name the size of a camera, such as 1080x1920"
            )

    def drawn(self) -> tuple[int, int]:
        """Return the height and width at which a scene is drawn."""
        height, width = self.height, self.width
        factor = min(max(1.0, MIN_HEIGHT / height, MIN_WIDTH / width), MAX_HEIGHT / height, MAX_WIDTH / width)
        return (
            min(max(round(height * factor), MIN_HEIGHT), MAX_HEIGHT),
            min(max(round(width * factor), MIN_WIDTH), MAX_WIDTH),
        )

    def resized(self, drawn_rgb: np.ndarray) -> np.ndarray:
        """Return a drawn scene (height, width, 3) uint8 RGB at the camera's size."""
        if drawn_rgb.shape[:2] == (self.height, self.width):
            return drawn_rgb
        way = cv2.INTER_AREA if self.width < drawn_rgb.shape[1] else cv2.INTER_LINEAR
        return cv2.resize(drawn_rgb, (self.width, self.height), interpolation=way)


class CameraVideo:
    """A drive along a drawn street, in frames of a camera's size.

    Args:
        height: Rows of a frame, in pixels.
        width: Columns of a frame, in pixels.
        seed: Seed of the street.
        fps: Frames per second.

    Raises:
        SizeError: No camera has frames of that size.
    """

    def __init__(self, height: int, width: int, seed: int, fps: float) -> None:
        self._size = CameraSize(height, width)
        self._video = SyntheticVideo(*self._size.drawn(), seed, fps)

    def frame_rgb(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB; the first is 0."""
        return self._size.resized(self._video.frame(index).frame_rgb)
