"""The loss scale: halved by what overflows, doubled by long peace."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from train.optimization import loss_scale
from train.optimization.loss_scale import LossScale, all_finite


def scale_of(scale: LossScale) -> float:
    return float(scale.variables["scale"].numpy())


def test_scale_is_halved_by_a_step_that_overflows_and_not_below_one():
    scale = LossScale()
    update = tf.function(scale.update)
    assert scale_of(scale) == 2.0**15
    for _ in range(20):
        update(tf.constant(False))
    assert scale_of(scale) == 1.0


def test_scale_is_doubled_after_two_thousand_good_steps(monkeypatch):
    assert loss_scale.GROWTH_STEPS == 2000
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 3)
    scale = LossScale()
    update = tf.function(scale.update)
    for good in (True, True, False, True, True):
        update(tf.constant(good))
    assert scale_of(scale) == 2.0**14
    update(tf.constant(True))
    assert scale_of(scale) == 2.0**15
    update(tf.constant(True))
    assert scale_of(scale) == 2.0**15


def test_scaling_and_unscaling_leaves_gradients_as_they_are():
    scale = LossScale()
    gradients = [tf.constant(np.random.default_rng(0).normal(size=100), tf.float32)]
    (back,) = scale.unscaled([scale.scaled(gradient) for gradient in gradients])
    np.testing.assert_array_equal(back, gradients[0])


def test_one_number_that_is_not_finite_is_found():
    gradients = [tf.zeros((2, 3)), tf.zeros(4)]
    assert all_finite(gradients)
    for wrong in (np.nan, np.inf):
        spoilt = tf.tensor_scatter_nd_update(gradients[1], [[2]], [wrong])
        assert not all_finite([gradients[0], spoilt])
