"""Live sources: a thread reads every frame as it comes, and keeps only the latest one."""

from __future__ import annotations

import threading
import time
from typing import Callable

from edge.errors import SegEdgeError, SourceError
from edge.opencv import cv2
from edge.stream.base import Frame, FrameSource
from edge.stream.captures import Capture, mask_credentials, reported_fps
from edge.stream.file_sources import reported_size


class LiveSource(FrameSource):
    """Gives the latest frame of a capture that never waits for its reader.

    The capture belongs to the reader thread from opening to release, so that neither a slow network nor a dead camera
    can stop the caller for longer than a timeout.

    Args:
        description: Name of the source for messages.
        open_capture: Function that opens the capture, or raises SourceError; it is called on the reader thread.
        timeout_s: Longest wait in s for the capture to open, and for a frame.
        has_end: Whether the capture may end: a file that is played as a camera would. An end of any other, and a wait
            for a frame that is longer than the timeout, are a loss of the source.
    """

    is_live = True
    JOIN_TIMEOUT_S = 5.0

    def __init__(
        self, description: str, open_capture: Callable[[], Capture], timeout_s: float = 10.0, has_end: bool = False
    ) -> None:
        super().__init__(description)
        self._open_capture, self._timeout_s, self._has_end = open_capture, timeout_s, has_end
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._opened = self._ended = self._stopping = False
        self._latest: Frame | None = None
        self._error: Exception | None = None
        self._arrived = self._taken = 0
        self._opening_s = 0.0

    def open(self) -> None:
        """Start the reader thread and wait until the capture is open."""
        if self._thread is not None:
            raise SourceError(f"{self.description} was opened before; a live source is opened once")
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)
        self._thread.start()
        with self._changed:
            # Twice the time: the capture has the same timeout and the better message.
            self._changed.wait_for(lambda: self._opened or self._ended, 2 * self._timeout_s)
            opened, error = self._opened, self._error
        if error is not None:
            self.close()
            raise error
        if not opened:
            self._stop()
            raise SourceError(
                f"{self.description} did not open within {2 * self._timeout_s:g} s: it does not answer, or its "
                "name is wrong"
            )

    def read(self) -> Frame | None:
        """Return the latest frame that was not returned yet; wait for one if necessary.

        Returns:
            The frame; None at the end of the source, which `is_lost` then says more about.

        Raises:
            SourceError: Not one frame came, or the capture failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._latest is not None or self._ended, self._timeout_s)
            frame, self._latest = self._latest, None
            if frame is not None:
                self._taken += 1
                return frame
            if self._error is not None:
                raise self._error
            if self._arrived == 0 and self._ended:
                raise SourceError(f"{self.description} opens, but gives no frame. Next: try it in a player")
            if self._arrived == 0:
                raise SourceError(
                    f"{self.description} gave no frame for {self._timeout_s:g} s: it stopped or is cut off"
                )
            if not (self._ended and self._has_end):
                self._lose()
        return None

    def _lose(self) -> None:
        how = "ended" if self._ended else f"gave no frame for {self._timeout_s:g} s"
        why = "it was unplugged or switched off, or its connection is gone"
        if self._ended and self._opening_s >= self._timeout_s:
            # OpenCV breaks off what it still reads of the stream's kind then, and goes on with what has come.
            why = f"opening it took longer than {self._timeout_s:g} s, which breaks it off. Next: a longer --timeout"
        self.is_lost = True
        self.end_note = (
            f"{self.description} was lost after {self._arrived} frame{'' if self._arrived == 1 else 's'}: it {how}, "
            f"although a live source has no end; {why}"
        )

    def close(self) -> None:
        """Stop the reader thread, which releases the capture."""
        self._stop()
        # A capture that hangs in its driver is left to the thread, which is a daemon.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self.JOIN_TIMEOUT_S)

    def _stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            start_ns = time.perf_counter_ns()
            capture = self._open_capture()
            self._opening_s = (time.perf_counter_ns() - start_ns) / 1e9
            try:
                self._announce(capture)
                self._pump(capture)
            finally:
                capture.release()
        except SegEdgeError as raised:
            error = raised
        except cv2.error as raised:
            error = SourceError(f"{self.description} failed: {mask_credentials(' '.join(str(raised).split()))}")
        except Exception as raised:  # a defect; the caller's thread has to see it
            error = raised
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _announce(self, capture: Capture) -> None:
        with self._changed:
            self.fps, self.size = reported_fps(capture), reported_size(capture)
            self._opened = True
            self._changed.notify_all()

    def _pump(self, capture: Capture) -> None:
        while not self._stopping:
            arrived, frame_bgr = capture.read()
            arrival_ns = time.perf_counter_ns()
            if not arrived:
                return
            with self._changed:
                # Frames that come before the first one is read are part of starting up.
                if self._latest is not None and self._taken:
                    self.dropped += 1
                self._latest = Frame(frame_bgr, self._arrived, arrival_ns, f"frame_{self._arrived:06d}")
                self._arrived += 1
                self.size = frame_bgr.shape[:2]
                self._changed.notify_all()
