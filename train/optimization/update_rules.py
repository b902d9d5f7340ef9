"""The update of one weight from its gradient: SGD with momentum, and Adam."""

from __future__ import annotations

import keras

from train.recipe import SGD, Recipe

ADAM_EPSILON = 1e-8
"""Number that keeps Adam's quotient finite (Kingma, Ba, arXiv 1412.6980, algorithm 1); Keras' default is 1e-7."""


class HeavyBall(keras.optimizers.SGD):
    """SGD with momentum, the learning rate outside of the momentum.

        v = momentum v + gradient
        w = w - rate v

    This is what PyTorch's and TensorFlow's own optimisers do, and with them the code of the papers. Keras keeps
    `rate v` instead, so that a rate which changes reaches the steps before it late.

    Source: torch.optim.SGD, note on momentum; Sutskever et al. 2013 have Keras' form.
    """

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update one weight and its momentum."""
        if self.momentum:
            velocity = self.momentums[self._get_variable_index(variable)]
            self.assign(velocity, velocity * self.momentum + gradient)
            gradient = velocity.value
        self.assign_sub(variable, gradient * learning_rate)


def make_update_rule(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return the optimiser whose `update_step` makes new weights.

    Its own rate and weight decay are not used: train.optimization.Optimization hands every update its rate, and adds
    the decay itself.
    """
    # Named, because Keras numbers the optimisers of a process, and the names of its variables stand in a state file.
    if recipe.optimizer == SGD:
        return HeavyBall(1.0, momentum=float(recipe.momentum), name="sgd")
    return keras.optimizers.Adam(1.0, epsilon=ADAM_EPSILON, name="adam")
