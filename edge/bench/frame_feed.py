"""The frames that a measurement hands to an engine: held in memory, or decoded within its clock."""

from __future__ import annotations

import abc
import time

import numpy as np

from edge.errors import InputError
from edge.frames import FrameSet
from edge.opencv import cv2
from edge.preprocess import to_nv12
from edge.segmenter import NV12

MAX_DISTINCT_FRAMES = 32
"""Frames that are held in memory and cycled through, so that no disk is in the measurement."""


class FrameFeed(abc.ABC):
    """Gives frames without end: after the last one the first comes again.

    Attributes:
        color_order: Format of the frames, as edge.segmenter takes it.
        height: Rows of a frame in pixels.
        width: Columns of a frame in pixels.
        distinct_frames: Number of different frames.
    """

    def __init__(self, color_order: str, size: tuple[int, int], distinct_frames: int) -> None:
        self.color_order, self.distinct_frames = color_order, distinct_frames
        self.height, self.width = size
        self._next = 0

    def rewind(self) -> None:
        """Begin at the first frame again."""
        self._next = 0

    @abc.abstractmethod
    def take(self) -> tuple[np.ndarray, int | None]:
        """Return the next frame, and the time in ns that its decoding took; None where it was in memory before."""


class PreparedFeed(FrameFeed):
    """Frames that are in memory before the clock starts.

    Args:
        frames: Frames, of which the first MAX_DISTINCT_FRAMES are held.
        frame_format: Format that they are held in: "bgr" or "nv12".

    Raises:
        InputError: There are no frames, or they differ in size.
    """

    def __init__(self, frames: FrameSet, frame_format: str) -> None:
        self._pictures = _read(frames)
        height, width = self._pictures[0].shape[:2]
        if frame_format == NV12:
            self._pictures = [to_nv12(picture) for picture in self._pictures]
        super().__init__(frame_format, (height, width), len(self._pictures))

    def take(self) -> tuple[np.ndarray, int | None]:
        """Return the next frame, and None."""
        picture = self._pictures[self._next % len(self._pictures)]
        self._next += 1
        return picture, None


class DecodingFeed(FrameFeed):
    """Frames that are read and decoded when they are asked for, so that this is part of what is measured.

    Args:
        frames: Frames, all of which are used in turn.

    Raises:
        InputError: There are no frames.
    """

    def __init__(self, frames: FrameSet) -> None:
        _refuse_none(frames)
        self._frames = frames
        super().__init__("rgb", frames.read(0).shape[:2], len(frames))

    def take(self) -> tuple[np.ndarray, int | None]:
        """Return the next frame, and the time in ns that its reading and decoding took.

        Raises:
            InputError: The frame has another size than the first one, or cannot be read.
        """
        index = self._next % len(self._frames)
        start_ns = time.perf_counter_ns()
        frame_rgb = self._frames.read(index)
        decode_ns = time.perf_counter_ns() - start_ns
        if frame_rgb.shape[:2] != (self.height, self.width):
            raise _size_error(self._frames, [((self.height, self.width), 0), (frame_rgb.shape[:2], index)])
        self._next += 1
        return frame_rgb, decode_ns


def frame_feed(frames: FrameSet, frame_format: str, includes_decode: bool) -> FrameFeed:
    """Return the feed of a measurement.

    Args:
        frames: Frames that are segmented in turn.
        frame_format: Format of frames that are held in memory, "bgr" or "nv12".
        includes_decode: Whether frames are decoded within the clock.

    Raises:
        InputError: There are no frames, they differ in size, or have nothing to decode.
    """
    if not includes_decode:
        return PreparedFeed(frames, frame_format)
    if frame_format == NV12:
        raise InputError(
            "frames that are decoded from files are RGB, and --frame-format is nv12. Next: leave --include-decode or "
            "--frame-format out"
        )
    return DecodingFeed(frames)


def _refuse_none(frames: FrameSet) -> None:
    if not len(frames):
        raise InputError(f"no frames to benchmark with in {frames.description}")


def _read(frames: FrameSet) -> list[np.ndarray]:
    """Return the frames that are held in memory, each (height, width, 3) uint8 BGR, all of one size."""
    _refuse_none(frames)
    count = min(len(frames), MAX_DISTINCT_FRAMES)
    # A camera gives frames in OpenCV's order; the conversion to RGB is part of what is measured.
    pictures = [cv2.cvtColor(frames.read(index), cv2.COLOR_RGB2BGR) for index in range(count)]
    sizes = {picture.shape[:2]: index for index, picture in enumerate(pictures)}
    if len(sizes) > 1:
        raise _size_error(frames, list(sizes.items()))
    return pictures


def _size_error(frames: FrameSet, sizes: list[tuple[tuple[int, int], int]]) -> InputError:
    named = ", ".join(f"{frames.names[index]} is {height}x{width}" for (height, width), index in sizes[:3])
    return InputError(
        f"frames of {frames.description} differ in size: {named}, expected one size in a benchmark. "
        "Next: --images FOLDER with the frames of one camera"
    )
