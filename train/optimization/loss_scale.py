"""LossScale: the factor that keeps float16 gradients from vanishing."""

from __future__ import annotations

from typing import Sequence

import keras
import tensorflow as tf

INITIAL_SCALE = 2.0**15
GROWTH_STEPS = 2000


class LossScale:
    """A factor of the loss that follows what float16 can hold.

    The loss is multiplied by it and the gradients divided by it. Where a gradient is not finite, the step is left out
    and the factor halved, down to 1; after 2,000 steps without that it is doubled. Build it within the scope of the
    strategy.

    Source: Micikevicius et al., arXiv 1710.03740, section 3.2; the numbers are those of Keras' LossScaleOptimizer.

    Attributes:
        variables: name -> variable of everything that the next step depends on, in a stable order.
    """

    def __init__(self) -> None:
        self._scale = keras.Variable(INITIAL_SCALE, dtype="float32", trainable=False, name="scale")
        self._good_steps = keras.Variable(0, dtype="int64", trainable=False, name="good_steps")
        self.variables: dict[str, keras.Variable] = {"scale": self._scale, "good_steps": self._good_steps}

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """Return the loss to differentiate."""
        return loss * self._scale.value

    def unscaled(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the gradients of the loss itself."""
        # A power of two: the product is exact.
        factor = 1.0 / self._scale.value
        return [gradient * factor for gradient in gradients]

    def update(self, finite: tf.Tensor) -> None:
        """Follow one step; call it in each replica, within a tf.function.

        Args:
            finite: whether every gradient of the step was finite, () bool.
        """
        good_steps = self._good_steps.value + 1
        grows = good_steps >= GROWTH_STEPS
        scale = self._scale.value
        grown = tf.where(grows, scale * 2.0, scale)
        self._scale.assign(tf.where(finite, grown, tf.maximum(scale * 0.5, 1.0)))
        self._good_steps.assign(
            tf.where(tf.logical_or(grows, tf.logical_not(finite)), tf.zeros_like(good_steps), good_steps)
        )


def all_finite(gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return whether every number of every gradient is finite, () bool."""
    return tf.reduce_all(tf.stack([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]))
