"""Counting networks whose work can be told by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from edge.errors import SegEdgeError
from train.models.graph_statistics import graph_statistics
from train.models.symbolic_run import run_symbolically

HEIGHT, WIDTH, CHANNELS = 8, 12, 3
POSITIONS = HEIGHT * WIDTH


def frame():
    return keras.Input((HEIGHT, WIDTH, CHANNELS), name="frame")


def network(*stack) -> keras.Model:
    """Return a model of layers one behind the other."""
    start = features = frame()
    for layer in stack:
        features = layer(features)
    return keras.Model(start, features)


def statistics(*stack):
    return graph_statistics(network(*stack))


# Multiply-adds and parameters


@pytest.mark.parametrize(
    ("layer", "multiply_adds", "parameters"),
    [
        (layers.Conv2D(5, 3, padding="same"), POSITIONS * 9 * 3 * 5, 9 * 3 * 5 + 5),
        (layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False), POSITIONS // 4 * 9 * 3 * 5, 9 * 3 * 5),
        (layers.Conv2D(5, (3, 1), use_bias=False), 6 * 12 * 3 * 3 * 5, 3 * 3 * 5),
        (layers.Conv2D(5, 3, dilation_rate=2, use_bias=False), 4 * 8 * 9 * 3 * 5, 9 * 3 * 5),
        (layers.Conv2D(6, 1, groups=3, use_bias=False), POSITIONS * 6, 6),
        (layers.DepthwiseConv2D(3, padding="same", use_bias=False), POSITIONS * 9 * 3, 9 * 3),
        (layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), 6 * 10 * 9 * 6, 9 * 6),
        (layers.SeparableConv2D(5, 3, strides=2, padding="same"), POSITIONS // 4 * (9 * 3 + 3 * 5), 27 + 15 + 5),
        (layers.Conv2DTranspose(5, 2, strides=2), POSITIONS * 4 * 3 * 5, 4 * 3 * 5 + 5),
        (layers.Dense(7), POSITIONS * 3 * 7, 3 * 7 + 7),
    ],
)
def test_layer_with_a_kernel_is_counted_by_its_shapes(layer, multiply_adds, parameters):
    counted = statistics(layer)
    assert counted.multiply_adds == multiply_adds
    assert counted.parameters == counted.convolution_parameters == parameters


def test_normalisation_activation_pooling_and_resizing_are_no_work():
    counted = statistics(
        layers.Rescaling(2.0),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
    )
    assert counted.multiply_adds == 0


def test_scales_of_batchnorm_are_parameters_and_its_means_are_statistics():
    counted = statistics(layers.Conv2D(5, 1, use_bias=False), layers.BatchNormalization())
    assert counted.parameters == 15 + 2 * 5
    assert counted.convolution_parameters == 15
    assert counted.normalisation_statistics == 2 * 5


def test_layer_that_is_called_twice_works_twice_and_has_its_weights_once():
    start = frame()
    shared = layers.Conv2D(3, 3, padding="same", use_bias=False)
    counted = graph_statistics(keras.Model(start, shared(shared(start))))
    assert counted.multiply_adds == 2 * POSITIONS * 81
    assert counted.parameters == 81


def test_samples_of_one_frame_are_counted_each():
    class Samples(layers.Layer):
        receptive_field = "position"

        def call(self, features):
            return ops.repeat(features, 4, axis=0)

    counted = statistics(layers.Conv2D(2, 1, use_bias=False), Samples(), layers.Dense(5, use_bias=False))
    assert counted.multiply_adds == POSITIONS * 3 * 2 + 4 * POSITIONS * 2 * 5
    assert statistics(Samples(), CountedMixing()).multiply_adds == 4 * POSITIONS * 3 * 6


def test_heads_of_training_are_counted_apart():
    start = frame()
    features = layers.Conv2D(4, 1)(start)
    logits, head = layers.Conv2D(2, 1, name="logits")(features), layers.Conv2D(3, 1, name="head")(features)
    counted = graph_statistics(keras.Model(start, logits), keras.Model(start, {"logits": logits, "head": head}))
    assert counted.parameters == (3 * 4 + 4) + (4 * 2 + 2)
    assert counted.training_only_parameters == 4 * 3 + 3
    assert counted.multiply_adds == POSITIONS * (3 * 4 + 4 * 2)


# Layers inside layers


def small_model() -> keras.Model:
    start = keras.Input((None, None, 3))
    return keras.Model(start, layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)(start))


class Pair(layers.Layer):
    """Two layers in one, of which the second is called twice."""

    receptive_field = ((3, 3), (1, 1))

    def __init__(self, second: layers.Layer) -> None:
        super().__init__()
        self.first = layers.Conv2D(4, 3, padding="same", use_bias=False)
        self.second = second

    def call(self, features):
        features = self.first(features)
        return self.second(features) + self.second(features)


class CountedPair(Pair):
    def multiply_adds(self, input_shape):
        return POSITIONS * (27 * 4 + 2 * 4 * 5)


def test_work_of_models_inside_the_model_is_counted():
    sequential = keras.Sequential([layers.Conv2D(2, 1, use_bias=False), layers.ReLU(), layers.Dense(3)])
    counted = statistics(small_model(), sequential)
    assert counted.multiply_adds == POSITIONS // 4 * (27 * 4 + 4 * 2 + 2 * 3)
    assert counted.convolution_parameters == 27 * 4 + 4 * 2 + 2 * 3 + 3


def test_layer_that_holds_layers_says_its_own_work():
    counted = statistics(CountedPair(layers.Dense(5, use_bias=False)))
    assert counted.multiply_adds == POSITIONS * (27 * 4 + 2 * 4 * 5)
    assert counted.parameters == counted.convolution_parameters == 27 * 4 + 4 * 5


def test_layer_that_holds_layers_and_does_not_say_its_work_is_refused():
    with pytest.raises(SegEdgeError, match=r"is of the kind Pair, has a weight of shape \(3, 3, 3, 4\)"):
        statistics(Pair(layers.Dense(5)))


def test_counting_leaves_the_model_as_it_was():
    pair = CountedPair(layers.Dense(5))
    model = network(pair)
    before = np.asarray(model(np.ones((1, HEIGHT, WIDTH, 3), np.float32)))
    assert graph_statistics(model) == graph_statistics(model)
    assert pair.output.shape == (None, HEIGHT, WIDTH, 5)  # Keras refuses this of a layer that was called twice
    np.testing.assert_array_equal(np.asarray(model(np.ones((1, HEIGHT, WIDTH, 3), np.float32))), before)


# Layers of other kinds


class Mixing(layers.Layer):
    """A matrix product that is written with ops."""

    receptive_field = "position"

    def build(self, input_shape):
        self.mixture = self.add_weight(shape=(input_shape[-1], 6), name="mixture")

    def call(self, features):
        return ops.matmul(features, self.mixture)


class CountedMixing(Mixing):
    def multiply_adds(self, input_shape):
        assert len(input_shape) == 4 and None not in input_shape
        return input_shape[1] * input_shape[2] * input_shape[3] * 6


class Attending(layers.Layer):
    receptive_field = "position"

    def call(self, features, others):
        return features * others

    def compute_output_shape(self, features_shape, others_shape):
        return features_shape

    def multiply_adds(self, features_shape, others_shape):
        return 100 * features_shape[-1] + others_shape[-1]


def test_layer_says_its_own_work():
    assert statistics(CountedMixing()).multiply_adds == POSITIONS * 3 * 6


def test_layer_of_two_inputs_is_given_both_shapes():
    start = frame()
    model = keras.Model(start, Attending()(start, layers.Conv2D(3, 1, use_bias=False)(start)))
    assert graph_statistics(model).multiply_adds == 303 + POSITIONS * 9


def test_weights_that_nobody_counts_are_refused_with_the_layers_name():
    with pytest.raises(SegEdgeError, match=r"layer 'blend' is of the kind Mixing, has a weight of shape \(3, 6\)"):
        statistics(Mixing(name="blend"))


def test_weights_of_a_layer_beside_the_layers_inside_it_are_refused():
    class PairWithMatrix(Pair):
        def build(self, input_shape):
            self.matrix = self.add_weight(shape=(2, 2), name="matrix")

    with pytest.raises(SegEdgeError, match=r"PairWithMatrix, has a weight of shape \(2, 2\)"):
        statistics(PairWithMatrix(layers.ReLU()))


def test_subclass_of_a_known_kind_is_not_taken_for_it():
    class Other(layers.Conv2D):
        receptive_field = "position"

    with pytest.raises(SegEdgeError, match="layer 'other' is of the kind Other, has a weight"):
        statistics(Other(2, 1, name="other"))


def test_layer_whose_field_is_unknown_is_refused_with_its_name():
    with pytest.raises(SegEdgeError, match="layer 'shuffle' is of the kind Permute, whose receptive field"):
        statistics(layers.Permute((2, 1, 3), name="shuffle"))


def test_operation_whose_field_is_unknown_is_refused():
    start = frame()
    with pytest.raises(SegEdgeError, match="of the kind Roll, whose receptive field is not known"):
        graph_statistics(keras.Model(start, ops.roll(start, 2, axis=1)))


def test_joining_along_rows_is_refused():
    start = frame()
    with pytest.raises(SegEdgeError, match="of the kind Concatenate"):
        graph_statistics(keras.Model(start, layers.Concatenate(axis=1)([start, start])))


def test_field_that_is_spelt_wrong_is_refused():
    class Odd(layers.ReLU):
        receptive_field = "everything"

    with pytest.raises(SegEdgeError, match=r"receptive_field of layer 'odd' \(Odd\) is 'everything', expected 'pos"):
        statistics(Odd(name="odd"))


def test_size_that_is_not_known_is_refused():
    start = keras.Input((None, WIDTH, 3), name="frame")
    with pytest.raises(SegEdgeError, match=r"expected every side to be known"):
        graph_statistics(keras.Model(start, layers.ReLU()(start)))


# The run itself


def test_run_lists_every_call_behind_those_it_depends_on():
    start = frame()
    inner = small_model()
    halves = [inner(layers.ReLU()(start)), inner(start)]
    run = run_symbolically(keras.Model(start, layers.Add()(halves)))
    known = set(run.inputs)
    for call in run.calls:
        assert set(call.inputs) <= known
        known |= set(call.outputs)
    assert set(run.outputs) <= known
    kinds = sorted(type(call.operation).__name__ for call in run.calls)
    assert kinds == ["Add", "Conv2D", "Conv2D", "ReLU"]
