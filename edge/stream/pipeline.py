"""The stream loop: frame -> labels -> overlay -> sink, until the source, a limit or the user ends it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable

import numpy as np

from edge.interruption import settle_interruption
from edge.segmenter import Segmenter
from edge.stream.base import Frame, FrameSource, Sink
from edge.stream.fps_meter import FpsMeter
from edge.stream.painter import Painter

END_REASONS = ("source", "lost", "limit", "output", "interrupt")
"""Reasons of an end: the source ended, a live source was lost, a limit was reached, the sink wants no more pictures,
Ctrl-C or another signal."""


@dataclass(frozen=True)
class StreamLimits:
    """Limits at which the loop stops a source that has not ended.

    Attributes:
        frames: Most frames that are shown; None for all.
        seconds: Longest time in s from the first frame on; None for no limit.
    """

    frames: int | None = None
    seconds: float | None = None


@dataclass
class StreamRun:
    """State of a stream loop, which the caller may read at any time, also after an error.

    Attributes:
        meter: Meter of the number of frames, the frame rate and the latencies.
        stage_ns: Stage -> sum over the frames in ns, for each stage of the segmenter and for "overlay".
        ended_by: Reason of the end, one of END_REASONS; None while the loop runs.
        interruption: Exception that ended the loop where that is Ctrl-C or another signal; None for any other end.
    """

    meter: FpsMeter = field(default_factory=FpsMeter)
    stage_ns: dict[str, int] = field(default_factory=dict)
    ended_by: str | None = None
    interruption: KeyboardInterrupt | None = None


def run_stream(
    source: FrameSource,
    segmenter: Segmenter,
    painter: Painter,
    sink: Sink,
    headline: str = "",
    limits: StreamLimits = StreamLimits(),
    on_frame: Callable[[StreamRun], None] | None = None,
) -> StreamRun:
    """Show frames until the source, a limit or the user ends the loop; the sink is finished in any case.

    Args:
        source: Open source of the frames.
        segmenter: Segmenter for frames in BGR.
        painter: Painter for frames in BGR.
        sink: Sink of the pictures, which is closed when this function returns or raises.
        headline: First line of the caption, such as model and precision.
        limits: Limits at which the loop stops.
        on_frame: Function that is called after every frame.

    Returns:
        The state of the ended loop. Ctrl-C, SIGTERM and SIGHUP are ways to end it, and no errors.

    Raises:
        SegEdgeError: The source, the runner or the sink failed.
    """
    run = StreamRun()
    try:
        run.ended_by = _loop(run, source, segmenter, painter, sink, headline, limits, on_frame)
    except KeyboardInterrupt as interruption:
        settle_interruption()
        run.ended_by, run.interruption = "interrupt", interruption
    finally:
        sink.close()
    return run


def _loop(
    run: StreamRun,
    source: FrameSource,
    segmenter: Segmenter,
    painter: Painter,
    sink: Sink,
    headline: str,
    limits: StreamLimits,
    on_frame: Callable[[StreamRun], None] | None,
) -> str:
    while True:
        frame = source.read()
        if frame is None:
            return "lost" if source.is_lost else "source"
        picture_bgr = _process(run, frame, segmenter, painter, _caption(headline, run.meter, source))
        if not sink.show(frame, picture_bgr):
            return "output"
        if on_frame is not None:
            on_frame(run)
        if run.meter.frames == limits.frames or (limits.seconds is not None and run.meter.seconds >= limits.seconds):
            return "limit"


def _process(run: StreamRun, frame: Frame, segmenter: Segmenter, painter: Painter, caption: list[str]) -> np.ndarray:
    height, width = frame.pixels_bgr.shape[:2]
    segmentation = segmenter(frame.pixels_bgr, height, width)
    labelled_ns = time.perf_counter_ns()
    picture_bgr = painter.paint(
        frame.pixels_bgr, segmentation.labels, caption, segmentation.uncertainty, segmentation.picture
    )
    done_ns = time.perf_counter_ns()
    for stage, duration_ns in (*segmentation.stage_ns.items(), ("overlay", done_ns - labelled_ns)):
        run.stage_ns[stage] = run.stage_ns.get(stage, 0) + duration_ns
    run.meter.add(frame.arrival_ns, done_ns)
    return picture_bgr


def _caption(headline: str, meter: FpsMeter, source: FrameSource) -> list[str]:
    """Return the lines of the caption; rate and latency are those of the previous frame."""
    figures = []
    if meter.fps is not None and not source.shows_pictures:
        figures.append(f"{meter.fps:.1f} fps")
    if meter.latest_ms is not None and not source.shows_pictures:
        figures.append(f"{meter.latest_ms:.0f} ms")
    return [headline, "   ".join(figures)]
