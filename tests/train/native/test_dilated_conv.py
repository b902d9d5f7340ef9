"""Dilated convolutions by products of matrices give what TensorFlow's own give, and leave out what meets no map."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from train.native.dilated_conv import dilated_conv


@pytest.mark.parametrize("size, dilation", [((9, 12), 2), ((9, 12), 6), ((3, 9), 6), ((4, 5), 18), ((1, 1), 2)])
def test_map_and_gradients_are_those_of_tensorflow(size, dilation):
    random = np.random.default_rng(0)
    features = tf.constant(random.normal(size=(2, *size, 4)), tf.float32)
    taps = tf.constant(random.normal(size=(3, 3, 4, 5)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([features, taps])
        ours = dilated_conv(features, taps, dilation)
        theirs = tf.nn.convolution(features, taps, padding="SAME", dilations=[dilation] * 2)
        totals = [tf.reduce_sum(value**2) for value in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for first, second in zip(*(tape.gradient(total, [features, taps]) for total in totals)):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)


def test_taps_that_meet_nothing_but_padding_are_not_computed():
    frames, taps = tf.TensorSpec((1, 4, 5, 8)), tf.TensorSpec((3, 3, 8, 2))
    for dilation, products in ((1, 9), (4, 3), (18, 1)):
        function = tf.function(lambda features, kernel, dilation=dilation: dilated_conv(features, kernel, dilation))
        graph = function.get_concrete_function(frames, taps).graph.as_graph_def()
        assert sum(node.op == "MatMul" for node in graph.node) == products
