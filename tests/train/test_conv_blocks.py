"""Convolutions with their normalisation: where the padding lies, what is learned, and how it starts."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from train.conv_blocks import batch_norm, conv_norm, conv_norm_relu, kernel_initializer, separable_norm_relu


def build(add, size=(12, 16), depth=3, **options) -> keras.Model:
    features = layers.Input((*size, depth), name="features")
    return keras.Model(features, add(features, **options))


def names_and_kinds(model: keras.Model) -> list[tuple[str, type]]:
    return [(layer.name, type(layer)) for layer in model.layers[1:]]


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 12), (1, 3)])
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_step_of_two_rounds_odd_sides_up(size, kernel_size):
    model = build(conv_norm, size, channels=2, kernel_size=kernel_size, stride=2, conv="conv", norm="norm")
    assert tuple(model.output.shape[1:3]) == tuple((side + 1) // 2 for side in size)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_dilated_convolution_keeps_the_size_and_looks_at_nine_points(dilation):
    size = (12, 16)
    model = build(conv_norm, size, depth=1, channels=1, kernel_size=3, dilation=dilation, conv="conv", norm="norm")
    model.get_layer("conv").set_weights([np.ones((3, 3, 1, 1), np.float32)])
    impulse = np.zeros((1, *size, 1), np.float32)
    impulse[0, 5, 7] = 1.0
    response = np.asarray(model(impulse))[0, ..., 0]
    assert response.shape == size
    rows, columns = np.nonzero(response)
    assert sorted(set(rows)) == [5 - dilation, 5, 5 + dilation]
    assert sorted(set(columns)) == [7 - dilation, 7, 7 + dilation]


def test_normalisation_has_the_constants_of_published_weights():
    norm = batch_norm("norm", first_gamma=0.25)
    norm.build((None, 4, 4, 6))
    assert (norm.name, norm.momentum, norm.epsilon) == ("norm", 0.9, 1e-5)
    gamma, beta, mean, variance = norm.get_weights()
    assert (gamma == 0.25).all() and (beta == 0).all() and (mean == 0).all() and (variance == 1).all()


def test_scale_of_the_normalisation_starts_where_it_is_told_to():
    options = {"channels": 2, "kernel_size": 1, "conv": "conv", "norm": "norm"}
    assert (np.asarray(build(conv_norm, **options).get_layer("norm").gamma) == 1).all()
    assert (np.asarray(build(conv_norm, **options, first_gamma=0.2).get_layer("norm").gamma) == np.float32(0.2)).all()


def test_kernels_start_with_a_variance_of_two_over_the_fan_out():
    keras.utils.set_random_seed(4)
    kernel = np.asarray(kernel_initializer()((3, 3, 40, 50)))
    # 18,000 numbers: the estimate of their variance is off by about 1 %.
    assert kernel.var() == pytest.approx(2 / (9 * 50), rel=0.05)


def test_convolution_is_followed_by_its_normalisation_and_a_relu():
    model = build(conv_norm_relu, channels=5, kernel_size=3, name="block")
    assert names_and_kinds(model) == [
        ("block", layers.Conv2D),
        ("block_bn", layers.BatchNormalization),
        ("block_relu", layers.ReLU),
    ]
    assert not model.get_layer("block").use_bias


def test_separable_convolution_has_normalisation_and_relu_behind_each_half():
    model = build(separable_norm_relu, channels=8, kernel_size=5, name="block")
    assert names_and_kinds(model) == [
        ("block_depthwise", layers.DepthwiseConv2D),
        ("block_depthwise_bn", layers.BatchNormalization),
        ("block_depthwise_relu", layers.ReLU),
        ("block_pointwise", layers.Conv2D),
        ("block_pointwise_bn", layers.BatchNormalization),
        ("block_pointwise_relu", layers.ReLU),
    ]
    assert model.get_layer("block_depthwise").kernel.shape == (5, 5, 3, 1)
    assert model.get_layer("block_pointwise").kernel.shape == (1, 1, 3, 8)
    assert not model.get_layer("block_depthwise").use_bias and not model.get_layer("block_pointwise").use_bias
    assert tuple(model.output.shape) == (None, 12, 16, 8)
