"""What a training takes of its machine: memory of the host and of the devices, and energy."""

from __future__ import annotations

import contextlib
import re
import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from edge.errors import SegEdgeError
from edge.telemetry import AUTO, PowerSource, open_power_source
from edge.telemetry.sampler import GAP_INTERVALS

LEAST_COVERED = 0.99
"""Least share of a training's time that samples of power have to cover for its energy to be said."""

LEAST_INTERVAL_S = 1.0
"""Seconds between two samples, or more where the source is slower: a training takes hours, not seconds."""


def peak_host_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Return the most memory that this process has had in use at once, in bytes (its peak resident set size).

    Args:
        status: file of the kernel that says it, where there is one.
    """
    # getrusage counts in what the parent had when it started this process; the kernel's file does not.
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_device_bytes() -> int | None:
    """Return the most memory that TensorFlow has had in use on one GPU, in bytes: the largest of all GPUs.

    It is what tensors and work spaces took of the allocator; the CUDA context is not in it. None where there is no GPU,
    or where TensorFlow is not loaded.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return None
    peaks = []
    for device in tensorflow.config.list_logical_devices("GPU"):
        with contextlib.suppress(ValueError, RuntimeError):
            peaks.append(int(tensorflow.config.experimental.get_memory_info(device.name)["peak"]))
    return max(peaks, default=None)


class EnergyMeter:
    """Adds up the energy of a power source in a thread of its own, in bounded memory.

    Power is taken as linear between samples. Time between two samples that lie too far apart is not counted as covered.

    Args:
        source: power source, which is open; `close` closes it.
        interval_s: seconds between two samples; a source that is slower sets its own.

    Attributes:
        failure: reason why the samples ended early; None while they continue.
    """

    def __init__(self, source: PowerSource, interval_s: float = LEAST_INTERVAL_S) -> None:
        self.failure: str | None = None
        self._source = source
        self._interval_s = max(interval_s, source.interval_s)
        self._gap_limit_s = GAP_INTERVALS * self._interval_s
        self._lock = threading.Lock()
        self._energy_j, self._covered_s = 0.0, 0.0
        self._last: tuple[int, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"energy-{source.name}", daemon=True)

    def start(self) -> EnergyMeter:
        """Start the thread, and return the meter."""
        self._thread.start()
        return self

    def __enter__(self) -> EnergyMeter:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reading(self, now_ns: int | None = None) -> tuple[float, float]:
        """Return the energy in J until now, and the time in s that it covers.

        Since the last sample power counts as that of the sample, unless it is too long ago.

        Args:
            now_ns: time in ns, on the clock of the samples; None for the present.
        """
        with self._lock:
            now_ns = time.perf_counter_ns() if now_ns is None else now_ns
            energy_j, covered_s = self._energy_j, self._covered_s
            if self._last is not None:
                seconds = (now_ns - self._last[0]) / 1e9
                if 0 < seconds <= self._gap_limit_s:
                    energy_j, covered_s = energy_j + seconds * self._last[1] / 1e3, covered_s + seconds
            return energy_j, covered_s

    def close(self) -> None:
        """End the thread and close the source; a call on a closed meter does nothing."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join(2 * self._gap_limit_s)
            self._source.close()

    def add(self, time_ns: int, power_mw: float | None) -> None:
        """Count in one sample.

        Args:
            time_ns: time of the sample in ns.
            power_mw: power in mW; None where it was not measured, which is a gap.
        """
        with self._lock:
            if power_mw is not None and self._last is not None:
                seconds = (time_ns - self._last[0]) / 1e9
                if 0 < seconds <= self._gap_limit_s:
                    self._energy_j += seconds * (power_mw + self._last[1]) / 2e3
                    self._covered_s += seconds
            self._last = None if power_mw is None else (time_ns, power_mw)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sample = self._source.read()
            except Exception as error:
                # The card is lost, the service ended, or the source is defect: what comes now is not covered.
                self.failure = str(error)
                return
            self.add(sample.time_ns, sample.total_mw)
            self._stop.wait(self._interval_s)


def open_energy_meter(gpu_count: int) -> EnergyMeter | None:
    """Start a meter of what the training runs on; None where nothing here tells its power.

    Args:
        gpu_count: number of GPUs that the training uses. With several there is no meter: the source knows one of them.
    """
    if gpu_count > 1:
        return None
    try:
        source, _ = open_power_source(AUTO, is_on_gpu=gpu_count == 1, needs_power=True)
    except SegEdgeError:
        return None
    return EnergyMeter(source).start() if source is not None else None
