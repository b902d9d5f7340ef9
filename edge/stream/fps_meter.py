"""Frame rate and latency of a running stream, in memory that does not grow."""

from __future__ import annotations

from collections import deque

import numpy as np

from edge.percentile_rule import is_carried

WINDOW_NS = 2_000_000_000
MAX_LATENCIES = 20_000
"""Latencies that percentiles are taken over: the latest ones, eleven minutes at 30 frames a second."""


class FpsMeter:
    """Counts processed frames, and measures their rate and latency."""

    def __init__(self) -> None:
        self.frames = 0
        self._done_ns: deque[int] = deque()
        self._latency_ns: deque[int] = deque(maxlen=MAX_LATENCIES)
        self._first_arrival_ns = self._last_done_ns = 0

    def add(self, arrival_ns: int, done_ns: int) -> None:
        """Count one processed frame.

        Args:
            arrival_ns: Value of perf_counter_ns when the frame was in host memory.
            done_ns: Value of perf_counter_ns when the frame's overlay was painted.
        """
        if not self.frames:
            self._first_arrival_ns = arrival_ns
        self.frames += 1
        self._last_done_ns = done_ns
        self._latency_ns.append(done_ns - arrival_ns)
        self._done_ns.append(done_ns)
        # Two stay, so that a rate of less than one a window is still a rate.
        while len(self._done_ns) > 2 and done_ns - self._done_ns[0] > WINDOW_NS:
            self._done_ns.popleft()

    @property
    def fps(self) -> float | None:
        """Frames per second over the last two seconds; None before the second frame."""
        if len(self._done_ns) < 2 or self._done_ns[-1] <= self._done_ns[0]:
            return None
        return 1e9 * (len(self._done_ns) - 1) / (self._done_ns[-1] - self._done_ns[0])

    @property
    def latest_ms(self) -> float | None:
        """Latency of the last frame in ms; None before the first."""
        return self._latency_ns[-1] / 1e6 if self._latency_ns else None

    @property
    def seconds(self) -> float:
        """Time in s from the first frame's arrival to the last one's overlay."""
        return (self._last_done_ns - self._first_arrival_ns) / 1e9

    def latency_ms(self, percent: float) -> float | None:
        """Return a percentile of the latencies in ms; None where there are too few frames for it."""
        if not self._latency_ns or not is_carried(percent, len(self._latency_ns)):
            return None
        return float(np.percentile(self._latency_ns, percent)) / 1e6
