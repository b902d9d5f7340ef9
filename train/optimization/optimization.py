"""Optimization: everything between the gradients of a batch and the new weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Sequence

import keras
import tensorflow as tf

from edge.errors import InputError
from train.optimization.layer_variables import LayerVariable, layer_variables
from train.optimization.schedule import learning_rate
from train.optimization.update_rules import make_update_rule
from train.optimization.weight_decay import check_decay_kind, decays
from train.recipe import COUPLED, Recipe


@dataclass(frozen=True)
class _Update:
    """How one trainable variable is updated.

    Attributes:
        entry: the variable.
        decay: its L2 factor or weight decay; 0 for none.
        is_backbone: whether it learns at the rate of the backbone.
    """

    entry: LayerVariable
    decay: float
    is_backbone: bool


class Optimization:
    """The optimiser of a training, with its schedule, decay and limit of the gradients.

    One `apply` is one step, in this order: the gradients are scaled down to `clip_norm`; L2 adds its part to them, or
    the weights decay by themselves; the weights are updated by the rule of the recipe's optimiser at the rate of the
    step. Build it within the scope of the strategy, after the network: its variables lie beside the weights.

    Attributes:
        variables: name -> variable of everything that the next step depends on, in a stable order.

    Args:
        model: network to train.
        recipe: settings of the training.
        steps: number of steps of the whole training, which the schedule ends with.
        backbone_layers: names of the layers that learn at `backbone_rate` times the rate.

    Raises:
        InputError: the recipe contradicts itself, or sets a rate of the backbone of a network without one.
    """

    def __init__(
        self, model: keras.Model, recipe: Recipe, steps: int, backbone_layers: Collection[str] = frozenset()
    ) -> None:
        check_decay_kind(recipe)
        self._recipe = recipe
        entries = {id(entry.variable): entry for entry in layer_variables(model)}
        trained = [entries[id(variable)] for variable in model.trainable_variables]
        if recipe.backbone_rate != 1.0 and not any(entry.layer.name in backbone_layers for entry in trained):
            raise InputError(
                f"the recipe has backbone_rate {recipe.backbone_rate:g}, {model.name} has no backbone. "
                "Next: leave backbone_rate out"
            )
        self._updates = [self._plan(entry, backbone_layers) for entry in trained]
        self._rule = make_update_rule(recipe, trained)
        self._applied_steps = keras.Variable(0, dtype="int64", trainable=False, name="applied_steps")
        self._step = keras.Variable(0, dtype="int64", trainable=False, name="step")
        # A variable and no constant, so that a training that ends by the clock can move its end without a new trace.
        self._steps = keras.Variable(steps, dtype="int64", trainable=False, name="steps")
        self.variables: dict[str, keras.Variable] = {
            "step": self._step,
            "applied_steps": self._applied_steps,
            **self._rule.slots,
        }

    def _plan(self, entry: LayerVariable, backbone_layers: Collection[str]) -> _Update:
        decay = self._recipe.weight_decay if decays(entry, self._recipe) else 0.0
        return _Update(entry, decay, entry.layer.name in backbone_layers)

    @property
    def decayed(self) -> list[keras.Variable]:
        """The variables that are regularised."""
        return [update.entry.variable for update in self._updates if update.decay]

    @property
    def steps(self) -> int:
        """Number of steps of the whole training, which the schedule ends with; setting it moves the end."""
        return int(self._steps.numpy())

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps.assign(steps)

    @property
    def step(self) -> int:
        """Number of steps that were taken, those without an update among them."""
        return int(self._step.numpy())

    def learning_rate(self) -> float:
        """Return the rate of the next step."""
        return float(learning_rate(self._recipe, self._step.value, self._steps.value))

    def apply(self, gradients: Sequence[tf.Tensor], finite: tf.Tensor | None = None) -> tf.Tensor:
        """Take one step; call it in each replica, within a tf.function.

        Args:
            gradients: gradient of each of the model's trainable variables, in their order, over the whole batch: summed
                over all replicas and parts.
            finite: whether the weights are to be updated, () bool; the step counts in any case. None for yes.

        Returns:
            The learning rate of the step, () float32.
        """
        rate = learning_rate(self._recipe, self._step.value, self._steps.value)
        if self._recipe.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._recipe.clip_norm)
        if finite is None:
            self._update(gradients, rate)
            self._applied_steps.assign_add(1)
        else:
            # A condition and no product with 0: 0 times NaN is NaN.
            tf.cond(finite, lambda: self._update(gradients, rate), lambda: None)
            self._applied_steps.assign_add(tf.cast(finite, tf.int64))
        self._step.assign_add(1)
        return rate

    def _update(self, gradients: Sequence[tf.Tensor], rate: tf.Tensor) -> None:
        coupled = self._recipe.weight_decay_kind == COUPLED
        update_weight = self._rule.begin(self._applied_steps.value)
        backbone_rate = rate * self._recipe.backbone_rate
        for update, gradient in zip(self._updates, gradients):
            variable, own_rate = update.entry.variable, backbone_rate if update.is_backbone else rate
            if update.decay and coupled:
                gradient = gradient + update.decay * variable.value
            elif update.decay:
                variable.assign_sub(variable.value * (update.decay * own_rate))
            update_weight(update.entry, gradient, own_rate)
