"""Measure what share of the way from a frame to its labels is spent outside the network.

    python benchmarks/frame_to_labels.py ARTIFACT [--images FOLDER] [--json]

Goal: for Fast-SCNN INT8 at 1024x2048 on the CPU, pre- and post-processing together take at most
10 % of the time. The artefact is made by
`python export/build_engine.py --model fast_scnn --int8 --size 1024x2048 --random-weights`, or of a trained run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.bench.measure import BenchSettings, run_benchmark
from edge.console import CommandParser, RawHelpFormatter, positive_int, print_json, run_command
from edge.frames import FolderFrames, SyntheticFrames
from edge.machine import threads_argument
from edge.runtime import open_engine

GOAL_SHARE = 0.10


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("engine", type=Path, help="engine folder, or artefact folder")
    parser.add_argument("--images", type=Path, help="a picture or a folder of pictures (default: drawn scenes)")
    parser.add_argument("--frames", type=positive_int, default=100, help="frames measured")
    parser.add_argument("--threads", type=threads_argument, metavar="N", help="cores for the network (default: all)")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the result, and return the exit code: 1 if the goal is missed."""
    runner, card = open_engine(arguments.engine, arguments.threads or 0)
    size = (card.contract.height, card.contract.width)
    frames = FolderFrames(arguments.images) if arguments.images else SyntheticFrames(8, *size, seed=9_000_000)
    record = run_benchmark(runner, card, frames, BenchSettings(10, arguments.frames, 0.0))
    stages = record.stages
    outside_ms = stages["preprocess"].mean_ms + stages["postprocess"].mean_ms
    share = outside_ms / record.end_to_end.mean_ms
    result = {
        "processor": record.machine.cpu,
        "engine": f"{card.contract.model} {card.precision} {size[0]}x{size[1]} {card.backend}",
        "weights": card.contract.weights.sentence(),
        "frames": f"{record.end_to_end.sample_count} of {record.frame_height}x{record.frame_width}, {record.input}",
        "preprocess_ms": stages["preprocess"].mean_ms,
        "inference_ms": stages["inference"].mean_ms,
        "postprocess_ms": stages["postprocess"].mean_ms,
        "postprocess_backend": record.postprocess,
        "outside_share": share,
        "goal_share": GOAL_SHARE,
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"{result['engine']} on {result['processor']}; {result['weights']}")
        print(
            f"{result['frames']}: preprocess {result['preprocess_ms']:.2f} ms, inference {result['inference_ms']:.2f} "
            f"ms, postprocess {result['postprocess_ms']:.2f} ms ({record.postprocess}), means"
        )
        print(f"outside the network: {share:.1%} of the time (goal: at most {GOAL_SHARE:.0%})")
    return 0 if share <= GOAL_SHARE else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
