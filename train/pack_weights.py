"""Pack the weights of a run into a file that comes with the product: `python train/pack_weights.py RUN --output W ...`.

The weights are written in float16, measured on the validation split as they will be read, and described by a card.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.accuracy import Accuracy
from edge.artifacts import atomic_path, sha256_file
from edge.console import CommandParser, print_json, run_command
from edge.datasets import Dataset, open_dataset
from edge.errors import InputError, WeightsError
from edge.output_check import check_output_file
from edge.records import record_to_json, write_record
from train.half_weights import write_half_weights
from train.options import resolve_options
from train.run_choice import epochs_words, run_in
from train.runs import FINISHED, RunRecord, frames_digest, read_run
from train.tensorflow_import import import_tensorflow
from train.weights_card import ANY_USE, MOST_BYTES, RESEARCH, WeightsCard, weights_card_path
from train.weights_file import WEIGHTS_SUFFIX, weights_path_of

MOST_DROP = 0.001
"""Largest part of the mIoU, 0 to 1, that may be lost in float16: a tenth of a point, less than the spread of seeds."""

CHECKOUT = Path(__file__).resolve().parents[1]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of the packing."""
    parser = CommandParser(
        prog="train/pack_weights.py",
        description="Pack the best weights of a finished run into a file of float16, with a card that says what they "
        "learnt from, on which terms, how, and how good they are (weights/README.md).",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="folder of a finished run")
    parser.add_argument("--output", required=True, type=Path, metavar="W", help=f"weights file, *{WEIGHTS_SUFFIX}")
    parser.add_argument("--data", required=True, metavar="TEXT", help="what they learnt from, and where it can be had")
    parser.add_argument(
        "--licence", required=True, metavar="TEXT", help="terms of the data, which hold for the weights"
    )
    parser.add_argument("--use", required=True, choices=(ANY_USE, RESEARCH), help="what the terms of the data allow")
    parser.add_argument("--made-by", required=True, metavar="TEXT", help="commands that made the data and the weights")
    parser.add_argument("--commit", help="commit that trained them (default: that of this checkout)")
    parser.add_argument("--machine", metavar="TEXT", help="kind of the machine (default: the devices of the run)")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: the run's)")
    parser.add_argument("--json", action="store_true", help="print the card as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _pack(arguments), arguments.json)


def _pack(arguments: argparse.Namespace) -> int:
    if not arguments.output.name.endswith(WEIGHTS_SUFFIX):
        raise InputError(f"--output is {arguments.output}, expected a name that ends in {WEIGHTS_SUFFIX}")
    check_output_file(arguments.output)
    path = weights_path_of(arguments.run)
    run = _trained_run(path)
    validation = open_dataset(run.dataset, arguments.data_dir or Path(run.data_dir), "val")
    expected = run.frames_sha256.get("val")
    if expected is not None and frames_digest(sample.name for sample in validation.samples) != expected:
        raise InputError(
            f"{validation.root} has other validation frames than {path.parent} was validated on ({len(validation)}, "
            f"expected {run.validation_frames}). Next: --data-dir DIR"
        )
    commit = arguments.commit or _commit_of_checkout()
    import_tensorflow("measuring weights", "pip install -e '.[train]'")
    with atomic_path(arguments.output) as temporary:
        write_half_weights(path, temporary)
        accuracy = _measured(temporary, run, validation)
        size_bytes = temporary.stat().st_size
        _check(accuracy.miou, size_bytes, run, path)
    machine = arguments.machine or ", ".join(run.devices) or "unknown"
    card = WeightsCard(
        model=run.model,
        dataset=run.dataset,
        class_count=run.class_count,
        options=resolve_options(run.model, run.options),
        height=run.height,
        width=run.width,
        data=arguments.data,
        licence=arguments.licence,
        use=arguments.use,
        command=arguments.made_by,
        commit=commit,
        trained_utc=run.started_utc,
        hours=_hours(run),
        epochs=len(run.history),
        seed=run.seed,
        training_frames=run.training_frames,
        machine=machine,
        split=validation.split,
        frames=accuracy.frame_count,
        miou=accuracy.miou,
        class_iou=accuracy.class_iou,
        run_miou=run.best_miou,
        size_bytes=size_bytes,
        weights_sha256=sha256_file(arguments.output),
        versions=run.versions or {},
    )
    # The card names the hash of the weights and goes last.
    write_record(weights_card_path(arguments.output), card)
    _print_result(card, arguments)
    return 0


def _trained_run(path: Path) -> RunRecord:
    """Return the record of a run whose weights may be packed.

    Raises:
        InputError: no run is there.
        WeightsError: the run has not finished, was not validated, or its weights are other ones.
    """
    found = run_in(path.parent)
    if found is None:
        raise InputError(f"{path} is no weights file of a run, expected a run's folder. Next: name runs/<run>")
    if found.record.status != FINISHED:
        raise WeightsError(
            f"{path.parent} is {found.state}, {epochs_words(found.record)} done, expected a finished run"
        )
    run, _ = read_run(path, found.record.model)
    if run.best_miou is None or sha256_file(path) != run.weights_sha256:
        raise WeightsError(f"{path} has no mIoU in its record, expected the best weights of a validated run")
    return run


def _measured(path: Path, run: RunRecord, validation: Dataset) -> Accuracy:
    """Return the accuracy of a weights file on the frames that its run was validated on, at the run's size."""
    from edge.accuracy import accuracy_of
    from train.models import model_spec
    from train.models.base import inference_model
    from train.options import training_options
    from train.validation import keras_labeller, measure_validation

    spec, options = model_spec(run.model), training_options(run.model, run.options)
    network = spec.build(run.height, run.width, run.class_count, **options)
    network.load_weights(path)
    labeller = keras_labeller(inference_model(network), run.height, run.width, spec.coordinates(options))
    return accuracy_of(measure_validation(labeller, validation, show_progress=True), validation)


def _check(miou: float, size_bytes: int, run: RunRecord, path: Path) -> None:
    """Refuse weights that lost accuracy in float16, or are too large to come with the product.

    Raises:
        WeightsError: they are.
    """
    if miou < run.best_miou - MOST_DROP:
        raise WeightsError(
            f"{path} has mIoU {100 * miou:.2f} % in float16, expected {100 * run.best_miou:.2f} % as in float32, or at "
            f"most {100 * MOST_DROP:g} points less"
        )
    if size_bytes > MOST_BYTES:
        raise WeightsError(
            f"{path} takes {size_bytes / 1e6:.2f} MB in float16, expected at most {MOST_BYTES / 1e6:g} MB: larger ones "
            "do not come with the product"
        )


def _hours(run: RunRecord) -> float | None:
    measured = run.measurements
    return None if measured is None or measured.whole_s is None else round(measured.whole_s / 3600.0, 3)


def _commit_of_checkout() -> str:
    """Return the commit of this checkout.

    Raises:
        InputError: git does not tell it.
    """
    try:
        told = subprocess.run(
            ["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        told = ""
    if not re.fullmatch(r"[0-9a-f]{40,64}", told):
        raise InputError(f"{CHECKOUT} is no git checkout, so the commit is unknown. Next: --commit SHA")
    return told


def _print_result(card: WeightsCard, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json({"weights": str(arguments.output), "card": record_to_json(card)})
        return
    print(f"{card.model} on {card.dataset}: mIoU {100 * card.miou:.2f} % on {card.frames} frames ({card.split})")
    print(f"float32: {100 * card.run_miou:.2f} %; size: {card.size_bytes / 1e6:.2f} MB; use: {card.use}")
    print(f"weights: {arguments.output}")


if __name__ == "__main__":
    sys.exit(main())
