"""tf.data pipelines of training pairs; they read through edge.datasets, as evaluation does."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edge.datasets import Dataset
from edge.errors import SegEdgeError
from train.augment import Augmentation, augment_pair

CACHE_LIMIT_BYTES = 2 << 30
"""Decoded splits up to this size are kept in memory."""


class TrainingPipeline:
    """An endless sequence of batches of augmented training pairs.

    An error of the reader (an unknown id, a damaged file) passes through TensorFlow as text; the
    error itself is kept in `failure`, so that the user gets its one line.

    Args:
        dataset: training split that the pairs are read from.
        height: rows of a crop.
        width: columns of a crop.
        batch_size: pairs in a batch.
        augmentation: ranges of the random variations.
        seed: seed of the order of pairs and of the augmentation.
        network_size: (height, width) of whole frames at zoom 1; None for the size of the crop.
    """

    def __init__(
        self,
        dataset: Dataset,
        height: int,
        width: int,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        network_size: tuple[int, int] | None = None,
    ) -> None:
        self._dataset = dataset
        self.failure: SegEdgeError | None = None
        first = dataset.read_frame(0)
        indices = tf.data.Dataset.range(len(dataset))
        pairs = indices.map(self._read, num_parallel_calls=tf.data.AUTOTUNE)
        if first.nbytes * 4 // 3 * len(dataset) <= CACHE_LIMIT_BYTES:
            pairs = pairs.cache()
        pairs = pairs.shuffle(min(len(dataset), 512), seed=seed).repeat()
        counted = pairs.enumerate()

        def vary(step, pair):
            pair_seed = tf.stack([tf.cast(seed, tf.int64), step])
            return augment_pair(*pair, height, width, augmentation, pair_seed, network_size or (height, width))

        self.batches = (
            counted.map(vary, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _read(self, index):
        def read(position):
            try:
                return self._dataset.read_pair(int(position))
            except SegEdgeError as error:
                self.failure = error
                raise

        frame_rgb, labels = tf.numpy_function(read, [index], [tf.uint8, tf.uint8])
        return tf.ensure_shape(frame_rgb, (None, None, 3)), tf.ensure_shape(labels, (None, None))


def class_shares(dataset: Dataset, sample_count: int = 64) -> np.ndarray:
    """Return the share of the pixels of a split that each class covers.

    Args:
        dataset: split to count.
        sample_count: number of frames that are counted, spread evenly over the split.

    Returns:
        (classes,) float64, summing to 1; at least one pixel is assumed for every class.
    """
    counts = np.ones(dataset.table.class_count)
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(sample_count, len(dataset))).astype(int)):
        counts += np.bincount(dataset.read_labels(int(index)).ravel(), minlength=256)[: counts.size]
    return counts / counts.sum()
