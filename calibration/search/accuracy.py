"""Accuracy cost of quantisation on a set of images: labels compared with the truth and with the float graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.budget.intervals import CONFIDENCE
from calibration.budget.label_cost import label_cost
from calibration.budget.regions import count_regions
from calibration.budget.set_labels import SetLabels
from calibration.qdq_ort.exact_sums import with_exact_sums
from calibration.results import LabelCost
from edge.artifacts import sha256_file
from edge.console import Progress
from edge.datasets import Dataset
from edge.errors import InputError
from edge.frames import FrameSet
from edge.metrics import ConfusionMatrix, label_agreement
from edge.opencv import cv2
from edge.runtime.base import Runner
from edge.segmenter import Segmenter


class AccuracySet:
    """Images that the accuracy of quantised graphs is measured on, with the float graph's labels of them.

    The float graph labels the images when that is first asked for. Its labels are kept as PNG: label maps shrink to
    some 2 % of their size, so hundreds fit.

    Args:
        frames: the images.
        labelled: dataset of the images, for its label maps; None where there are none.
        reference: runner of the float graph, not active yet.

    Raises:
        InputError: there are no images.
    """

    def __init__(self, frames: FrameSet, labelled: Dataset | None, reference: Runner) -> None:
        if not len(frames):
            raise InputError(f"no images to measure accuracy on in {frames.description}")
        self.frames, self._labelled, self._contract = frames, labelled, reference.contract
        self._kept: list[np.ndarray] = []
        self._reference, self._float_labels = reference, None

    @property
    def float_labels(self) -> SetLabels:
        """Labels of the float graph, as SetLabels with an agreement of 1."""
        self._label_images()
        return self._float_labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the network's classes."""
        return self._contract.class_names

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
        self._label_images()
        return self._run(runner, what, indices if indices is not None else range(len(self.frames)))

    def cost(self, labels: SetLabels, confidence: float = CONFIDENCE) -> LabelCost:
        """Return what labels that `evaluate` gave on all images cost against the float graph."""
        return label_cost(self.float_labels, labels, self.class_names, confidence)

    def float_of(self, index: int) -> np.ndarray:
        """Return the float graph's labels of an image, (height, width) uint8."""
        self._label_images()
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

    def _label_images(self) -> None:
        """Let the float graph label the images, unless it has: what follows is compared with its labels."""
        if self._float_labels is None and self._reference is not None:
            self._float_labels = self._run(self._reference, "float labels", range(len(self.frames)), keeps=True)
            self._reference = None

    def _run(self, runner: Runner, what: str, indices: range, keeps: bool = False) -> SetLabels:
        classes = len(self._contract.class_names)
        agreements, matrices, overlaps, regions = [], [], [], []
        with runner, Progress(what, len(indices), "image") as progress:
            segmenter = Segmenter(runner, "rgb")
            for index in indices:
                frame_rgb = self.frames.read(index)
                truth = self.truth_of(index)
                size = truth.shape if truth is not None else (self._contract.height, self._contract.width)
                labels = segmenter(frame_rgb, *size).labels
                if keeps:
                    self._kept.append(cv2.imencode(".png", labels)[1])
                float_labels = labels if keeps else self.float_of(index)
                agreements.append(label_agreement(float_labels, labels))
                overlaps.append(_overlap(float_labels, labels, classes))
                regions.append(count_regions(float_labels, labels, classes))
                if truth is not None:
                    matrix = ConfusionMatrix(classes)
                    matrix.update(truth, labels)
                    matrices.append(matrix.counts)
                progress.step()
        truth_counts = np.array(matrices) if matrices else None
        return SetLabels(np.array(agreements), truth_counts, np.array(overlaps), np.array(regions))


def _overlap(float_labels: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the pixels of each class in two label maps and in both, (classes, 3) int64."""
    both = labels[float_labels == labels]
    return np.stack([np.bincount(each.ravel(), minlength=classes) for each in (float_labels, labels, both)], axis=1)


def drop_points(float_labels: SetLabels, other: SetLabels) -> float | None:
    """Return the points of mIoU that another form loses on the same images; None without labels."""
    before, after = float_labels.miou(), other.miou()
    return None if before is None or after is None else 100.0 * (before - after)


def without_frames(frames: FrameSet, digests: frozenset[str]) -> list[int]:
    """Return the indices of the frames whose digest is not in a set, so that no calibration image measures accuracy."""
    return [index for index in range(len(frames)) if frames.digest(index) not in digests]


def worst_images(labels: SetLabels, count: int) -> list[int]:
    """Return the positions of the images with the least agreement, worst first."""
    return [int(index) for index in np.argsort(labels.agreements, kind="stable")[:count]]


def covering_images(pixels: np.ndarray, count: int) -> list[int]:
    """Return the positions of a few images that together show every class, each class as much as possible.

    Args:
        pixels: pixels of each class in each image, (images, classes).
        count: number of images to choose; fewer where there are not so many.

    Returns:
        Positions of the images, ascending.
    """
    shares = pixels / np.maximum(pixels.sum(0), 1)
    covered, chosen = np.zeros(shares.shape[1]), []
    for _ in range(min(count, len(shares))):
        # Concave, so that a class that is covered already counts less than one that is not.
        gains = np.sqrt(covered + shares).sum(1)
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        covered += shares[chosen[-1]]
    return sorted(chosen)


def graph_runner(graph: Path | bytes, contract, exact: bool = False) -> Runner:
    """Return an ONNX Runtime runner of a graph; exact simulates INT8 without the CPU's kernels, and with exact sums."""
    from edge.runtime.onnxruntime import OnnxRuntimeRunner

    if exact:
        graph = with_exact_sums(graph if isinstance(graph, bytes) else graph.read_bytes())
    return OnnxRuntimeRunner(graph, contract, exact=exact)
