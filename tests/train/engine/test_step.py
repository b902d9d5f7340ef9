"""One step on one device: its loss, its parts, its precisions, and what becomes of numbers that are not finite."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from edge.errors import InputError
from tests.train.engine.small_training import AUXILIARY, VOID, Batches, CrossEntropy, SmallTraining, recipe
from train.engine.step import TrainingStep
from train.engine.strategies import MIRRORED, TrainingStrategy
from train.models.base import LOGITS


def differences(one: SmallTraining, other: SmallTraining) -> float:
    first, second = one.weights(), other.weights()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def test_loss_is_the_weighted_sum_of_the_means_over_labelled_pixels():
    training = SmallTraining(recipe())
    frames, labels = Batches(8).whole(0)
    outputs = training.model(tf.cast(frames, tf.float32), training=True)
    wanted = {}
    for name in (LOGITS, AUXILIARY):
        picked = labels[:, ::4, ::4]
        shares = tf.nn.log_softmax(outputs[name]).numpy()
        known = picked != VOID
        wanted[name] = -shares[known, picked[known]].mean()
    result = SmallTraining(recipe()).stepper.step((tf.constant(frames), tf.constant(labels)))
    assert set(result.losses) == {LOGITS, AUXILIARY}
    for name, loss in result.losses.items():
        assert float(loss) == pytest.approx(wanted[name], rel=1e-5)
    assert float(result.loss) == pytest.approx(wanted[LOGITS] + 0.4 * wanted[AUXILIARY], rel=1e-5)
    assert float(result.learning_rate) == pytest.approx(0.05)
    assert bool(result.applied)


def test_training_learns():
    losses = SmallTraining(recipe(learning_rate=0.3), steps=40).run(40)
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("parts", [2, 4])
def test_batch_in_parts_gives_the_same_step(parts):
    # Without BatchNorm, which sees the crops of a part alone.
    whole = SmallTraining(recipe(), norm=False)
    apart = SmallTraining(recipe(accumulation=parts), norm=False)
    before = whole.weights()
    assert apart.run(3) == pytest.approx(whole.run(3), rel=1e-5)
    assert max(np.abs(before[name] - array).max() for name, array in whole.weights().items()) > 0.01
    assert differences(whole, apart) < 2e-6
    assert apart.optimization.step == whole.optimization.step == 3


def test_crops_without_a_label_give_no_step_and_no_nan():
    training = SmallTraining(recipe(weight_decay=0.0))
    before = training.weights()
    frames, labels = Batches(8).whole(0)
    result = training.stepper.step((tf.constant(frames), tf.fill(labels.shape, tf.constant(VOID, tf.uint8))))
    assert float(result.loss) == 0.0
    for name, array in training.weights().items():
        if "moving" not in name:
            np.testing.assert_array_equal(array, before[name])


def test_loss_that_is_not_finite_is_seen(monkeypatch):
    monkeypatch.setattr(CrossEntropy, "total", lambda self, labels, output: tf.reduce_sum(output) * np.nan)
    assert np.isnan(SmallTraining(recipe()).run(1)).all()


def test_gradients_that_overflow_leave_the_weights_and_halve_the_scale(monkeypatch):
    settings = recipe(precision="mixed_float16", weight_decay=0.0, ema=0.9)
    training = SmallTraining(settings)
    before = training.weights()
    training.stepper.loss_scale.variables["scale"].assign(2.0**40)
    result = training.stepper.step(next(training.batches))
    assert not bool(result.applied)
    assert np.isfinite(float(result.loss))
    for name, array in training.weights().items():
        if "moving" not in name:
            np.testing.assert_array_equal(array, before[name])
    assert float(training.stepper.loss_scale.variables["scale"].numpy()) == 2.0**39
    training.stepper.loss_scale.variables["scale"].assign(2.0**10)
    assert bool(training.stepper.step(next(training.batches)).applied)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_takes_about_the_same_steps(precision):
    exact, mixed = SmallTraining(recipe()), SmallTraining(recipe(precision=precision))
    assert mixed.run(5) == pytest.approx(exact.run(5), rel=0.05)
    assert mixed.model.get_layer("stem").compute_dtype != "float32"


@pytest.mark.slow
def test_xla_takes_the_same_steps():
    plain, compiled = SmallTraining(recipe()), SmallTraining(recipe(), xla=True)
    assert compiled.run(3) == pytest.approx(plain.run(3), rel=1e-4)
    assert differences(plain, compiled) < 1e-4


def test_xla_is_refused_where_it_cannot_synchronise():
    strategy = TrainingStrategy(MIRRORED, SimpleNamespace(num_replicas_in_sync=2))
    model = SmallTraining(recipe(batch_norm="synchronised")).model
    with pytest.raises(
        InputError, match=r"XLA cannot synchronise BatchNorm over 2 replicas\. Next: batch_norm 'local'"
    ):
        TrainingStep(strategy, model, {}, {}, None, xla=True)


def test_averaged_weights_follow_the_steps():
    training = SmallTraining(recipe(ema=0.5))
    training.run(4)
    kernel = training.model.get_layer("stem").kernel.numpy()
    averaged = training.ema.values()["stem"][0]
    assert 0.0 < np.abs(averaged - kernel).max() < 0.05
    assert set(training.ema.values()) == {layer.name for layer in training.model.layers if layer.weights}


@pytest.mark.parametrize(
    "changes",
    [
        {"weight_decay": 0.0},
        {"momentum": 0.0},
        {"optimizer": "adam"},
        {"weight_decay_kind": "decoupled"},
        {"clip_norm": 0.01},
        {"decay_norms": True},
        {"decay_depthwise": True},
        {"warmup_steps": 3},
        {"schedule": "cosine"},
        {"power": 0.3},
        {"learning_rate": 0.04},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_of_the_optimisation_changes_the_weights(changes):
    assert differences(_three_steps(), _three_steps(**changes)) > 1e-5


_CACHE: dict = {}


def _three_steps(**changes: object) -> SmallTraining:
    key = tuple(changes.items())
    if key not in _CACHE:
        _CACHE[key] = SmallTraining(recipe(**changes), steps=6)
        _CACHE[key].run(3)
    return _CACHE[key]


def test_seed_decides_the_weights():
    one, other = SmallTraining(recipe(), seed=1), SmallTraining(recipe(), seed=2)
    assert differences(one, other) > 0.01
