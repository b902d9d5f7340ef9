"""The check of a split: its frames and label maps are sound, or named, or left out and counted."""

from __future__ import annotations

import dataclasses
from typing import Sequence

import numpy as np

from edge.console import print_note_once, print_status, print_warning_once
from edge.datasets import Dataset, where_looked
from edge.errors import DatasetError
from edge.labels import IGNORE_ID, has_cityscapes_ids
from edge.picture_check.kept_findings import KeptFindings, stamp_of
from edge.picture_check.pairs import PairFinding, find_pair, total_counts
from edge.picture_check.pictures import refuse_or_leave_out
from edge.picture_check.progress import each

_DECODED_MAPS = 16
"""Number of label maps, spread over the split, that are decoded where a command does not need them all."""


def checked_dataset(
    dataset: Dataset, needs_labels: bool, skip_bad: bool | None = None, reads_frames: bool = False
) -> Dataset:
    """Return a split whose frames and label maps are sound, as far as it can be seen without decoding the frames.

    A label map has the size of its frame, upright, and holds ids or colours of the dataset. All maps are decoded where
    a command needs them all, else a few that are spread over the split. What was found out about files that have not
    changed since is not found out again.

    Args:
        dataset: Split to check.
        needs_labels: Whether the command reads every label map.
        skip_bad: Whether bad frames are left out, and named in `skipped`, instead of refused; None where the command
            has no option for it.
        reads_frames: Whether every frame is read to its last byte too, and every bad pair is listed on stderr.

    Raises:
        DatasetError: Frames or label maps cannot be used, and `skip_bad` is not True; or none is left; or the label
            maps are of another kind than their names say.
    """
    samples, count = dataset.samples, len(dataset)
    findings = dataset_findings(dataset, needs_labels, reads_frames)
    decoded = [finding for finding in findings if finding.file_counts is not None or finding.is_of_values]
    if decoded and all(finding.is_of_values for finding in decoded):
        # These are no bad files, but labels of another kind.
        raise DatasetError(decoded[0].problem)
    bad = [index for index, finding in enumerate(findings) if finding.problem]
    if reads_frames:
        for index in bad:
            print_status(f"bad: {dataset.split}/{samples[index].name}: {findings[index].problem}")
    where = f"{dataset.name} {dataset.split} under {dataset.root}"
    refuse_or_leave_out([findings[index].problem for index in bad], count, where, skip_bad, DatasetError)
    _judge_kind(dataset, total_counts([one.file_counts for one in decoded if one.file_counts is not None]))
    turned = sum(finding.is_turned for finding in findings)
    if turned:
        print_note_once(
            f"{turned} of {count} frames of {where} are turned upright as their EXIF orientation says; label maps are "
            "taken as labelling tools write them, upright already"
        )
    _say_which_are_bare(dataset, where)
    kept = tuple(sample for sample, finding in zip(samples, findings) if not finding.problem)
    skipped = tuple(samples[index].name for index in bad)
    return dataclasses.replace(dataset, samples=kept, skipped=dataset.skipped + skipped)


def dataset_findings(dataset: Dataset, needs_labels: bool, reads_frames: bool = False) -> list[PairFinding]:
    """Return what is found out about each frame of a split and its label map; nothing is said or refused.

    Args:
        dataset: Split to check.
        needs_labels: Whether every label map is decoded, and not a few alone.
        reads_frames: Whether every frame is read to its last byte.
    """
    kept = KeptFindings(dataset)
    try:
        what = "read frames and label maps" if needs_labels or reads_frames else "check frames and label maps"
        findings = _find(dataset, range(len(dataset)), needs_labels, reads_frames, kept, what)
        if not needs_labels:
            sound = [
                index
                for index, finding in enumerate(findings)
                if not finding.problem and dataset.samples[index].label_path is not None
            ]
            few = sorted({sound[i * len(sound) // _DECODED_MAPS] for i in range(_DECODED_MAPS)}) if sound else []
            for index, finding in zip(few, _find(dataset, few, True, reads_frames, kept, "read label maps")):
                findings[index] = finding
    finally:
        kept.write()
    return findings


def _find(
    dataset: Dataset, indices: Sequence[int], labels: bool, frames: bool, kept: KeptFindings, what: str
) -> list[PairFinding]:
    """Return what is found out about some frames, of which some may be known from an earlier check."""
    samples = dataset.samples
    stamps = {index: stamp_of(samples[index]) for index in indices}
    known = {index: kept.find(samples[index], stamps[index]) for index in indices}
    left = [
        index
        for index in indices
        if known[index] is None or not known[index].tells(labels and samples[index].label_path is not None, frames)
    ]
    for index, finding in zip(left, each(what, lambda index: find_pair(dataset, index, labels, frames), left)):
        known[index] = finding
        kept.keep(samples[index], stamps[index], finding)
    return [known[index] for index in indices]


def _say_which_are_bare(dataset: Dataset, where: str) -> None:
    """Say that some frames of a labelled split have no label map, or that those of a folder have other names."""
    bare = [sample for sample in dataset.samples if sample.label_path is None]
    wanted = bare[0].looked_for if bare else None
    if wanted is not None and (len(bare) < len(dataset) or wanted.parent.is_dir()):
        print_note_once(
            f"{len(bare)} of {len(dataset)} frames of {where} have no label map, the first is "
            f"{bare[0].image_path.name}{where_looked(bare[0])}"
        )


def _judge_kind(dataset: Dataset, counts: np.ndarray) -> None:
    """Judge by all values seen whether files named labelIds hold train ids, or files named labelTrainIds file ids.

    Args:
        dataset: Split that the label maps are of.
        counts: (256,) int64, number of pixels of each file value, over the label maps that were read.

    Raises:
        DatasetError: Maps named labelIds hold train ids, or maps that a description says to have Cityscapes' ids, as
            far as can be told.
    """
    values = set(np.flatnonzero(counts).tolist())
    is_described = dataset.description is not None
    if is_described:
        values.discard(IGNORE_ID)  # it is no unknown id there
    if not has_cityscapes_ids(dataset.table) or not values or any(sample.coding for sample in dataset.samples):
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
    elif max(values) < classes and in_void > 0.5 and is_described:
        raise DatasetError(
            f"label maps of {dataset.name} {dataset.split} under {dataset.root} have classes of Cityscapes, and by its "
            f"ids {100 * in_void:.0f} % of their pixels count for nothing; no id is above {max(values)}, so they look "
            f"like train ids. Next: list the classes in {dataset.description} in the order of their train ids"
        )
    elif max(values) < classes and in_void > 0.5:
        raise DatasetError(
            f"label maps of {dataset.name} {dataset.split} under {dataset.root} are named labelIds, and by that name "
            f"{100 * in_void:.0f} % of their pixels count for nothing; no id is above {max(values)}, so they look like "
            "labelTrainIds. Next: rename them to *_gtFine_labelTrainIds.png"
        )
