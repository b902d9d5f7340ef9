"""The state of a training: every variable that its next step depends on, by name."""

from __future__ import annotations

from typing import Mapping

import keras
import numpy as np

from edge.errors import ContractError
from train.engine.step import TrainingStep
from train.optimization.averaged_weights import AveragedWeights
from train.optimization.layer_variables import layer_variables
from train.optimization.optimization import Optimization


def named_variables(
    model: keras.Model, optimization: Optimization, ema: AveragedWeights | None, step: TrainingStep
) -> dict[str, keras.Variable]:
    """Return name -> variable of everything that the next step depends on, in an order that does not change.

    Weights, statistics of BatchNorm, states of random generators, what the optimiser keeps, the moving average and the
    loss scale. The batches are a function of the seed and the step.

    Args:
        model: the whole network, layers that no loss judges included.
        optimization: its optimisation.
        ema: the moving average of its weights; None for none.
        step: the step that trains it.
    """
    groups: dict[str, Mapping[str, keras.Variable]] = {
        "model": {entry.name: entry.variable for entry in layer_variables(model)},
        "optimization": optimization.variables,
        "ema": ema.variables if ema is not None else {},
        "loss_scale": step.loss_scale.variables if step.loss_scale is not None else {},
    }
    return {f"{group}/{name}": variable for group, found in groups.items() for name, variable in found.items()}


def read_variables(variables: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Return name -> value of each variable, as arrays of their own."""
    return {name: np.array(variable.numpy()) for name, variable in variables.items()}


def set_variables(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Give every variable its value.

    Args:
        variables: name -> variable, as `named_variables` returns them.
        arrays: name -> value of exactly these variables.

    Raises:
        ContractError: a name is missing or unknown, or a value has another shape; no variable was changed then.
    """
    missing, unknown = sorted(set(variables) - set(arrays)), sorted(set(arrays) - set(variables))
    if missing or unknown:
        what = f"no {missing[0]}" if missing else f"{unknown[0]}, which this training has not"
        raise ContractError(f"the state has {what}: {len(missing)} variables are missing, {len(unknown)} unknown")
    for name, variable in variables.items():
        wanted, got = tuple(variable.shape), np.shape(arrays[name])
        if wanted != got:
            raise ContractError(f"the state has {name} of shape {got}, expected {wanted}")
    for name, variable in variables.items():
        variable.assign(np.asarray(arrays[name]))
