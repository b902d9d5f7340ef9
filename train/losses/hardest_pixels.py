"""Which pixels of a crop count where only the hardest do (online hard example mining)."""

from __future__ import annotations

import tensorflow as tf

from edge.labels import IGNORE_ID

_ROUNDING = 1e-9  # 0.07 x 100 is 7.000000000000001 in float64, and means 7 pixels


def hardest_counts(labelled: tf.Tensor, share: float) -> tf.Tensor:
    """Return how many pixels of each crop count: the share of its labelled ones, rounded up.

    Args:
        labelled: whether a pixel has a label, (crops, height, width) bool.
        share: share of the labelled pixels that count, 0 to 1.

    Returns:
        Number of pixels, (crops,) int32.
    """
    counts = tf.reduce_sum(tf.cast(labelled, tf.int32), axis=(1, 2))
    return tf.cast(tf.math.ceil(share * tf.cast(counts, tf.float64) - _ROUNDING), tf.int32)


def keep_hardest(labels: tf.Tensor, labelled: tf.Tensor, losses: tf.Tensor, share: float) -> tf.Tensor:
    """Make void of all pixels of a crop but the share of the labelled ones with the largest losses.

    Between equal losses the first pixels of the crop count. A loss that is NaN is larger than all others, so that it
    is not hidden.

    Args:
        labels: train ids (crops, height, width) uint8.
        labelled: whether a pixel has a label, of the same shape, bool.
        losses: loss of each pixel, of the same shape, float32, at least 0.
        share: share of the labelled pixels that count, 0 to 1.

    Returns:
        Train ids (crops, height, width) uint8, IGNORE_ID where a pixel does not count.
    """
    kept = hardest_counts(labelled, share)
    losses = tf.where(tf.math.is_nan(losses), float("inf"), losses)
    flat = tf.reshape(tf.where(labelled, losses, -1.0), (tf.shape(labels)[0], -1))
    ranked = tf.sort(flat, direction="DESCENDING")
    least = tf.gather(ranked, tf.maximum(kept - 1, 0)[:, None], batch_dims=1)  # (crops, 1)
    above = flat > least
    equal = flat == least
    left = kept - tf.reduce_sum(tf.cast(above, tf.int32), axis=1)
    counted = above | (equal & (tf.cumsum(tf.cast(equal, tf.int32), axis=1) <= left[:, None]))
    return tf.where(tf.reshape(counted, tf.shape(labels)) & labelled, labels, tf.constant(IGNORE_ID, tf.uint8))
