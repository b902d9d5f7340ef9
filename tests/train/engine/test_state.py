"""The state of a training: set into a new one, it goes on as if nothing had happened, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ContractError
from tests.train.engine.small_training import SmallTraining, recipe
from train.engine.state import named_variables, read_variables, set_variables

SETTINGS = {
    "sgd": recipe(ema=0.9, accumulation=2),
    "adamw": recipe(optimizer="adamw", weight_decay_kind="decoupled", ema=0.9, warmup_steps=2),
    "loss scale": recipe(optimizer="adam", precision="mixed_float16", clip_norm=1.0),
}


def variables_of(training: SmallTraining) -> dict:
    return named_variables(training.model, training.optimization, training.ema, training.stepper)


def begin(settings, first_step: int = 0, seed: int = 3) -> SmallTraining:
    return SmallTraining(settings, dropout=0.4, first_step=first_step, seed=seed)


@pytest.mark.parametrize("name", SETTINGS)
def test_training_goes_on_bit_for_bit(name):
    settings = SETTINGS[name]
    whole = begin(settings)
    losses = whole.run(6)
    first = begin(settings)
    assert first.run(3) == losses[:3]
    state = read_variables(variables_of(first))
    # Another seed: nothing may be left of what the new training began with.
    second = begin(settings, first_step=3, seed=99)
    set_variables(variables_of(second), state)
    assert second.run(3) == losses[3:]
    wanted, got = (read_variables(variables_of(training)) for training in (whole, second))
    assert list(wanted) == list(got)
    for key, array in wanted.items():
        np.testing.assert_array_equal(got[key], array, err_msg=key)


def test_state_holds_all_that_the_next_step_depends_on():
    names = set(read_variables(variables_of(begin(SETTINGS["sgd"]))))
    assert {
        "model/stem/kernel",
        "model/stem_bn/moving_variance",
        "model/mix_dropout/seed_generator_state",
        "optimization/step",
        "optimization/applied_steps",
        "optimization/stem/kernel/momentum",
        "ema/updates",
        "ema/stem_bn/moving_mean",
    } <= names
    names = set(read_variables(variables_of(begin(SETTINGS["loss scale"]))))
    assert {"optimization/stem/kernel/velocity", "loss_scale/scale", "loss_scale/good_steps"} <= names


def test_state_of_another_training_is_refused_and_changes_nothing():
    training = begin(SETTINGS["sgd"])
    variables = variables_of(training)
    state = read_variables(variables)
    other = {name: array + 1 for name, array in state.items()}
    for damage, message in (
        (lambda: other.pop("ema/updates"), r"has no ema/updates: 1 variables are missing, 0 unknown"),
        (lambda: other.update({"ema/updates": 1, "ema/more": 2}), r"has ema/more, which this training has not"),
        (
            lambda: (other.pop("ema/more"), other.update({"model/stem/bias": np.zeros(7)})),
            r"shape \(7,\), expected \(8",
        ),
    ):
        damage()
        with pytest.raises(ContractError, match=message):
            set_variables(variables, other)
    for name, array in read_variables(variables).items():
        np.testing.assert_array_equal(array, state[name])
