"""What a step does to weights, against a few lines of NumPy: the rules of the papers' code."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge.errors import InputError
from train.optimization.optimization import Optimization
from train.recipe import Recipe

STEPS = 1000


def one_weight(value: float = 1.0) -> keras.Model:
    source = keras.Input((1,))
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(value), name="dense")
    return keras.Model(source, layer(source), name="one")


def recipe(optimizer: str, **changes: object) -> Recipe:
    kind = {"adamw": "decoupled"}.get(optimizer, "coupled")
    settings = {"schedule": "constant", "weight_decay_kind": kind, "weight_decay": 1e-3, **changes}
    return Recipe(1, 1, 8, 8, optimizer, 0.1).changed(**settings)


def trained_weight(settings: Recipe, gradients: np.ndarray) -> float:
    """Take one step for each gradient of a network of one weight, which is 1 before."""
    model = one_weight()
    optimization = Optimization(model, settings, len(gradients))
    apply = tf.function(lambda gradient: optimization.apply([gradient]))
    for gradient in gradients.astype(np.float32):
        apply(tf.reshape(gradient, (1, 1)))
    return float(model.trainable_variables[0].numpy()[0, 0])


def rates(settings: Recipe, steps: int) -> np.ndarray:
    if settings.schedule == "constant":
        return np.full(steps, settings.learning_rate)
    return settings.learning_rate * (1.0 - np.arange(steps) / steps) ** settings.power


def sgd(gradients: np.ndarray, rate: np.ndarray, momentum: float, decay: float) -> float:
    weight, velocity = 1.0, 0.0
    for gradient, step_rate in zip(gradients, rate):
        velocity = momentum * velocity + gradient + decay * weight
        weight -= step_rate * velocity
    return weight


def adam(gradients: np.ndarray, rate: np.ndarray, coupled: float = 0.0, decoupled: float = 0.0) -> float:
    weight, mean, square = 1.0, 0.0, 0.0
    for step, (gradient, step_rate) in enumerate(zip(gradients, rate), start=1):
        weight -= step_rate * decoupled * weight
        gradient = gradient + coupled * weight
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight -= step_rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weight


@pytest.fixture(scope="module")
def gradients() -> np.ndarray:
    return np.random.default_rng(1).normal(0.1, 1.0, STEPS)


def test_l2_under_momentum_shrinks_a_weight_ten_times_as_fast_as_decay_beside_the_step():
    nothing = np.zeros(STEPS)
    coupled = trained_weight(recipe("sgd"), nothing)
    decoupled = trained_weight(recipe("sgd", weight_decay_kind="decoupled"), nothing)
    assert coupled == pytest.approx(sgd(nothing, np.full(STEPS, 0.1), 0.9, 1e-3), rel=1e-4)
    assert coupled == pytest.approx(0.368, abs=0.005)
    assert decoupled == pytest.approx((1 - 0.1 * 1e-3) ** STEPS, rel=1e-4)
    assert decoupled == pytest.approx(0.905, abs=0.001)


@pytest.mark.parametrize("schedule", ["constant", "polynomial"])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_is_that_of_the_papers_code(gradients, schedule, momentum):
    settings = recipe("sgd", schedule=schedule, momentum=momentum, weight_decay=1e-2)
    wanted = sgd(gradients, rates(settings, STEPS), momentum, 1e-2)
    assert trained_weight(settings, gradients) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("schedule", ["constant", "polynomial"])
def test_adam_has_l2_in_its_gradients_and_adamw_beside_its_step(gradients, schedule):
    coupled = recipe("adam", schedule=schedule, weight_decay=0.1)
    decoupled = recipe("adamw", schedule=schedule, weight_decay=0.1)
    rate = rates(coupled, STEPS)
    with_l2, beside = adam(gradients, rate, coupled=0.1), adam(gradients, rate, decoupled=0.1)
    assert abs(with_l2 - beside) > 0.01 * abs(beside)
    assert trained_weight(coupled, gradients) == pytest.approx(with_l2, rel=2e-3)
    assert trained_weight(decoupled, gradients) == pytest.approx(beside, rel=2e-3)


def test_adamw_that_is_to_be_coupled_is_refused():
    with pytest.raises(InputError, match=r"adamw with weight_decay_kind 'coupled', expected 'decoupled'.*'adam' for"):
        Optimization(one_weight(), recipe("adamw", weight_decay_kind="coupled"), 1)


def several_layers() -> keras.Model:
    source = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3, name="stem")(source)
    features = keras.layers.BatchNormalization(name="stem_bn")(features)
    features = keras.layers.DepthwiseConv2D(3, use_bias=False, name="mix")(features)
    return keras.Model(source, keras.layers.Conv2D(2, 1, name="logits")(features), name="several")


@pytest.mark.parametrize(
    "changes, also",
    [
        ({}, set()),
        ({"decay_norms": True}, {"stem/bias", "stem_bn/gamma", "stem_bn/beta", "logits/bias"}),
        ({"decay_depthwise": True}, {"mix/kernel"}),
        ({"weight_decay": 0.0}, {"nothing"}),
    ],
)
def test_norms_biases_and_depthwise_kernels_are_spared_decay_unless_the_recipe_says_otherwise(changes, also):
    optimization = Optimization(several_layers(), recipe("sgd", **changes), 1)
    wanted = set() if "nothing" in also else {"stem/kernel", "logits/kernel"} | also
    assert {variable.path for variable in optimization.decayed} == wanted


def steps_of(optimization: Optimization, model: keras.Model, gradients: list) -> list[np.ndarray]:
    before = [variable.numpy() for variable in model.trainable_variables]
    tf.function(optimization.apply)(gradients)
    return [variable.numpy() - was for variable, was in zip(model.trainable_variables, before)]


def ones_like(model: keras.Model) -> list[tf.Tensor]:
    return [tf.ones(variable.shape) for variable in model.trainable_variables]


def test_backbone_learns_at_its_own_rate():
    model = several_layers()
    settings = recipe("sgd", weight_decay=0.0, backbone_rate=0.25)
    optimization = Optimization(model, settings, 1, frozenset({"stem", "stem_bn"}))
    changes = steps_of(optimization, model, ones_like(model))
    for variable, change in zip(model.trainable_variables, changes):
        factor = 0.25 if variable.path.startswith("stem") else 1.0
        np.testing.assert_allclose(change, -0.1 * factor, rtol=1e-5)


def test_rate_of_a_backbone_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"backbone_rate 0\.1, several has no backbone\. Next: leave"):
        Optimization(several_layers(), recipe("sgd", backbone_rate=0.1), 1)


@pytest.mark.parametrize("limit", [0.5, 1e6])
def test_gradients_are_scaled_down_to_the_largest_norm_before_l2_joins_them(limit):
    model = several_layers()
    gradients = ones_like(model)
    norm = np.sqrt(sum(np.size(gradient) for gradient in gradients))
    before = [variable.numpy() for variable in model.trainable_variables]
    optimization = Optimization(model, recipe("sgd", clip_norm=limit, decay_norms=True, decay_depthwise=True), 1)
    changes = steps_of(optimization, model, gradients)
    for was, change in zip(before, changes):
        np.testing.assert_allclose(change, -0.1 * (min(1.0, limit / norm) + 1e-3 * was), rtol=1e-4, atol=1e-7)


def test_step_that_is_left_out_counts_for_the_schedule_alone():
    model = one_weight()
    optimization = Optimization(model, recipe("adam", schedule="polynomial"), 10)
    apply = tf.function(lambda gradient, finite: optimization.apply([gradient], finite))
    apply(tf.fill((1, 1), np.nan), tf.constant(False))
    assert float(model.trainable_variables[0].numpy()[0, 0]) == 1.0
    assert all(np.isfinite(variable.numpy()).all() for variable in optimization.variables.values())
    assert optimization.step == 1
    assert optimization.variables["applied_steps"].numpy() == 0
    apply(tf.ones((1, 1)), tf.constant(True))
    # Adam's first step has the size of the rate, which is that of the second step.
    assert 1.0 - float(model.trainable_variables[0].numpy()[0, 0]) == pytest.approx(0.1 * 0.9**0.9, rel=1e-3)


def test_names_of_the_variables_do_not_depend_on_what_the_process_built_before():
    first, second = (list(Optimization(several_layers(), recipe("adam"), 1).variables) for _ in range(2))
    assert first == second
    assert first[:4] == ["step", "applied_steps", "stem/kernel/momentum", "stem/kernel/velocity"]
