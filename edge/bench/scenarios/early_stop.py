"""The end of a camera's measurement as soon as its verdict is certain."""

from __future__ import annotations

import threading

from edge.bench.frame_samples import FrameLog, frame_samples
from edge.bench.scenarios.deadlines import early_verdict
from edge.bench.scenarios.scenario_record import CameraRules
from edge.frame_statistics.binomial_bound import next_look
from edge.percentile_rule import least_samples

LEAST_FRAMES = least_samples(99)
"""Number of frames that are measured in any case: with fewer, no run says anything."""


class EarlyStop:
    """Looks at the deadlines of a growing log now and then, in a thread of its own.

    A look takes milliseconds, in which the next frame of the camera would be late.

    Args:
        camera: Rules of the camera.
        log: Log of the frames that are done.
        start_ns: Arrival of the camera's first frame, on time.perf_counter_ns.
    """

    def __init__(self, camera: CameraRules, log: FrameLog, start_ns: int) -> None:
        self._camera, self._log, self._start_ns = camera, log, start_ns
        self._next_look = next_look(0)
        self._thread: threading.Thread | None = None
        self._verdict: bool | None = None

    def is_certain(self, arrived_frames: int) -> bool:
        """Return whether the verdict is certain, and begin a look where one is due.

        Args:
            arrived_frames: Number of frames that the camera has given.
        """
        if self._verdict is not None:
            return True
        if arrived_frames < self._next_look or len(self._log) < LEAST_FRAMES:
            return False
        if self._thread is None or not self._thread.is_alive():
            self._next_look = next_look(arrived_frames)
            self._thread = threading.Thread(target=self._look, name="deadlines", daemon=True)
            self._thread.start()
        return False

    def wait(self) -> None:
        """Wait for the look that is under way."""
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        self._verdict = early_verdict(frame_samples(self._log, self._start_ns), self._camera)
