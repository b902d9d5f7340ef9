"""Build an engine: `python export/build_engine.py --model fastfcn --int8`.

Exports the model if there is no current artefact, selects calibration images, collects ranges,
writes the Q/DQ graph, builds the engine, checks it against the float graph and writes its card.
On a device it needs an artefact folder from the workstation, numpy, OpenCV and the backend.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.methods import METHODS
from calibration.select_images import DEFAULT_IMAGE_COUNT, RANDOM_WEIGHTS_IMAGE_COUNT
from edge.artifacts import spell_option
from edge.card import EngineCard
from edge.console import CommandParser, format_seconds, positive_int, run_command, size_argument
from edge.datasets import LAYOUTS
from edge.records import record_to_json
from export.backends import BACKEND_CHOICES
from export.build_steps import BuildRequest, BuildResult, Plan, build, plan_build
from train.options import add_option_argument, parse_assignments


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/build_engine.py",
        description="Build an engine of a model, checked on held-out images.",
    )
    parser.add_argument("--model", required=True, help="architecture, such as fast_scnn or fastfcn")
    parser.add_argument("--dataset", choices=sorted(LAYOUTS), help="whose classes and images (default: the weights')")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--weights", type=Path, help="a run's weights (default: the newest run's, else random)")
    parser.add_argument("--size", type=size_argument, default="512x1024", metavar="HxW", help="input pixels")
    add_option_argument(parser)
    precision = parser.add_argument_group("precision", "float32 without either; --int8 --fp16 is --int8")
    precision.add_argument("--fp16", action="store_true", help="float16")
    precision.add_argument("--int8", action="store_true", help="int8, the rest in float16 where the backend has it")
    parser.add_argument("--backend", choices=BACKEND_CHOICES, default="auto", help="what builds and runs the engine")
    parser.add_argument(
        "--calibration-images", type=positive_int, metavar="N",
        help=f"training images that ranges are collected on (default: {DEFAULT_IMAGE_COUNT}, or "
        f"{RANDOM_WEIGHTS_IMAGE_COUNT} for random weights)",
    )  # fmt: skip
    parser.add_argument(
        "--calibrator", choices=sorted(METHODS), default="percentile", help="how a range follows from what was seen"
    )
    parser.add_argument(
        "--check-images", type=positive_int, default=50, metavar="N",
        help="validation images that the engine is checked on",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="engine folder (default: in the artefact folder)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _build(arguments))


def _build(arguments: argparse.Namespace) -> int:
    height, width = arguments.size
    request = BuildRequest(
        model=arguments.model,
        height=height,
        width=width,
        precision="int8" if arguments.int8 else "float16" if arguments.fp16 else "float32",
        backend=arguments.backend,
        dataset=arguments.dataset,
        data_dir=arguments.data_dir,
        weights_path=arguments.weights,
        calibration_images=arguments.calibration_images,
        calibration_method=arguments.calibrator,
        check_images=arguments.check_images,
        options=parse_assignments(arguments.option),
        output=arguments.output,
    )
    if arguments.dry_run:
        _print_plan(request, plan_build(request), arguments.json)
        return 0
    result = build(request)
    if arguments.json:
        print(json.dumps({"output": str(result.plan.output), **_result_json(result)}, indent=2))
    else:
        _print_result(result)
    return 0


def _result_json(result: BuildResult) -> dict:
    return {
        "backend": result.plan.backend,
        "backend_reason": result.plan.reason,
        "card": record_to_json(result.card),
        "parity": record_to_json(result.parity),
    }


def _print_plan(request: BuildRequest, plan: Plan, as_json: bool) -> None:
    sources = plan.sources
    facts = {
        "backend": plan.backend,
        "backend_reason": plan.reason,
        "precision": request.precision,
        "options": {name: spell_option(value) for name, value in sources.options.items()},
        "weights": str(sources.weights_path) if sources.weights_path else "random, or those of the artefact",
        "dataset": sources.dataset,
        "images": str(sources.data_dir) if sources.data_dir else "synthetic scenes (no dataset folder found)",
        "artifact": str(plan.artifact),
        "output": str(plan.output),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    facts["options"] = " ".join(f"{name}={value}" for name, value in facts["options"].items()) or "defaults"
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):15} {value}")
    print("dry run: nothing was done")


def _print_result(result: BuildResult) -> None:
    card = result.card
    print(
        f"{card.contract.model} {card.precision} for {card.backend} {card.backend_version}, "
        f"{card.contract.height}x{card.contract.width}, built in {format_seconds(card.build_seconds)}"
    )
    print(card.contract.weights.sentence())
    if card.calibration is not None:
        share = f", {100 * card.int8_mac_share:.1f} % of multiply-adds in INT8" if card.int8_mac_share else ""
        print(
            f"calibration: {card.calibration.method} over {card.calibration.image_count} images "
            f"of {card.calibration.images_from}{share}"
        )
    print(f"check: {_check_sentence(card)}")
    for note in card.notes:
        if note != card.contract.weights.sentence():
            print(f"note: {note}")
    print(f"engine: {result.plan.output / card.engine_file} ({card.engine_bytes / 1e6:.1f} MB)")
    print(f"next: edge-bench run {result.plan.output}")


def _check_sentence(card: EngineCard) -> str:
    check = card.check
    if check is None:
        return "not done"
    text = (
        f"labels equal to the float graph's on {100 * check.label_agreement:.2f} % of pixels "
        f"({check.image_count} images of {check.images_from})"
    )
    if check.miou_float is not None and check.miou_engine is not None:
        drop = 100 * (check.miou_float - check.miou_engine)
        text += f"; mIoU {100 * check.miou_float:.2f} % -> {100 * check.miou_engine:.2f} % (drop {drop:+.2f} points)"
    return text


if __name__ == "__main__":
    sys.exit(main())
