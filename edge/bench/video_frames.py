"""Frames of a video file, for a measurement."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from edge.artifacts import sha256_file
from edge.errors import SourceError
from edge.frames import FrameSet
from edge.opencv import cv2
from edge.stream.captures import Capture, open_video_file


class VideoFrames(FrameSet):
    """Frames of a video file, in its order; the file is read from the start again where an earlier frame is asked for.

    Args:
        path: Path of the file.
        most: Most frames, from the first one on; None for all, which are then counted once.

    Raises:
        SourceError: The file is no video, or not one frame of it can be decoded.
    """

    def __init__(self, path: str | os.PathLike, most: int | None = None) -> None:
        self._path = Path(path)
        self._capture: Capture | None = None
        self._next = 0
        self._sha256 = ""
        count = self._count(most)
        super().__init__(f"video {path}", [f"frame_{index:06d}" for index in range(count)])

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB.

        Raises:
            SourceError: The frame cannot be decoded.
        """
        if self._capture is None or index < self._next:
            self.close()
            self._capture = open_video_file(self._path)
        while self._next < index and self._capture.grab():
            self._next += 1
        arrived, frame_bgr = self._capture.read()
        if not arrived or frame_bgr is None:
            raise SourceError(f"frame {index} of video {self._path} cannot be decoded: it is truncated or damaged")
        self._next += 1
        return cv2.cvtColor(frame_bgr, cv2.COLOR_BGR2RGB)

    def digest(self, index: int) -> str:
        """Return the SHA-256 of the file's own and the number of frame `index`."""
        self._sha256 = self._sha256 or sha256_file(self._path)
        return hashlib.sha256(f"{self._sha256} {index}".encode()).hexdigest()

    def close(self) -> None:
        """Close the file; the next frame that is read opens it again."""
        capture, self._capture, self._next = self._capture, None, 0
        if capture is not None:
            capture.release()

    def _count(self, most: int | None) -> int:
        """Return the number of frames that can be decoded; what the file says of it is an estimate."""
        capture = open_video_file(self._path)
        try:
            count = 0
            while (most is None or count < most) and capture.grab():
                count += 1
        finally:
            capture.release()
        if not count:
            raise SourceError(
                f"video {self._path} opens, but not one frame of it can be decoded: it is truncated, or of a format "
                "that this OpenCV cannot decode. Next: try it in a player"
            )
        return count
