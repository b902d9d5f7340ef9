"""The memory of a graph, counted without a run: of graphs whose peak can be told by hand."""

from __future__ import annotations

import tensorflow as tf

from train.engine.graph_memory import peak_bytes

SIZE = 1000
BYTES = 4 * SIZE


def peak_of(function) -> int:
    return peak_bytes(tf.function(function).get_concrete_function(tf.TensorSpec((SIZE,), tf.float32)).graph)


def test_chain_of_operators_that_need_a_result_of_their_own_holds_two():
    assert peak_of(lambda x: tf.cumsum(tf.cumsum(tf.cumsum(tf.cumsum(x))))) == 2 * BYTES


def test_operator_writes_into_the_memory_that_nobody_else_needs():
    assert peak_of(lambda x: tf.nn.relu(tf.nn.relu(tf.cumsum(x)) + 1.0)) == BYTES


def test_what_is_needed_later_stays():
    def late(x):
        first = tf.cumsum(x)
        return tf.cumsum(tf.cumsum(tf.cumsum(first))) * first

    assert peak_of(late) == 3 * BYTES


def test_other_shape_of_the_same_memory_is_free():
    assert peak_of(lambda x: tf.reshape(tf.expand_dims(tf.cumsum(x), 0), (10, 100))) == BYTES


def test_question_for_the_shape_keeps_nothing():
    def asks(x):
        first = tf.cumsum(x)
        second = tf.cumsum(first)
        return tf.cumsum(second) + tf.cast(tf.raw_ops.Size(input=first), tf.float32)

    assert peak_of(asks) == 2 * BYTES


def test_backward_pass_needs_what_the_forward_pass_made():
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = x
            for _ in range(5):
                value = tf.sin(value)
        return tape.gradient(value, x)

    # Four results of sin are kept for the cosines of the backward pass, beside what the backward pass makes.
    assert 5 * BYTES <= peak_of(gradient) <= 7 * BYTES
