"""Score a network, or label maps that it predicted, on any split or folder: `python train/evaluate.py RUN`."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import sys
import time
from pathlib import Path
from typing import Iterator

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.bench.output_folder import free_folder
from edge.console import (
    print_json,
    print_note,
    print_result,
    print_status,
    print_warning,
    run_command,
)
from edge.datasets import Dataset, class_table, default_data_dir, is_description, open_dataset
from edge.errors import InputError
from edge.evaluation.folders import open_folder
from edge.evaluation.labelling import Labeller
from edge.evaluation.looks import Looks
from edge.evaluation.measure import Measured, WhatToMeasure, measure_files, measure_network
from edge.evaluation.networks import check_classes, check_way
from edge.evaluation.prediction_files import PredictionWriter, find_predictions
from edge.evaluation.record import Subject, evaluation_of
from edge.evaluation.text import evaluation_text
from edge.evaluation.windows import Window
from edge.interruption import kept_when_interrupted
from edge.output_check import check_output
from edge.picture_check import checked_dataset
from edge.records import record_to_json
from train.evaluation.command_options import RESULTS_ROOT, build_parser
from train.evaluation.results import RESULTS, write_predictions_page, write_results
from train.evaluation.subject import FILES, GivenSubject, given_subject, opened


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _evaluate(arguments), arguments.json)


def _evaluate(arguments: argparse.Namespace) -> int:
    _refuse_contradictions(arguments)
    given = None if arguments.subject is None else given_subject(arguments.subject, arguments.size)
    name = _dataset_name(arguments, given)
    table = class_table(name)
    if given is not None and given.contract is not None:
        check_classes(given.contract.class_names, table.class_names, str(arguments.subject), name)
    if given is not None and given.weights is not None and given.weights.class_count != table.class_count:
        raise InputError(
            f"{arguments.subject} has {given.weights.class_count} classes, {name} has {table.class_count}. "
            "Next: name the dataset that it was trained on with --dataset"
        )
    if given is not None and given.weights is not None and given.weights.classes:
        check_classes(
            tuple(each.name for each in given.weights.classes), table.class_names, str(arguments.subject), name
        )
    dataset = _checked(_opened_dataset(arguments, name, given), arguments)
    folder = (
        arguments.output or RESULTS_ROOT / f"{_short_name(arguments)}-{dataset.name}-{dataset.split.replace(' ', '-')}"
    )
    for written in (folder, arguments.predictions):
        if written is not None:
            check_output(written)
    start_s = time.perf_counter()
    measured, subject = _measured(arguments, given, dataset)
    seconds = time.perf_counter() - start_s
    with free_folder(folder, RESULTS) as free:
        return _told(arguments, measured, subject, dataset, free, seconds)


def _refuse_contradictions(arguments: argparse.Namespace) -> None:
    if (arguments.subject is None) == (arguments.predictions_from is None):
        given = "both" if arguments.subject is not None else "neither"
        raise InputError(
            f"got {given} of PATH and --predictions-from, expected one: a network, or a folder of label maps"
        )
    if arguments.labels is not None and arguments.images is None:
        raise InputError("--labels names the label maps of --images, which is not given. Next: --images FOLDER")
    if arguments.images is not None and (arguments.split or arguments.data_dir):
        other = "--split" if arguments.split else "--data-dir"
        raise InputError(f"--images and {other} both say which frames are meant, expected one of them")
    if arguments.predictions_from is not None:
        for option in ("predictions", "sliding_window", "size"):
            if getattr(arguments, option) is not None:
                raise InputError(f"--{option.replace('_', '-')} needs a network, --predictions-from has label maps")


def _dataset_name(arguments: argparse.Namespace, given: GivenSubject | None) -> str:
    name = arguments.dataset or (given.dataset if given is not None else None)
    if name is None:
        raise InputError("nothing says which classes are meant. Next: --dataset NAME")
    return name


def _opened_dataset(arguments: argparse.Namespace, name: str, given: GivenSubject | None) -> Dataset:
    if arguments.images is not None:
        return open_folder(arguments.images, arguments.labels, name, class_table(name), arguments.limit)
    folder, split = arguments.data_dir, arguments.split or "val"
    is_own = given is not None and given.dataset == name and given.data_dir is not None and given.data_dir.is_dir()
    # A description lies anywhere, and its data may lie elsewhere: what the training read comes first.
    if folder is None and is_own and (is_description(name) or not default_data_dir(name).is_dir()):
        folder = given.data_dir
    dataset = open_dataset(name, folder, split, labelled=False, limit=arguments.limit)
    if any(sample.label_path is not None for sample in dataset.samples):
        return open_dataset(name, folder, split, labelled=True, limit=arguments.limit)  # says which have none
    return dataset


def _checked(dataset: Dataset, arguments: argparse.Namespace) -> Dataset:
    has_labels = dataset.samples[0].label_path is not None
    if not has_labels and arguments.predictions_from is not None:
        raise InputError(
            f"{dataset.name} {dataset.split} under {dataset.root} has no label maps, so no score is possible"
        )
    return checked_dataset(dataset, needs_labels=has_labels, skip_bad=arguments.skip_bad)


def _short_name(arguments: argparse.Namespace) -> str:
    path = (arguments.subject or arguments.predictions_from).resolve()
    return path.name.split(".")[0] if path.is_file() else path.name


def _measured(arguments: argparse.Namespace, given: GivenSubject | None, dataset: Dataset) -> tuple[Measured, Subject]:
    tolerance = None if arguments.no_boundary_f1 else arguments.boundary_tolerance
    what = WhatToMeasure(tolerance, arguments.worst)
    if given is None:
        paths = find_predictions(arguments.predictions_from, [sample.name for sample in dataset.samples])
        subject = Subject(FILES, str(arguments.predictions_from))
        return measure_files(paths, dataset, what, arguments.prediction_ids), subject
    window = None if arguments.sliding_window is None else Window(arguments.sliding_window, arguments.overlap)
    looks = Looks(arguments.scales, arguments.flip, window)
    subject = Subject(**{**vars(given.subject), "looks": looks.words()})
    writer = None if arguments.predictions is None else PredictionWriter(arguments.predictions, dataset.table)
    with opened(given, dataset.table.class_names) as network, _kept_predictions(writer):
        check_way(network, str(arguments.subject), looks, given.contract)
        print_status(f"evaluating {given.subject.kind} {arguments.subject} on {len(dataset)} frames: {looks.words()}")
        return measure_network(Labeller(network, looks), dataset, what, writer), subject


@contextlib.contextmanager
def _kept_predictions(writer: PredictionWriter | None) -> Iterator[None]:
    if writer is None:
        yield
        return

    def kept() -> str | None:
        count = writer.written
        words = f"{count} prediction is" if count == 1 else f"{count} predictions are"
        return f"{words} kept in {writer.folder}" if count else None

    with kept_when_interrupted(kept):
        yield


def _told(
    arguments: argparse.Namespace,
    measured: Measured,
    subject: Subject,
    dataset: Dataset,
    folder: Path,
    seconds: float,
) -> int:
    """Write the results, and print what they say."""
    if arguments.predictions is not None:
        print_status(f"written: {len(dataset)} predictions in {arguments.predictions}")
    if not measured.has_score:
        why = (
            "there are no label maps"
            if measured.counts is None
            else "the label maps ignore every pixel, as those of a test split do whose labels are not public"
        )
        print_note(f"no score is possible, since {why}")
        title = f"Predictions on {dataset.name} {dataset.split}"
        write_predictions_page(folder, title, subject.path, measured.worst, dataset)
        print_status(f"page: {folder / RESULTS[1]}")
        if arguments.json:
            frames = [sample.name for sample in dataset.samples]
            print_json({"score": None, "reason": why, "frames": frames, "folder": str(folder)})
        return 0
    tolerance = None if arguments.no_boundary_f1 else arguments.boundary_tolerance
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    evaluation = evaluation_of(measured, subject, dataset, tolerance, seconds, now, arguments.void)
    notes = []
    if measured.unknown_pixels:
        notes.append(
            f"{measured.unknown_pixels} pixels are predicted as ids that {dataset.name} lacks, and count as wrong"
        )
        print_warning(notes[0])
    if dataset.skipped:
        notes.append(f"{len(dataset.skipped)} frames are left out since they, or their label maps, cannot be used")
    write_results(folder, evaluation, measured.worst, dataset, notes)
    print_status(f"page: {folder / RESULTS[1]}")
    if arguments.json:
        print_json(record_to_json(evaluation))
    else:
        print_result(evaluation_text(evaluation))
    return 0


if __name__ == "__main__":
    sys.exit(main())
