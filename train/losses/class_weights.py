"""Weights of the classes in the cross entropy, from how often they occur."""

from __future__ import annotations

import numpy as np

from train.recipe import ENET, MEDIAN_FREQUENCY, NO_WEIGHTING


def class_weights(weighting: str, class_pixels: np.ndarray, frame_pixels: np.ndarray) -> np.ndarray:
    """Return the weights of the classes for one of the recipes' weightings.

    Args:
        weighting: "none", "enet" or "median_frequency".
        class_pixels: number of pixels of each class in the training split, (classes,).
        frame_pixels: number of pixels, void included, of the frames that hold a class, (classes,).

    Returns:
        Weight of each class, (classes,) float32.
    """
    if weighting == NO_WEIGHTING:
        return np.ones(len(class_pixels), np.float32)
    return {ENET: enet_weights, MEDIAN_FREQUENCY: median_frequency_weights}[weighting](class_pixels, frame_pixels)


def enet_weights(class_pixels: np.ndarray, frame_pixels: np.ndarray | None = None) -> np.ndarray:
    """Return weights that lift rare classes: 1 / ln(1.02 + share of the labelled pixels).

    Source: ENet (Paszke et al., arXiv 1606.02147), section 5.2.

    Args:
        class_pixels: number of pixels of each class, (classes,).
        frame_pixels: not used.

    Returns:
        Weight of each class, (classes,) float32, between 1.4 and 50.5.
    """
    pixels = np.asarray(class_pixels, np.float64)
    return (1.0 / np.log(1.02 + pixels / max(pixels.sum(), 1.0))).astype(np.float32)


def median_frequency_weights(class_pixels: np.ndarray, frame_pixels: np.ndarray) -> np.ndarray:
    """Return weights that balance the classes: median of the frequencies / frequency of a class.

    The frequency of a class is its pixels over the pixels of the frames that hold it. A class that no frame holds has
    none; it gets the largest weight of the others, and takes no part in the median.

    Source: Eigen and Fergus (arXiv 1411.4734), section 4.3.2, which SegNet follows (arXiv 1511.00561, section 4).

    Args:
        class_pixels: number of pixels of each class, (classes,).
        frame_pixels: number of pixels, void included, of the frames that hold a class, (classes,).

    Returns:
        Weight of each class, (classes,) float32.
    """
    pixels = np.asarray(class_pixels, np.float64)
    there = pixels > 0
    weights = np.ones(len(pixels))
    if there.any():
        frequency = pixels[there] / np.asarray(frame_pixels, np.float64)[there]
        weights[there] = np.median(frequency) / frequency
        weights[~there] = weights[there].max()
    return weights.astype(np.float32)
