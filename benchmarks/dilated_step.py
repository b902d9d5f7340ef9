"""Measure training steps whose dilated convolutions are products of matrices against TensorFlow's own convolution.

    python benchmarks/dilated_step.py [--model deeplabv3plus ...] [--json]

Both are this project's step with all other kernels (train/native), on the same batch and the same initial weights, in
one process, and take their steps in turn. Ratios are taken within a turn; the clock is that of the processor, all
threads together, over forward pass, losses, backward pass and the update of the weights, so that other programs
disturb it little. The first step of each, which traces, is not counted. Goal for DeepLabV3+ with ResNet-50 and 4 crops
of 144x192: 4 times as fast.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.training_contenders.batch import draw_batch
from edge.console import CommandParser, Progress, RawHelpFormatter, positive_int, print_json, run_command
from edge.errors import BackendError
from edge.machine import this_machine
from edge.machine_load import LoadWatch

GOALS = {"deeplabv3plus": 4.0}
"""Architecture -> how many times as fast a step has to be."""


class Case(NamedTuple):
    """An architecture with dilated convolutions, its options, and the size of a crop."""

    options: dict[str, Any]
    height: int
    width: int


CASES = {
    "deeplabv3plus": Case({"depth": 50}, 144, 192),
    "panoptic_deeplab": Case({}, 192, 256),
    "fastfcn": Case({}, 144, 192),
}


class Turn(NamedTuple):
    """Processor time in s of a step by products of matrices, and of one by TensorFlow's convolution."""

    products_s: float
    convolution_s: float


def open_steps(model: str, crops: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Return the steps of both, traced: by products of matrices, and by TensorFlow's convolution; each gives its loss.

    Args:
        model: key in CASES.
        crops: number of crops in a step.

    Raises:
        BackendError: the kernels of train/native cannot be had here, and so no training step has products of matrices.
        MissingDependencyError: TensorFlow is not installed.
    """
    from train.tensorflow_import import import_tensorflow

    import_tensorflow("training", "pip install -e '.[train]'", training=True)
    import tensorflow as tf

    from benchmarks.training_contenders import ours
    from train.native import unavailable_reason

    if unavailable_reason():
        raise BackendError(f"training steps have no products of matrices here: {unavailable_reason()}")
    case = CASES[model]
    frames, labels = draw_batch(crops, case.height, case.width)

    def convolved(features: tf.Tensor, taps: tf.Tensor, dilation: int) -> tf.Tensor:
        return tf.nn.convolution(features, taps, padding="SAME", dilations=[dilation, dilation])

    settings = {"precision": "float32", "xla": False, "use_kernels": True, "options": case.options}
    products = ours.prepare(frames, labels, model, **settings)
    products()
    convolution = ours.prepare(frames, labels, model, **settings)
    with mock.patch("train.native.training_call.dilated_conv", convolved):  # the first step traces
        convolution()
    return products, convolution


def measure(model: str, crops: int, turns: int, progress: Progress) -> list[Turn]:
    """Let both take steps in turn, and return the processor time of each."""
    products, convolution = open_steps(model, crops)
    measured = []
    for _ in range(turns):
        measured.append(Turn(_processor_s(products), _processor_s(convolution)))
        progress.step(model)
    return measured


def _processor_s(step: Callable[[], float]) -> float:
    start_s = time.process_time()
    step()
    return time.process_time() - start_s


def summarise(model: str, turns: list[Turn]) -> dict[str, Any]:
    """Return the medians of both in s, and least, median and greatest ratio within a turn."""
    ratios = [turn.convolution_s / turn.products_s for turn in turns]
    return {
        "model": model,
        **CASES[model]._asdict(),
        "products_s": statistics.median(turn.products_s for turn in turns),
        "convolution_s": statistics.median(turn.convolution_s for turn in turns),
        "times_as_fast": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        "goal": GOALS.get(model),
    }


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/dilated_step.py", description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument(
        "--model", choices=tuple(CASES), action="append", help="architecture; may be given several times (default: all)"
    )
    parser.add_argument("--crops", type=positive_int, default=4, metavar="N", help="crops in a step")
    parser.add_argument("--turns", type=positive_int, default=3, metavar="N", help="steps of each that count")
    parser.add_argument("--threads", type=positive_int, default=1, metavar="N", help="threads of TensorFlow")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _run(arguments), arguments.json)


def _run(arguments: argparse.Namespace) -> int:
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    models = arguments.model or list(CASES)
    watch = LoadWatch()
    with Progress("measure", len(models) * arguments.turns, "turn") as progress:
        cases = [
            summarise(model, measure(model, arguments.crops, arguments.turns, progress))
            for model in dict.fromkeys(models)
        ]
    load = watch.load()
    report = {
        "processor": this_machine().cpu,
        "load": load.sentence() if load is not None else None,
        "threads": arguments.threads,
        "crops": arguments.crops,
        "cases": cases,
    }
    if arguments.json:
        print_json(report)
    else:
        _print_report(report)
    return 0


def _print_report(report: dict[str, Any]) -> None:
    print(f"{report['processor']}, {report['threads']} threads; {report['load'] or 'the load is not known'}")
    for case in report["cases"]:
        times = case["times_as_fast"]
        goal = f" (goal {case['goal']:g})" if case["goal"] is not None else ""
        print(
            f"{case['model']:16} {report['crops']} crops of {case['height']}x{case['width']}: "
            f"{case['convolution_s']:.2f} s by TensorFlow's convolution, {case['products_s']:.2f} s by products, "
            f"{times['median']:.2f} times as fast ({times['min']:.2f} to {times['max']:.2f}){goal}"
        )


if __name__ == "__main__":
    sys.exit(main())
