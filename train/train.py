"""Train a segmentation model: `python train/train.py --model fast_scnn --dataset camvid --data-dir DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import (
    CommandParser,
    RealNumber,
    WholeNumber,
    positive_int,
    print_json,
    print_status,
    print_warning,
    run_command,
    seed_argument,
    size_argument,
)
from edge.datasets import LAYOUTS, open_dataset
from edge.errors import InputError
from edge.interruption import kept_when_interrupted
from edge.output_check import check_output
from edge.picture_check import SKIP_BAD_HELP, checked_dataset
from edge.records import read_record, record_to_json
from train.options import MODEL_NAMES, add_option_argument, parse_assignments, refuse_export_options
from train.recipes import find_recipe
from train.run_choice import run_in, status_warning
from train.runs import BEST_WEIGHTS, RUN_RECORD, RUNS_ROOT, RunRecord, new_run_folder
from train.tensorflow_import import import_tensorflow
from train.weights_file import weights_path_of

learning_rate = RealNumber(0.0, 10.0, "per step", above=True)
batch_size = WholeNumber(1, 1024)
"""Of crops: more fit no memory, and a split of fewer frames is repeated until a batch is full."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of a training."""
    parser = CommandParser(
        prog="train/train.py",
        description="Train a segmentation model; the weights of the best epoch are kept in a run folder.",
    )
    parser.add_argument("--model", required=True, choices=MODEL_NAMES, help="architecture")
    parser.add_argument("--dataset", required=True, choices=sorted(LAYOUTS), help="what it is trained on")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--output", type=Path, help="run folder (default: runs/MODEL-DATASET-TIME)")
    parser.add_argument(
        "--init",
        choices=("random", "imagenet", "voc"),
        help="what to start from: random weights, a backbone of ImageNet, a network of PASCAL VOC "
        "(default: random, or --init-weights)",
    )
    parser.add_argument(
        "--init-weights",
        type=Path,
        metavar="PATH",
        help="weights to start from: an earlier run's folder, or imported ones (*.weights.h5), of any number of "
        "classes, or a published checkpoint",
    )
    add_option_argument(parser)
    parser.add_argument(
        "--seed",
        type=seed_argument,
        default=0,
        metavar="S",
        help="seed of the initial weights, the order of frames and the augmentation",
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="use at most this many frames of each split (default: all)"
    )
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument("--json", action="store_true", help="print the run record as JSON")
    recipe = parser.add_argument_group("recipe", "settings that differ from the recipe of train/recipes.py")
    recipe.add_argument(
        "--epochs", type=positive_int, metavar="N", help="passes over the training split (default: the recipe's)"
    )
    recipe.add_argument(
        "--batch-size", type=batch_size, metavar="N", help="crops in a step, over all devices (default: the recipe's)"
    )
    recipe.add_argument(
        "--learning-rate",
        type=learning_rate,
        metavar="RATE",
        help="per step, at the start; it falls to 0 (default: the recipe's)",
    )
    recipe.add_argument(
        "--size", type=size_argument, metavar="HxW", help="pixels of validation frames (default: the recipe's)"
    )
    recipe.add_argument(
        "--crop", type=size_argument, metavar="HxW", help="pixels of training crops (default: --size, or the recipe's)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _train(arguments), arguments.json)


def _train(arguments: argparse.Namespace) -> int:
    height, width = arguments.size or (None, None)
    # Crops follow --size unless --crop says otherwise: a recipe's own crop may not fit another size.
    crop_height, crop_width = arguments.crop or (height, width)
    recipe = find_recipe(arguments.model, arguments.dataset).changed(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        height=height,
        width=width,
        crop_height=crop_height,
        crop_width=crop_width,
    )
    training = open_dataset(arguments.dataset, arguments.data_dir, "train", limit=arguments.limit)
    validation = open_dataset(arguments.dataset, arguments.data_dir, "val", limit=arguments.limit)
    explicit = parse_assignments(arguments.option)
    given = {**recipe.options, **explicit}
    refuse_export_options(arguments.model, explicit)
    if arguments.init == "random" and arguments.init_weights is not None:
        raise InputError(f"--init random takes no weights, got --init-weights {arguments.init_weights}")
    if arguments.init_weights is not None:
        arguments.init_weights = weights_path_of(arguments.init_weights)
        if not arguments.init_weights.is_file():
            raise InputError(f"weights not found: {arguments.init_weights}")
        run = run_in(arguments.init_weights.parent)
        if run is not None and run.weights_path == arguments.init_weights and status_warning(run):
            print_warning(status_warning(run))
    folder = arguments.output or new_run_folder(arguments.model, arguments.dataset, RUNS_ROOT)
    if (folder / RUN_RECORD).exists():
        raise InputError(f"run folder {folder} holds a run already. Next: another --output, or remove it")
    check_output(folder)
    training = checked_dataset(training, needs_labels=True, skip_bad=arguments.skip_bad)
    validation = checked_dataset(validation, needs_labels=True, skip_bad=arguments.skip_bad)
    print_status(
        f"training {arguments.model} on {len(training)} frames of {arguments.dataset}, "
        f"validating on {len(validation)}, {recipe.epochs} epochs; run folder {folder}"
    )
    import_tensorflow("training", "pip install -e '.[train]'")
    from train.devices import describe_devices
    from train.initial_weights import find_initial_weights
    from train.loop import train

    print_status(f"on {describe_devices()}")
    # Weights of a whole network bring their options, before those of the recipe.
    brings_options = arguments.init_weights is not None or arguments.init == "voc"
    wanted = explicit if brings_options else given
    initial = find_initial_weights(arguments.model, arguments.init, arguments.init_weights, wanted)
    with kept_when_interrupted(lambda: _kept(folder)):
        run = train(
            arguments.model, training, validation, recipe, folder, seed=arguments.seed, options=given, initial=initial
        )
    _print_result(run, folder, arguments.json)
    return 0


def _kept(folder: Path) -> str | None:
    """Say what an interrupted training leaves behind; None where it had not begun."""
    if not (folder / RUN_RECORD).is_file():
        return None
    run = read_record(RunRecord, folder / RUN_RECORD)
    if run.best_epoch is None:
        return f"the record of the run is kept in {folder}, no epoch was finished"
    return f"the weights of epoch {run.best_epoch} of {run.recipe['epochs']} are kept: {folder / BEST_WEIGHTS}"


def _print_result(run: RunRecord, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), "run": record_to_json(run)})
        return
    print(f"best epoch {run.best_epoch} of {len(run.history)}: val mIoU {100 * (run.best_miou or 0):.2f} %")
    print(f"weights: {folder / BEST_WEIGHTS}")
    print(f"next: python export/build_engine.py --model {run.model} --int8 --weights {folder}")


if __name__ == "__main__":
    sys.exit(main())
