"""The line on stderr that shows a measurement while it runs: rate, p99, power, temperature, clock and time left."""

from __future__ import annotations

import sys
from typing import Callable, TextIO

import numpy as np

from edge.bench.frame_samples import FrameLog
from edge.bench.settings import BenchSettings
from edge.console import Progress
from edge.percentile_rule import is_carried
from edge.telemetry.base import PowerSample

_DRAW_EVERY_NS = 250_000_000
_LOG_EVERY_NS = 10_000_000_000
_RECENT_FRAMES = 1024
"""Frames that the shown p99 is of, so that the cost of a line does not grow with the measurement."""


class LiveFigures:
    """Shows how a measurement goes: four times a second on a terminal, and every 10 s in a log.

    Args:
        settings: Rules of the measurement.
        log: Log of the frames that are done.
        start_ns: Start of the measured window, on time.perf_counter_ns.
        latest: Function that returns the latest sample of power; None where there is none.
        stream: Stream that is written to; None for stderr.
    """

    def __init__(
        self,
        settings: BenchSettings,
        log: FrameLog,
        start_ns: int,
        latest: Callable[[], PowerSample | None] = lambda: None,
        stream: TextIO | None = None,
    ) -> None:
        self._settings, self._log, self._start_ns, self._latest = settings, log, start_ns, latest
        stream = stream if stream is not None else sys.stderr
        self._is_terminal = stream.isatty()
        self._progress = Progress("measure", stream=stream)
        self._next_ns = start_ns

    def __enter__(self) -> LiveFigures:
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.end()

    def look(self, now_ns: int) -> None:
        """Show the figures if it is time to.

        Args:
            now_ns: Present value of time.perf_counter_ns.
        """
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + (_DRAW_EVERY_NS if self._is_terminal else _LOG_EVERY_NS)
        share, left_s = self._part_done((now_ns - self._start_ns) / 1e9)
        figures = live_sentence(self._log, self._latest())
        if self._is_terminal:
            self._progress.show(share, figures, left_s)
        else:
            self._progress.say(f"measure: {100 * share:.0f} % ({left_s:.0f} s left) {figures}")

    def _part_done(self, gone_s: float) -> tuple[float, float]:
        """Return the share that is done, 0 to 1, and the time left in s, by frames or time, whichever takes longer."""
        done, settings = len(self._log), self._settings
        frames_left_s = max(settings.frames - done, 0) * gone_s / max(done, 1)
        left_s = max(frames_left_s, settings.seconds - gone_s, 0.0)
        share = min(done / settings.frames, gone_s / settings.seconds if settings.seconds else 1.0, 1.0)
        return share, left_s


def live_sentence(log: FrameLog, sample: PowerSample | None) -> str:
    """Return the present figures, such as "57 frames, 31.2 fps, p99 38.1 ms, 14.2 W, GPU 61 °C, 1275 MHz".

    Args:
        log: Frames that are done.
        sample: Latest sample of power and temperatures; None where there is none. What it lacks is left out.
    """
    recent = log.since(max(len(log) - _RECENT_FRAMES, 0))
    parts = [f"{len(log)} frame{'' if len(log) == 1 else 's'}"]
    if len(recent) > 1:
        parts.append(f"{(len(recent) - 1) * 1e9 / max(recent[-1].end_ns - recent[0].end_ns, 1):.1f} fps")
        latency_ms = np.array([frame.latency_ns for frame in recent]) / 1e6
        percent = 99 if is_carried(99, len(recent)) else 50
        rank = max(0, int(np.ceil(percent / 100 * len(recent))) - 1)
        parts.append(f"p{percent} {np.partition(latency_ms, rank)[rank]:.1f} ms")
    if sample is not None:
        parts += _sample_words(sample)
    return ", ".join(parts)


def _sample_words(sample: PowerSample) -> list[str]:
    words = [f"{sample.total_mw / 1000:.1f} W"] if sample.total_mw is not None else []
    warm = {name: value for name, value in sample.temperatures_c.items() if value is not None}
    if warm:
        warmest = max(warm, key=warm.__getitem__)
        words.append(f"{warmest} {warm[warmest]:.0f} °C")
    clocks = (("GPU", sample.gpu_clock_mhz), ("CPU", sample.cpu_clock_mhz))
    return words + [f"{name} {value:.0f} MHz" for name, value in clocks if value is not None]
