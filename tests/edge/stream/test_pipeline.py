from __future__ import annotations

import os
import signal
import time

import cv2
import numpy as np
import pytest

from edge import interruption
from edge.errors import SourceError
from edge.interruption import ending_signals_interrupt, interrupted_exit_code
from edge.labels import distinct_palette
from edge.segmenter import STAGES, Segmentation
from edge.stream.base import Frame, FrameSource, Sink
from edge.stream.fps_meter import MAX_LATENCIES, FpsMeter
from edge.stream.overlay import OverlayPainter
from edge.stream.pipeline import StreamLimits, run_stream
from edge.stream.video_file import VideoSink


class Listed(FrameSource):
    """Gives frames of the values listed; raises what is listed as an exception."""

    def __init__(self, items):
        super().__init__("listed frames")
        self._items = list(items)

    def open(self):
        pass

    def close(self):
        pass

    def read(self):
        if not self._items:
            return None
        item = self._items.pop(0)
        if isinstance(item, BaseException):
            raise item
        return Frame(np.full((48, 64, 3), item, np.uint8), item, time.perf_counter_ns(), f"frame_{item:06d}")


class Kept(Sink):
    """Keeps the pictures, and wants no more after `most`."""

    def __init__(self, most=1000):
        self.pictures, self.closed, self._most = [], 0, most

    def show(self, frame, picture_bgr):
        self.pictures.append(picture_bgr.copy())
        return len(self.pictures) < self._most

    def close(self):
        self.closed += 1

    @property
    def result(self):
        return None


def _segment(frame_bgr, height, width):
    labels = (frame_bgr[..., 0] % 2).astype(np.uint8)
    assert labels.shape == (height, width)
    return Segmentation(labels, dict.fromkeys(STAGES, 1_000_000), 3_000_000)


def _painter(alpha=1.0):
    return OverlayPainter(("even", "odd"), distinct_palette(2), alpha, legend=False)


def test_every_frame_is_labelled_painted_and_shown():
    sink = Kept()
    run = run_stream(Listed([0, 1, 2]), _segment, _painter(), sink)
    colors_bgr = distinct_palette(2)[:, ::-1]
    assert [tuple(picture[40, 60]) for picture in sink.pictures] == [tuple(colors_bgr[n]) for n in (0, 1, 0)]
    assert (run.ended_by, run.meter.frames, sink.closed) == ("source", 3, 1)
    assert [run.stage_ns[stage] for stage in STAGES] == [3_000_000] * 3
    assert run.stage_ns["overlay"] > 0


def test_limits_end_the_run():
    assert run_stream(Listed(range(9)), _segment, _painter(), Kept(), limits=StreamLimits(frames=4)).meter.frames == 4
    run = run_stream(Listed(range(9)), _segment, _painter(), Kept(), limits=StreamLimits(seconds=1e-9))
    assert (run.meter.frames, run.ended_by) == (1, "limit")


def test_sink_that_wants_no_more_ends_the_run():
    run = run_stream(Listed(range(9)), _segment, _painter(), Kept(most=2))
    assert (run.meter.frames, run.ended_by) == (2, "output")


def test_interrupt_finishes_the_video(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    run = run_stream(Listed([0, 1, 2, KeyboardInterrupt()]), _segment, _painter(), sink)
    assert (run.ended_by, run.meter.frames) == ("interrupt", 3)
    assert [path.name for path in tmp_path.iterdir()] == ["out.avi"]
    capture = cv2.VideoCapture(str(tmp_path / "out.avi"))
    assert [capture.read()[0] for _ in range(4)] == [True, True, True, False]


def test_sigterm_does_not_come_again_while_the_video_is_finished(monkeypatch):
    monkeypatch.setattr(interruption, "_REPEAT_S", 0.01)
    monkeypatch.setattr(interruption, "_AGAIN_S", 0.005)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)

    class SlowlyFinished(Kept):
        def show(self, frame, picture_bgr):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)

        def close(self):
            time.sleep(0.1)
            super().close()

    sink = SlowlyFinished()
    try:
        with ending_signals_interrupt():
            run = run_stream(Listed(range(9)), _segment, _painter(), sink)
            time.sleep(0.05)  # a summary is printed
    finally:
        signal.signal(signal.SIGTERM, before)
    assert sink.closed == 1 and interrupted_exit_code(run.interruption) == 143


def test_source_that_fails_leaves_the_video_so_far(tmp_path):
    sink = VideoSink(tmp_path / "out.avi", fps=10.0)
    with pytest.raises(SourceError, match="gone"):
        run_stream(Listed([0, 1, SourceError("gone")]), _segment, _painter(), sink)
    assert sink.result == str(tmp_path / "out.avi")
    assert [path.name for path in tmp_path.iterdir()] == ["out.avi"]


def test_caption_appears_and_is_told_apart_from_the_picture():
    with_caption, without = Kept(), Kept()
    run_stream(Listed([0]), _segment, _painter(), with_caption, headline="model int8")
    run_stream(Listed([0]), _segment, _painter(), without)
    assert not np.array_equal(with_caption.pictures[0][:20], without.pictures[0][:20])


def test_caller_hears_of_every_frame():
    counts = []
    run_stream(Listed(range(3)), _segment, _painter(), Kept(), on_frame=lambda run: counts.append(run.meter.frames))
    assert counts == [1, 2, 3]


def test_meter_measures_rate_over_the_last_two_seconds():
    meter = FpsMeter()
    assert meter.fps is None and meter.latency_ms(50) is None and meter.latest_ms is None
    for index in range(50):  # 10 a second, then 20 a second
        meter.add(int(index * 1e8), int(index * 1e8) + 5_000_000)
    assert meter.fps == pytest.approx(10.0)
    for index in range(1, 101):
        meter.add(int(4.9e9 + index * 5e7), int(4.9e9 + index * 5e7) + 5_000_000)
    assert meter.fps == pytest.approx(20.0)
    assert meter.frames == 150
    assert meter.seconds == pytest.approx(9.905)


def test_meter_gives_a_rate_below_one_frame_a_window():
    meter = FpsMeter()
    for index in range(4):
        meter.add(index * 5_000_000_000, index * 5_000_000_000)
    assert meter.fps == pytest.approx(0.2)


def test_meter_takes_percentiles_of_the_latencies():
    meter = FpsMeter()
    for index in range(101):
        meter.add(0, index * 1_000_000)
    assert (meter.latency_ms(50), meter.latency_ms(99), meter.latest_ms) == pytest.approx((50.0, 99.0, 100.0))


def test_meter_does_not_grow():
    meter = FpsMeter()
    for index in range(MAX_LATENCIES + 10):
        meter.add(index, index + 1)
    assert meter.frames == MAX_LATENCIES + 10
    assert len(meter._latency_ns) == MAX_LATENCIES
