"""The protocol of a scenario, and the loop of those that never let an engine wait."""

from __future__ import annotations

import abc
import collections
import time
from typing import Callable

from edge.bench.frame_feed import FrameFeed
from edge.bench.frame_samples import FrameLog, FrameTimes
from edge.bench.scenarios.scenario_record import CameraRules, ScenarioRecord
from edge.bench.settings import BenchSettings
from edge.segmenter import Segmentation, Segmenter

Watch = Callable[[int], None]
"""Function that is called between two frames, outside of every frame's time, with the present time.perf_counter_ns."""


class Scenario(abc.ABC):
    """Sends frames to a segmenter in its own order, until enough of them are done.

    Args:
        settings: Rules of the measurement.

    Raises:
        InputError: The settings contradict the scenario.
    """

    name: str = ""
    camera: CameraRules | None = None
    """Rules of the camera that the frames come from; None in a scenario without one."""

    stopped_early: bool = False
    """Whether the measurement ended before its least frames and time, since nothing more could change its verdict."""

    def __init__(self, settings: BenchSettings) -> None:
        self.settings = settings

    @property
    def in_flight(self) -> int:
        """Number of frames that are to be under way at once, where the device can have several."""
        return 1

    @abc.abstractmethod
    def run(self, segmenter: Segmenter, feed: FrameFeed, log: FrameLog, start_ns: int, watch: Watch) -> None:
        """Send frames, and add each one that is done to the log at once, so that an interrupt finds whole frames alone.

        Args:
            segmenter: Segmenter of the engine, with no frame under way.
            feed: Frames.
            log: Log that finished frames are added to.
            start_ns: Start of the measured window, on time.perf_counter_ns; the first frame is due then.
            watch: Function that is called between frames.
        """

    @abc.abstractmethod
    def clock_sentence(self) -> str:
        """Return a sentence on what the latency of a frame covers."""

    def record(self) -> ScenarioRecord:
        """Return the rules of the measurement, and whether it ended early; without what its frames say."""
        return ScenarioRecord(
            name=self.name,
            clock=self.clock_sentence(),
            least_frames=self.settings.frames,
            least_s=self.settings.seconds,
            includes_decode=self.settings.includes_decode,
            camera=self.camera,
            stopped_early=self.stopped_early,
        )

    def _begin_words(self) -> str:
        return "the file of a frame" if self.settings.includes_decode else "a frame in host memory"

    def _is_over(self, frames: int, elapsed_ns: int) -> bool:
        return frames >= self.settings.frames and elapsed_ns >= self.settings.seconds * 1e9


class BackToBackScenario(Scenario):
    """A scenario in which the next frame is always there as soon as the engine can take it."""

    has_all_at_start = False
    """Whether every frame is there when the measurement begins, and not when its work begins."""

    def run(self, segmenter: Segmenter, feed: FrameFeed, log: FrameLog, start_ns: int, watch: Watch) -> None:
        """Keep as many frames under way as the segmenter can have, then wait for the last of them."""
        sent, now_ns = 0, start_ns
        under_way: collections.deque[tuple[int, int | None]] = collections.deque()
        while True:
            if not segmenter.is_full and not self._is_over(sent, now_ns - start_ns):
                began_ns = time.perf_counter_ns() if sent else start_ns
                frame, decode_ns = feed.take()
                segmenter.submit(frame)
                under_way.append((began_ns, decode_ns))
                sent += 1
                continue
            if not under_way:
                return
            segmentation = segmenter.collect()
            now_ns = time.perf_counter_ns()
            began_ns, decode_ns = under_way.popleft()
            due_ns = start_ns if self.has_all_at_start else began_ns
            log.add(finished_frame(segmentation, due_ns, began_ns, now_ns, decode_ns))
            watch(now_ns)


def finished_frame(
    segmentation: Segmentation, due_ns: int, start_ns: int, end_ns: int, decode_ns: int | None
) -> FrameTimes:
    """Return the times of a frame that is done.

    Args:
        segmentation: Result of the segmenter.
        due_ns: Moment at which the frame was there, on time.perf_counter_ns.
        start_ns: Start of the work on it, on time.perf_counter_ns.
        end_ns: Moment at which its labels were in host memory, on time.perf_counter_ns.
        decode_ns: Time in ns of its decoding, which is part of its latency then; None where it was in memory.
    """
    if decode_ns is None:
        return FrameTimes(due_ns, start_ns, end_ns, segmentation.total_ns, dict(segmentation.stage_ns))
    stages_ns = {"decode": decode_ns, **segmentation.stage_ns}
    return FrameTimes(due_ns, start_ns, end_ns, segmentation.total_ns + decode_ns, stages_ns)
