"""Plausibility of a float network, before it is quantised: INT8 may keep every label of a network that sees nothing.

What is compared: the network's mIoU with labels that need no network at all, the class that it gives most, and its
label maps of different images with each other.
"""

from __future__ import annotations

import itertools
from typing import Sequence

import numpy as np

from calibration.search.accuracy import AccuracySet
from calibration.search.soundness import agreement_beyond_chance
from edge.metrics import ConfusionMatrix
from edge.opencv import cv2

LEAST_GAIN = 0.05
"""Share of the way from chance to an mIoU of 1 that a network which looks at the image has gone at least."""

ONE_SCENE = 0.5
"""From this mIoU on, one label map for all images says that they show one scene, and is no measure of chance."""

ONE_CLASS = 0.999
"""Share of all pixels from which on one class is alone: small objects cover less than the rest, but more than this."""

SAME_MAPS = 0.98
"""Chance-corrected likeness of label maps from which on they are the same map."""

OTHER_FRAMES = 0.8
"""Correlation of two frames up to which they show different things; those of a camera that stands still have more."""

COMPARED_IMAGES = 12
"""Largest number of images whose label maps and frames are compared in pairs."""

MAP_SIZE_WH = (256, 128)
"""Size, in pixels, at which label maps are compared: a place is a region, and hundreds of maps fit into memory."""


def doubt(images: AccuracySet, class_names: Sequence[str]) -> str:
    """Return a sentence that says why a float network is implausible; "" if it is not.

    With labels, its mIoU is compared with that of the best single class, of its own labels at other pixels, and of one
    label map for all images, which has at each place the most frequent class of the other images. With and without
    labels, one class alone is implausible, and so are the same labels whatever the image shows.

    Args:
        images: accuracy images with the labels of the float network.
        class_names: name of each class.
    """
    count = len(images.frames)
    where = f"on {count} image{'s' if count != 1 else ''} of {images.frames.description}"
    if images.has_truth:
        sentence = _doubt_of_miou(images, len(class_names), where)
        if sentence:
            return sentence
    chosen = spread(count, COMPARED_IMAGES)
    maps = [_small(images.float_of(index)) for index in chosen]
    return _doubt_of_one_class(images, maps, class_names, where) or _doubt_of_same_maps(images, chosen, maps, where)


def least_miou(images: AccuracySet, class_count: int) -> float:
    """Return the mIoU, 0 to 1, from which on a network is plausible; 0 where the truth is one class, which needs none.

    Args:
        images: accuracy images with label maps, and with the labels of the float network.
        class_count: number of classes.
    """
    matrix = images.float_labels.matrices.sum(0)
    if np.count_nonzero(matrix.sum(1)) < 2:
        return 0.0
    chance = max(best_constant_miou(matrix), shuffled_miou(matrix))
    return max(chance + LEAST_GAIN * (1.0 - chance), _one_map(images, class_count) or 0.0)


def best_constant_miou(matrix: np.ndarray) -> float:
    """Return the largest mIoU that one class on every pixel can have, 0 to 1, for the true classes of a matrix."""
    truth = np.asarray(matrix).sum(1)
    return float(truth.max() / max(truth.sum(), 1) / max(np.count_nonzero(truth), 1))


def shuffled_miou(matrix: np.ndarray) -> float:
    """Return the mIoU that a network's labels would have if they were dealt to the pixels anew, 0 to 1.

    Args:
        matrix: (classes, classes) confusion matrix; rows are true classes.
    """
    counts = np.asarray(matrix, np.float64)
    truth, given = counts.sum(1), counts.sum(0)
    hits = truth * given / max(counts.sum(), 1.0)
    exists = truth + given > 0
    return float((hits[exists] / (truth + given - hits)[exists]).mean()) if exists.any() else 0.0


def one_map_miou(truths: Sequence[np.ndarray], class_count: int) -> float | None:
    """Return the mIoU of one label map for all images: the most frequent class at each place, from the other images.

    Args:
        truths: true label maps of one size, (height, width) uint8, IGNORE_ID where a pixel is not counted.
        class_count: number of classes.

    Returns:
        The mIoU, 0 to 1; None for fewer than three images, of which no other ones can tell what is frequent.
    """
    if len(truths) < 3:
        return None
    classes = np.arange(class_count, dtype=np.uint8)[:, None, None]
    votes = np.zeros((class_count, *truths[0].shape), np.int32)
    for truth in truths:
        votes += truth == classes
    matrix = ConfusionMatrix(class_count)
    for truth in truths:
        matrix.update(truth, (votes - (truth == classes)).argmax(0).astype(np.uint8))
    return matrix.miou()


def reordered_miou(matrix: np.ndarray) -> tuple[float, dict[int, int]]:
    """Return the mIoU that a network would have if its outputs stood for the classes that they fit best.

    Args:
        matrix: (classes, classes) confusion matrix; rows are true classes.

    Returns:
        The mIoU over the true classes that exist, 0 to 1, and output -> class for those pairs; the best fit is taken
        first, then the best of the rest.
    """
    counts = np.asarray(matrix, np.float64)
    truth, given = counts.sum(1), counts.sum(0)
    fit = counts / np.maximum(truth[:, None] + given[None] - counts, 1.0)
    order: dict[int, int] = {}
    values = []
    while fit.max(initial=0.0) > 0:
        true_class, output = np.unravel_index(fit.argmax(), fit.shape)
        order[int(output)] = int(true_class)
        values.append(fit[true_class, output])
        fit[true_class], fit[:, output] = 0.0, 0.0
    return float(sum(values) / max(np.count_nonzero(truth), 1)), order


def _doubt_of_miou(images: AccuracySet, class_count: int, where: str) -> str:
    """Return a sentence if labels that need no network fit the truth as well; "" otherwise."""
    matrix, miou = images.float_labels.matrices.sum(0), images.float_labels.miou()
    if miou is None or miou >= least_miou(images, class_count):
        return ""
    others = f"one class everywhere has {_percent(best_constant_miou(matrix))}"
    others += f", its own labels at other pixels {_percent(shuffled_miou(matrix))}"
    one_map = _one_map(images, class_count)
    if one_map is not None:
        others += f", one label map for all images {_percent(one_map)}"
    return (
        f"the float network's mIoU is {_percent(miou)} {where}, little or no better than labels that need no network: "
        f"{others}"
    )


def _one_map(images: AccuracySet, class_count: int) -> float | None:
    """Return the mIoU of one label map for all images; None where they are too few, or show one scene."""
    one_map = one_map_miou([_small(images.truth_of(index)) for index in range(len(images.frames))], class_count)
    return one_map if one_map is not None and one_map < ONE_SCENE else None


def _doubt_of_one_class(images: AccuracySet, maps: list[np.ndarray], class_names: Sequence[str], where: str) -> str:
    """Return a sentence if one class is alone on all images, and the truth does not say the same; "" otherwise."""
    shares = sum(np.bincount(labels.ravel(), minlength=256) for labels in maps) / sum(labels.size for labels in maps)
    largest = int(shares.argmax())
    if len(class_names) < 2 or shares[largest] < ONE_CLASS:
        return ""
    if images.has_truth and largest < len(class_names):
        truth = images.float_labels.matrices.sum((0, 2))
        if truth[largest] >= ONE_CLASS * truth.sum():
            return ""
    name = class_names[largest] if largest < len(class_names) else f"label {largest}"
    return f"the float network gives one class alone, {name}, on {_percent(shares[largest])} of pixels {where}"


def _doubt_of_same_maps(images: AccuracySet, chosen: list[int], maps: list[np.ndarray], where: str) -> str:
    """Return a sentence if images that show different things have the same labels; "" otherwise."""
    frames = [_thumbnail(images.frames.read(index)) for index in chosen]
    pairs = [
        (maps[first], maps[second])
        for first, second in itertools.combinations(range(len(maps)), 2)
        if float(frames[first] @ frames[second]) < OTHER_FRAMES
    ]
    likeness = agreement_beyond_chance(pairs) if pairs else 0.0
    if likeness < SAME_MAPS:
        return ""
    return (
        f"the float network gives nearly the same labels whatever the image shows: different images agree on "
        f"{_percent(likeness)} beyond chance, {where}"
    )


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` positions of `count`, spread evenly."""
    chosen = min(count, most)
    return [index * count // chosen for index in range(chosen)]


def _small(labels: np.ndarray) -> np.ndarray:
    """Return a label map at the size of a comparison, (rows, columns) uint8, by the nearest pixel."""
    return cv2.resize(labels, MAP_SIZE_WH, interpolation=cv2.INTER_NEAREST)


def _thumbnail(frame_rgb: np.ndarray) -> np.ndarray:
    """Return the brightness of a small frame as a vector whose product with another one is their correlation."""
    grey = cv2.resize(cv2.cvtColor(frame_rgb, cv2.COLOR_RGB2GRAY), (64, 32), interpolation=cv2.INTER_AREA)
    centred = grey.astype(np.float64).ravel() - grey.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


def _percent(share: float) -> str:
    return f"{100 * float(share):.2f} %"
