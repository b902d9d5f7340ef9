"""The times of measured frames: a log that grows while frames are measured, and its columns afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, NamedTuple

import numpy as np


class FrameTimes(NamedTuple):
    """Times of one frame in ns, on the clock of time.perf_counter_ns.

    Attributes:
        due_ns: Moment at which the frame was there: what a camera of a fixed rate gives, else the start of its work.
        start_ns: Start of the work on the frame.
        end_ns: Moment at which its label map was in host memory.
        latency_ns: Time of the frame as the segmenter counts it, which with one frame in flight is `end_ns - start_ns`.
        stages_ns: Stage -> its time.
    """

    due_ns: int
    start_ns: int
    end_ns: int
    latency_ns: int
    stages_ns: Mapping[str, int]


class FrameLog:
    """Frames that were measured until now, in the order in which they ended.

    One thread adds to it, and others may read what is there already: a frame is added whole, and never changed.
    """

    def __init__(self) -> None:
        self._frames: list[FrameTimes] = []

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: FrameTimes) -> None:
        """Add a finished frame."""
        self._frames.append(frame)

    def since(self, position: int) -> list[FrameTimes]:
        """Return the frames from a position on."""
        return self._frames[position:]


@dataclass(frozen=True)
class FrameSamples:
    """Times of measured frames as columns, each of shape (frames,) and int64.

    Attributes:
        due_ns: Moment at which each frame was there, in ns since the start of the measured window.
        start_ns: Start of the work on each frame, in ns since the start of the measured window.
        end_ns: Moment at which each label map was in host memory, in ns since the start of the measured window.
        latency_ns: Time of each frame as the segmenter counts it, in ns.
        stages_ns: Stage -> its time in each frame, in ns.
    """

    due_ns: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray
    latency_ns: np.ndarray
    stages_ns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.latency_ns)

    @property
    def age_ns(self) -> np.ndarray:
        """Age of each frame when its label map was there, in ns: what a camera's viewer waits for."""
        return self.end_ns - self.due_ns


def frame_samples(log: FrameLog, window_start_ns: int) -> FrameSamples:
    """Return the columns of a log.

    Args:
        log: Frames, all with the same stages.
        window_start_ns: Start of the measured window on the clock of the log, in ns.
    """
    frames = log.since(0)
    stages = tuple(frames[0].stages_ns) if frames else ()
    times = np.array([frame[:4] for frame in frames], np.int64).reshape(-1, 4)
    due_ns, start_ns, end_ns = (times[:, :3] - window_start_ns).T
    columns = {stage: np.array([frame.stages_ns[stage] for frame in frames], np.int64) for stage in stages}
    return FrameSamples(due_ns, start_ns, end_ns, times[:, 3].copy(), columns)
