"""Writing of a video file that can be played whenever the writing ends, and is named as finished when it is.

While it is recorded, `drive.mp4` is called `drive.part.mp4`, or `drive.part-2.mp4` where that one is there. A recording
whose process was killed keeps that name, and no later run removes it or writes over it. Nor does a recording of a live
source write over an earlier one, as when a service is started again: it is called `drive-2.mp4` then.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import numpy as np

from edge.console import print_note, print_warning, storage_error
from edge.errors import StorageError
from edge.opencv import cv2
from edge.stream.base import Frame, Sink
from edge.stream.encoders import CODECS, H264_SUFFIXES, Encoder, open_encoder

VIDEO_SUFFIXES = tuple(CODECS)
FALLBACK_SUFFIX = ".avi"

_SPACE_CHECK_FRAMES = 30
_MIN_FREE_BYTES = 32 << 20  # enough for what the encoder holds back, and for the index at the end


class VideoSink(Sink):
    """Writes a video file, which gets its name when `close` has finished it.

    All frames have the size of the first; others are fitted into it with black bars. Frames that have times of their
    own are repeated or left out, so that the video runs as the file did that they come from.

    Args:
        path: Path of the file; its suffix chooses the format. Where OpenCV lacks a codec for it, an .avi file beside it
            is written.
        fps: Frames per second of the video.
        by_clock: Whether frames are repeated or left out by their arrival times, so that the video runs as fast as the
            scene did.
    """

    def __init__(self, path: Path, fps: float, by_clock: bool = False) -> None:
        self._path, self._fps, self._by_clock = path, fps, by_clock
        self._encoder: Encoder | None = None
        self._part = path
        self._size_wh = (0, 0)
        self._written = self._shown = self._repeated = self._left_out = 0
        self._start_ns = 0
        self._result: str | None = None

    def show(self, frame: Frame, picture_bgr: np.ndarray) -> bool:
        """Write one picture, as often as its time asks for."""
        if self._encoder is None:
            self._open(picture_bgr)
            self._start_ns = frame.arrival_ns
        due = self._due(frame)
        fitted = _fitted(picture_bgr, self._size_wh)
        for _ in range(due - self._written):
            self._encoder.write(fitted)
        if not self._by_clock:
            self._repeated += max(due - self._written - 1, 0)
            self._left_out += due <= self._written
        self._written = max(due, self._written)
        self._shown += 1
        if self._shown % _SPACE_CHECK_FRAMES == 0:
            self._check_space()
        return True

    def _due(self, frame: Frame) -> int:
        """Return the number of frames that the video has when this one is written."""
        if self._by_clock:
            return int((frame.arrival_ns - self._start_ns) / 1e9 * self._fps) + 1
        if frame.time_s is not None:
            return round(frame.time_s * self._fps) + 1
        return self._written + 1

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            StorageError: The written file cannot be read back, since the disk is full or the codec failed.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        failure = None
        try:
            encoder.close()
        except StorageError as error:
            failure = error
        if not self._written:
            self._remove_part()
        elif failure is not None or not _is_whole(self._part, self._written):
            self._fail(failure)
        else:
            target = self._free_path() if self._by_clock else self._path
            try:
                os.replace(self._part, target)
            except OSError as error:
                raise storage_error(error, target) from error
            if target != self._path:
                print_note(f"{self._path} is an earlier recording and is kept: this one is {target}")
            self._result = str(target)
            self._say_changed_times()

    @property
    def result(self) -> str | None:
        """Path of the file once it is complete; None before."""
        return self._result

    def _free_path(self) -> Path:
        """Return the path of a recording of a live source, which cannot be made again, so that none is written over."""
        path, number = self._path, 1
        while os.path.lexists(path):
            number += 1
            path = self._path.with_name(f"{self._path.stem}-{number}{self._path.suffix}")
        return path

    def _fail(self, failure: StorageError | None) -> None:
        why = (
            str(failure)
            if failure is not None
            else (
                f"cannot write {self._path}: the video of {self._written} frames could not be finished, the "
                "disk is full or the codec failed"
            )
        )
        if _is_whole(self._part, 1):
            raise StorageError(f"{why}; what can be played of it is {self._part}. Next: free some space")
        self._remove_part()
        raise StorageError(f"{why}. Next: free some space, or name a folder to get pictures")

    def _remove_part(self) -> None:
        with contextlib.suppress(OSError):
            self._part.unlink()

    def _say_changed_times(self) -> None:
        if self._repeated or self._left_out:
            print_note(
                f"the frames of the source have times of their own: {self._repeated} were repeated and "
                f"{self._left_out} left out, so that {self._path} runs as the source does, at {self._fps:.4g} fps"
            )

    def _open(self, picture_bgr: np.ndarray) -> None:
        height, width = picture_bgr.shape[:2]
        # The codecs store colour at half the size, and want even sides.
        self._size_wh = (max(width - width % 2, 2), max(height - height % 2, 2))
        wanted = self._path
        for path in dict.fromkeys((wanted, wanted.with_suffix(FALLBACK_SUFFIX))):
            if self._try(path):
                if path != wanted:
                    print_warning(f"this OpenCV has no encoder for {wanted.suffix}: writing {path}")
                elif path.suffix.lower() in H264_SUFFIXES and not self._encoder.plays_in_browsers:
                    print_warning(
                        f"browsers do not play {path}: it is MPEG-4 Part 2, since this machine has no encoder of "
                        f"H.264. Next: sudo apt install ffmpeg, or name {path.with_suffix('.webm').name}"
                    )
                return
        raise StorageError(
            f"cannot write {wanted}: this OpenCV ({cv2.__version__}) encodes neither {CODECS[wanted.suffix.lower()]} "
            f"nor {CODECS[FALLBACK_SUFFIX]} at {width}x{height}. Next: name a folder to get pictures"
        )

    def _try(self, path: Path) -> bool:
        part = _new_part(path)
        self._encoder = open_encoder(part, self._fps, self._size_wh)
        if self._encoder is None:
            part.unlink()
            return False
        self._path, self._part = path, part
        return True

    def _check_space(self) -> None:
        # OpenCV's writer keeps a full disk to itself.
        free_bytes = shutil.disk_usage(self._part.parent).free
        if free_bytes < _MIN_FREE_BYTES:
            raise StorageError(
                f"{self._path}: {free_bytes >> 20} MB are free on its disk; the video ends here, after {self._written} "
                "frames. Next: free some space and run the command again"
            )


def _new_part(path: Path) -> Path:
    """Create the empty file of an unfinished recording, under a name that none has.

    Raises:
        StorageError: The folder cannot be created or written to.
    """
    number, earlier = 1, []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory", str(path))
        while True:
            counted = f".part-{number}" if number > 1 else ".part"
            part = path.with_name(f"{path.stem}{counted}{path.suffix}")
            try:
                part.open("xb").close()
                break
            except FileExistsError:
                earlier.append(part.name)
                number += 1
    except OSError as error:
        raise storage_error(error, path) from error
    if earlier:
        print_note(
            f"{', '.join(earlier)} in {path.parent}: recorded by a run that was killed or still runs; it is left alone"
        )
    return part


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
