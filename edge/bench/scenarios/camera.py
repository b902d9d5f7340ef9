"""The scenario camera: frames come at a camera's rate, whether or not the engine is ready for them."""

from __future__ import annotations

import time

from edge.bench.frame_feed import FrameFeed
from edge.bench.frame_samples import FrameLog
from edge.bench.scenarios.base import Scenario, Watch, finished_frame
from edge.bench.scenarios.deadlines import arrived_frames, due_ns
from edge.bench.scenarios.early_stop import EarlyStop
from edge.bench.scenarios.scenario_record import CameraRules
from edge.bench.settings import CAMERA, BenchSettings
from edge.errors import InputError
from edge.segmenter import Segmenter


class CameraScenario(Scenario):
    """Gives the engine the newest frame of a camera of a fixed rate, as a live source does; older ones are dropped.

    A frame that is dropped, and one whose labels come after its deadline, missed that deadline. Frames that arrive
    after the last one that was taken are neither met nor missed.

    Attributes:
        camera: Rules of the camera.

    Raises:
        InputError: Several frames are to be in flight: whether the oldest of them is done cannot be seen without a wait
            for it, so that its age would not be known.
    """

    name = CAMERA

    def __init__(self, settings: BenchSettings) -> None:
        super().__init__(settings)
        self.camera = settings.camera or CameraRules()
        if settings.in_flight > 1:
            raise InputError(f"{self.name} has one frame in flight, got {settings.in_flight}. Next: leave it out")

    def run(self, segmenter: Segmenter, feed: FrameFeed, log: FrameLog, start_ns: int, watch: Watch) -> None:
        """Take the newest frame that is there, or wait for the next one, until enough are done or all is certain."""
        fps, taken, now_ns = self.camera.fps, -1, start_ns
        early = EarlyStop(self.camera, log, start_ns) if self.camera.stops_early else None
        while not self._is_over(len(log), now_ns - start_ns):
            began_ns = time.perf_counter_ns() if len(log) else start_ns
            newest = arrived_frames(began_ns - start_ns, fps) - 1
            if newest == taken:
                _sleep_until(start_ns + due_ns(taken + 1, fps))
                continue
            taken = newest
            frame, decode_ns = feed.take()
            segmentation = segmenter(frame)
            now_ns = time.perf_counter_ns()
            log.add(finished_frame(segmentation, start_ns + due_ns(taken, fps), began_ns, now_ns, decode_ns))
            watch(now_ns)
            if early is not None and early.is_certain(taken + 1):
                self.stopped_early = True
                return

    def clock_sentence(self) -> str:
        """Return what age and latency of a frame cover."""
        begin = "the moment at which its file was there" if self.settings.includes_decode else "its arrival in memory"
        return (
            f"age: from {begin} to its label map in host memory, with the wait for the engine; latency: the engine's "
            "part of it"
        )


def _sleep_until(moment_ns: int) -> None:
    # No busy wait: a real camera wakes a thread as well, and the time that this takes is part of a frame's age.
    time.sleep(max(moment_ns - time.perf_counter_ns(), 0) / 1e9)
