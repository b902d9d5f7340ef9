"""Context modules: the branches they have, what each of them sees, and how they are joined."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from train.conv_blocks import conv_norm_relu
from train.models.context import PYRAMID_BINS, atrous_pyramid, pyramid_pooling

HEIGHT, WIDTH, CHANNELS = 13, 17, 6
RATES = (2, 4, 6)


def build_atrous(pooling_norm: bool = True, coordinates: str = "half_pixel", size=(HEIGHT, WIDTH)) -> keras.Model:
    features = layers.Input((*size, CHANNELS), name="features")
    dropout = layers.Dropout(0.4, name="aspp_dropout")
    options = {"coordinates": coordinates, "dropout": dropout, "pooling_norm": pooling_norm}
    return keras.Model(features, atrous_pyramid(features, 8, RATES, "aspp", **options))


def build_pyramid(coordinates: str = "half_pixel", channels: int = 8) -> keras.Model:
    features = layers.Input((HEIGHT, WIDTH, channels), name="features")

    def add_conv(pooled, filters, name):
        return layers.Conv2D(filters, 1, name=name)(pooled)

    pyramid = pyramid_pooling(features, "pyramid", add_conv=add_conv, coordinates=coordinates)
    return keras.Model(features, pyramid)


def layer_before(tensor) -> layers.Layer:
    return tensor._keras_history.operation


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(8).normal(0, 1, shape).astype(np.float32)


# Atrous spatial pyramid pooling


def test_atrous_pyramid_joins_a_point_the_rates_and_the_mean_in_this_order():
    model = build_atrous()
    joined = model.get_layer("aspp_join").input
    names = [layer_before(tensor).name for tensor in joined]
    assert names == ["aspp_point_relu", *(f"aspp_rate{rate}_relu" for rate in RATES), "aspp_pool_resize"]
    assert {tuple(tensor.shape) for tensor in joined} == {(None, HEIGHT, WIDTH, 8)}


def test_each_rate_dilates_a_3x3_convolution():
    model = build_atrous()
    for rate in RATES:
        layer = model.get_layer(f"aspp_rate{rate}")
        assert (layer.kernel_size, layer.dilation_rate, layer.use_bias) == ((3, 3), (rate, rate), False)
    assert model.get_layer("aspp_point").kernel_size == (1, 1)


def test_a_1x1_convolution_joins_the_branches_and_dropout_follows():
    model = build_atrous()
    assert model.get_layer("aspp_project").kernel.shape == (1, 1, 5 * 8, 8)
    assert layer_before(model.output).name == "aspp_dropout"
    assert layer_before(model.get_layer("aspp_dropout").input).name == "aspp_project_relu"
    assert tuple(model.output.shape) == (None, HEIGHT, WIDTH, 8)


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_branch_of_the_mean_is_the_same_everywhere(coordinates):
    keras.utils.set_random_seed(5)
    model = build_atrous(coordinates=coordinates)
    features = values(2, HEIGHT, WIDTH, CHANNELS)
    branch = keras.Model(model.input, model.get_layer("aspp_pool_resize").output)
    response = np.asarray(branch(features, training=False))
    kernel = model.get_layer("aspp_pool").get_weights()[0][0, 0]
    expected = np.maximum(features.mean((1, 2)) @ kernel / np.sqrt(1 + 1e-5), 0)
    np.testing.assert_allclose(response, np.broadcast_to(expected[:, None, None], response.shape), atol=1e-5)
    assert model.get_layer("aspp_pool_resize").coordinates == coordinates


def test_branch_of_the_mean_can_do_without_normalisation():
    names = {layer.name for layer in build_atrous(pooling_norm=False).layers}
    assert names == {layer.name for layer in build_atrous().layers} - {"aspp_pool_bn"}
    assert not build_atrous(pooling_norm=False).get_layer("aspp_pool").use_bias


# Pyramid pooling


def test_pyramid_keeps_the_features_in_front_of_four_grids():
    model = build_pyramid()
    features, *branches = model.get_layer("pyramid_concat").input
    assert features is model.input
    assert [layer_before(tensor).name for tensor in branches] == [f"pyramid_{bins}_resize" for bins in (1, 2, 3, 6)]
    assert PYRAMID_BINS == (1, 2, 3, 6)
    assert tuple(model.output.shape) == (None, HEIGHT, WIDTH, 16)


@pytest.mark.parametrize("bins", PYRAMID_BINS)
def test_each_grid_has_its_own_convolution_to_a_quarter_of_the_channels(bins):
    model = build_pyramid()
    assert tuple(model.get_layer(f"pyramid_{bins}_pool").output.shape) == (None, bins, bins, 8)
    assert tuple(model.get_layer(f"pyramid_{bins}_conv").output.shape) == (None, bins, bins, 2)
    assert model.get_layer(f"pyramid_{bins}_resize").input is model.get_layer(f"pyramid_{bins}_conv").output


def test_grid_of_one_cell_is_the_mean():
    keras.utils.set_random_seed(6)
    model = build_pyramid()
    features = values(2, HEIGHT, WIDTH, 8)
    kernel = model.get_layer("pyramid_1_conv").get_weights()[0][0, 0]
    response = np.asarray(model(features))
    np.testing.assert_array_equal(response[..., :8], features)
    expected = np.broadcast_to((features.mean((1, 2)) @ kernel)[:, None, None], (2, HEIGHT, WIDTH, 2))
    np.testing.assert_allclose(response[..., 8:10], expected, atol=1e-5)


def test_pyramid_resizes_by_the_rule_named():
    model = build_pyramid("align_corners")
    assert {model.get_layer(f"pyramid_{bins}_resize").coordinates for bins in PYRAMID_BINS} == {"align_corners"}


def test_convolution_of_the_pyramid_is_the_callers():
    features = layers.Input((6, 6, 8))
    pyramid = pyramid_pooling(
        features,
        "pyramid",
        coordinates="half_pixel",
        add_conv=lambda pooled, c, name: conv_norm_relu(pooled, c, 1, name),
    )
    names = {layer.name for layer in keras.Model(features, pyramid).layers}
    assert {"pyramid_6_conv", "pyramid_6_conv_bn", "pyramid_6_conv_relu"} <= names
