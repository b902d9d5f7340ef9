"""Every split of a dataset, read whole: frames, sizes, classes and what is wrong."""

from __future__ import annotations

import collections
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.datasets import SPLITS, Dataset, is_description, open_dataset, read_description
from edge.errors import DatasetError
from edge.labels import IGNORE_ID
from edge.picture_check import PairFinding, dataset_findings


@dataclass(frozen=True)
class SplitSurvey:
    """One split of a dataset, and what was found out about it.

    Attributes:
        dataset: The split.
        findings: What was found out about each frame and its label map.
        class_pixels: (classes,) int64, pixels of each class in all sound label maps.
        class_frames: (classes,) int64, frames that each class occurs in.
        ignored_pixels: Pixels that count for nothing.
    """

    dataset: Dataset
    findings: tuple[PairFinding, ...]
    class_pixels: np.ndarray
    class_frames: np.ndarray
    ignored_pixels: int

    @property
    def bad(self) -> dict[str, str]:
        """Name of each frame that cannot be used -> what is wrong with it or its label map."""
        pairs = zip(self.dataset.samples, self.findings)
        return {sample.name: finding.problem for sample, finding in pairs if finding.problem}

    @property
    def bare(self) -> tuple[str, ...]:
        """Names of the frames that have no label map."""
        return tuple(sample.name for sample in self.dataset.samples if sample.label_path is None)

    @property
    def sizes(self) -> dict[tuple[int, int], int]:
        """Height and width of frames -> number of frames, the most frequent first."""
        sizes = collections.Counter(finding.size for finding in self.findings if finding.size is not None)
        return dict(sizes.most_common())


@dataclass(frozen=True)
class DatasetSurvey:
    """All splits of a dataset that are there.

    Attributes:
        splits: Name of a split -> what was found out about it.
        absent: Name of a split that cannot be opened -> why.
        shared: Pairs of splits that have files in common -> names of frames of the first.
    """

    splits: dict[str, SplitSurvey]
    absent: dict[str, str]
    shared: dict[tuple[str, str], tuple[str, ...]]

    @property
    def any_split(self) -> Dataset:
        """One of the splits, for what all have in common: name, folder and classes."""
        return next(iter(self.splits.values())).dataset

    def problems(self) -> list[str]:
        """Return what is wrong with the dataset, a line each; nothing for a sound one."""
        lines = [
            f"{split}/{name}: {problem}"
            for split, survey in self.splits.items()
            for name, problem in survey.bad.items()
        ]
        for split, survey in self.splits.items():
            if survey.bare and split != "test":
                lines.append(f"{split}: {len(survey.bare)} frames have no label map, the first is {survey.bare[0]}")
        for (first, second), names in self.shared.items():
            lines.append(f"{first} and {second} share {len(names)} frames, the first is {names[0]}")
        return lines

    def classes_that_do_not_train(self) -> list[str]:
        """Return the names of classes that no frame of train has, and a frame of another split has."""
        training = self.splits.get("train")
        if training is None or not training.class_pixels.any():
            return []
        others = [survey.class_pixels for split, survey in self.splits.items() if split != "train"]
        seen = np.sum(others, axis=0) > 0 if others else np.zeros_like(training.class_pixels, bool)
        return [
            name
            for name, is_seen, pixels in zip(training.dataset.table.class_names, seen, training.class_pixels)
            if is_seen and not pixels
        ]


def survey_dataset(name: str, data_dir: Path | None, split: str | None = None) -> DatasetSurvey:
    """Read a dataset whole: every frame to its last byte, and every label map.

    Args:
        name: Name of the dataset, or path of a description.
        data_dir: Folder of the dataset; None for the default folder.
        split: Name of the only split that is read; None for all that are there, or that the description names.

    Raises:
        InputError: The name is unknown, or the description is damaged.
        DatasetError: The folder is missing or has another layout, or not one split is there, or not all of those
            that the description names.
    """
    opened: dict[str, Dataset] = {}
    absent: dict[str, str] = {}
    # What a description names has to be there; of a known dataset many have a part alone.
    described = tuple(read_description(name).splits) if is_description(name) else ()
    for one in (split,) if split else described or SPLITS:
        try:
            opened[one] = open_dataset(name, data_dir, one, labelled=False)
        except DatasetError as error:
            if split or described or (one == SPLITS[-1] and not opened):
                raise
            absent[one] = str(error)
    surveys = {one: _survey_split(dataset) for one, dataset in opened.items()}
    return DatasetSurvey(surveys, absent, _shared_frames(opened))


def _survey_split(dataset: Dataset) -> SplitSurvey:
    findings = dataset_findings(dataset, needs_labels=True, reads_frames=True)
    pixels = np.zeros(dataset.table.class_count, np.int64)
    frames = np.zeros_like(pixels)
    ignored = 0
    for finding in findings:
        for train_id, count in finding.label_counts or ():
            if train_id == IGNORE_ID:
                ignored += count
            else:
                pixels[train_id] += count
                frames[train_id] += 1
    return SplitSurvey(dataset, tuple(findings), pixels, frames, ignored)


def _shared_frames(opened: dict[str, Dataset]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the frames that lie in two splits by the paths of their files, links followed."""
    shared: dict[tuple[str, str], list[str]] = {}
    split_of: dict[str, str] = {}
    for split, dataset in opened.items():
        for sample in dataset.samples:
            first = split_of.setdefault(os.path.realpath(sample.image_path), split)
            if first != split:
                shared.setdefault((first, split), []).append(sample.name)
    return {pair: tuple(names) for pair, names in shared.items()}
