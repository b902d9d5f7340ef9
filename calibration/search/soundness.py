"""Soundness of one form of a network: its mIoU, or where there are no labels, whether its labels are about the image.

Forms of a network that differ in what they make of a pixel are compared by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from calibration.search.accuracy import AccuracySet
from edge.metrics import ConfusionMatrix
from edge.opencv import cv2
from edge.runtime.base import Runner
from edge.segmenter import Segmenter

LEAST_STEADINESS = 0.3
"""Steadiness below which labels are taken for noise.

Measured on CamVid's frames: ESPNetv2 and DiCENet have about 0.8, and mostly less than 0.3 with pixels in
0..255 instead of their own normalisation; with a milder mistake, such as a forgotten mean, they keep 0.5.
"""


@dataclass(frozen=True)
class Soundness:
    """How well one form of a network labels some images, so that forms can be compared.

    Attributes:
        miou: mIoU, 0 to 1; None without labels.
        information: information in nats that the labels of an image share with those of its mirror image, or with those
            of its enlarged middle, whichever is less: 0 for one class everywhere, and for noise.
        steadiness: share of the information in the labels of the image that is shared so, 0 to 1.
    """

    miou: float | None
    information: float
    steadiness: float

    @property
    def value(self) -> float:
        """Return the figure by which forms are ranked: the mIoU, or else the shared information."""
        return self.information if self.miou is None else self.miou


UNSOUND = Soundness(0.0, 0.0, 0.0)
"""What a form has whose logits are not finite."""


def soundness(runner: Runner, images: AccuracySet, indices: Sequence[int], swaps_channels: bool = False) -> Soundness:
    """Label some images with a form of a network; without labels also their mirror images and their enlarged middles.

    What a network was trained with it knows from both sides and from nearer, and what it takes for noise it does not.
    So without labels this is a guess at best, on images of what the network was trained for.

    Args:
        runner: runner of the form, not active yet.
        images: accuracy images.
        indices: positions of the images.
        swaps_channels: True to give the frames in BGR order instead of RGB.
    """
    contract = runner.contract
    matrix = ConfusionMatrix(len(contract.class_names))
    mirrored, enlarged = [], []
    with runner:
        segmenter = Segmenter(runner, "bgr" if swaps_channels else "rgb")

        def label(frame_rgb: np.ndarray, *size: int) -> np.ndarray:
            return segmenter(np.ascontiguousarray(frame_rgb), *size).labels.copy()

        for index in indices:
            frame_rgb, truth = images.frames.read(index), images.truth_of(index)
            if truth is not None:
                matrix.update(truth, label(frame_rgb, *truth.shape))
                continue
            labels = label(frame_rgb)
            mirrored.append((labels, label(frame_rgb[:, ::-1])[:, ::-1]))
            nearer = label(_middle(frame_rgb))
            enlarged.append((cv2.resize(_middle(labels), nearer.shape[::-1], interpolation=cv2.INTER_NEAREST), nearer))
    if images.has_truth:
        return Soundness(matrix.miou() or 0.0, 0.0, 0.0)
    shared = [shared_information(pairs) for pairs in (mirrored, enlarged)]
    return Soundness(None, min(value for value, _ in shared), min(share for _, share in shared))


def agreement_beyond_chance(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return Cohen's kappa of pairs of label maps: 1 for equal ones, 0 for what two maps of these classes share anyway.

    Source: Cohen, "A Coefficient of Agreement for Nominal Scales" (1960), equation 1.

    Args:
        pairs: pairs of label maps of one size, (height, width) uint8.

    Returns:
        Kappa counted over all pairs, at most 1; 0 where all labels are one class, which no agreement can prove.
    """
    shares = _joint_shares(pairs)
    expected = float(shares.sum(0) @ shares.sum(1))
    return (float(np.trace(shares)) - expected) / (1.0 - expected) if expected < 1.0 - 1e-9 else 0.0


def shared_information(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Return the mutual information of pairs of label maps, and its share of the first maps' entropy.

    Source: Cover and Thomas, "Elements of Information Theory" (2006), section 2.3.

    Args:
        pairs: pairs of label maps of one size, (height, width) uint8.

    Returns:
        Information in nats, at least 0, and its share, 0 to 1; 0 where the first maps are one class.
    """
    shares = _joint_shares(pairs)
    rows, columns = shares.sum(1), shares.sum(0)
    there = shares > 0
    information = float((shares[there] * np.log(shares[there] / np.outer(rows, columns)[there])).sum())
    entropy = -float((rows[rows > 0] * np.log(rows[rows > 0])).sum())
    return max(information, 0.0), max(information, 0.0) / entropy if entropy > 1e-9 else 0.0


def _joint_shares(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the share of pixels for each pair of labels, (256, 256) float64."""
    joint = np.zeros(65536, np.int64)
    for first, second in pairs:
        joint += np.bincount((first.astype(np.uint16) << 8 | second).ravel(), minlength=65536)
    return joint.reshape(256, 256) / max(int(joint.sum()), 1)


def _middle(picture: np.ndarray) -> np.ndarray:
    """Return the middle of a picture, three quarters of its height and width."""
    rows, columns = picture.shape[0] // 8, picture.shape[1] // 8
    return picture[rows : picture.shape[0] - rows, columns : picture.shape[1] - columns]
