"""A thread that reads a power source while frames are measured."""

from __future__ import annotations

import threading
import time

from edge.errors import BackendError
from edge.telemetry.base import PowerSample, PowerSource

GAP_INTERVALS = 3
"""Number of intervals without a sample that make a gap: one late sample makes none, two missing ones do."""

LEAST_GAP_S = 0.5
"""Shortest time in s that makes a gap: a machine whose cores are all at work lets a sampler wait that long. What was
lost meanwhile is in the uncertainty, which grows with the step."""

_LAST_READ_S = 2.0
"""Longest wait in s for a read that is under way when the block ends; it is over at once where the source answers."""


class PowerSampler:
    """Reads an open power source in a thread of its own, as long as a `with` block lasts.

    Times are those of time.perf_counter_ns, as latencies are. The first sample has been read when the block begins.

    Attributes:
        source: Power source that is read.
        failure: Reason why the samples ended early; None while they continue.
    """

    def __init__(self, source: PowerSource) -> None:
        self.source = source
        self.failure: str | None = None
        self._samples: list[PowerSample] = []
        self._sample_arrived = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read_until_stopped, name=f"power-{source.name}", daemon=True)

    @property
    def gap_limit_s(self) -> float:
        """Longest time in s between two samples over which energy is counted."""
        return gap_limit_s(self.source)

    @property
    def samples(self) -> list[PowerSample]:
        """Samples that were read until now, the oldest first."""
        with self._sample_arrived:
            return list(self._samples)

    @property
    def latest(self) -> PowerSample | None:
        """Latest sample; None before the first one."""
        with self._sample_arrived:
            return self._samples[-1] if self._samples else None

    def __enter__(self) -> PowerSampler:
        """Start the thread, and wait for the first sample.

        Raises:
            BackendError: The source gave no sample.
        """
        self._thread.start()
        with self._sample_arrived:
            self._sample_arrived.wait_for(lambda: self._samples or self.failure, 2 * self.gap_limit_s)
            has_sample, failure = bool(self._samples), self.failure
        if not has_sample:
            self.__exit__()
            late = f"{self.source.name} gave no sample within {2 * self.gap_limit_s:.1f} s. Next: --power none"
            raise BackendError(failure or late)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        # A read that waits for its source ends by itself after a second, or three intervals.
        self._thread.join(max(2 * self.gap_limit_s, _LAST_READ_S))

    def wait_past(self, time_ns: int) -> None:
        """Wait for a sample at `time_ns` or later, so that the end of a window can be interpolated.

        The wait is not longer than the longest allowed gap; without a sample, energy is refused later.
        """
        with self._sample_arrived:
            self._sample_arrived.wait_for(
                lambda: self.failure or (self._samples and self._samples[-1].time_ns >= time_ns), self.gap_limit_s
            )

    def _read_until_stopped(self) -> None:
        due_ns = time.perf_counter_ns()
        while not self._stop.is_set():
            try:
                sample = self.source.read()
            except BackendError as error:
                self._fail(str(error))
                return
            except Exception as error:
                # A thread has nobody to raise to; a defect of a source must not look like silence.
                self._fail(f"{self.source.name} failed: {type(error).__name__}: {error}. Next: --power none")
                return
            with self._sample_arrived:
                self._samples.append(sample)
                self._sample_arrived.notify_all()
            if not self.source.is_paced:
                # From the schedule, not from now, so that the time of a read does not add up.
                due_ns = max(due_ns + int(self.source.interval_s * 1e9), time.perf_counter_ns())
                self._stop.wait((due_ns - time.perf_counter_ns()) / 1e9)

    def _fail(self, reason: str) -> None:
        with self._sample_arrived:
            self.failure = reason
            self._sample_arrived.notify_all()


def gap_limit_s(source: PowerSource) -> float:
    """Return the longest time in s between two samples of a source over which energy is counted."""
    return max(GAP_INTERVALS * source.interval_s, LEAST_GAP_S)
