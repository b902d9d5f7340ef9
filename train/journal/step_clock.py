"""StepClock: how long the steps of a training take, how long they wait for their input, and what they cost."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Iterator, Mapping

from train.journal.durations import Durations
from train.journal.machine_use import LEAST_COVERED, EnergyMeter, peak_device_bytes, peak_host_bytes


def seconds_now() -> float:
    """Return the time of a clock that never goes back, in s."""
    return time.perf_counter_ns() / 1e9


class StepClock:
    """Measures a training from its start to its end, over several processes where it is resumed.

    A step's time goes from asking for its batch to the moment when its block ends, so a block has to end when the loss
    is on the host: an operation of a GPU that was only queued is not done. The first step of each process is kept
    apart, since it also traces and compiles; it counts in `training_s` alone.

    `to_facts` belongs into the saved state of a training and `from_facts` restores it. What a killed process did after
    its last state is not in the sums, as its steps are not in the weights.

    Args:
        meter: energy meter that runs while the clock does; None where nothing tells the power.
        now: function that returns the time in s.
        processor_now: function that returns the time in s that the processor spent on this process, all threads
            together.

    Example:
        >>> clock = StepClock()
        >>> for _ in range(steps):
        ...     with clock.waiting():
        ...         batch = next(batches)
        ...     with clock.stepping(batch_size):
        ...         loss = float(step(batch).loss)
        >>> with clock.validating():
        ...     measure_accuracy(label_frame, validation)
    """

    def __init__(
        self,
        meter: EnergyMeter | None = None,
        now: Callable[[], float] = seconds_now,
        processor_now: Callable[[], float] = time.process_time,
    ) -> None:
        self._meter, self._now, self._processor_now = meter, now, processor_now
        self._start_s, self._processor_start_s = now(), processor_now()
        self._durations = Durations()
        self._wait_s = self._images = self._training_s = self._validation_s = 0.0
        self._pending_wait_s = 0.0
        self._best_s: float | None = None
        self._is_first, self._first_step_s, self._last_step_s = True, None, None
        # Of the processes before this one.
        self._elapsed_before_s = self._energy_before_j = self._covered_before_s = self._processor_before_s = 0.0
        self._host_before = 0
        self._device_before: int | None = None

    @property
    def elapsed_s(self) -> float:
        """Time that the training has run, in s, over all of its processes, with everything that it did."""
        return self._elapsed_before_s + self._now() - self._start_s

    @property
    def processor_s(self) -> float:
        """Time in s that the processor spent on the training, all threads together, over all of its processes."""
        return self._processor_before_s + self._processor_now() - self._processor_start_s

    @property
    def training_s(self) -> float:
        """Time in steps and waiting for their input, in s."""
        return self._training_s

    @property
    def validation_s(self) -> float:
        """Time in validation, in s."""
        return self._validation_s

    @property
    def first_step_s(self) -> float | None:
        """Time of this process's first step, which traces and compiles, in s; None before it."""
        return self._first_step_s

    @property
    def last_step_s(self) -> float | None:
        """Time of the last step, waiting for its input included, in s; None before the first."""
        return self._last_step_s

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure a block that asks for the next batch."""
        begin_s = self._now()
        yield
        self._pending_wait_s += self._now() - begin_s

    @contextlib.contextmanager
    def stepping(self, images: int) -> Iterator[None]:
        """Measure a block that computes a step of so many crops; a block that fails counts for nothing."""
        begin_s = self._now()
        yield
        wait_s, self._pending_wait_s = self._pending_wait_s, 0.0
        seconds = self._now() - begin_s + wait_s
        self._last_step_s = seconds
        self._training_s += seconds
        if self._is_first:
            self._is_first, self._first_step_s = False, seconds
            return
        self._durations.add(seconds)
        self._wait_s += wait_s
        self._images += images

    @contextlib.contextmanager
    def validating(self) -> Iterator[None]:
        """Measure a block that validates."""
        begin_s = self._now()
        yield
        self._validation_s += self._now() - begin_s

    def mark_best(self) -> None:
        """Note that the best score until now has just been measured."""
        self._best_s = self.elapsed_s

    def summary(self) -> dict[str, float | int | None]:
        """Return what was measured until now; a value is None where nothing can be said.

        Returns:
            step_p50_s and step_p90_s, the median and the 90th percentile of a step's time in s, waiting for input
            included (within 1 %, see `Durations`); images_per_s, crops a second over the same steps; time_to_best_s,
            the run time in s until the best score was measured; training_s, the time in steps, the first included;
            validation_s; processor_s, the time of the processor in s, all threads together; peak_host_bytes, of the
            main process alone; peak_device_bytes, of the GPU that needed most;
            input_wait_share, the share of the steps' time that they waited for their input, 0 to 1; energy_j, of the
            whole run time in J, where samples of power cover 99 % of it.
        """
        timed_s = self._durations.total_s
        return {
            "step_p50_s": self._durations.percentile_s(50),
            "step_p90_s": self._durations.percentile_s(90),
            "images_per_s": self._images / timed_s if timed_s > 0 else None,
            "time_to_best_s": self._best_s,
            "training_s": self._training_s,
            "validation_s": self._validation_s,
            "processor_s": self.processor_s,
            "peak_host_bytes": max(self._host_before, peak_host_bytes()),
            "peak_device_bytes": max(
                (peak for peak in (self._device_before, peak_device_bytes()) if peak is not None), default=None
            ),
            "input_wait_share": self._wait_s / timed_s if timed_s > 0 else None,
            "energy_j": self._energy_j(),
        }

    def to_facts(self) -> dict[str, Any]:
        """Return everything that a later process needs to go on, as a value for JSON."""
        summary = self.summary()
        energy_j, covered_s = self._energy_reading()
        return {
            "durations": self._durations.to_facts(),
            "wait_s": self._wait_s,
            "images": self._images,
            "training_s": self._training_s,
            "validation_s": self._validation_s,
            "best_s": self._best_s,
            "elapsed_s": self.elapsed_s,
            "processor_s": self.processor_s,
            "peak_host_bytes": summary["peak_host_bytes"],
            "peak_device_bytes": summary["peak_device_bytes"],
            "energy_j": energy_j,
            "covered_s": covered_s,
        }

    @classmethod
    def from_facts(
        cls,
        facts: Mapping[str, Any],
        meter: EnergyMeter | None = None,
        now: Callable[[], float] = seconds_now,
        processor_now: Callable[[], float] = time.process_time,
    ) -> StepClock:
        """Return a clock that goes on from what `to_facts` returned.

        Args:
            facts: what was saved; empty for a training of which nothing was measured, which begins anew.
            meter: energy meter that runs while the clock does; None where nothing tells the power.
            now: function that returns the time in s.
            processor_now: function that returns the time in s that the processor spent on this process.
        """
        clock = cls(meter, now, processor_now)
        if not facts:
            return clock
        clock._durations = Durations.from_facts(facts["durations"])
        clock._wait_s, clock._images = facts["wait_s"], facts["images"]
        clock._training_s, clock._validation_s = facts["training_s"], facts["validation_s"]
        clock._best_s, clock._elapsed_before_s = facts["best_s"], facts["elapsed_s"]
        clock._host_before, clock._device_before = facts["peak_host_bytes"], facts["peak_device_bytes"]
        clock._energy_before_j, clock._covered_before_s = facts["energy_j"], facts["covered_s"]
        clock._processor_before_s = facts.get("processor_s", 0.0)  # states of before have none
        return clock

    def _energy_reading(self) -> tuple[float, float]:
        energy_j, covered_s = self._meter.reading() if self._meter is not None else (0.0, 0.0)
        return self._energy_before_j + energy_j, self._covered_before_s + covered_s

    def _energy_j(self) -> float | None:
        energy_j, covered_s = self._energy_reading()
        elapsed_s = self.elapsed_s
        return energy_j if covered_s > 0 and covered_s >= LEAST_COVERED * elapsed_s else None
