"""The kernels of the layers equal TensorFlow's own operations, values and gradients, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from train.native import library, operations
from train.native.operations import batch_norm, depthwise_conv


def draw(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(0, 1, shape), tf.float32)


def with_gradients(function, *inputs):
    """Return the outputs of a function, and the gradients of a weighted sum of the first one."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = function(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        total = tf.reduce_sum(outputs[0] * draw(*outputs[0].shape, seed=9))
    return [np.asarray(value) for value in (*outputs, *tape.gradient(total, inputs))]


def assert_close(values, expected):
    assert len(values) == len(expected)
    for value, other in zip(values, expected):
        assert value.shape == other.shape
        np.testing.assert_allclose(value, other, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(other).max()))


def plain_norm(relu: bool):
    def norm(features, gamma, beta):
        mean, variance = tf.nn.moments(features, [0, 1, 2])
        value = tf.nn.batch_normalization(features, mean, variance, beta, gamma, 1e-3)
        return (tf.nn.relu(value) if relu else value), mean, variance

    return norm


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 4, 5, 40), (3, 64, 32, 48)], ids=str)
def test_batch_norm_is_that_of_tensorflow(shape, relu):
    # Far from 0: sums of squares would lose the variance.
    inputs = draw(*shape) * 3 + 100, draw(shape[-1], seed=1) + 1, draw(shape[-1], seed=2)
    values = with_gradients(lambda *tensors: batch_norm(*tensors, epsilon=1e-3, relu=relu), *inputs)
    wide = [tf.cast(tensor, tf.float64) for tensor in inputs]
    outputs = plain_norm(relu)(*wide)
    with tf.GradientTape() as tape:
        tape.watch(wide)
        total = tf.reduce_sum(plain_norm(relu)(*wide)[0] * tf.cast(draw(*shape, seed=9), tf.float64))
    assert_close(values, [np.asarray(value) for value in (*outputs, *tape.gradient(total, wide))])


def test_nothing_flows_back_where_the_relu_is_shut():
    features = draw(2, 3, 4, 8)
    beta = tf.constant([-100.0] * 4 + [100.0] * 4)
    output, _, _, gradient, gamma_gradient, beta_gradient = with_gradients(
        lambda *tensors: batch_norm(*tensors, epsilon=1e-3, relu=True), features, tf.ones(8), beta
    )
    assert not output[..., :4].any() and output[..., 4:].all()
    for value in (gradient, gamma_gradient, beta_gradient):
        assert not value[..., :4].any() and value[..., 4:].any()


def test_feature_that_is_nan_stays_visible_behind_the_relu():
    features = draw(1, 2, 2, 8).numpy()
    features[0, 0, 0, 3] = np.nan
    output, _, _ = batch_norm(tf.constant(features), tf.ones(8), tf.zeros(8), 1e-3, True)
    assert np.isnan(output.numpy()[..., 3]).all() and np.isfinite(np.delete(output.numpy(), 3, axis=-1)).all()


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("side", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (3, 1, 2), (3, 1, 4), (5, 1, 1), (5, 2, 1), (3, 3, 1)]
)
@pytest.mark.parametrize("size", [(9, 20), (10, 11)], ids=str)
def test_depthwise_convolution_is_that_of_tensorflow(size, side, stride, dilation, padding):
    features, taps = draw(2, *size, 16), draw(side, side, 16, 1, seed=1)

    def plain(features, taps):
        return tf.nn.depthwise_conv2d(
            features, taps, (1, stride, stride, 1), padding.upper(), dilations=(dilation, dilation)
        )

    expected = with_gradients(plain, features, taps)
    assert_close(
        with_gradients(lambda *tensors: depthwise_conv(*tensors, stride, dilation, padding), features, taps), expected
    )


def test_depthwise_kernel_that_reaches_beyond_the_whole_map_is_that_of_tensorflow():
    features, taps = draw(2, 3, 2, 8), draw(5, 5, 8, 1, seed=1)
    expected = with_gradients(lambda *tensors: tf.nn.depthwise_conv2d(*tensors, (1, 1, 1, 1), "SAME"), features, taps)
    assert_close(with_gradients(lambda *tensors: depthwise_conv(*tensors, 1, 1, "same"), features, taps), expected)


def test_nothing_depends_on_the_number_of_threads(monkeypatch):
    # Several tasks each, so that threads do share them.
    features, taps = draw(3, 40, 48, 32), draw(3, 3, 32, 1, seed=1)
    gamma, beta = draw(32, seed=2), draw(32, seed=3)

    def bits(threads):
        monkeypatch.setattr(operations, "thread_count", lambda: threads)
        values = with_gradients(lambda *tensors: depthwise_conv(*tensors, 2, 1, "same"), features, taps)
        values += with_gradients(lambda *tensors: batch_norm(*tensors, 1e-3, True), features, gamma, beta)
        return [value.tobytes() for value in values]

    assert bits(1) == bits(2) == bits(5)


def test_shapes_that_do_not_fit_are_an_error_and_no_crash():
    with pytest.raises(tf.errors.InvalidArgumentError, match="no multiple of 8"):
        batch_norm(draw(1, 2, 2, 12), tf.ones(12), tf.zeros(12), 1e-3, False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="do not fit"):
        batch_norm(draw(1, 2, 2, 16), tf.ones(8), tf.zeros(16), 1e-3, False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="3x3 or 5x5"):
        depthwise_conv(draw(1, 9, 9, 8), draw(7, 7, 8, 1), 1, 1, "same")


def test_threads_are_those_that_tensorflow_was_given(monkeypatch):
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 0)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert library.thread_count() == 7
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    assert library.thread_count() >= 1
    monkeypatch.setattr(tf.config.threading, "get_intra_op_parallelism_threads", lambda: 3)
    assert library.thread_count() == 3
