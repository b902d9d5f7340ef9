"""Accuracy cost of quantisation on a set of images: labels compared with the truth and with the float graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from calibration.qdq_ort.exact_sums import with_exact_sums
from calibration.results import AccuracyFigures
from edge.artifacts import sha256_file
from edge.console import Progress
from edge.datasets import Dataset
from edge.errors import InputError
from edge.frames import FrameSet
from edge.metrics import ConfusionMatrix, label_agreement
from edge.runtime.base import Runner
from edge.segmenter import Segmenter

BOOTSTRAP_DRAWS = 2000
BOOTSTRAP_SEED = 2026


@dataclass(frozen=True)
class Budget:
    """Accuracy that INT8 may cost; None where a limit is not enforced.

    Attributes:
        max_drop_points: largest drop of mIoU in points, counted over labelled images.
        min_agreement: smallest share of pixels that keep the label of the float graph, 0 to 1; for images without
            labels.
    """

    max_drop_points: float | None
    min_agreement: float | None

    @property
    def is_enforced(self) -> bool:
        """Return whether anything is limited."""
        return self.max_drop_points is not None or self.min_agreement is not None

    def holds(self, drop_points: float | None, agreement: float) -> bool:
        """Return whether figures are within the budget; always True where nothing is enforced."""
        if self.max_drop_points is not None and (drop_points is None or drop_points > self.max_drop_points):
            return False
        return self.min_agreement is None or agreement >= self.min_agreement

    def sentence(self) -> str:
        """Return the budget as a phrase, such as "at most 0.5 points of mIoU"."""
        if self.max_drop_points is not None:
            return f"at most {self.max_drop_points:g} points of mIoU"
        if self.min_agreement is not None:
            return f"at most {100 * (1 - self.min_agreement):g} % of labels changed"
        return "none"


@dataclass(frozen=True)
class SetLabels:
    """Figures of the labels that one network gave on a set of images.

    Attributes:
        agreements: share of pixels with the same label as the float graph in each image, (images,), 0 to 1.
        matrices: confusion matrix of each image, (images, classes, classes) int64; None without labels.
    """

    agreements: np.ndarray
    matrices: np.ndarray | None

    @property
    def agreement(self) -> float:
        """Return the mean agreement with the float graph, 0 to 1."""
        return float(self.agreements.mean())

    def miou(self) -> float | None:
        """Return the mIoU counted over the set, 0 to 1; None without labels."""
        return self._matrix().miou() if self.matrices is not None else None

    def figures(self, class_names: tuple[str, ...]) -> AccuracyFigures:
        """Return the figures for a report."""
        if self.matrices is None:
            return AccuracyFigures(None, {}, self.agreement)
        return AccuracyFigures(self.miou(), dict(zip(class_names, self._matrix().class_iou())), self.agreement)

    def _matrix(self) -> ConfusionMatrix:
        matrix = ConfusionMatrix(self.matrices.shape[1])
        matrix.counts = self.matrices.sum(0)
        return matrix


class AccuracySet:
    """Images that the accuracy of quantised graphs is measured on, with the float graph's labels of them.

    The float labels are kept as PNG: label maps shrink to some 2 % of their size, so hundreds fit.

    Args:
        frames: the images; none of them is a calibration image.
        labelled: dataset of the images, for its label maps; None where there are none.
        reference: runner of the float graph, not active yet.

    Attributes:
        float_labels: labels of the float graph, as SetLabels with an agreement of 1.

    Raises:
        InputError: there are no images.
    """

    def __init__(self, frames: FrameSet, labelled: Dataset | None, reference: Runner) -> None:
        if not len(frames):
            raise InputError(f"no images to measure accuracy on in {frames.description}")
        self.frames, self._labelled, self._contract = frames, labelled, reference.contract
        self._kept: list[np.ndarray] = []
        self.float_labels = self._run(reference, "float labels", range(len(frames)))

    @property
    def has_truth(self) -> bool:
        """Return whether there are label maps."""
        return self._labelled is not None

    def digests(self) -> list[str]:
        """Return the SHA-256 of every image, and of its label map where there is one."""
        images = [self.frames.digest(index) for index in range(len(self.frames))]
        if self._labelled is None:
            return images
        return images + [sha256_file(sample.label_path) for sample in self._labelled.samples]

    def evaluate(self, runner: Runner, what: str, indices: range | None = None) -> SetLabels:
        """Label the images, or some of them, with another form of the network.

        Args:
            runner: runner of that form, not active yet.
            what: text of the progress line.
            indices: positions of the images; None for all.
        """
        return self._run(runner, what, indices if indices is not None else range(len(self.frames)))

    def float_of(self, index: int) -> np.ndarray:
        """Return the float graph's labels of an image, (height, width) uint8."""
        return cv2.imdecode(self._kept[index], cv2.IMREAD_UNCHANGED)

    def truth_of(self, index: int) -> np.ndarray | None:
        """Return the true labels of an image, (height, width) uint8; None without."""
        return self._labelled.read_labels(index) if self._labelled is not None else None

    def labels_of(self, runner: Runner, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return an image at the size of its label map, and the labels that an active runner gives it.

        Returns:
            The image, (height, width, 3) uint8 RGB, and the labels, (height, width) uint8.
        """
        frame_rgb, size = self.frames.read(index), self.float_of(index).shape
        with Segmenter(runner, "rgb") as segmenter:
            labels = segmenter(frame_rgb, *size).labels.copy()
        if frame_rgb.shape[:2] != size:
            frame_rgb = cv2.resize(frame_rgb, size[::-1], interpolation=cv2.INTER_AREA)
        return frame_rgb, labels

    def _run(self, runner: Runner, what: str, indices: range) -> SetLabels:
        keeps = not self._kept
        agreements, matrices = [], []
        with runner, Progress(what, len(indices), "image") as progress:
            segmenter = Segmenter(runner, "rgb")
            for index in indices:
                frame_rgb = self.frames.read(index)
                truth = self.truth_of(index)
                size = truth.shape if truth is not None else (self._contract.height, self._contract.width)
                labels = segmenter(frame_rgb, *size).labels
                if keeps:
                    self._kept.append(cv2.imencode(".png", labels)[1])
                    agreements.append(1.0)
                else:
                    agreements.append(label_agreement(self.float_of(index), labels))
                if truth is not None:
                    matrix = ConfusionMatrix(len(self._contract.class_names))
                    matrix.update(truth, labels)
                    matrices.append(matrix.counts)
                progress.step()
        return SetLabels(np.array(agreements), np.array(matrices) if matrices else None)


def drop_points(float_labels: SetLabels, other: SetLabels) -> float | None:
    """Return the points of mIoU that another form loses on the same images; None without labels."""
    before, after = float_labels.miou(), other.miou()
    return None if before is None or after is None else 100.0 * (before - after)


def drop_interval(float_labels: SetLabels, other: SetLabels) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of the drop, in points, by drawing the same images for both networks.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3, percentile interval.

    Returns:
        Lower and upper end of the interval; None without labels, or with fewer than two images.
    """
    if float_labels.matrices is None or other.matrices is None or len(other.matrices) < 2:
        return None
    count = len(other.matrices)
    draws = np.random.default_rng(BOOTSTRAP_SEED).multinomial(count, np.full(count, 1.0 / count), BOOTSTRAP_DRAWS)
    drops = 100.0 * (_mious(draws, float_labels.matrices) - _mious(draws, other.matrices))
    low, high = np.percentile(drops, [2.5, 97.5])
    return float(low), float(high)


def _mious(draws: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return the mIoU of each draw, as edge.metrics counts it; draws is (draws, images) int, counts of each image."""
    hits = draws @ np.einsum("ncc->nc", matrices).astype(np.float64)
    union = draws @ (matrices.sum(1) + matrices.sum(2)).astype(np.float64) - hits
    exists = union > 0
    return np.divide(hits, union, out=np.zeros_like(hits), where=exists).sum(1) / np.maximum(exists.sum(1), 1)


def without_frames(frames: FrameSet, digests: frozenset[str]) -> list[int]:
    """Return the indices of the frames whose digest is not in a set, so that no calibration image measures accuracy."""
    return [index for index in range(len(frames)) if frames.digest(index) not in digests]


def worst_images(labels: SetLabels, count: int) -> list[int]:
    """Return the positions of the images with the least agreement, worst first."""
    return [int(index) for index in np.argsort(labels.agreements, kind="stable")[:count]]


def graph_runner(graph: Path | bytes, contract, exact: bool = False) -> Runner:
    """Return an ONNX Runtime runner of a graph; exact simulates INT8 without the CPU's kernels, and with exact sums."""
    from edge.runtime.onnxruntime import OnnxRuntimeRunner

    if exact:
        graph = with_exact_sums(graph if isinstance(graph, bytes) else graph.read_bytes())
    return OnnxRuntimeRunner(graph, contract, exact=exact)
