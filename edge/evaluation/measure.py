"""The evaluation of a set: frames are read ahead, labelled one after the other, and counted by other threads.

Files of predictions are read and counted by all threads. Whatever the size of the set, a few frames are in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Sequence

import numpy as np

from edge.console import Progress
from edge.datasets import Dataset, size_difference
from edge.datasets.label_values import FileLabels
from edge.errors import DatasetError, InputError
from edge.evaluation.boundaries import TOLERANCE
from edge.evaluation.counts import EvaluationCounts, FrameCounts, count_frame
from edge.evaluation.instances import instance_path, read_instance_ids
from edge.evaluation.predicted_values import FILE_IDS, TRAIN_IDS, PredictedValues, predicted_values
from edge.evaluation.prediction_files import PredictionWriter, read_prediction
from edge.evaluation.worst_frames import MOST, WorstFrame, WorstFrames
from edge.label_kernels import keep_freed_memory
from edge.read_ahead import read_ahead

Label = Callable[[np.ndarray, int, int], np.ndarray]
"""Function that labels a frame: (frame_rgb, height, width) -> (height, width) uint8 train ids."""

_AHEAD = 2
"""Threads that count, and write, what the network has labelled."""


@dataclass(frozen=True)
class WhatToMeasure:
    """What is counted, and kept, of each frame.

    Attributes:
        boundary_tolerance: Tolerance of boundary F1 as a share of the diagonal; None to leave it out.
        worst: Number of frames that are kept since they are labelled worst.
        threads: Threads that read frames; None for the number of cores, up to eight.
    """

    boundary_tolerance: float | None = TOLERANCE
    worst: int = MOST
    threads: int | None = None


@dataclass(frozen=True)
class Measured:
    """What an evaluation found.

    Attributes:
        counts: Counts over all frames; None without labels.
        worst: Frames that are labelled worst, the worst first; without labels the first ones.
        unknown_pixels: Pixels whose predicted value no class of the dataset has; each is wrong.
    """

    counts: EvaluationCounts | None
    worst: list[WorstFrame]
    unknown_pixels: int = 0

    @property
    def has_score(self) -> bool:
        """Whether any pixel counts."""
        return self.counts is not None and bool(self.counts.confusion()[:-1].any())


@dataclass(frozen=True)
class _Labelled:
    """A frame on its way from the network to the counts."""

    index: int
    predicted: np.ndarray
    truth: FileLabels | None
    instance_ids: np.ndarray | None


def measure_network(
    label: Label, dataset: Dataset, what: WhatToMeasure, writer: PredictionWriter | None = None
) -> Measured:
    """Label every frame of a split at the size of its label map, and count how; without label maps, label alone.

    Args:
        label: Function that labels one frame.
        dataset: Split; all of its frames have a label map, or none.
        what: What is counted.
        writer: Writer of the predicted maps; None to write none.

    Raises:
        DatasetError: A frame or label map cannot be read, or the two differ in size.
    """
    values = predicted_values(dataset.table, TRAIN_IDS)
    count = _FrameCounter(dataset, values, what)

    def read(index: int) -> tuple[int, np.ndarray, FileLabels | None, np.ndarray | None]:
        frame_rgb = dataset.read_frame(index)
        if not count.is_labelled:
            return index, frame_rgb, None, None
        truth = dataset.read_file_labels(index)
        if truth.values.shape != frame_rgb.shape[:2]:
            sample = dataset.samples[index]
            raise DatasetError(size_difference(sample, frame_rgb.shape[:2], truth.values.shape))
        return index, frame_rgb, truth, count.instance_ids(index)

    def labelled() -> Iterator[_Labelled]:
        for index, frame_rgb, truth, instance_ids in read_ahead(read, range(len(dataset)), what.threads):
            # A copy: the labels are valid until the network's next frame.
            yield _Labelled(index, label(frame_rgb, *frame_rgb.shape[:2]).copy(), truth, instance_ids)

    def finish(frame: _Labelled) -> tuple[_Labelled, FrameCounts | None]:
        if writer is not None:
            writer.write(dataset.samples[frame.index].name, frame.predicted)
        return frame, count(frame)

    return _collected(read_ahead(finish, labelled(), _AHEAD), dataset, values, what, count.is_labelled)


def measure_files(paths: Sequence[Path], dataset: Dataset, what: WhatToMeasure, kind: str = FILE_IDS) -> Measured:
    """Count how label maps that somebody predicted fit those of a split.

    Args:
        paths: File of each frame.
        dataset: Labelled split.
        what: What is counted.
        kind: Kind of the values in the files, one of edge.evaluation.predicted_values.KINDS.

    Raises:
        DatasetError: A label map cannot be read.
        InputError: A prediction cannot be read, or has another size than its label map.
    """
    keep_freed_memory()
    values = predicted_values(dataset.table, kind)
    count = _FrameCounter(dataset, values, what)

    def work(index: int) -> tuple[_Labelled, FrameCounts | None]:
        truth, predicted = dataset.read_file_labels(index), read_prediction(paths[index])
        if truth.values.shape != predicted.shape:
            given, wanted = ("x".join(map(str, one.shape)) for one in (predicted, truth.values))
            raise InputError(
                f"prediction {paths[index]} is {given}, its label map {dataset.samples[index].label_path} is {wanted}, "
                "expected the same size. Next: predict at the size of the frame"
            )
        frame = _Labelled(index, predicted, truth, count.instance_ids(index))
        return frame, count(frame)

    return _collected(read_ahead(work, range(len(dataset)), what.threads), dataset, values, what, True)


class _FrameCounter:
    """Counts frames of one split, in any thread."""

    def __init__(self, dataset: Dataset, values: PredictedValues, what: WhatToMeasure) -> None:
        self._dataset, self._values, self._what = dataset, values, what
        self.is_labelled = all(sample.label_path is not None for sample in dataset.samples)
        self._has_instances = self.is_labelled and all(instance_path(one) is not None for one in dataset.samples)

    def instance_ids(self, index: int) -> np.ndarray | None:
        return read_instance_ids(self._dataset.samples[index]) if self._has_instances else None

    def __call__(self, frame: _Labelled) -> FrameCounts | None:
        if frame.truth is None:
            return None
        tolerance = self._what.boundary_tolerance
        return count_frame(
            self._dataset.table, self._values, frame.truth, frame.predicted, frame.instance_ids, tolerance
        )


def _collected(
    finished: Iterator[tuple[_Labelled, FrameCounts | None]],
    dataset: Dataset,
    values: PredictedValues,
    what: WhatToMeasure,
    is_labelled: bool,
) -> Measured:
    counts = EvaluationCounts(dataset.table, values)
    worst = WorstFrames(values, dataset.table.class_count, what.worst)
    with Progress("evaluate" if is_labelled else "predict", len(dataset), "frame") as progress:
        for frame, counted in finished:
            name = dataset.samples[frame.index].name
            if counted is not None:
                counts.add(counted)
                worst.add(frame.index, name, counted.pairs, frame.predicted)
            elif frame.index < what.worst:
                worst.keep(frame.index, name, frame.predicted)
            progress.step()
    unknown = int(counts.pairs[:, ~values.known].sum())
    return Measured(counts if is_labelled else None, worst.frames(), unknown)
