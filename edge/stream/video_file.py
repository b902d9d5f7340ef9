"""Writing of a video file that is complete whenever the writing ends."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np

from edge.artifacts import atomic_path
from edge.console import print_warning
from edge.errors import StorageError
from edge.opencv import cv2
from edge.stream.base import Frame, Sink
from edge.stream.captures import silence_capture_logs

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
VIDEO_SUFFIXES = tuple(CODECS)
FALLBACK_SUFFIX = ".avi"

_SPACE_CHECK_FRAMES = 30
_MIN_FREE_BYTES = 32 << 20  # enough for what the encoder holds back, and for the index at the end


class VideoSink(Sink):
    """Writes a video file, which gets its name when `close` has finished it.

    All frames have the size of the first; others are fitted into it with black bars.

    Args:
        path: Path of the file; its suffix chooses the codec. Where OpenCV lacks the codec, an .avi file beside it is
            written.
        fps: Frames per second of the video.
        by_clock: Whether frames are repeated or left out by their arrival times, so that the video runs as fast as the
            scene did.
    """

    def __init__(self, path: Path, fps: float, by_clock: bool = False) -> None:
        self._path, self._fps, self._by_clock = path, fps, by_clock
        self._stack = contextlib.ExitStack()
        self._writer: cv2.VideoWriter | None = None
        self._temporary = path
        self._size_wh = (0, 0)
        self._written = 0
        self._shown = 0
        self._start_ns = 0
        self._result: str | None = None

    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Write one picture, as often as its arrival time asks for."""
        if self._writer is None:
            self._open(picture_bgr)
            self._start_ns = frame.arrival_ns
        if self._by_clock:
            due = int((frame.arrival_ns - self._start_ns) / 1e9 * self._fps) + 1
        else:
            due = self._written + 1
        fitted = _fitted(picture_bgr, self._size_wh)
        for _ in range(due - self._written):
            self._writer.write(fitted)
        self._written = max(due, self._written)
        self._shown += 1
        if self._shown % _SPACE_CHECK_FRAMES == 0:
            self._check_space()
        return True

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            StorageError: The written file cannot be read back, since the disk is full or the codec failed.
        """
        writer, self._writer = self._writer, None
        if writer is None:
            return
        with contextlib.suppress(_DiscardedError), self._stack:
            writer.release()
            if not self._written:
                raise _DiscardedError
            if not _is_whole(self._temporary, self._written):
                raise StorageError(
                    f"cannot write {self._path}: the video of {self._written} frames could not be finished, the disk "
                    "is full or the codec failed. Next: free some space, or name a folder to get pictures"
                )
        self._result = str(self._path) if self._written else None

    @property
    def result(self) -> str | None:
        """Path of the file once it is complete; None before."""
        return self._result

    def _open(self, picture_bgr: np.ndarray) -> None:
        height, width = picture_bgr.shape[:2]
        # The codecs store colour at half the size, and want even sides.
        self._size_wh = (max(width - width % 2, 2), max(height - height % 2, 2))
        wanted = self._path
        for path in dict.fromkeys((wanted, wanted.with_suffix(FALLBACK_SUFFIX))):
            if self._try(path):
                if path != wanted:
                    print_warning(f"this OpenCV has no encoder for {wanted.suffix}: writing {path}")
                return
        raise StorageError(
            f"cannot write {wanted}: this OpenCV ({cv2.__version__}) encodes neither {CODECS[wanted.suffix.lower()]} "
            f"nor {CODECS[FALLBACK_SUFFIX]} at {width}x{height}. Next: name a folder to get pictures"
        )

    def _try(self, path: Path) -> bool:
        stack = contextlib.ExitStack()
        temporary = stack.enter_context(atomic_path(path))
        silence_capture_logs()
        codec = cv2.VideoWriter_fourcc(*CODECS[path.suffix.lower()])
        writer = cv2.VideoWriter(str(temporary), codec, self._fps, self._size_wh)
        if writer.isOpened():
            self._stack, self._writer, self._temporary, self._path = stack, writer, temporary, path
            return True
        with contextlib.suppress(_DiscardedError), stack:
            raise _DiscardedError
        return False

    def _check_space(self) -> None:
        # OpenCV's writer keeps a full disk to itself.
        free_bytes = shutil.disk_usage(self._temporary.parent).free
        if free_bytes < _MIN_FREE_BYTES:
            raise StorageError(
                f"{self._path}: {free_bytes >> 20} MB are free on its disk; the video ends here, after {self._written} "
                "frames. Next: free some space and run the command again"
            )


class _DiscardedError(Exception):
    """Error that leaves an atomic_path block, so that the block removes its file."""


def _fitted(picture_bgr: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Return a picture at a size: unchanged, without its odd last row or column, or with black bars."""
    width, height = size_wh
    rows, columns = picture_bgr.shape[:2]
    if (rows - rows % 2, columns - columns % 2) == (height, width):
        return picture_bgr[:height, :width]
    factor = min(height / rows, width / columns)
    inner_wh = (min(max(round(columns * factor), 1), width), min(max(round(rows * factor), 1), height))
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - inner_wh[0]) // 2, (height - inner_wh[1]) // 2
    canvas[top : top + inner_wh[1], left : left + inner_wh[0]] = cv2.resize(
        picture_bgr, inner_wh, interpolation=cv2.INTER_AREA
    )
    return canvas


def _is_whole(path: Path, frames: int) -> bool:
    capture = cv2.VideoCapture(str(path))
    try:
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return capture.isOpened() and capture.read()[0] and (count <= 0 or count >= 0.9 * frames)
    finally:
        capture.release()
