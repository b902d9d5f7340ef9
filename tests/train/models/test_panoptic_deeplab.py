"""Panoptic-DeepLab has two pyramids, two decoders and three heads, on either backbone."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers

from edge.contract import CENTRE_HEATMAP, OFFSETS
from edge.errors import SizeError
from train.models.base import LOGITS, inference_model
from train.models.panoptic_deeplab import CENTRE, OFFSET, PANOPTIC_DEEPLAB

CLASSES = 19
BRANCHES = ("semantic", "instance")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(5)
    return PANOPTIC_DEEPLAB.build(136, 200, CLASSES)


@pytest.fixture(scope="module")
def light() -> keras.Model:
    keras.utils.set_random_seed(6)
    return PANOPTIC_DEEPLAB.build(72, 104, CLASSES, backbone="mobilenet_v3_large")


@pytest.fixture(scope="module")
def unnormed(structure_alone) -> keras.Model:
    """Without BatchNorm in its image poolings, at output stride 16."""
    with structure_alone():
        return PANOPTIC_DEEPLAB.build(72, 104, CLASSES, pooling_norm=False, output_stride=16)


@pytest.fixture(scope="module")
def aligned_light(light, structure_alone) -> keras.Model:
    """The light network a second time in this process, with the other coordinate rule."""
    with structure_alone():
        return PANOPTIC_DEEPLAB.build(72, 104, CLASSES, backbone="mobilenet_v3_large", coordinates="align_corners")


def layer_before(tensor) -> layers.Layer:
    return tensor._keras_history.operation


def trainable_count(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


# Outputs


@pytest.mark.parametrize(("name", "size"), [("model", (34, 50)), ("light", (18, 26))])
def test_three_heads_give_float32_at_stride_4(request, name, size):
    outputs = request.getfixturevalue(name).output
    assert {key: tuple(output.shape) for key, output in outputs.items()} == {
        LOGITS: (None, *size, CLASSES),
        CENTRE: (None, *size, 1),
        OFFSET: (None, *size, 2),
    }
    assert {output.dtype for output in outputs.values()} == {"float32"}
    assert PANOPTIC_DEEPLAB.stride == 4


def test_inference_keeps_all_three_and_says_what_they_mean(model):
    extra = PANOPTIC_DEEPLAB.extra_outputs(CLASSES, {})
    assert [(output.name, output.channels, output.kind) for output in extra] == [
        (CENTRE, 1, CENTRE_HEATMAP),
        (OFFSET, 2, OFFSETS),
    ]
    inference = inference_model(model, tuple(output.name for output in extra))
    assert list(inference.output) == [LOGITS, CENTRE, OFFSET]
    assert {layer.name for layer in inference.layers} == {layer.name for layer in model.layers}


@pytest.mark.parametrize("name", ["model", "light"])
def test_untrained_network_answers_to_its_input(request, name):
    network = request.getfixturevalue(name)
    frames = np.random.default_rng(0).integers(0, 256, (2, *network.input.shape[1:])).astype(np.float32)
    for output in network(frames, training=False).values():
        values = np.asarray(output)
        assert np.isfinite(values).all() and np.ptp(values) > 0
        assert not np.allclose(values[0], values[1])


# Size


def test_parameters_match_the_published_55_3_million(unnormed):
    # Of bowenc0221/panoptic-deeplab's configuration panoptic_deeplab_R50_os32_cityscapes, whose image
    # poolings have no BatchNorm: ours then has exactly as many.
    count = trainable_count(unnormed)
    assert count == pytest.approx(55.3e6, rel=0.01)
    assert count == 55_308_870


def test_normalisation_of_the_image_poolings_adds_two_weights_a_channel(model, unnormed):
    names, fewer = (
        {layer.name for layer in network.layers if "_aspp_pool" in layer.name} for network in (model, unnormed)
    )
    assert names - fewer == {f"{branch}_aspp_pool_bn" for branch in BRANCHES}
    assert trainable_count(model) - trainable_count(unnormed) == 2 * 2 * 256


def test_light_backbone_makes_a_small_network(light):
    stages = [tuple(light.get_layer(f"expanded_conv_{block}_add").output.shape[1:]) for block in (2, 5, 11, 14)]
    assert stages == [(18, 26, 24), (9, 13, 40), (5, 7, 112), (3, 4, 160)]
    assert trainable_count(light) < 10e6


# Structure


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize(("name", "top"), [("model", "layer4_2_out"), ("light", "expanded_conv_14_add")])
def test_each_branch_has_a_pyramid_of_its_own_on_the_last_stage(request, name, top, branch):
    network = request.getfixturevalue(name)
    joined = [layer_before(tensor).name for tensor in network.get_layer(f"{branch}_aspp_join").input]
    rates = [f"{branch}_aspp_rate{rate}_relu" for rate in (3, 6, 9)]
    assert joined == [f"{branch}_aspp_point_relu", *rates, f"{branch}_aspp_pool_resize"]
    assert network.get_layer(f"{branch}_aspp_point").input is network.get_layer(top).output
    dropout = network.get_layer(f"{branch}_aspp_dropout")
    assert (dropout.rate, dropout.output.shape[-1]) == (0.5, 256)


@pytest.mark.parametrize(
    ("branch", "low_widths", "width"), [("semantic", (128, 64, 32), 256), ("instance", (64, 32, 16), 128)]
)
def test_each_decoder_fuses_the_stages_of_stride_16_8_and_4(model, branch, low_widths, width):
    previous = model.get_layer(f"{branch}_aspp_dropout").output
    sizes = ((9, 13), (17, 25), (34, 50))
    for index, (stage, low_width, size) in enumerate(zip((3, 2, 1), low_widths, sizes)):
        last = {1: 2, 2: 3, 3: 5}[stage]
        assert model.get_layer(f"{branch}_low{index}").input is model.get_layer(f"layer{stage}_{last}_out").output
        assert model.get_layer(f"{branch}_low{index}").kernel.shape[:2] == (1, 1)
        raised, low = model.get_layer(f"{branch}_join{index}").input
        assert layer_before(raised).input is previous
        assert (layer_before(low).name, low.shape[-1]) == (f"{branch}_low{index}_relu", low_width)
        assert tuple(raised.shape[1:3]) == tuple(low.shape[1:3]) == size
        previous = model.get_layer(f"{branch}_fuse{index}_pointwise_relu").output
        assert previous.shape[-1] == width
    heads = {"semantic": [LOGITS], "instance": [CENTRE, OFFSET]}[branch]
    assert {model.get_layer(f"{head}_head_depthwise").input is previous for head in heads} == {True}


@pytest.mark.parametrize(
    "name", [*(f"{branch}_fuse{index}" for branch in BRANCHES for index in range(3)), "logits_head", "centre_head"]
)
def test_fusions_are_5x5_separable_with_normalisation_and_relu_behind_each_half(model, name):
    tensor = model.get_layer(f"{name}_pointwise_relu").output
    kinds = []
    for _ in range(6):
        layer = layer_before(tensor)
        kinds.append(type(layer))
        tensor = layer.input
    half = [layers.ReLU, layers.BatchNormalization]
    assert kinds == [*half, layers.Conv2D, *half, layers.DepthwiseConv2D]
    assert model.get_layer(f"{name}_depthwise").kernel_size == (5, 5)
    assert model.get_layer(f"{name}_pointwise").kernel_size == (1, 1)


def test_heads_end_in_a_1x1_convolution(model):
    for name, width in ((LOGITS, 256), (CENTRE, 32), (OFFSET, 32)):
        head = model.get_layer(name)
        assert (head.kernel_size, head.use_bias, head.input.shape[-1]) == ((1, 1), True, width)


def test_output_stride_16_dilates_the_last_stage_and_doubles_the_rates(unnormed):
    assert unnormed.get_layer("layer4_2_out").output.shape[1:3] == (5, 7)
    assert unnormed.get_layer("layer4_1_conv2").dilation_rate == (2, 2)
    for branch in BRANCHES:
        for rate in (6, 12, 18):
            assert unnormed.get_layer(f"{branch}_aspp_rate{rate}").dilation_rate == (rate, rate)
    assert tuple(unnormed.output[LOGITS].shape) == (None, 18, 26, CLASSES)


def test_every_resize_follows_the_coordinate_rule(light, aligned_light):
    for network, rule in ((light, "half_pixel"), (aligned_light, "align_corners")):
        resizes = [layer for layer in network.layers if "_resize" in layer.name]
        assert len(resizes) == 2 * (1 + 3)
        assert {layer.coordinates for layer in resizes} == {rule}


def test_two_builds_in_one_process_have_the_same_names(light, aligned_light):
    assert [layer.name for layer in aligned_light.layers] == [layer.name for layer in light.layers]


def test_size_that_is_no_multiple_of_8_is_refused_with_the_nearest():
    with pytest.raises(SizeError, match=r"multiples of 8, got 136x203\. Next: --size 136x200"):
        PANOPTIC_DEEPLAB.build(136, 203, CLASSES)
