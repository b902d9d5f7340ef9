"""The formulas of the losses, written out in NumPy and float64, as plainly as they can be."""

from __future__ import annotations

import math

import numpy as np

from edge.labels import IGNORE_ID

CLASSES = 5


def mixed_labels(shape=(3, 16, 24), seed: int = 2) -> np.ndarray:
    """Return labels with void rows at the top, and a last crop that is mostly void."""
    labels = np.random.default_rng(seed).integers(0, CLASSES, shape).astype(np.uint8)
    labels[:, :4] = IGNORE_ID
    labels[-1, :-2] = IGNORE_ID
    return labels


def drawn_logits(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (*shape, CLASSES)).astype(np.float32)


def axis_positions(nodes: int, pixels: int, coordinates: str) -> np.ndarray:
    """Return the place of each pixel among the nodes of an axis, kept within the first and the last."""
    pixel = np.arange(pixels)
    if coordinates == "half_pixel":
        place = (pixel + 0.5) * nodes / pixels - 0.5
    else:
        place = pixel * (nodes - 1) / max(pixels - 1, 1)
    return np.clip(place, 0, nodes - 1)


def axis_matrix(nodes: int, pixels: int, coordinates: str) -> np.ndarray:
    """Return the (pixels, nodes) matrix that interpolates an axis."""
    matrix = np.zeros((pixels, nodes))
    for pixel, place in enumerate(axis_positions(nodes, pixels, coordinates)):
        below = int(place)
        matrix[pixel, below] += 1 - (place - below)
        matrix[pixel, min(below + 1, nodes - 1)] += place - below
    return matrix


def axis_matrices(logits_shape, labels_shape, coordinates: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(axis_matrix(logits_shape[axis], labels_shape[axis], coordinates) for axis in (1, 2))


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def weight_map(labels: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    return np.where(labels == IGNORE_ID, 0.0, np.append(class_weights, [0.0])[np.minimum(labels, CLASSES)])


def pixel_losses(labels: np.ndarray, logits: np.ndarray, class_weights: np.ndarray) -> np.ndarray:
    """Return the weighted loss of each pixel, for logits at the size of the labels."""
    probability = softmax(logits.astype(np.float64))
    counted = np.where(labels == IGNORE_ID, 0, labels)
    picked = np.take_along_axis(probability, counted[..., None].astype(int), -1)[..., 0]
    return -weight_map(labels, class_weights) * np.log(picked)


def total_and_gradient(labels, logits, class_weights, coordinates="half_pixel", keep=None):
    """Return the sum of the losses at the size of the labels, and its gradient with respect to the logits.

    `keep` (crops, height, width) bool leaves pixels out.
    """
    rows, columns = axis_matrices(logits.shape, labels.shape, coordinates)
    large = np.einsum("yh,xw,nhwc->nyxc", rows, columns, logits.astype(np.float64))
    keep = np.ones(labels.shape, bool) if keep is None else keep
    total = (pixel_losses(labels, large, class_weights) * keep).sum()
    hit = np.eye(CLASSES + 1)[np.minimum(labels, CLASSES)][..., :CLASSES]
    gradient = (softmax(large) - hit) * (weight_map(labels, class_weights) * keep)[..., None]
    return total, np.einsum("yh,xw,nyxc->nhwc", rows, columns, gradient)


def hardest(labels, losses, share: float) -> np.ndarray:
    """Return which pixels are among the share of the labelled ones of their crop with the largest losses."""
    keep = np.zeros(labels.shape, bool)
    for crop, (crop_labels, crop_losses) in enumerate(zip(labels, losses)):
        places = np.argwhere(crop_labels != IGNORE_ID)
        order = sorted(range(len(places)), key=lambda i: (-crop_losses[tuple(places[i])], i))
        for i in order[: math.ceil(share * len(places) - 1e-9)]:
            keep[crop][tuple(places[i])] = True
    return keep
