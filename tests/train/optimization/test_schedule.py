"""The learning rate of every step, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.optimization.optimization import Optimization
from train.recipe import Recipe

STEPS = 40


def recipe(schedule: str, **changes: object) -> Recipe:
    return Recipe(1, 8, 8, 8, "sgd", 0.5, schedule=schedule, weight_decay=0.0).changed(**changes)


def wanted(settings: Recipe) -> np.ndarray:
    warmup = settings.warmup_steps
    rising = settings.learning_rate * np.arange(1, warmup + 1) / max(1, warmup)
    share = np.arange(STEPS - warmup) / (STEPS - warmup)
    falling = {
        "polynomial": (1 - share) ** settings.power,
        "cosine": (1 + np.cos(np.pi * share)) / 2,
        "constant": np.ones_like(share),
    }[settings.schedule]
    return np.concatenate([rising, settings.learning_rate * falling])


def build(settings: Recipe) -> Optimization:
    source = keras.Input((1,))
    return Optimization(keras.Model(source, keras.layers.Dense(1, name="dense")(source)), settings, STEPS)


def taken_rates(optimization: Optimization, steps: int = STEPS) -> list[float]:
    apply = tf.function(lambda: optimization.apply([tf.zeros((1, 1)), tf.zeros((1,))]))
    rates = []
    for _ in range(steps):
        announced = optimization.learning_rate()
        rates.append(float(apply()))
        assert rates[-1] == announced
    return rates


@pytest.mark.parametrize("warmup", [0, 1, 7])
@pytest.mark.parametrize("schedule", ["polynomial", "cosine", "constant"])
def test_every_step_has_the_rate_of_the_recipe(schedule, warmup):
    settings = recipe(schedule, warmup_steps=warmup, power=0.7)
    np.testing.assert_allclose(taken_rates(build(settings)), wanted(settings), rtol=1e-6)


@pytest.mark.parametrize("schedule", ["polynomial", "cosine"])
def test_rate_ends_at_zero_and_stays_there(schedule):
    optimization = build(recipe(schedule))
    assert taken_rates(optimization, STEPS + 2)[-2:] == [0.0, 0.0]


def test_parts_of_a_batch_do_not_make_the_schedule_run_faster():
    settings = recipe("polynomial", accumulation=4)
    np.testing.assert_allclose(taken_rates(build(settings)), wanted(settings), rtol=1e-6)


def test_end_of_a_training_can_be_moved():
    optimization = build(recipe("polynomial", power=1.0))
    taken_rates(optimization, 10)
    optimization.steps = 20
    assert optimization.learning_rate() == pytest.approx(0.5 * (1 - 10 / 20))
