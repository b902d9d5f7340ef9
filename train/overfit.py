"""Show in minutes that a model and a dataset fit together: `python train/overfit.py --model M --dataset D`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import (
    CommandParser,
    RealNumber,
    positive_int,
    print_json,
    print_status,
    run_command,
    seed_argument,
    share_argument,
    size_argument,
)
from edge.datasets import Dataset, add_dataset_option, open_dataset
from edge.datasets.reference import dataset_reference
from edge.errors import InputError
from edge.output_check import check_output
from edge.picture_check import SKIP_BAD_HELP, checked_dataset
from train.fit_verdict import FitVerdict, class_shares_of, judge_fit, overfitting_recipe, repeated, score_of
from train.journal.entries import EpochEntry, epochs_of
from train.options import MODEL_NAMES, add_option_argument, parse_assignments, refuse_export_options
from train.recipe import Recipe
from train.recipes import find_recipe
from train.recipes.derived import shape_of
from train.runs import RUN_RECORD, RunRecord
from train.tensorflow_import import import_tensorflow

EXIT_NO_FIT = 1

RunTraining = Callable[..., RunRecord]
"""Function that trains: (model, training, validation, recipe, folder, seed, options, enough, hours) -> record of the
run. It ends after the first epoch for whose entry `enough` returns True, or when the time in hours is over."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of a check."""
    parser = CommandParser(
        prog="train/overfit.py",
        description="Train on a few images, without augmentation, until the network knows them by heart. Where it "
        "cannot, the model and the dataset do not fit together, and the command says what it saw (exit code 1).",
    )
    parser.add_argument("--model", required=True, choices=MODEL_NAMES, help="architecture")
    add_dataset_option(parser, "where the images are from", required=True)
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--images", type=positive_int, default=8, metavar="N", help="images of the training split")
    parser.add_argument(
        "--bound", type=share_argument, default=0.75, metavar="SHARE", help="share: mIoU that shows that they fit"
    )
    parser.add_argument(
        "--minutes",
        type=RealNumber(0.0, 1440.0, "min", above=True),
        default=15.0,
        metavar="MIN",
        help="time that the check may take",
    )
    parser.add_argument("--steps", type=positive_int, default=400, metavar="N", help="most steps of the training")
    parser.add_argument(
        "--size", type=size_argument, metavar="HxW", help="pixels of the frames (default: of the recipe's crops)"
    )
    parser.add_argument(
        "--learning-rate",
        type=RealNumber(0.0, 10.0, "per step", above=True),
        default=1e-3,
        metavar="RATE",
        help="of Adam, the same at each step",
    )
    add_option_argument(parser)
    parser.add_argument("--seed", type=seed_argument, default=0, metavar="S", help="seed of the initial weights")
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument(
        "--output", type=Path, help="folder that keeps the run with its curves (default: it is thrown away)"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _overfit(arguments), arguments.json)


def _overfit(arguments: argparse.Namespace, run_training: RunTraining | None = None) -> int:
    explicit = parse_assignments(arguments.option)
    refuse_export_options(arguments.model, explicit)
    dataset = dataset_reference(arguments.dataset)
    images = open_dataset(dataset.option, arguments.data_dir, "train", limit=arguments.images)
    recipe = find_recipe(arguments.model, dataset.name, None, shape_of(images)).recipe
    if arguments.output is not None:
        if (arguments.output / RUN_RECORD).exists():
            raise InputError(f"run folder {arguments.output} holds a run already. Next: another --output, or remove it")
        check_output(arguments.output)
    images = checked_dataset(images, needs_labels=True, skip_bad=arguments.skip_bad)
    shares = class_shares_of(images)
    recipe = overfitting_recipe(recipe, images, arguments.size, arguments.steps, arguments.learning_rate)
    print_status(
        f"learning {len(images)} images of {dataset.name} by heart with {arguments.model} at "
        f"{recipe.height}x{recipe.width}, until mIoU {100 * arguments.bound:.1f} % or {arguments.minutes:g} min"
    )
    if run_training is None:
        import_tensorflow("training", "pip install -e '.[train]'", training=True)
        run_training = _trainer()

    def is_enough(entry: EpochEntry) -> bool:
        score = score_of(entry, shares)
        return score is not None and score >= arguments.bound

    options, hours = {**recipe.options, **explicit}, arguments.minutes / 60
    # The same images for both: what is asked is whether the network can know them.
    splits = repeated(images), images
    with _run_folder(arguments.output) as folder:
        run = run_training(arguments.model, *splits, recipe, folder, arguments.seed, options, is_enough, hours)
    verdict = judge_fit(epochs_of(run.history), shares, arguments.bound, f"{arguments.model} and {dataset.name}")
    _print(verdict, arguments)
    return 0 if verdict.fits else EXIT_NO_FIT


def _trainer() -> RunTraining:
    """Return the trainer of the project, as the check calls it."""
    from train.engine.strategies import open_strategy
    from train.run_training import Task, begin_training
    from train.training import Course

    def run_training(
        model: str,
        training: Dataset,
        validation: Dataset,
        recipe: Recipe,
        folder: Path,
        seed: int,
        options: dict[str, Any],
        enough: Callable[[EpochEntry], bool],
        hours: float,
    ) -> RunRecord:
        course = Course(hours=hours, enough=enough)
        task = Task(model, training, validation, folder, open_strategy("one"), course)
        return begin_training(task, recipe, seed, options)

    return run_training


@contextlib.contextmanager
def _run_folder(output: Path | None) -> Iterator[Path]:
    """Give a folder for the run, which is not under runs/: a build would take it for the best run there is."""
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="segedge-overfit-") as folder:
        yield Path(folder) / "run"


def _print(verdict: FitVerdict, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(
            {
                "fits": verdict.fits,
                "miou": verdict.miou,
                "bound": arguments.bound,
                "step": verdict.step,
                "class_iou": verdict.class_iou,
                "never_right": verdict.never_right,
                "sentences": list(verdict.sentences),
                "folder": None if arguments.output is None else str(arguments.output),
            }
        )
        return
    print("\n".join(verdict.sentences))
    for name, iou in sorted(verdict.class_iou.items(), key=lambda pair: pair[1]):
        print(f"  {name}: IoU {100 * iou:.1f} %")
    if arguments.output is not None:
        print(f"run: {arguments.output}")


if __name__ == "__main__":
    sys.exit(main())
