"""The check of all pictures of a folder or split, before a command spends its first minute on them.

Headers and the chain of segments of every file are read, which takes about 0.1 ms a file; pixels are decoded of label
maps alone. What is wrong is named in one message, or left out and counted where the user asked for that.
"""

from __future__ import annotations

import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Callable, Sequence, TypeVar

import numpy as np

from edge.console import Progress, print_note_once, print_warning_once
from edge.datasets import Dataset, size_difference, where_looked
from edge.errors import DatasetError, ImageError, InputError
from edge.imaging import label_form_problem, read_file_header
from edge.labels import CITYSCAPES, IGNORE_ID
from edge.picture_formats.description import UPRIGHT

SKIP_BAD_HELP = "leave pictures out that cannot be read, instead of stopping; the record counts them"

_QUIET_S = 2.0
"""Time in s that passes before progress is shown."""

_SHOWN = 3
"""Number of bad pictures that a message names."""

_DECODED_MAPS = 16
"""Number of label maps, spread over the split, that are decoded where a command does not need them all."""

_MOST_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def picture_problems(paths: Sequence[Path]) -> dict[int, str]:
    """Return what is wrong with pictures, by their position: name and problem of each that cannot be read."""
    problems = _each("check pictures", lambda path: read_file_header(path).problem, paths)
    return {index: _cannot_be_decoded(paths[index], problem) for index, problem in enumerate(problems) if problem}


def _cannot_be_decoded(path: Path, problem: str) -> str:
    return f"{path.name} cannot be decoded ({problem})"


def refuse_or_leave_out(
    problems: Sequence[str], count: int, where: str, skip_bad: bool | None, error: type[InputError] = ImageError
) -> None:
    """Refuse a set of pictures that holds bad ones, or say once which are left out.

    Args:
        problems: Name and problem of each bad picture.
        count: Number of all pictures of the set.
        where: Name of the set.
        skip_bad: Whether bad pictures are left out; not where all are bad. None where the command has no option for
            it.
        error: Class of the error.

    Raises:
        InputError: There are bad pictures, and they are not left out; the error is of the class that was given.
    """
    if not problems:
        return
    shown = "; ".join(problem.replace(". Next: ", ", ") for problem in problems[:_SHOWN])
    shown += f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    if not skip_bad or len(problems) == count:
        hint = ", or add --skip-bad to leave them out" if skip_bad is False and len(problems) < count else ""
        raise error(f"{len(problems)} of {count} pictures of {where} are bad: {shown}. Next: mend or remove them{hint}")
    print_warning_once(f"{len(problems)} of {count} pictures of {where} are bad and left out: {shown}")


def checked_dataset(dataset: Dataset, needs_labels: bool, skip_bad: bool | None = None) -> Dataset:
    """Return a split whose frames and label maps are sound, as far as it can be seen without decoding the frames.

    A label map has the size of its frame, upright, and holds ids or colours of the dataset. All maps are decoded where
    a command needs them all, else a few that are spread over the split.

    Args:
        dataset: Split to check.
        needs_labels: Whether the command reads every label map.
        skip_bad: Whether bad frames are left out, and named in `skipped`, instead of refused; None where the command
            has no option for it.

    Raises:
        DatasetError: Frames or label maps cannot be used, and `skip_bad` is not True; or none is left; or the label
            maps are of another kind than their names say.
    """
    samples, count = dataset.samples, len(dataset)
    checks = _each("check frames and label maps", lambda index: _pair_problem(dataset, index), range(count))
    problems = {index: problem for index, (problem, _) in enumerate(checks) if problem}
    sound = [index for index in range(count) if index not in problems and samples[index].label_path is not None]
    if not needs_labels:
        sound = sorted({sound[i * len(sound) // _DECODED_MAPS] for i in range(_DECODED_MAPS)}) if sound else []
    wrong, counts = _decode_maps(dataset, sound)
    problems.update(wrong)
    where = f"{dataset.name} {dataset.split} under {dataset.root}"
    named = [problems[index] for index in sorted(problems)]
    refuse_or_leave_out(named, count, where, skip_bad, DatasetError)
    _judge_kind(dataset, counts)
    turned = sum(is_turned for _, is_turned in checks)
    if turned:
        print_note_once(
            f"{turned} of {count} frames of {where} are turned upright as their EXIF orientation says; label maps are "
            "taken as labelling tools write them, upright already"
        )
    _say_which_are_bare(dataset, where)
    kept = tuple(sample for index, sample in enumerate(samples) if index not in problems)
    skipped = tuple(samples[index].name for index in sorted(problems))
    return dataclasses.replace(dataset, samples=kept, skipped=dataset.skipped + skipped)


def _say_which_are_bare(dataset: Dataset, where: str) -> None:
    """Say that some frames of a labelled split have no label map, or that those of a folder have other names."""
    bare = [sample for sample in dataset.samples if sample.label_path is None]
    wanted = bare[0].looked_for if bare else None
    if wanted is not None and (len(bare) < len(dataset) or wanted.parent.is_dir()):
        print_note_once(
            f"{len(bare)} of {len(dataset)} frames of {where} have no label map, the first is "
            f"{bare[0].image_path.name}{where_looked(bare[0])}"
        )


def _decode_maps(dataset: Dataset, indices: list[int]) -> tuple[dict[int, str], np.ndarray]:
    """Return what is wrong with some label maps, by their index, and the pixels of each value of the others, (256,).

    Raises:
        DatasetError: Something is wrong with every one of them: these are no bad files, but labels of another kind.
    """
    counted = _each("read label maps", lambda index: _label_counts(dataset, index), indices)
    wrong = {index: text for index, (text, _) in zip(indices, counted) if text}
    if wrong and len(wrong) == len(indices):
        raise DatasetError(next(iter(wrong.values())))
    return wrong, sum((counts for _, counts in counted), np.zeros(256, np.int64))


def _each(what: str, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the result of each item; several threads work, and progress is shown once it takes long."""
    start_s, results = time.perf_counter(), []
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    with Progress(what, len(items), "file") as progress, ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(work, item) for item in items]
        try:
            for job in jobs:
                results.append(job.result())
                if time.perf_counter() - start_s > _QUIET_S:
                    progress.show(len(results) / len(items))
        finally:
            for job in jobs:
                job.cancel()
    return results


def _pair_problem(dataset: Dataset, index: int) -> tuple[str, bool]:
    """Return what is wrong with a frame or its label map, "" if nothing, and whether the frame alone is turned."""
    sample = dataset.samples[index]
    frame = read_file_header(sample.image_path)
    if frame.problem or sample.label_path is None:
        return (_cannot_be_decoded(sample.image_path, frame.problem) if frame.problem else ""), False
    labels = read_file_header(sample.label_path)
    if labels.problem:
        return f"label map {_cannot_be_decoded(sample.label_path, labels.problem)}", False
    if label_form_problem(labels):
        return f"label map {sample.label_path.name} {label_form_problem(labels)}", False
    if frame.upright_size != labels.upright_size:
        return size_difference(sample, frame.upright_size, labels.upright_size), False
    return "", frame.orientation != UPRIGHT and labels.orientation == UPRIGHT


def _label_counts(dataset: Dataset, index: int) -> tuple[str, np.ndarray]:
    """Return what is wrong with a label map, "" if nothing, and the number of pixels of each of its values."""
    try:
        return "", dataset.count_file_values(index)
    except (DatasetError, ImageError) as error:
        return str(error), np.zeros(256, np.int64)


def _judge_kind(dataset: Dataset, counts: np.ndarray) -> None:
    """Judge by all values seen whether files named labelIds hold train ids, or files named labelTrainIds file ids.

    Args:
        dataset: Split that the label maps are of.
        counts: (256,) int64, number of pixels of each file value, over the label maps that were read.

    Raises:
        DatasetError: Maps named labelIds hold train ids, as far as can be told.
    """
    values = set(np.flatnonzero(counts).tolist())
    if dataset.table is not CITYSCAPES or not values or any(sample.coding for sample in dataset.samples):
        return
    classes = dataset.table.class_count
    void = [file_id for file_id in range(classes) if dataset.table.raw_to_train[file_id] == IGNORE_ID]
    in_void = counts[void].sum() / counts.sum()
    if all(sample.labels_are_train_ids for sample in dataset.samples):
        if max(values) < classes and IGNORE_ID not in values and not values & set(range(7)):
            print_warning_once(
                f"label maps of {dataset.name} {dataset.split} are named labelTrainIds, but hold ids {min(values)} to "
                f"{max(values)} alone, none of road, building or pole, as labelIds would: check what wrote them"
            )
    elif max(values) < classes and in_void > 0.5:
        raise DatasetError(
            f"label maps of {dataset.name} {dataset.split} under {dataset.root} are named labelIds, and by that name "
            f"{100 * in_void:.0f} % of their pixels count for nothing; no id is above {max(values)}, so they look like "
            "labelTrainIds. Next: rename them to *_gtFine_labelTrainIds.png"
        )
