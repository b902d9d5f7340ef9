"""A network that is called with kernels computes what Keras computes, and is exported without them."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from train.models import MODELS
from train.models.layers import AdaptiveAveragePooling
from train.native import without_kernels
from train.native.training_call import training_outputs


def layer(kind, *arguments, **options):
    return getattr(keras.layers, kind)(*arguments, **options)


def patterns() -> keras.Model:
    """A network that has every pattern that is, and every one that is not, a kernel's."""
    frame = keras.Input((16, 24, 3))
    x = layer("Conv2D", 16, 3, 2, padding="same", use_bias=False)(frame)
    x = layer("ReLU")(layer("BatchNormalization", momentum=0.9)(x))
    y = layer("DepthwiseConv2D", 3, padding="same", use_bias=False)(x)
    read_twice = layer("BatchNormalization")(y)
    y = layer("Add")([layer("ReLU")(read_twice), read_twice])
    six = layer("ReLU", max_value=6.0)(layer("BatchNormalization")(layer("Add")([x, y])))
    z = layer("DepthwiseConv2D", 3, dilation_rate=2, padding="same", use_bias=False)(layer("ZeroPadding2D", 1)(six))
    z = layer("DepthwiseConv2D", 3, depth_multiplier=2)(z)
    z = layer("Conv2D", 6, 3, dilation_rate=5, padding="same")(z)
    odd = layer("BatchNormalization")(layer("Conv2D", 5, 1)(z))
    inner_input = keras.Input(odd.shape[1:])
    inner = keras.Model(inner_input, layer("BatchNormalization")(layer("Conv2D", 8, 1)(inner_input)))
    z = layer("Dropout", 0.0)(inner(odd))
    output = layer("BatchNormalization")(z)
    return keras.Model(frame, {"logits": layer("ReLU")(output), "before": output, "z": keras.ops.mean(z, axis=(1, 2))})


def step(network, frames, plain: bool):
    """Return outputs, gradients and statistics after one call in training, from the same weights."""
    before = [variable.numpy() for variable in network.variables]

    @tf.function
    def compute(frames):
        with tf.GradientTape() as tape:
            outputs = network(frames, training=True) if plain else training_outputs(network, frames)
            total = tf.add_n([tf.reduce_mean(value**2) for value in tf.nest.flatten(outputs)])
        return outputs, tape.gradient(total, [variable.value for variable in network.trainable_variables])

    outputs, gradients = compute(frames)
    operations = {node.op for node in compute.get_concrete_function(frames).graph.as_graph_def().node}
    statistics = [variable.numpy() for variable in network.non_trainable_variables if "moving" in variable.name]
    for variable, value in zip(network.variables, before):
        variable.assign(value)
    return outputs, [gradient.numpy() for gradient in gradients], statistics, operations


def assert_equal_steps(network, size, tolerance):
    frames = tf.constant(np.random.default_rng(1).uniform(0, 255, (4, *size, 3)), tf.float32)
    for variable in network.trainable_variables:  # gamma of 1 and beta of 0 would hide a mistake
        variable.assign(variable.numpy() + np.random.default_rng(2).normal(0, 0.05, variable.shape))
    expected, expected_gradients, expected_statistics, plain_operations = step(network, frames, plain=True)
    outputs, gradients, statistics, operations = step(network, frames, plain=False)
    assert {"SegedgeBatchNorm", "SegedgeDepthwise"} <= operations
    assert not any(name.startswith("Segedge") for name in plain_operations)
    assert outputs.keys() == expected.keys()
    for name, value in outputs.items():
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance)
    scale = max(np.abs(gradient).max() for gradient in expected_gradients)
    for gradient, other in zip(gradients, expected_gradients):
        np.testing.assert_allclose(gradient, other, rtol=0, atol=tolerance * scale)
    for value, other in zip(statistics, expected_statistics):
        np.testing.assert_allclose(value, other, rtol=tolerance, atol=tolerance)


def test_every_pattern_of_layers_gives_what_keras_gives():
    keras.utils.set_random_seed(3)
    assert_equal_steps(patterns(), (16, 24), 1e-4)


def test_a_whole_architecture_gives_what_keras_gives():
    keras.utils.set_random_seed(3)
    network = MODELS["fast_scnn"].build(64, 64, 5)
    for each in network.layers:
        if isinstance(each, keras.layers.Dropout):
            each.rate = 0.0
    # Norms over the few values of a pooled map multiply what rounding differs by.
    assert_equal_steps(network, (64, 64), 1e-2)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_pooling_into_cells_that_overlap_gives_what_keras_gives(bins):
    frame = keras.Input((8, 16, 3))
    network = keras.Model(frame, {"cells": AdaptiveAveragePooling(bins)(frame)})
    frames = tf.constant(np.random.default_rng(1).normal(0, 1, (2, 8, 16, 3)), tf.float32)
    results = []
    for call in (network, lambda frames: training_outputs(network, frames)):
        with tf.GradientTape() as tape:
            tape.watch(frames)
            cells = call(frames)["cells"]
            total = tf.reduce_sum(cells**3)
        results.append((cells.numpy(), tape.gradient(total, frames).numpy()))
    for value, expected in zip(results[1], results[0]):
        assert value.shape == expected.shape
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_frames_may_be_bytes():
    network = MODELS["fast_scnn"].build(32, 64, 5)
    frames = np.random.default_rng(1).integers(0, 256, (1, 32, 64, 3)).astype(np.uint8)
    for each in network.layers:
        if isinstance(each, keras.layers.Dropout):
            each.rate = 0.0
    values = [training_outputs(network, tf.constant(frames.astype(kind)))["logits"] for kind in (np.uint8, np.float32)]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("change", ["frozen", "synchronized", "without kernels"])
def test_layers_that_are_to_compute_otherwise_are_called_as_they_are(change):
    network = patterns()
    frames = tf.zeros((1, 16, 24, 3))
    for each in network.layers:
        if isinstance(each, keras.layers.BatchNormalization):
            each.trainable = change != "frozen"
            each.synchronized = change == "synchronized"
    with without_kernels() if change == "without kernels" else contextlib.nullcontext():
        graph = tf.function(lambda: training_outputs(network, frames)).get_concrete_function().graph
    found = {node.op for node in graph.as_graph_def().node if node.op.startswith("Segedge")}
    inner = {"SegedgeBatchNorm"}  # the inner model's own, which was not changed
    assert found == (set() if change == "without kernels" else {"SegedgeDepthwise"} | inner)
