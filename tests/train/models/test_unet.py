"""U-Net has the channels, the dropout and the skip connections of its paper."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers

from edge.errors import SizeError
from train.models.base import LOGITS
from train.models.unet import UNET

CLASSES = 19


@pytest.fixture(scope="module")
def full(structure_alone) -> keras.Model:
    with structure_alone():
        return UNET.build(64, 96, CLASSES)


@pytest.fixture(scope="module")
def odd() -> keras.Model:
    """Thin, at a size whose third and fourth levels have odd sides: 72x104, 36x52, 18x26, 9x13, 4x6."""
    keras.utils.set_random_seed(9)
    return UNET.build(72, 104, 5, base_width=4)


def layer_before(tensor) -> layers.Layer:
    return tensor._keras_history.operation


def trainable_count(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def shape_behind(model: keras.Model, name: str) -> tuple:
    return tuple(model.get_layer(name).output.shape[1:])


# Size


def test_parameters_are_the_31_0_million_of_the_paper(full):
    assert trainable_count(full) == pytest.approx(31.0e6, abs=0.05e6)


@pytest.mark.parametrize("level", range(1, 10))
def test_levels_have_64_to_1024_channels_and_back(full, level):
    depth = min(level, 10 - level)
    channels = 64 * 2 ** (depth - 1)
    for index in (1, 2):
        assert full.get_layer(f"conv{level}_{index}").kernel_size == (3, 3)
        assert shape_behind(full, f"conv{level}_{index}") == (64 >> (depth - 1), 96 >> (depth - 1), channels)


def test_logits_are_float32_at_the_size_of_the_frame(full):
    assert (tuple(full.output[LOGITS].shape), full.output[LOGITS].dtype) == ((None, 64, 96, CLASSES), "float32")
    assert full.get_layer(LOGITS).kernel_size == (1, 1)
    assert UNET.stride == 1 and set(full.output) == {LOGITS}


@pytest.mark.parametrize("base_width", [1, 4, 48])
def test_base_width_scales_every_level(base_width):
    model = UNET.build(16, 16, 3, base_width=base_width)
    widths = [model.get_layer(f"conv{level}_2").filters for level in range(1, 10)]
    assert widths == [base_width * factor for factor in (1, 2, 4, 8, 16, 8, 4, 2, 1)]


# Structure


def test_dropout_follows_the_fourth_and_fifth_level_alone(full):
    dropouts = [layer for layer in full.layers if isinstance(layer, layers.Dropout)]
    assert [(layer.name, layer.rate) for layer in dropouts] == [("drop4", 0.5), ("drop5", 0.5)]
    assert [layer_before(layer.input).name for layer in dropouts] == ["conv4_2_relu", "conv5_2_relu"]
    # The skip of level 4 passes through the dropout too, as the pooling does.
    assert full.get_layer("pool4").input is full.get_layer("drop4").output
    assert full.get_layer("merge6").input[0] is full.get_layer("drop4").output


@pytest.mark.parametrize("level", range(6, 10))
def test_way_up_is_a_2x2_transposed_convolution_to_half_the_channels_without_activation(full, level):
    layer = full.get_layer(f"up{level}")
    assert isinstance(layer, layers.Conv2DTranspose)
    assert (layer.kernel_size, layer.strides, layer.use_bias) == ((2, 2), (2, 2), True)
    assert layer.activation is keras.activations.linear
    assert 2 * layer.filters == layer.input.shape[-1]


@pytest.mark.parametrize("level", range(6, 10))
def test_skip_connection_stands_in_front_of_what_comes_up(full, level):
    skip, raised = full.get_layer(f"merge{level}").input
    assert layer_before(skip).name == {6: "drop4", 7: "conv3_2_relu", 8: "conv2_2_relu", 9: "conv1_2_relu"}[level]
    assert layer_before(raised).name == f"up{level}"
    assert full.get_layer(f"conv{level}_1").input is full.get_layer(f"merge{level}").output


def test_pooling_takes_the_maximum_of_2x2(full):
    pools = [layer for layer in full.layers if isinstance(layer, layers.MaxPooling2D)]
    assert [(layer.name, layer.pool_size) for layer in pools] == [(f"pool{level}", (2, 2)) for level in range(1, 5)]


@pytest.mark.parametrize("normed", [False, True])
def test_each_convolution_has_a_bias_or_a_normalisation(normed):
    model = UNET.build(16, 16, 3, base_width=2, batch_norm=normed)
    convolutions = [layer for layer in model.layers if type(layer) is layers.Conv2D and layer.name != LOGITS]
    assert len(convolutions) == 18
    for layer in convolutions:
        (follower,) = [node.operation for node in layer._outbound_nodes]
        assert layer.use_bias is not normed
        assert follower.name == f"{layer.name}_{'bn' if normed else 'relu'}"
    assert isinstance(model.get_layer("conv9_2_relu"), layers.ReLU)
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers) == (18 if normed else 0)
    assert model.get_layer(LOGITS).use_bias


# Sizes


def test_odd_sides_drop_their_last_row_and_get_zeros_on_the_way_up(odd):
    assert tuple(odd.output[LOGITS].shape) == (None, 72, 104, 5)
    # Level 4 is 9x13, level 5 4x6: a row and a column are missing on the way up, and nowhere else.
    padded = [layer for layer in odd.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert [(layer.name, layer.padding) for layer in padded] == [("up6_pad", ((0, 1), (0, 1)))]
    assert shape_behind(odd, "up6") == (8, 12, 32)
    raised = keras.Model(odd.input, odd.get_layer("merge6").output)
    frames = np.random.default_rng(1).uniform(0, 255, (1, 72, 104, 3)).astype(np.float32)
    merged = np.asarray(raised(frames, training=False))[0, :, :, 32:]
    assert not merged[8].any() and not merged[:, 12].any()
    assert merged[:8, :12].all(-1).any()


def test_network_of_random_weights_answers_to_its_input(odd):
    frames = np.random.default_rng(0).integers(0, 256, (2, 72, 104, 3)).astype(np.float32)
    logits = np.asarray(odd(frames, training=False)[LOGITS])
    assert np.isfinite(logits).all() and np.ptp(logits) > 0
    assert not np.allclose(logits[0], logits[1])


@pytest.mark.parametrize(("size", "nearest"), [((70, 96), "72x96"), ((64, 100), "64x96"), ((8, 64), "16x64")])
def test_size_that_does_not_fit_is_refused_with_the_nearest(size, nearest):
    got = f"{size[0]}x{size[1]}"
    with pytest.raises(SizeError, match=f"unet takes sizes that are multiples of 8 from 16 on, got {got}.*{nearest}$"):
        UNET.build(*size, CLASSES)


def test_smallest_size_has_one_position_at_the_lowest_level():
    assert shape_behind(UNET.build(16, 16, 3, base_width=1), "conv5_2") == (1, 1, 16)
