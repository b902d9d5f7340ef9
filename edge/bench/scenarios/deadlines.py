"""Which frames of a camera of a fixed rate were there when, and which of them missed their deadline."""

from __future__ import annotations

import numpy as np


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


def missed_deadlines(frame_due_ns: np.ndarray, frame_end_ns: np.ndarray, fps: float, deadline_ms: float) -> np.ndarray:
    """Return for each frame that a camera gave, up to the last one that was taken, whether it missed its deadline.

    Args:
        frame_due_ns: Arrival of each frame that was taken, int64, (frames,), in ns since the first frame.
        frame_end_ns: Moment at which the labels of each of them were there, on the same clock.
        fps: Frames per second of the camera.
        deadline_ms: Longest time in ms from arrival to labels.

    Returns:
        bool, (arrived frames,): True for a frame that was late, and for one that was never taken.
    """
    if not len(frame_due_ns):
        return np.zeros(0, bool)
    indices = np.rint(frame_due_ns * (fps / 1e9)).astype(np.int64)
    missed = np.ones(int(indices[-1]) + 1, bool)
    missed[indices] = frame_end_ns - frame_due_ns > deadline_ms * 1e6
    return missed
