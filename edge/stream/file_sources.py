"""Sources that wait until they are read, so that no frame is dropped: pictures, video files, drawn scenes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Sequence

import numpy as np

from edge.errors import SourceError
from edge.imaging import read_rgb
from edge.opencv import cv2
from edge.picture_check import picture_problems, refuse_or_leave_out
from edge.sample_depth import shared_depth
from edge.stream.base import Frame, FrameSource
from edge.stream.captures import Capture, FrameTimes, reported_fps


class PictureSource(FrameSource):
    """Picture files, one after the other, in a given order.

    Args:
        paths: Paths of the files; each picture may have a size of its own.
        description: Name of the source for messages.
        skip_bad: Whether pictures that cannot be read are left out, and named in `skipped`, instead of refused.

    """

    shows_pictures = True

    def __init__(self, paths: Sequence[Path], description: str, skip_bad: bool | None = None) -> None:
        super().__init__(description)
        self._paths, self._skip_bad = tuple(paths), skip_bad
        self._names = _distinct_names(self._paths)
        # The range of 16-bit pictures is that of the folder, so that brightness does not jump.
        self._depth = shared_depth(self._paths, description)
        self._next = 0
        self.length = len(self._paths)
        self.files = frozenset(path.resolve() for path in self._paths)

    def open(self) -> None:
        """Check all pictures, without decoding them, and start at the first one.

        Raises:
            ImageError: Pictures are missing, truncated or of a form that cannot be read.
        """
        self._next = 0
        problems = picture_problems(self._paths)
        if len(self._paths) == 1 and problems:
            read_rgb(self._paths[0])  # says of one picture all that there is to say
        refuse_or_leave_out(list(problems.values()), len(self._paths), self.description, self._skip_bad)
        self.skipped += tuple(self._paths[index].name for index in problems)
        kept = [index for index in range(len(self._paths)) if index not in problems]
        self._paths, self._names = tuple(self._paths[i] for i in kept), [self._names[i] for i in kept]
        self.length = len(kept)

    def read(self) -> Frame | None:
        """Read the next picture; return None after the last one.

        Raises:
            ImageError: The file is missing or damaged.
        """
        if self._next >= len(self._paths):
            return None
        number, self._next = self._next, self._next + 1
        frame_bgr = cv2.cvtColor(read_rgb(self._paths[number], self._depth), cv2.COLOR_RGB2BGR)
        self.size = frame_bgr.shape[:2]
        return Frame(frame_bgr, number, time.perf_counter_ns(), self._names[number])

    def close(self) -> None:
        """Do nothing: a picture file is closed once it is read."""


def _distinct_names(paths: tuple[Path, ...]) -> list[str]:
    """Return the stems of files, followed by the suffix where two files have the same stem (`a_jpg`, `a_png`)."""
    stems = [path.stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}_{path.suffix[1:]}" for stem, path in zip(stems, paths)]


_RATE_FRAMES = 48
"""Frames at the beginning of a file whose times give its rate."""

_MOST_PLAUSIBLE_FPS = 125.0
"""Most frames per second that a reported rate is believed; a file with a larger one reports its clock instead."""


class SequentialSource(FrameSource):
    """Every frame of a capture, in order, as fast as it is read.

    Args:
        description: Name of the source for messages.
        open_capture: Function that opens the capture, or raises SourceError.
        has_times: Whether the frames may have times of their own, which are then looked at before the first frame.
    """

    def __init__(self, description: str, open_capture: Callable[[], Capture], has_times: bool = False) -> None:
        super().__init__(description)
        self._open_capture, self._has_times = open_capture, has_times
        self._times: FrameTimes | None = None
        self._capture: Capture | None = None
        self._next, self._last_s, self._step_s = 0, 0.0, 0.0
        self._duration_s: float | None = None

    def open(self) -> None:
        """Open the capture, and ask for its frame rate, size and length."""
        self._capture = self._open_capture()
        self._next, self._last_s, self._step_s = 0, 0.0, 0.0
        self.fps, self.size = reported_fps(self._capture), reported_size(self._capture)
        mean_fps = self.fps
        if self._has_times:
            self.fps = self._rate_by_times()
            self._times = FrameTimes(1.0 / (self.fps or 25.0))
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = count if count > 0 else None
        self._duration_s = count / mean_fps if count > 0 and mean_fps else None

    def read(self) -> Frame | None:
        """Decode the next frame; return None after the last one.

        Raises:
            SourceError: The capture is not open, or not one frame of it can be decoded.
        """
        if self._capture is None:
            raise SourceError(f"{self.description} is not open. Next: use it in a with block")
        arrived, frame_bgr = self._capture.read()
        if not arrived:
            if self._next == 0:
                raise SourceError(
                    f"{self.description} opens, but not one frame of it can be decoded: it is truncated, or of a "
                    "format that this OpenCV cannot decode. Next: try it in a player"
                )
            # Containers estimate their count; only a large gap means that frames are missing.
            if self.length is not None and self._next < 0.95 * self.length and not self._came_to_its_end():
                self.end_note = (
                    f"{self.description} ended after {self._next} of {self.length} frames: it is truncated or damaged"
                )
            return None
        number, self._next = self._next, self._next + 1
        self.size = frame_bgr.shape[:2]
        time_s = self._times.of(self._capture) if self._times is not None else None
        if time_s is not None:
            self._last_s, self._step_s = time_s, time_s - self._last_s
        return Frame(frame_bgr, number, time.perf_counter_ns(), f"frame_{number:06d}", time_s)

    def _came_to_its_end(self) -> bool:
        """Return whether the last frame was shown until the end of the file, by times of the frames' own.

        Of a variable rate, OpenCV gives the frames that the duration would have at a constant one.
        """
        if self._times is None or self._duration_s is None:
            return False
        return self._last_s + self._step_s >= 0.95 * self._duration_s

    def _rate_by_times(self) -> float | None:
        """Return the rate at which a video of these frames keeps them.

        OpenCV reports the mean rate of a file, or the rate of its clock. Frames with times of their own may come in
        bursts above the mean, and a recording at the mean would lose them.
        """
        capture = self._open_capture()
        try:
            positions_ms = []
            while len(positions_ms) < _RATE_FRAMES and capture.grab():
                positions_ms.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        finally:
            capture.release()
        steps_ms = np.diff(positions_ms)
        steps_ms = steps_ms[steps_ms > 0]
        if self.fps is not None and self.fps <= _MOST_PLAUSIBLE_FPS and len(steps_ms) < 2:
            return self.fps
        if len(steps_ms) < 2:
            return None
        by_times = min(1000.0 / float(np.percentile(steps_ms, 25)), _MOST_PLAUSIBLE_FPS)
        # A tenth is the rounding of the times to whole milliseconds, and no other rate.
        if self.fps is not None and self.fps <= _MOST_PLAUSIBLE_FPS and by_times <= 1.1 * self.fps:
            return self.fps
        return by_times

    def close(self) -> None:
        """Release the capture."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def reported_size(capture: Capture) -> tuple[int, int] | None:
    """Return the height and width that a capture reports; None where it reports none."""
    size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    return size if min(size) > 0 else None
