"""The update of weights from their gradients: SGD with momentum, and Adam.

Each weight is updated by one operator of TensorFlow. Keras' optimisers do the same arithmetic in ten to thirty, which
take half of the time in which a step is traced.
"""

from __future__ import annotations

from typing import Callable, Sequence

import keras
import tensorflow as tf

from train.optimization.layer_variables import LayerVariable
from train.recipe import SGD, Recipe

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma, Ba, arXiv 1412.6980, algorithm 1)."""

Update = Callable[[LayerVariable, tf.Tensor, tf.Tensor], None]
"""Function that updates one weight by its gradient at a rate."""


class HeavyBall:
    """SGD with momentum, the learning rate outside of the momentum.

        v = momentum v + gradient
        w = w - rate v

    This is what PyTorch's and TensorFlow's own optimisers do, and with them the code of the papers. Keras keeps
    `rate v` instead, so that a rate which changes reaches the steps before it late.

    Source: torch.optim.SGD, note on momentum; Sutskever et al. 2013 have Keras' form.

    Attributes:
        slots: "layer/weight/momentum" -> v; none without momentum.

    Args:
        trained: the weights to update.
        momentum: share of v that a step keeps, 0 to 1.
    """

    def __init__(self, trained: Sequence[LayerVariable], momentum: float) -> None:
        self._momentum = momentum
        self.slots = _slots(trained, ("momentum",)) if momentum else {}

    def begin(self, applied_steps: tf.Tensor) -> Update:
        """Return the function that updates a weight in the step after `applied_steps` others, () int64."""
        return self._update

    def _update(self, entry: LayerVariable, gradient: tf.Tensor, rate: tf.Tensor) -> None:
        handle = entry.variable.value.handle
        if not self._momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=gradient)
            return
        velocity = self.slots[f"{entry.name}/momentum"].value.handle
        tf.raw_ops.ResourceApplyMomentum(
            var=handle, accum=velocity, lr=rate, grad=gradient, momentum=tf.constant(self._momentum, tf.float32)
        )


class Adam:
    """Adam (Kingma, Ba, arXiv 1412.6980, algorithm 1, in the order of operations of its section 2).

    Attributes:
        slots: "layer/weight/momentum" -> mean of the gradients, "layer/weight/velocity" -> of their squares.

    Args:
        trained: the weights to update.
    """

    def __init__(self, trained: Sequence[LayerVariable]) -> None:
        self.slots = _slots(trained, ("momentum", "velocity"))

    def begin(self, applied_steps: tf.Tensor) -> Update:
        """Return the function that updates a weight in the step after `applied_steps` others, () int64."""
        number = tf.cast(applied_steps + 1, tf.float32)
        powers = {"beta1_power": tf.pow(BETA_1, number), "beta2_power": tf.pow(BETA_2, number)}
        constants = {"beta1": tf.constant(BETA_1), "beta2": tf.constant(BETA_2), "epsilon": tf.constant(EPSILON)}

        def update(entry: LayerVariable, gradient: tf.Tensor, rate: tf.Tensor) -> None:
            mean, square = (self.slots[f"{entry.name}/{kind}"].value.handle for kind in ("momentum", "velocity"))
            tf.raw_ops.ResourceApplyAdam(
                var=entry.variable.value.handle, m=mean, v=square, lr=rate, grad=gradient, **powers, **constants
            )

        return update


def make_update_rule(recipe: Recipe, trained: Sequence[LayerVariable]) -> HeavyBall | Adam:
    """Return the rule of a recipe's optimiser; its weight decay is train.optimization.Optimization's work."""
    return HeavyBall(trained, recipe.momentum) if recipe.optimizer == SGD else Adam(trained)


def _slots(trained: Sequence[LayerVariable], kinds: Sequence[str]) -> dict[str, keras.Variable]:
    return {
        f"{entry.name}/{kind}": keras.Variable(
            tf.zeros(entry.variable.shape), dtype="float32", trainable=False, name=f"{kind}_{number}"
        )
        for number, entry in enumerate(trained)
        for kind in kinds
    }
