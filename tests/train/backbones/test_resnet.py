from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from train.backbones.resnet import BRANCH_GAMMA, resnet
from train.conv_blocks import conv_norm


def build(height: int, width: int, **options) -> keras.Model:
    frame = keras.layers.Input((height, width, 3))
    return keras.Model(frame, resnet(frame, **options)._asdict())


def trainable_count(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def stage_shapes(model: keras.Model) -> dict[str, tuple]:
    return {name: tuple(output.shape) for name, output in model.output.items()}


@pytest.fixture(scope="module")
def resnet50() -> keras.Model:
    return build(64, 96, depth=50)


def test_stages_have_strides_4_8_16_32(resnet50):
    assert stage_shapes(resnet50) == {
        "c1": (None, 16, 24, 256),
        "c2": (None, 8, 12, 512),
        "c3": (None, 4, 6, 1024),
        "c4": (None, 2, 3, 2048),
    }


# torchvision's resnet50 and resnet101 have 25,557,032 and 44,549,160 parameters; their classifier
# of 2048 x 1000 + 1000 is not part of a feature extractor.
@pytest.mark.parametrize(("depth", "published"), [(50, 25_557_032), (101, 44_549_160)])
def test_plain_stem_has_the_published_parameters(depth, published):
    model = build(32, 32, depth=depth, deep_stem=False)

    assert trainable_count(model) == published - 2_049_000


def test_deep_stem_ends_in_128_channels(resnet50):
    strides = [resnet50.get_layer(name).strides for name in ("conv1_0", "conv1_3", "conv1_6")]

    assert strides == [(2, 2), (1, 1), (1, 1)]
    assert resnet50.get_layer("conv1_6").output.shape == (None, 32, 48, 128)


def test_stages_step_on_the_3x3_convolution(resnet50):
    strides = [resnet50.get_layer(f"layer3_0_conv{index}").strides for index in (1, 2, 3)]

    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_step_can_be_on_the_first_1x1_convolution(resnet50):
    model = build(64, 96, depth=50, stride_on="1x1")

    for stage in (2, 3, 4):
        convolutions = [model.get_layer(f"layer{stage}_0_{name}") for name in ("conv1", "conv2", "conv3")]
        assert [layer.strides for layer in convolutions] == [(2, 2), (1, 1), (1, 1)]
        assert model.get_layer(f"layer{stage}_1_conv1").strides == (1, 1)
    assert stage_shapes(model) == stage_shapes(resnet50)
    assert [weight.shape for weight in model.weights] == [weight.shape for weight in resnet50.weights]


def test_step_on_the_1x1_convolution_takes_the_upper_left_of_four_pixels():
    layer = build(8, 8, depth=50, deep_stem=False, stride_on="1x1").get_layer("layer2_0_conv1")
    values = np.random.default_rng(0).normal(size=(1, 6, 7, 256)).astype(np.float32)

    response = keras.ops.convert_to_numpy(layer(values))

    np.testing.assert_allclose(response, values[:, ::2, ::2] @ layer.get_weights()[0][0, 0], atol=1e-4)


@pytest.mark.parametrize("stride_on", ["3x3", "1x1"])
@pytest.mark.parametrize(("size", "output_stride"), [((72, 104), 32), ((72, 104), 8), ((40, 56), 16)])
def test_sides_that_do_not_divide_are_rounded_up(size, output_stride, stride_on):
    shapes = stage_shapes(build(*size, depth=50, output_stride=output_stride, stride_on=stride_on))

    for name, stride in zip(("c1", "c2", "c3", "c4"), (4, 8, 16, 32)):
        step = min(stride, output_stride)
        assert shapes[name][1:3] == tuple(math.ceil(side / step) for side in size)


def test_output_stride_16_dilates_the_last_stage_alone():
    model = build(64, 96, depth=50, output_stride=16)

    assert stage_shapes(model)["c4"] == (None, 4, 6, 2048)
    names = ("layer3_0", "layer3_1", "layer4_0", "layer4_1")
    assert [model.get_layer(f"{name}_conv2").dilation_rate[0] for name in names] == [1, 1, 1, 2]
    assert model.get_layer("layer4_0_conv2").strides == (1, 1)


def test_last_normalisation_of_a_block_starts_small(resnet50):
    first_gammas = {
        layer.name: set(np.unique(layer.gamma).tolist())
        for layer in resnet50.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }

    for name, gammas in first_gammas.items():
        assert gammas == {float(np.float32(BRANCH_GAMMA if name.endswith("_bn3") else 1.0))}, name
    assert sum(name.endswith("_bn3") for name in first_gammas) == 3 + 4 + 6 + 3


@pytest.mark.slow
def test_activations_of_an_untrained_resnet_101_stay_in_the_range_of_float16():
    keras.utils.set_random_seed(3)
    model = build(64, 64, depth=101)
    frame = np.random.default_rng(3).normal(0, 1, (1, 64, 64, 3)).astype(np.float32)

    stages = model(frame, training=False)

    assert max(float(np.abs(stage).max()) for stage in stages.values()) < np.finfo(np.float16).max / 100


def test_output_stride_8_keeps_size_and_weights_and_dilates(resnet50):
    dilated = build(64, 96, depth=50, output_stride=8)

    assert stage_shapes(dilated)["c4"] == (None, 8, 12, 2048)
    assert [weight.shape for weight in dilated.weights] == [weight.shape for weight in resnet50.weights]
    names = ("layer2_1", "layer3_0", "layer3_1", "layer4_0", "layer4_1")
    assert [dilated.get_layer(f"{name}_conv2").dilation_rate[0] for name in names] == [1, 1, 2, 2, 4]


def test_step_of_two_is_padded_alike_on_both_sides():
    features = keras.layers.Input((6, 6, 1))
    model = keras.Model(features, conv_norm(features, 1, 3, stride=2, conv="conv", norm="norm"))
    kernel = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3, 1, 1)
    model.get_layer("conv").set_weights([kernel])
    impulse = np.zeros((1, 6, 6, 1), np.float32)
    impulse[0, 0, 0] = 1.0

    response = keras.ops.convert_to_numpy(model(impulse))[0, :, :, 0]

    # The window of output (0, 0) is rows and columns -1 to 1, so the pixel meets the kernel's centre.
    expected = np.zeros((3, 3))
    expected[0, 0] = 5.0 / math.sqrt(1.0 + 1e-5)
    np.testing.assert_allclose(response, expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{"depth": 34}, {"output_stride": 4}, {"stride_on": "2x2"}])
def test_unknown_form_is_refused(options):
    with pytest.raises(ValueError, match=r"expected (one of|3x3 or 1x1)"):
        build(32, 32, **options)
