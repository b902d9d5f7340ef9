"""What is found out about a frame and its label map: whether they can be used, and what the map holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edge.datasets import Dataset, Sample, size_difference
from edge.datasets.label_files import read_label_header
from edge.errors import DatasetError, ImageError
from edge.imaging import label_form_problem, read_file_header, whole_file_problem
from edge.picture_check.pictures import cannot_be_decoded
from edge.picture_formats.description import UPRIGHT


@dataclass(frozen=True)
class PairFinding:
    """What is found out about a frame and its label map.

    Attributes:
        problem: What is wrong with them, and the name of the file; "" where nothing is.
        is_of_values: Whether the problem is in the values of the label map, whose file is sound.
        is_turned: Whether the frame alone is turned upright by its EXIF orientation.
        size: Height and width of the frame, upright; None where its header does not tell.
        has_read_frame: Whether the frame was read to its last byte, and not its header alone.
        file_counts: Pixels of each value that the label map's file holds, (value, pixels) each; None where the map was
            not decoded.
        label_counts: Pixels of each train id of the label map, likewise.
    """

    problem: str = ""
    is_of_values: bool = False
    is_turned: bool = False
    size: tuple[int, int] | None = None
    has_read_frame: bool = False
    file_counts: tuple[tuple[int, int], ...] | None = None
    label_counts: tuple[tuple[int, int], ...] | None = None

    def tells(self, labels: bool, frames: bool) -> bool:
        """Say whether all is known that is asked for: the label map's values, and that the frame is whole."""
        if self.problem and not self.is_of_values:
            return True
        return (not labels or self.file_counts is not None or self.is_of_values) and (not frames or self.has_read_frame)


def find_pair(dataset: Dataset, index: int, labels: bool, frames: bool) -> PairFinding:
    """Find out about one frame and its label map.

    Args:
        dataset: Split that they are of.
        index: Number of the frame.
        labels: Whether the label map is decoded.
        frames: Whether the frame is read to its last byte.
    """
    sample = dataset.samples[index]
    finding = _by_headers(sample)
    if frames and not finding.problem:
        problem = whole_file_problem(sample.image_path)
        finding = replace(finding, has_read_frame=True)
        if problem:
            return replace(finding, problem=cannot_be_decoded(sample.image_path, problem))
    if not labels or finding.problem or sample.label_path is None:
        return finding
    try:
        file_counts, label_counts = dataset.count_both(index)
    except (DatasetError, ImageError) as error:
        return replace(finding, problem=str(error), is_of_values=True)
    return replace(finding, file_counts=_sparse(file_counts), label_counts=_sparse(label_counts))


def _by_headers(sample: Sample) -> PairFinding:
    frame = read_file_header(sample.image_path)
    if frame.problem:
        return PairFinding(cannot_be_decoded(sample.image_path, frame.problem))
    size = frame.upright_size
    if sample.label_path is None:
        return PairFinding(size=size)
    labels = read_label_header(sample.label_path)
    if labels.problem:
        return PairFinding(f"label map {cannot_be_decoded(sample.label_path, labels.problem)}", size=size)
    if label_form_problem(labels):
        return PairFinding(f"label map {sample.label_path.name} {label_form_problem(labels)}", size=size)
    if frame.upright_size != labels.upright_size:
        return PairFinding(size_difference(sample, size, labels.upright_size), size=size)
    return PairFinding(is_turned=frame.orientation != UPRIGHT and labels.orientation == UPRIGHT, size=size)


def _sparse(counts: np.ndarray) -> tuple[tuple[int, int], ...]:
    used = np.flatnonzero(counts)
    return tuple(zip(used.tolist(), counts[used].tolist()))


def total_counts(parts: list[tuple[tuple[int, int], ...]]) -> np.ndarray:
    """Return the sum of counts as they stand in findings, (256,) int64."""
    total = np.zeros(256, np.int64)
    for part in parts:
        for value, pixels in part:
            total[value] += pixels
    return total
