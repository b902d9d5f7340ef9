"""A drive along a street: consecutive frames with labels."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from edge.errors import InputError
from edge.synthetic.scene import Scene, check_size, scene_at, video_world


class SyntheticVideo:
    """Consecutive frames of one street, seen from a camera that drives along it without an end.

    Args:
        height: Rows of a frame in pixels, 64 to 1024.
        width: Columns of a frame in pixels, 128 to 2048.
        seed: Seed of the street, 0 or more.
        fps: Frames per second of the street's own time.

    Raises:
        SizeError: A side is out of range.
        InputError: The frame rate is not positive, or more than 1000.

    Example:
        >>> video = SyntheticVideo(256, 512, seed=7)
        >>> for frame_rgb in itertools.islice(video, 30): ...
        >>> video.frame(12).label_ids
    """

    def __init__(self, height: int, width: int, seed: int, fps: float = 30.0) -> None:
        check_size(height, width)
        if not 0.0 < fps <= 1000.0:
            raise InputError(
                f"a synthetic video cannot run at {fps} frames a second, expected more than 0, at most 1000"
            )
        self.height, self.width, self.fps = height, width, fps
        self._world = video_world(seed)
        self._next_index = 0

    def frame(self, index: int) -> Scene:
        """Return a frame with its labels; it depends on the seed and the index alone."""
        return scene_at(self._world, self.height, self.width, index / self.fps, index)

    def read(self) -> np.ndarray:
        """Return the next frame, (H, W, 3) uint8 RGB."""
        index, self._next_index = self._next_index, self._next_index + 1
        return self.frame(index).frame_rgb

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            yield self.read()
