"""The line that shows a measurement while it runs."""

from __future__ import annotations

import io

from edge.bench.frame_samples import FrameLog, FrameTimes
from edge.bench.live_figures import LiveFigures, live_sentence
from edge.bench.settings import BenchSettings
from edge.telemetry.base import PowerSample

S = 1_000_000_000


class Terminal(io.StringIO):
    def isatty(self):
        return True


def log_of(frames, latency_ms=20):
    log = FrameLog()
    for index in range(frames):
        start_ns = index * S // 50
        log.add(FrameTimes(start_ns, start_ns, start_ns + latency_ms * 1_000_000, latency_ms * 1_000_000, {}))
    return log


def test_figures_are_rate_latency_power_heat_and_clock():
    sample = PowerSample(
        0, total_mw=14_230.0, temperatures_c={"CPU": 50.2, "GPU": 61.4, "AO": None}, gpu_clock_mhz=1275.0
    )
    assert live_sentence(log_of(150), sample) == "150 frames, 50.0 fps, p99 20.0 ms, 14.2 W, GPU 61 °C, GPU 1275 MHz"
    assert live_sentence(log_of(10), None) == "10 frames, 50.0 fps, p50 20.0 ms"
    assert live_sentence(log_of(1), PowerSample(0)) == "1 frame"


def test_log_has_a_line_at_the_start_and_every_ten_seconds():
    stream, log = io.StringIO(), log_of(100)
    with LiveFigures(BenchSettings(frames=200, seconds=40.0), log, 0, stream=stream) as figures:
        for tenths in range(251):
            figures.look(tenths * S // 10)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 and all(line.startswith("measure: ") for line in lines)
    assert lines[1].startswith("measure: 25 % (30 s left) 100 frames")


def test_terminal_is_drawn_anew_a_few_times_a_second():
    stream = Terminal()
    with LiveFigures(BenchSettings(frames=200, seconds=40.0), log_of(100), 0, stream=stream) as figures:
        for thousandths in range(0, 2000, 10):
            figures.look(thousandths * 1_000_000)
    assert "\rmeasure: " in stream.getvalue()
    assert 1 <= stream.getvalue().count("\r") <= 9
