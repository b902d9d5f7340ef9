"""A drive along a street: frames that follow one another, with labels."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from edge.errors import InputError
from edge.synthetic.scene import Scene, check_size, scene_at, video_world


class SyntheticVideo:
    """Consecutive frames of one street, seen from a camera that drives along it; it has no end.

    Args:
        height: rows, 64 to 1024.
        width: columns, 128 to 2048.
        seed: which street, 0 or more.
        fps: frames a second, of the street's own time.

    Raises:
        SizeError: a side is out of range.
        InputError: fps is not positive.

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
