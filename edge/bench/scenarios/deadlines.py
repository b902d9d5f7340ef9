"""Which frames of a camera were there when, which missed their deadline, and what that says with confidence.

All of it is a function of the frames' times, so that whoever has these can compute it again.
"""

from __future__ import annotations

import numpy as np

from edge.bench.frame_samples import FrameSamples
from edge.bench.scenarios.scenario_record import CameraRules, DeadlineRecord
from edge.frame_statistics.binomial_bound import MissBound, certain_verdict, miss_bound
from edge.frame_statistics.percentiles import summarise


def due_ns(index: int, fps: float) -> int:
    """Return when a camera gives its frame `index`, in ns since its first one."""
    return round(index * 1e9 / fps)


def arrived_frames(elapsed_ns: int, fps: float) -> int:
    """Return how many frames a camera has given.

    Args:
        elapsed_ns: Time since its first frame in ns, 0 or more.
        fps: Frames per second.
    """
    index = int(elapsed_ns * fps / 1e9)
    while due_ns(index, fps) > elapsed_ns:
        index -= 1
    while due_ns(index + 1, fps) <= elapsed_ns:
        index += 1
    return index + 1


def lateness_ns(samples: FrameSamples, fps: float, deadline_ms: float) -> np.ndarray:
    """Return by how much each frame that a camera gave missed its deadline.

    Args:
        samples: Frames that were taken, at least one.
        fps: Frames per second of the camera.
        deadline_ms: Longest time in ms from a frame's arrival to its labels.

    Returns:
        float64, (arrived frames,), in ns, for all frames up to the last one that was taken: over 0 where the deadline
        was missed. A frame that was dropped is as late as the labels of the next one that was taken, and late anyway.
    """
    taken = np.rint(samples.due_ns * (fps / 1e9)).astype(np.int64)
    arrived = np.arange(int(taken[-1]) + 1)
    answer = np.searchsorted(taken, arrived)
    late_ns = samples.end_ns[answer] - arrived * (1e9 / fps) - deadline_ms * 1e6
    was_dropped = np.ones(len(arrived), bool)
    was_dropped[taken] = False
    return np.where(was_dropped, np.maximum(late_ns, 1.0), late_ns)


def early_verdict(samples: FrameSamples, camera: CameraRules) -> bool | None:
    """Return whether the misses of a measurement that may end early are certain to be few enough.

    Looks until then spend half of the error that the confidence leaves, and the look at the end the other half.

    Args:
        samples: Frames that were taken until now.
        camera: Rules of the camera.

    Returns:
        True or False where it is certain, None where it is not yet.
    """
    late_ns = lateness_ns(samples, camera.fps, camera.deadline_ms)
    return certain_verdict(late_ns > 0, camera.allowed_miss_share, _half_error(camera.confidence), late_ns)


def deadline_record(samples: FrameSamples, camera: CameraRules, stopped_early: bool) -> DeadlineRecord:
    """Return what became of a camera's deadlines.

    Args:
        samples: Frames that were taken.
        camera: Rules of the camera.
        stopped_early: Whether the measurement ended because the verdict was certain.
    """
    late_ns = lateness_ns(samples, camera.fps, camera.deadline_ms)
    missed = late_ns > 0
    confidence = _half_error(camera.confidence) if camera.stops_early else camera.confidence
    bound = miss_bound(missed, confidence, late_ns)
    return DeadlineRecord(
        arrived_frames=len(missed),
        dropped_frames=len(missed) - len(samples),
        missed_frames=int(missed.sum()),
        age=summarise(samples.age_ns),
        bound=bound,
        is_held=early_verdict(samples, camera) if stopped_early else _verdict(bound, camera.allowed_miss_share),
    )


def _verdict(bound: MissBound, allowed_share: float) -> bool | None:
    if bound.upper <= allowed_share:
        return True
    return False if bound.lower > allowed_share else None


def _half_error(confidence: float) -> float:
    return 1.0 - (1.0 - confidence) / 2.0
