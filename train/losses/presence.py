"""PresenceLoss: which classes a crop holds."""

from __future__ import annotations

import tensorflow as tf

from train.losses.cross_entropy import LABEL_VALUES


class PresenceLoss:
    """The binary cross entropy of which classes a crop holds, averaged over the classes (SE loss).

    Source: EncNet (Zhang et al., arXiv 1803.08904), section 3.2.

    Args:
        class_count: number of classes of the dataset.
    """

    def __init__(self, class_count: int) -> None:
        self._class_count = class_count

    def normaliser(self, labels: tf.Tensor) -> tf.Tensor:
        """Return the number of crops."""
        return tf.cast(tf.shape(labels)[0], tf.float32)

    def total(self, labels: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Return the sum over the crops of the mean loss per class; `output` is logits (crops, classes)."""
        flat = tf.cast(tf.reshape(labels, (tf.shape(labels)[0], -1)), tf.int32)
        there = tf.math.bincount(
            flat, minlength=LABEL_VALUES, maxlength=LABEL_VALUES, dtype=tf.float32, axis=-1, binary_output=True
        )
        losses = tf.nn.sigmoid_cross_entropy_with_logits(there[:, : self._class_count], output)
        return tf.reduce_sum(tf.reduce_mean(losses, axis=-1))
