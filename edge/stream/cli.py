"""The command edge-demo: segment pictures, videos and cameras, and show or write the result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from edge.card import EngineCard
from edge.console import (
    CommandParser,
    Progress,
    add_version_argument,
    positive_int,
    positive_seconds,
    print_json,
    print_note,
    print_status,
    print_warning,
    run_command,
    share_argument,
    stand_out,
)
from edge.contract import Contract
from edge.errors import InputError, SegEdgeError
from edge.interruption import interrupted_exit_code, interruption_name
from edge.machine import threads_argument
from edge.picture_check import SKIP_BAD_HELP
from edge.records import record_to_json
from edge.runtime import Runner, open_engine
from edge.segmenter import Segmenter, uncertainty_output
from edge.stream.base import FrameSource, Sink
from edge.stream.heatmap import HeatMapPainter
from edge.stream.overlay import OverlayPainter
from edge.stream.painter import Painter
from edge.stream.pipeline import StreamLimits, StreamRun, run_stream
from edge.stream.side_by_side import SideBySidePainter
from edge.stream.sinks import check_window, open_sink
from edge.stream.sources import SOURCE_FORMS, open_source
from edge.stream.summary import summarise
from edge.stream.uncertainty_stripes import UncertaintyStripesPainter

EXIT_SOURCE_LOST = 4
"""Exit code where a camera or stream went away, so that a service manager starts the command again."""

LABELS, SIDE_BY_SIDE, UNCERTAINTY, BOTH = "labels", "side-by-side", "uncertainty", "both"


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="edge-demo",
        description="Segment a picture, a folder, a video or a live camera, and show or write the overlay. "
        "Of a live source, always the latest frame is taken.",
        epilog="In the window: q or Esc ends it; any other key goes to the next picture of a folder. Exit codes: 0 at "
        "the end of a file or at a limit, 2 for an error, 4 where a camera or stream was lost, 130, 143 and 129 after "
        "Ctrl-C, SIGTERM and SIGHUP; what was recorded until then is kept in all cases.",
    )
    add_version_argument(parser)
    parser.add_argument("engine", metavar="ENGINE", type=Path, help="engine folder, or artefact folder")
    parser.add_argument("--source", required=True, metavar="SOURCE", help=SOURCE_FORMS)
    parser.add_argument(
        "--output", type=Path, help="video file (.mp4, .avi), picture or folder to write to (default: a window)"
    )
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument("--frames", type=positive_int, metavar="N", help="stop after N frames")
    parser.add_argument("--seconds", type=positive_seconds, metavar="S", help="stop after S seconds")
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="play a video file or synthetic scenes as a camera would: drop what is late",
    )
    parser.add_argument(
        "--timeout",
        type=positive_seconds,
        default=10.0,
        metavar="S",
        help="time to wait for a live source to open, and for a frame",
    )
    parser.add_argument(
        "--show",
        choices=(LABELS, SIDE_BY_SIDE, UNCERTAINTY, BOTH),
        default=LABELS,
        help="labels; the frame as it came and beside it the labels; a heat map of their uncertainty; or labels that "
        "fade under stripes where the network is unsure",
    )
    parser.add_argument(
        "--alpha",
        type=share_argument,
        default=0.55,
        metavar="A",
        help="share of the painted colour, 0 to 1",
    )
    parser.add_argument("--no-legend", action="store_true", help="leave the list of classes and the colour bar out")
    parser.add_argument("--threads", type=threads_argument, metavar="N", help="cores for ONNX Runtime (default: all)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _demo(arguments), arguments.json)


def _demo(arguments: argparse.Namespace) -> int:
    if arguments.output is None:
        check_window()
    source = open_source(arguments.source, arguments.real_time, arguments.timeout, arguments.skip_bad)
    runner, card = open_engine(arguments.engine, arguments.threads or 0, "edge-demo")
    painter = _painter(arguments, card.contract)
    with source:
        sink = open_sink(arguments.output, source)
        with runner:
            run = _run(arguments, source, runner, card, painter, sink)
    if painter.legend_left_out:
        print_note("the pictures are too small for a legend, and have none")
    summary = summarise(run, card, source, sink.result)
    if arguments.json:
        print_json(record_to_json(summary))
    else:
        print("\n".join(summary.lines()))
    if run.interruption is not None:
        print_status(f"{interruption_name(run.interruption)}: what was written so far is whole")
        return interrupted_exit_code(run.interruption)
    if run.ended_by == "lost":
        if arguments.json:  # else the summary has said it
            print_warning(summary.note or f"{summary.source} was lost")
        return EXIT_SOURCE_LOST
    return 0


def _painter(arguments: argparse.Namespace, contract: Contract) -> Painter:
    look = (arguments.alpha, not arguments.no_legend)
    names, palette_rgb = contract.class_names, contract.painted_palette()
    if arguments.show in (LABELS, SIDE_BY_SIDE):
        labels = OverlayPainter(names, palette_rgb, *look)
        return labels if arguments.show == LABELS else SideBySidePainter(labels)
    output = uncertainty_output(contract)
    if output is None:
        raise InputError(
            f"{contract.model} engine has no output of uncertainty, --show {arguments.show} needs one. "
            "Next: python export/build_engine.py --model bayesian_segnet --option monte_carlo=8"
        )
    if arguments.show == UNCERTAINTY:
        return HeatMapPainter(output, contract.coordinates, *look)
    return UncertaintyStripesPainter(names, palette_rgb, output, contract.coordinates, *look)


def _run(
    arguments: argparse.Namespace, source: FrameSource, runner: Runner, card: EngineCard, painter: Painter, sink: Sink
) -> StreamRun:
    headline = f"{card.contract.model} {card.precision}"
    weights = card.contract.weights
    if weights.is_random:
        headline += f"   {weights.caption()}"
        print_status(stand_out(weights.warning()))
    segmenter = Segmenter(runner, "bgr", blend=painter.blend)
    _warm_up(segmenter, painter, source.size or (card.contract.height, card.contract.width))
    limits = StreamLimits(arguments.frames, arguments.seconds)
    totals = [total for total in (source.length, arguments.frames) if total is not None]
    try:
        with _progress(min(totals) if totals else None) as progress:
            return run_stream(
                source, segmenter, painter, sink, headline, limits, lambda run: progress.step(_note(run, source))
            )
    except SegEdgeError:
        if sink.result is not None:
            print_status(f"kept what was written until then: {sink.result}")
        raise


def _warm_up(segmenter: Segmenter, painter: Painter, size: tuple[int, int]) -> None:
    """Process a black frame first: it allocates memory and loads fonts, which is not part of a frame's latency."""
    blank = np.zeros((*size, 3), np.uint8)
    segmentation = segmenter(blank, *size)
    uncertainty = segmentation.uncertainty
    if uncertainty is not None:
        uncertainty = np.zeros_like(uncertainty)  # that of a black frame is not to set the scale
    painter.paint(blank, segmentation.labels, ["0"], uncertainty, segmentation.picture)


def _note(run: StreamRun, source: FrameSource) -> str:
    rate = f"{run.meter.fps:.1f} fps" if run.meter.fps is not None else ""
    return f"{rate}, {source.dropped} dropped" if source.is_live else rate


def _progress(total: int | None) -> Progress:
    # A source without an end may run for days: its log has a line every ten seconds, not at doubled times.
    return Progress("segment", total, "frame", log_every_s=10.0 if total is None else None)


if __name__ == "__main__":
    sys.exit(main())
