"""Softmax cross entropy over the pixels that count, weighted by class."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from train.losses.hardest_pixels import hardest_counts, keep_hardest
from train.losses.label_size import cross_entropy, pixel_losses
from train.options import HALF_PIXEL

LABEL_VALUES = 256
"""Number of values that a label can have, since it is one byte."""


class CrossEntropy:
    """The cross entropy of logits that are brought to the size of the labels.

    With a hardest share below 1 each crop counts its pixels with the largest losses alone, the class weights included
    (online hard example mining, Shrivastava et al., arXiv 1604.03540; by share as in Wu et al., arXiv 1605.06885,
    section 3.3). Which pixels these are depends on the network, and the normaliser must not: it is the sum of the
    weights of all labelled pixels of a crop, times the share of them that counts. Without class weights that is the
    number of pixels that count.

    Args:
        class_weights: weight of each class, (classes,) float; ones for plain cross entropy.
        coordinates: coordinate rule of the upsampling, as in the network's contract.
        hardest_share: share of the labelled pixels of a crop that count, above 0; 1 for all.
    """

    def __init__(self, class_weights: np.ndarray, coordinates: str = HALF_PIXEL, hardest_share: float = 1.0) -> None:
        self._weights = weight_of_label(class_weights)
        self._class_count = len(class_weights)
        self._coordinates = coordinates
        self._hardest_share = hardest_share

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weights of the pixels that count; see the class for a hardest share below 1."""
        weights = tf.gather(self._weights, tf.cast(labels, tf.int32))
        if self._hardest_share >= 1:
            return tf.reduce_sum(weights)
        labelled = tf.reduce_sum(tf.cast(self._is_labelled(labels), tf.float32), axis=(1, 2))
        kept = tf.cast(hardest_counts(self._is_labelled(labels), self._hardest_share), tf.float32)
        return tf.reduce_sum(tf.reduce_sum(weights, axis=(1, 2)) * tf.math.divide_no_nan(kept, labelled))

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weighted losses of the pixels that count; `output` is logits (crops, h, w, classes)."""
        if self._hardest_share < 1:
            losses = pixel_losses(output, labels, self._weights, self._coordinates)
            labels = keep_hardest(labels, self._is_labelled(labels), losses, self._hardest_share)
        return cross_entropy(output, labels, self._weights, self._coordinates)

    def _is_labelled(self, labels: tf.Tensor) -> tf.Tensor:
        return labels < tf.constant(self._class_count, tf.uint8)


class CellCrossEntropy:
    """The cross entropy at the cells of a head's own map, each with the label of the pixel in its middle.

    That costs less than upsampling, and is enough for an auxiliary head.

    Args:
        class_weights: weight of each class, (classes,) float; ones for plain cross entropy.
        rows: rows of the head's map.
        columns: columns of the head's map.
    """

    def __init__(self, class_weights: np.ndarray, rows: int, columns: int) -> None:
        self._weights = weight_of_label(class_weights)
        self._cells = (rows, columns)

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weights of the cells that count."""
        return tf.reduce_sum(tf.gather(self._weights, self._middles(labels)))

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Return the sum of the weighted losses of the cells; `output` is logits (crops, rows, columns, classes)."""
        labels = self._middles(labels)
        weights = tf.gather(self._weights, labels)
        counted = tf.where(labels < output.shape[-1], labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(counted, output)
        return tf.reduce_sum(losses * weights)

    def _middles(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the label in the middle of each cell, (crops, rows, columns) int32; sides need not divide."""
        for axis, cells in enumerate(self._cells, start=1):
            pixels = labels.shape[axis]
            middles = ((np.arange(cells) + 0.5) * pixels / cells).astype(np.int32)
            labels = tf.gather(labels, middles, axis=axis)
        return tf.cast(labels, tf.int32)


def weight_of_label(class_weights: np.ndarray) -> np.ndarray:
    """Return the weight of a pixel by its label, (256,) float32: that of its class, and 0 for void."""
    weights = np.zeros(LABEL_VALUES, np.float32)
    weights[: len(class_weights)] = class_weights
    return weights
