"""The network that a training trains: built from its seed, in the precision and with the BatchNorm of its recipe."""

from __future__ import annotations

import contextlib
from typing import Any, Collection, Iterator, Mapping

import keras
import tensorflow as tf

from train.models.base import ModelSpec
from train.recipe import SYNCHRONISED, Recipe

_SEED_STRIDE = 1_000_003
"""Distance of the seeds of two replicas."""


def build_network(
    spec: ModelSpec, recipe: Recipe, height: int, width: int, class_count: int, options: Mapping[str, Any], seed: int
) -> keras.Model:
    """Build the network of a training; call it within the scope of the strategy.

    Args:
        spec: the architecture.
        recipe: settings of the training, of which the precision and the kind of BatchNorm count here.
        height: rows of a crop.
        width: columns of a crop.
        class_count: number of classes of the dataset.
        options: options of the architecture.
        seed: seed of the initial weights and of all Dropouts. The seeds of Python, NumPy and TensorFlow are set too.

    Raises:
        SizeError: the architecture cannot take the size.
    """
    keras.utils.set_random_seed(seed)
    with _dtype_policy(recipe.precision):
        network = spec.build(height, width, class_count, **options)
    for norm in batch_norms(network):
        # Read at every call. So the backbone of Keras Applications, whose layers Keras makes, is synchronised too.
        norm.synchronized = recipe.batch_norm == SYNCHRONISED
    for layer in network.layers:
        if isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            _draw_apart(layer.seed_generator)
    return network


def batch_norms(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the layers of a network that normalise over the batch."""
    return [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]


def _draw_apart(generator: keras.random.SeedGenerator) -> None:
    """Let every replica draw numbers of its own: the state of a generator is equal on all of them.

    The first replica draws what a single one would.
    """
    draw = generator.next

    def next_seed(ordered: bool = True) -> tf.Tensor:
        seed = draw(ordered)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + tf.stack([replica, tf.zeros_like(replica)]) * _SEED_STRIDE

    generator.next = next_seed


def judged_part(network: keras.Model, outputs: Collection[str]) -> keras.Model:
    """Return the part of a network that leads to the given outputs: those that a loss is for.

    No gradient reaches the layers of the others, which a network of several tasks has.
    """
    return keras.Model(network.input, {name: network.output[name] for name in outputs}, name=network.name)


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
