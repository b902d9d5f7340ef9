"""Sums over the workers of a training, of numbers that each has counted for itself."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from train.engine.strategies import TrainingStrategy


def sum_over_workers(strategy: TrainingStrategy, values: np.ndarray) -> np.ndarray:
    """Return the sums of whole numbers over all workers; each worker has to call it.

    Args:
        strategy: what the training is spread over.
        values: numbers of this worker, of any shape, int64.

    Returns:
        The sums, int64, of the same shape on every worker.
    """
    if strategy.workers == 1:
        return values

    def sum_of_replica(of_worker: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        # A worker's numbers count once, however many replicas it has.
        is_first = context.replica_id_in_sync_group % strategy.local_replicas == 0
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(is_first, of_worker, tf.zeros_like(of_worker)))

    @tf.function
    def sum_of_all(of_worker: tf.Tensor) -> tf.Tensor:
        sums = strategy.distribution.run(sum_of_replica, args=(of_worker,))
        return strategy.distribution.experimental_local_results(sums)[0]

    return sum_of_all(tf.constant(values, tf.int64)).numpy()
