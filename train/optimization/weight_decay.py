"""Which weights L2 regularisation and weight decay act on."""

from __future__ import annotations

import keras

from edge.errors import InputError
from train.optimization.layer_variables import LayerVariable
from train.recipe import ADAMW, DECOUPLED, Recipe

_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)


def decays(entry: LayerVariable, recipe: Recipe) -> bool:
    """Return whether a trainable variable is regularised by a recipe.

    Scales and offsets of norms, all biases, and depthwise kernels are spared unless the recipe says otherwise:
    they have few weights each, and decay pulls them off their scale.
    """
    if isinstance(entry.layer, _NORMS) or entry.variable.name == "bias":
        return recipe.decay_norms
    if isinstance(entry.layer, keras.layers.DepthwiseConv2D):
        return recipe.decay_depthwise
    return True


def check_decay_kind(recipe: Recipe) -> None:
    """Refuse a recipe that contradicts itself.

    Raises:
        InputError: AdamW is to decay coupled to its gradients, which would be Adam.
    """
    if recipe.optimizer == ADAMW and recipe.weight_decay and recipe.weight_decay_kind != DECOUPLED:
        raise InputError(
            f"the recipe has adamw with weight_decay_kind '{recipe.weight_decay_kind}', expected '{DECOUPLED}'. "
            "Next: optimizer 'adam' for L2 in the gradients"
        )
