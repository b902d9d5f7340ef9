"""Fast-SCNN has the structure, the weights and the work of its paper."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
from keras import layers

from edge.errors import InputError, SizeError
from train.models import MODELS, model_spec
from train.models.base import LOGITS, NORMALIZATIONS, inference_model, normalize
from train.models.fast_scnn import FAST_SCNN

CLASSES = 19


@pytest.fixture(scope="module")
def full() -> keras.Model:
    return FAST_SCNN.build(1024, 2048, CLASSES)


@pytest.fixture(scope="module")
def network(full) -> keras.Model:
    return inference_model(full)


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D))]


def count(weights) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def reader(model, layer):
    """Return the one layer that reads the output of a layer."""
    readers = [node.operation for node in layer._outbound_nodes if node.operation in model.layers]
    assert len(readers) == 1
    return readers[0]


# Size


def test_weights_are_the_1_11_million_of_the_paper(network):
    # The paper's figure is that of the convolutions, with the classifier's bias, without BatchNorm.
    assert sum(count(layer.weights) for layer in convolutions(network)) == 1_114_115


def test_trainable_weights_add_two_for_each_normalised_channel(network):
    norms = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    channels = sum(layer.gamma.shape[0] for layer in norms)
    assert count(network.trainable_weights) == 1_114_115 + 2 * channels == 1_137_795


def test_auxiliary_heads_are_for_training_alone(full, network):
    assert set(full.output) == {LOGITS, "auxiliary_high", "auxiliary_low"}
    assert not [layer.name for layer in network.layers if layer.name.startswith("auxiliary")]


def test_work_at_full_size_is_6_7_billion_multiply_adds(network):
    macs = 0
    for layer in convolutions(network):
        _, height, width, _ = layer.output.shape
        macs += height * width * math.prod(layer.kernel.shape)
    assert macs / 1e9 == pytest.approx(6.7, abs=0.05)


# Structure (Table 1 of the paper)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("downsample_conv_relu", (512, 1024, 32)),
        ("downsample_sep1_pointwise_relu", (256, 512, 48)),
        ("downsample_sep2_pointwise_relu", (128, 256, 64)),
        ("global_1_3_add", (64, 128, 64)),
        ("global_2_3_add", (32, 64, 96)),
        ("global_3_3_add", (32, 64, 128)),
        ("pyramid_out_relu", (32, 64, 128)),
        ("fusion_relu", (128, 256, 128)),
        (LOGITS, (128, 256, CLASSES)),
    ],
)
def test_stage_has_the_shape_of_the_papers_table(network, name, shape):
    assert tuple(network.get_layer(name).output.shape[1:]) == shape


def test_logits_are_float32_at_stride_8(full):
    assert FAST_SCNN.stride == 8
    assert full.output[LOGITS].dtype == "float32"
    assert tuple(full.output["auxiliary_high"].shape[1:]) == (128, 256, CLASSES)
    assert tuple(full.output["auxiliary_low"].shape[1:]) == (32, 64, CLASSES)


def test_separable_convolutions_have_no_relu_between_their_halves(network):
    for name in ("downsample_sep1", "downsample_sep2", "classifier_sep1", "classifier_sep2"):
        norm = reader(network, network.get_layer(f"{name}_depthwise"))
        assert isinstance(norm, layers.BatchNormalization)
        assert reader(network, norm) is network.get_layer(f"{name}_pointwise")


def test_bottlenecks_expand_by_six_and_end_without_relu(network):
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name = f"global_{stage}_{block}"
            expand, project = network.get_layer(f"{name}_expand"), network.get_layer(f"{name}_project")
            assert expand.filters == 6 * expand.input.shape[-1]
            assert isinstance(network.get_layer(f"{name}_depthwise_relu"), layers.ReLU)
            norm = reader(network, project)
            followers = [node.operation for node in norm._outbound_nodes]
            assert not [layer for layer in followers if isinstance(layer, layers.ReLU)]
            has_residual = block > 1
            assert (f"{name}_add" in [layer.name for layer in network.layers]) == has_residual


def test_pyramid_pools_to_four_grids_and_keeps_the_features(network):
    merged = network.get_layer("pyramid_concat")
    assert [tensor.shape[-1] for tensor in merged.input] == [128, 32, 32, 32, 32]
    for bins in (1, 2, 3, 6):
        assert tuple(network.get_layer(f"pyramid_{bins}_pool").output.shape[1:3]) == (bins, bins)


def test_fusion_dilates_by_four_and_activates_after_the_sum(network):
    assert network.get_layer("fusion_low_depthwise").dilation_rate in (4, (4, 4))
    for name in ("fusion_low_pointwise", "fusion_high_pointwise"):
        norm = reader(network, network.get_layer(name))
        assert reader(network, norm) is network.get_layer("fusion_add")
    assert reader(network, network.get_layer("fusion_add")) is network.get_layer("fusion_relu")


def test_only_classifiers_have_a_bias(full):
    assert {layer.name for layer in convolutions(full) if layer.use_bias} == {LOGITS, "auxiliary_high", "auxiliary_low"}


def test_every_layer_has_a_name_of_the_projects(full):
    assert not [layer.name for layer in full.layers if layer.name.startswith(("conv2d", "batch_norm", "re_lu"))]


# Options


STAGES = {
    "downsample_sep1_pointwise_relu": (128, 256),
    "downsample_sep2_pointwise_relu": (64, 128),
    "global_1_3_add": (32, 64),
    "global_2_3_add": (16, 32),
    "global_3_3_add": (16, 32),
    "fusion_relu": (64, 128),
    LOGITS: (64, 128),
}


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({}, (256, 512)),
        ({"padding": "symmetric"}, (256, 512)),
        ({"first_padding": "valid"}, (255, 511)),
        ({"padding": "symmetric", "first_padding": "valid"}, (255, 511)),
    ],
    ids=str,
)
def test_padding_changes_no_size_behind_the_first_convolution(options, first):
    model = FAST_SCNN.build(512, 1024, CLASSES, **options)
    assert tuple(model.get_layer("downsample_conv").output.shape[1:3]) == first
    assert {name: tuple(model.get_layer(name).output.shape[1:3]) for name in STAGES} == STAGES


def test_symmetric_padding_is_that_of_every_strided_convolution():
    model = FAST_SCNN.build(64, 64, CLASSES, padding="symmetric")
    strided = [layer.name for layer in convolutions(model) if max(layer.strides) > 1]
    assert len(strided) == 5
    padded = [layer for layer in model.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert [layer.name for layer in padded] == [f"{name}_pad" for name in strided]
    for pad, name in zip(padded, strided):
        assert pad.padding == ((1, 1), (1, 1))
        assert model.get_layer(name).input is pad.output and model.get_layer(name).padding == "valid"


@pytest.mark.parametrize(("padding", "places"), [("same", [(0, 0)]), ("symmetric", [(0, 0), (0, 1), (1, 0), (1, 1)])])
def test_padding_decides_which_windows_see_a_pixel(padding, places):
    model = FAST_SCNN.build(64, 64, CLASSES, padding=padding)
    first = keras.Model(model.get_layer("normalise").output, model.get_layer("downsample_conv").output)
    first.set_weights([np.ones(weight.shape, np.float32) for weight in first.weights])
    impulse = np.zeros((1, 64, 64, 3), np.float32)
    impulse[0, 1, 1] = 1.0
    # Pixel (1, 1): at the end alone padded, the windows begin at 0, 2, ..; padded on both ends at -1, 1, ..
    response = np.asarray(first(impulse))[0, ..., 0]
    assert [tuple(place) for place in np.argwhere(response).tolist()] == places


def test_separable_convolutions_can_have_a_relu_between_their_halves():
    model = FAST_SCNN.build(64, 64, CLASSES, separable_relu=True)
    for name in ("downsample_sep1", "downsample_sep2", "classifier_sep1", "classifier_sep2"):
        relu = reader(model, reader(model, model.get_layer(f"{name}_depthwise")))
        assert isinstance(relu, layers.ReLU)
        assert model.get_layer(f"{name}_pointwise").input is relu.output


def test_fusion_can_do_without_dilation():
    model = FAST_SCNN.build(64, 64, CLASSES, fusion_dilation=1)
    assert model.get_layer("fusion_low_depthwise").dilation_rate in (1, (1, 1))


def test_other_options_are_those_of_their_layers():
    model = FAST_SCNN.build(64, 64, CLASSES, coordinates="align_corners", dropout=0.25)
    assert model.get_layer("classifier_dropout").rate == 0.25
    resizes = {layer.name: layer.coordinates for layer in model.layers if layer.name.endswith("_resize")}
    assert len(resizes) == 1 + 4 and set(resizes.values()) == {"align_corners"}


@pytest.mark.parametrize(
    "options", [{"separable_relu": True}, {"padding": "symmetric"}, {"first_padding": "valid"}, {"fusion_dilation": 1}]
)
def test_option_changes_no_weights(options, full):
    model = FAST_SCNN.build(64, 64, CLASSES, **options)
    assert [weight.shape for weight in model.weights] == [weight.shape for weight in full.weights]


# Numbers


@pytest.mark.parametrize("statistics", sorted(NORMALIZATIONS))
def test_frames_are_normalised_with_the_statistics_named(statistics):
    frame = keras.Input((4, 4, 3))
    model = keras.Model(frame, normalize(frame, statistics))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype(np.float32)
    mean, std = (np.array(part) for part in NORMALIZATIONS[statistics])
    np.testing.assert_allclose(np.asarray(model(pixels)), (pixels - mean) / std, atol=1e-4)


def test_network_of_random_weights_answers_to_its_input():
    keras.utils.set_random_seed(1)
    model = inference_model(FAST_SCNN.build(64, 96, 11))
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype(np.float32)
    logits = np.asarray(model(frames, training=False))
    assert logits.shape == (2, 8, 12, 11)
    assert np.isfinite(logits).all() and np.ptp(logits) > 0
    assert not np.allclose(logits[0], logits[1])


# Refused


@pytest.mark.parametrize(("size", "nearest"), [((70, 100), "64x96"), ((20, 64), "32x64"), ((1000, 2048), "992x2048")])
def test_size_that_is_no_multiple_of_32_is_refused_with_the_nearest(size, nearest):
    with pytest.raises(SizeError, match=f"multiples of 32, got {size[0]}x{size[1]}. Next: --size {nearest}"):
        FAST_SCNN.build(*size, CLASSES)


def test_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=f"model is 'segnet', expected one of: {', '.join(sorted(MODELS))}"):
        model_spec("segnet")
