"""Train a segmentation model: `python train/train.py --model fast_scnn --dataset camvid --data-dir DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Sequence

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import (
    CommandParser,
    RealNumber,
    positive_int,
    print_json,
    print_status,
    print_warning,
    run_command,
    seed_argument,
)
from edge.datasets import Dataset, add_dataset_option, open_dataset
from edge.datasets.reference import DatasetReference, dataset_reference, recorded_dataset
from edge.errors import DatasetError, InputError
from edge.interruption import kept_when_interrupted
from edge.output_check import check_output
from edge.picture_check import CHECK_DATA_HELP, SKIP_BAD_HELP, checked_dataset
from edge.provenance import DescribedData
from edge.records import read_record, record_to_json
from train.options import MODEL_NAMES, add_option_argument, parse_assignments, refuse_export_options
from train.recipe import Recipe
from train.recipe_options import add_recipe_arguments, changed_recipe
from train.recipes import find_recipe
from train.recipes.derived import shape_of
from train.recipes.file import recipe_from_fields
from train.run_choice import run_in, status_warning
from train.run_folder.resume import (
    configuration_differences,
    other_configuration,
    read_run_to_resume,
    resume_command,
)
from train.runs import BEST_WEIGHTS, INITIAL, RUN_RECORD, RUN_STATE, RUNS_ROOT, RunRecord, new_run_folder
from train.tensorflow_import import import_tensorflow
from train.weights_file import weights_path_of

STRATEGIES = ("one", "mirrored", "multiworker")
LOGS = ("mlflow",)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of a training."""
    parser = CommandParser(
        prog="train/train.py",
        description="Train a segmentation model, or go on with a training; its run folder keeps the best weights, the "
        "state to go on from, and everything that was measured (docs/training.md).",
    )
    parser.add_argument("--model", choices=MODEL_NAMES, help="architecture")
    add_dataset_option(parser, "what it is trained on")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    parser.add_argument("--output", type=Path, help="run folder (default: runs/MODEL-DATASET-TIME)")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="RUN",
        help="folder of a run that was stopped or killed, to go on with from its last state; model, dataset and recipe "
        "are the run's",
    )
    parser.add_argument(
        "--init",
        choices=("random", "imagenet", "voc"),
        help="what to start from: random weights, a backbone of ImageNet, a network of PASCAL VOC "
        "(default: the recipe's, or --init-weights)",
    )
    parser.add_argument(
        "--init-weights",
        type=Path,
        metavar="PATH",
        help="weights to start from: an earlier run's folder, or imported or shipped ones (*.weights.h5), of any "
        "number of classes, or a published checkpoint",
    )
    parser.add_argument(
        "--validate-first",
        action="store_true",
        help="validate the initial weights too, and keep them as the best if no epoch is better",
    )
    add_option_argument(parser)
    parser.add_argument(
        "--seed",
        type=seed_argument,
        metavar="S",
        help="seed of the initial weights, the order of frames and the augmentation (default: 0)",
    )
    parser.add_argument(
        "--limit", type=positive_int, metavar="N", help="use at most this many frames of each split (default: all)"
    )
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument("--check-data", action="store_true", help=CHECK_DATA_HELP)
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        default="one",
        help="one device, all GPUs of this machine, or the machines that TF_CONFIG names (docs/training.md)",
    )
    parser.add_argument(
        "--hours",
        type=RealNumber(0.0, 10_000.0, "h", above=True),
        metavar="H",
        help="hours to end within, with the schedule run to its end (default: all epochs)",
    )
    parser.add_argument(
        "--processor-hours",
        type=RealNumber(0.0, 10_000.0, "h", above=True),
        metavar="H",
        help="hours of the processor, all threads together, to end within, as --hours; other programs that run take "
        "nothing of them (default: all epochs)",
    )
    parser.add_argument(
        "--checkpoint-minutes",
        type=RealNumber(0.0, 10_000.0, "min", above=True),
        default=10.0,
        metavar="N",
        help="time between two states within an epoch; one is written after each epoch too",
    )
    parser.add_argument(
        "--log", action="append", choices=LOGS, default=[], help="write to another program too, which is installed"
    )
    parser.add_argument("--json", action="store_true", help="print the run record as JSON, and nothing else, on stdout")
    add_recipe_arguments(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _train(arguments), arguments.json)


def _train(arguments: argparse.Namespace) -> int:
    run, folder = _resume(arguments) if arguments.resume is not None else _begin(arguments)
    _print_result(run, folder, arguments.json)
    return 0


def _begin(arguments: argparse.Namespace) -> tuple[RunRecord, Path]:
    for name in ("model", "dataset"):
        if getattr(arguments, name) is None:
            raise InputError(f"--{name} is missing. Next: --model M --dataset D, or --resume RUN to go on with a run")
    dataset = dataset_reference(arguments.dataset)
    training = open_dataset(dataset.option, arguments.data_dir, "train", limit=arguments.limit)
    validation = open_dataset(dataset.option, arguments.data_dir, "val", limit=arguments.limit)
    found = find_recipe(arguments.model, dataset.name, arguments.recipe, shape_of(training))
    recipe = changed_recipe(found.recipe, arguments)
    explicit = parse_assignments(arguments.option)
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
    if arguments.strategy == "multiworker" and arguments.output is None:
        raise InputError("--strategy multiworker needs --output, a folder on a disk that all workers share")
    folder = arguments.output or new_run_folder(arguments.model, dataset.name, RUNS_ROOT)
    # Where several workers begin at once, the first of them looks when it begins.
    if arguments.strategy != "multiworker" and any((folder / name).exists() for name in (RUN_RECORD, RUN_STATE)):
        raise InputError(
            f"run folder {folder} holds a run already. Next: another --output, or {resume_command(folder)}"
        )
    check_output(folder)
    training, validation = _checked((training, validation), arguments)
    print_status(
        f"training {arguments.model} on {len(training)} frames of {dataset.name}, "
        f"validating on {len(validation)}, {recipe.epochs} epochs (recipe: {found.origin}); run folder {folder}"
    )
    task = _task(arguments, arguments.model, training, validation, folder, dataset.described())
    from train.initial_weights import find_initial_weights
    from train.run_training import begin_training

    # Weights of a whole network bring their options, before those of the recipe.
    init = init_of(arguments, recipe)
    given = {**recipe.options, **explicit}
    wanted = explicit if arguments.init_weights is not None or init == "voc" else given
    initial = find_initial_weights(arguments.model, init, arguments.init_weights, wanted)
    with kept_when_interrupted(lambda: _kept(folder)):
        return begin_training(task, recipe, arguments.seed or 0, given, initial, found.origin), folder


def _checked(splits: Sequence[Dataset], arguments: argparse.Namespace) -> list[Dataset]:
    """Return the splits without what cannot be used; with --check-data all are looked at before one is refused."""
    sound, refused = [], None
    for split in splits:
        try:
            sound.append(checked_dataset(split, True, arguments.skip_bad, reads_frames=arguments.check_data))
        except DatasetError as error:
            if not arguments.check_data:
                raise
            refused = refused or error
    if refused is not None:
        raise refused
    return sound


def init_of(arguments: argparse.Namespace, recipe: Recipe) -> str | None:
    """Return what a training starts from, as `find_initial_weights` takes it: the options go before the recipe."""
    if arguments.init is not None or arguments.init_weights is not None:
        return arguments.init
    return recipe.init


def _resume(arguments: argparse.Namespace) -> tuple[RunRecord, Path]:
    folder = arguments.resume
    for name in ("init", "init_weights", "output", "limit", "recipe"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} is not for a run that goes on, which has its own. Next: leave it out")
    if not folder.is_dir():
        raise InputError(f"--resume {folder} is not there, expected the folder of a run")
    record = read_run_to_resume(folder).record
    recipe = recipe_from_fields(record.recipe, f"recipe of {folder}")
    wanted: dict[str, Any] = {
        "recipe": changed_recipe(recipe, arguments).to_json(),
        "options": parse_assignments(arguments.option),
    }
    for name in ("model", "seed"):
        if getattr(arguments, name) is not None:
            wanted[name] = getattr(arguments, name)
    dataset = recorded_dataset(record.dataset, record.described)
    if arguments.dataset is not None:
        dataset = dataset_reference(arguments.dataset)
        wanted["dataset"] = dataset.name
    dataset.require_here()
    wanted.update(classes=dataset.classes(), described=dataset.described())
    differences = configuration_differences(record, wanted)
    if differences:  # before frames are looked for that another description may have no more
        raise other_configuration(folder, differences)
    data_dir = arguments.data_dir or Path(record.data_dir)
    training, validation = (
        _frames_of(record, dataset, data_dir, split, arguments.check_data) for split in ("train", "val")
    )
    print_status(
        f"going on with {folder}: {record.model} on {len(training)} frames of {record.dataset}, "
        f"step {record.steps_done} of {record.steps_planned}"
    )
    task = _task(arguments, record.model, training, validation, folder, wanted["described"])
    from train.run_training import go_on_training

    with kept_when_interrupted(lambda: _kept(folder)):
        return go_on_training(task, wanted), folder


def _task(
    arguments: argparse.Namespace,
    model: str,
    training: Dataset,
    validation: Dataset,
    folder: Path,
    described: DescribedData | None,
) -> Any:
    """Import TensorFlow, open the strategy, and return the task of train.run_training."""
    writers = []
    if "mlflow" in arguments.log:
        from train.journal.mlflow_log import MlflowLog, require_mlflow

        require_mlflow()  # before TensorFlow, whose import takes seconds
        writers.append(MlflowLog())
    import_tensorflow("training", "pip install -e '.[train]'", training=True)
    from train.devices import describe_devices
    from train.engine.strategies import open_strategy
    from train.run_training import Task
    from train.training import Course

    strategy = open_strategy(arguments.strategy)
    print_status(f"on {describe_devices()}")
    if strategy.replicas > 1:
        print_status(f"{strategy.replicas} replicas, {strategy.workers} workers; this is worker {strategy.worker}")
    course = Course(
        60.0 * arguments.checkpoint_minutes,
        arguments.hours,
        arguments.processor_hours,
        validate_first=arguments.validate_first,
    )
    return Task(model, training, validation, folder, strategy, course, tuple(writers), described)


def _frames_of(
    record: RunRecord, reference: DatasetReference, data_dir: Path, split: str, reads_frames: bool
) -> Dataset:
    """Open the frames of a split that a run has; the training compares their names with the run's."""
    count = record.training_frames if split == "train" else record.validation_frames
    skipped = sum(name.startswith(f"{split}/") for name in record.skipped_frames)
    dataset = open_dataset(reference.option, data_dir, split, limit=None if count is None else count + skipped)
    return checked_dataset(dataset, needs_labels=True, skip_bad=bool(record.skipped_frames), reads_frames=reads_frames)


def _kept(folder: Path) -> str | None:
    """Say what an interrupted training leaves behind; None where it had not begun."""
    if not (folder / RUN_RECORD).is_file():
        return None
    run = read_record(RunRecord, folder / RUN_RECORD)
    best = f", the best weights are {_best_words(run)}" if run.best_epoch is not None else ""
    return f"the state of step {run.steps_done} of {run.steps_planned} is kept{best}. Next: {resume_command(folder)}"


def _best_words(run: RunRecord) -> str:
    return "the initial ones" if run.best_epoch == INITIAL else f"those of epoch {run.best_epoch}"


def _print_result(run: RunRecord, folder: Path, as_json: bool) -> None:
    if as_json:
        print_json({"folder": str(folder), "run": record_to_json(run)})
        return
    reason = f" ({run.end_reason})" if run.end_reason else ""
    score = f"val mIoU {100 * run.best_miou:.2f} %"
    if run.best_epoch == INITIAL:
        print(f"no epoch of {len(run.history)}{reason} is better than the initial weights, which are kept: {score}")
    else:
        before = f" ({100 * run.initial_miou:.2f} % before)" if run.initial_miou is not None else ""
        print(f"best epoch {run.best_epoch} of {len(run.history)}{reason}: {score}{before}")
    print(f"weights: {folder / BEST_WEIGHTS}")
    print(f"next: python export/build_engine.py --model {run.model} --int8 --weights {folder}")


if __name__ == "__main__":
    sys.exit(main())
