"""AveragedWeights: the exponential moving average of a network's weights."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from train.optimization.layer_variables import layer_variables


class AveragedWeights:
    """The moving average of the weights of a network, and of the statistics of its BatchNorms.

    average = decay average + (1 - decay) weight, after each step. In the first steps the decay is (1 + n) / (10 + n)
    for the n-th if that is smaller, so that the initial weights are soon forgotten.
    Build it within the scope of the strategy, after initial weights were transferred: it begins with those of then.

    Source: tf.train.ExponentialMovingAverage, `num_updates`; Polyak, Juditsky 1992 for the average.

    Attributes:
        variables: name -> variable of everything that the next step depends on, in a stable order.

    Args:
        model: network whose weights are averaged.
        decay: share of the average that each step keeps, 0 to 1.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._decay = decay
        weights = {id(variable) for variable in model.weights}  # all but the states of random generators
        self._entries = [entry for entry in layer_variables(model) if id(entry.variable) in weights]
        self._updates = keras.Variable(0, dtype="int64", trainable=False, name="updates")
        self._averages = [
            keras.Variable(entry.variable.numpy(), dtype="float32", trainable=False, name=entry.name.replace("/", "_"))
            for entry in self._entries
        ]
        names = (entry.name for entry in self._entries)
        self.variables: dict[str, keras.Variable] = {"updates": self._updates, **dict(zip(names, self._averages))}

    def update(self) -> None:
        """Take in the present weights; call it in each replica, within a tf.function."""
        count = tf.cast(self._updates.value, tf.float32)
        share = 1.0 - tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        for entry, average in zip(self._entries, self._averages):
            average.assign_add(share * (tf.cast(entry.variable.value, tf.float32) - average.value))
        self._updates.assign_add(1)

    def values(self) -> dict[str, list[np.ndarray]]:
        """Return name of a layer -> its averaged weights, in the order of its `weights`."""
        values: dict[str, list[np.ndarray]] = {}
        by_variable = {id(entry.variable): average for entry, average in zip(self._entries, self._averages)}
        for layer in dict.fromkeys(entry.layer for entry in self._entries):
            values[layer.name] = [by_variable[id(weight)].numpy() for weight in layer.weights]
        return values
