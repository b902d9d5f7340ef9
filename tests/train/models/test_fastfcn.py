from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from edge.errors import SizeError
from train.models.base import LOGITS, PRESENCE, inference_model
from train.models.fastfcn import AUXILIARY, FASTFCN, ChannelGate, ContextEncoding, joint_pyramid_upsampling

CLASS_COUNT = 19
IMAGENET_CLASSIFIER_COUNT = 2048 * 1000 + 1000


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(7)
    return FASTFCN.build(64, 64, CLASS_COUNT)


def trainable_count(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def output_shapes(model: keras.Model) -> dict[str, tuple]:
    return {name: tuple(output.shape) for name, output in model.output.items()}


# Model


def test_outputs_have_their_own_strides(model):
    assert output_shapes(model) == {
        "logits": (None, 8, 8, CLASS_COUNT),
        "auxiliary": (None, 4, 4, CLASS_COUNT),
        "presence": (None, CLASS_COUNT),
    }


def test_other_size_and_class_count_give_other_shapes(structure_alone):
    with structure_alone():
        model = FASTFCN.build(96, 160, class_count=11)

    assert output_shapes(model) == {
        "logits": (None, 12, 20, 11),
        "auxiliary": (None, 6, 10, 11),
        "presence": (None, 11),
    }


def test_every_auxiliary_output_has_a_weight(model):
    assert set(output_shapes(model)) == {LOGITS, *FASTFCN.auxiliary_weights}


def test_inference_model_keeps_logits_alone(model):
    inference = inference_model(model)

    assert inference.output_shape == (None, 8, 8, CLASS_COUNT)
    names = {layer.name for layer in inference.layers}
    assert not any(name.startswith(AUXILIARY) or name == PRESENCE for name in names)


def test_parameters_match_the_published_47_million(model):
    # The reference counts ResNet's ImageNet classifier, which it never runs.
    count = trainable_count(inference_model(model)) + IMAGENET_CLASSIFIER_COUNT

    assert count == pytest.approx(47.0e6, abs=0.05e6)


@pytest.mark.parametrize(("height", "width"), [(500, 1024), (512, 1001), (4, 32)])
def test_size_that_is_no_multiple_of_8_is_refused(height, width):
    with pytest.raises(SizeError, match="multiples of 8"):
        FASTFCN.build(height, width, CLASS_COUNT)


def test_gradient_reaches_every_trainable_weight(model):
    rng = np.random.default_rng(5)
    frames = rng.uniform(0.0, 255.0, (2, 64, 64, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = model(frames, training=True)
        # A random target per number, since plain sums have no gradient before a normalisation.
        loss = sum(
            tf.reduce_sum(output * rng.normal(size=output.shape).astype(np.float32)) for output in outputs.values()
        )
    gradients = tape.gradient(loss, model.trainable_weights)

    dead = [
        weight.path
        for weight, gradient in zip(model.trainable_weights, gradients)
        if gradient is None or not np.any(gradient)
    ]
    assert dead == []
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


# Options


HEADS = {
    "psp": {"head": "psp", "coordinates": "align_corners"},
    "deeplab": {"head": "deeplab", "stride_on": "1x1"},
    "fcn": {"head": "fcn"},
    "encnet": {"head": "encnet", "depth": 101, "encoding_positions": 900},
    "plain": {"stem": "plain", "encoding_positions": 0},
}


@pytest.fixture(scope="module")
def built(structure_alone):
    """Return a function that builds one of HEADS, at 72x104, at the first call."""
    networks = {}

    def get(name: str) -> keras.Model:
        if name not in networks:
            with structure_alone():
                networks[name] = FASTFCN.build(72, 104, CLASS_COUNT, **HEADS[name])
        return networks[name]

    return get


def test_stages_of_a_size_that_no_stage_divides_are_joined_at_stride_8(built):
    network = built("plain")

    assert tuple(network.output[LOGITS].shape) == (None, 9, 13, CLASS_COUNT)
    assert network.get_layer("layer4_0_out").output.shape[1:3] == (3, 4)


# The reference's figures count ResNet's ImageNet classifier, which it never runs, and leave out its
# auxiliary head: with the classifier and without the head ours has exactly as many in each case, with
# the head 2.4 M more.
@pytest.mark.parametrize(
    ("head", "published"),
    [("psp", 68_499_899), ("deeplab", 61_546_683), ("fcn", 54_864_315), ("encnet", 66_010_139)],
)
@pytest.mark.slow
def test_parameters_of_every_head_match_the_published(built, head, published):
    count = trainable_count(inference_model(built(head))) + IMAGENET_CLASSIFIER_COUNT

    assert count == pytest.approx(published, rel=0.01)
    assert count == published
    assert trainable_count(built(head)) + IMAGENET_CLASSIFIER_COUNT > published + 2.3e6


def test_psp_head_pools_the_joined_features(built):
    psp = built("psp")
    features, *branches = psp.get_layer("head_pyramid_concat").input

    assert features is psp.get_layer("jpu_out").output
    assert [tuple(tensor.shape[1:]) for tensor in branches] == [(9, 13, 512)] * 4
    assert psp.get_layer("head_conv").input is psp.get_layer("head_pyramid_concat").output
    assert tuple(psp.get_layer("head_conv").kernel.shape) == (3, 3, 4096, 512)
    assert psp.get_layer(LOGITS).input is psp.get_layer("head_dropout").output


def test_deeplab_head_has_the_rates_of_stride_8(built):
    network = built("deeplab")

    assert [network.get_layer(f"head_aspp_rate{rate}").dilation_rate[0] for rate in (12, 24, 36)] == [12, 24, 36]
    assert network.get_layer("head_aspp_point").input is network.get_layer("jpu_out").output
    assert network.get_layer("head_aspp_dropout").rate == 0.5
    assert tuple(network.get_layer("head_conv").kernel.shape) == (3, 3, 256, 256)


def test_fcn_head_is_a_convolution_on_the_joined_features(built):
    network = built("fcn")

    assert network.get_layer("head_conv").input is network.get_layer("jpu_out").output
    assert tuple(network.get_layer("head_conv").kernel.shape) == (3, 3, 2048, 512)


@pytest.mark.parametrize("head", ["psp", "deeplab", "fcn"])
def test_heads_without_encoding_say_nothing_of_presence(built, head):
    assert output_shapes(built(head)) == {LOGITS: (None, 9, 13, CLASS_COUNT), AUXILIARY: (None, 5, 7, CLASS_COUNT)}


def test_every_resize_follows_the_coordinate_rule(built):
    for name, rule in (("psp", "align_corners"), ("deeplab", "half_pixel")):
        resizes = {layer.name: layer.coordinates for layer in built(name).layers if layer.name.endswith("_resize")}
        assert {"jpu_conv4_resize", "jpu_conv5_resize"} < set(resizes)
        assert set(resizes.values()) == {rule}


def test_plain_stem_is_one_7x7_convolution(built, model):
    stem = [layer for layer in built("plain").layers if layer.name.startswith("conv1")]

    assert [layer.name for layer in stem] == ["conv1_pad", "conv1"]
    assert tuple(stem[1].kernel.shape) == (7, 7, 3, 64)
    assert [model.get_layer(name).kernel.shape[-1] for name in ("conv1_0", "conv1_3", "conv1_6")] == [64, 64, 128]


def test_stride_can_be_on_the_1x1_convolution_of_a_block(built):
    strides = {
        name: [built(name).get_layer(f"layer2_0_conv{index}").strides[0] for index in (1, 2)]
        for name in ("deeplab", "fcn")
    }

    assert strides == {"deeplab": [2, 1], "fcn": [1, 2]}


def test_positions_of_the_encoding_are_an_option(built, model):
    positions = [
        network.get_layer("head_encoding_3").reference_positions for network in (built("plain"), built("encnet"), model)
    ]

    assert positions == [0, 900, 3600]


# Joint pyramid upsampling


@pytest.fixture(scope="module")
def jpu() -> keras.Model:
    stages = [keras.layers.Input(shape) for shape in ((20, 24, 4), (10, 12, 8), (5, 6, 16))]
    return keras.Model(stages, joint_pyramid_upsampling(*stages))


def test_jpu_joins_three_stages_at_the_finest_size(jpu):
    assert jpu.get_layer("jpu_join").output.shape == (None, 20, 24, 3 * 512)
    assert jpu.output_shape == (None, 20, 24, 4 * 512)


@pytest.mark.parametrize(("index", "dilation"), [(1, 1), (2, 2), (3, 4), (4, 8)])
def test_jpu_branch_looks_at_nine_points_spaced_by_its_dilation(jpu, index, dilation):
    layer = jpu.get_layer(f"jpu_dilation{index}_0_conv1")
    impulse = np.zeros((1, 20, 24, 3 * 512), np.float32)
    impulse[0, 9, 11, 0] = 1.0

    response = keras.ops.convert_to_numpy(layer(impulse))[0]

    rows, columns, channels = np.nonzero(response)
    assert sorted(set(rows)) == [9 - dilation, 9, 9 + dilation]
    assert sorted(set(columns)) == [11 - dilation, 11, 11 + dilation]
    assert set(channels) == {0}


def test_jpu_has_no_relu_between_depthwise_and_pointwise(jpu):
    for index in (1, 2, 3, 4):
        normalised = jpu.get_layer(f"jpu_dilation{index}_0_bn").output
        assert jpu.get_layer(f"jpu_dilation{index}_0_pointwise").input is normalised


# Context encoding


def naive_encoding(features: np.ndarray, codewords: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The formula of the paper as it is written, in float64: (N, h, w, D) to (N, K, D)."""
    vectors = features.reshape(len(features), -1, 1, features.shape[-1]).astype(np.float64)
    residuals = vectors - codewords.astype(np.float64)  # (N, P, K, D)
    exponents = scale * np.sum(residuals**2, axis=-1)  # (N, P, K)
    weights = np.exp(exponents - exponents.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    return np.sum(weights[..., None] * residuals, axis=1)


@pytest.mark.parametrize("spread", [1.0, 5.0])
def test_encoding_equals_the_formula_of_the_paper(spread):
    keras.utils.set_random_seed(11)
    features = np.random.default_rng(11).uniform(0.0, 1.0, (2, 5, 6, 16)).astype(np.float32)
    layer = ContextEncoding(8, reference_positions=5 * 6)
    layer.build(features.shape)
    codewords, scale = layer.get_weights()
    layer.set_weights([codewords * spread, scale])

    encoded = keras.ops.convert_to_numpy(layer(features))

    expected = naive_encoding(features, codewords * spread, scale).transpose(0, 2, 1)
    # 1e-5 of the largest entry: sums of 30 products in float32.
    np.testing.assert_allclose(encoded, expected, atol=1e-5 * np.abs(expected).max())


def test_encoding_does_not_grow_with_the_frame():
    features = np.random.default_rng(3).uniform(0.0, 1.0, (1, 4, 6, 16)).astype(np.float32)
    layer = ContextEncoding(8)

    small = keras.ops.convert_to_numpy(layer(features))
    large = keras.ops.convert_to_numpy(layer(np.tile(features, (1, 2, 3, 1))))

    np.testing.assert_allclose(large, small, rtol=1e-4, atol=1e-4 * np.abs(small).max())


def test_without_reference_positions_the_sum_stays_plain():
    keras.utils.set_random_seed(12)
    features = np.random.default_rng(12).uniform(0.0, 1.0, (2, 5, 6, 16)).astype(np.float32)
    layer = ContextEncoding(8, reference_positions=0)

    encoded = keras.ops.convert_to_numpy(layer(features))

    expected = naive_encoding(features, *layer.get_weights()).transpose(0, 2, 1)
    np.testing.assert_allclose(encoded, expected, atol=1e-5 * np.abs(expected).max())


def test_encoding_survives_its_config():
    layer = keras.layers.deserialize(keras.layers.serialize(ContextEncoding(8, reference_positions=30, name="code")))

    assert (layer.codeword_count, layer.reference_positions, layer.name) == (8, 30, "code")


def test_gate_adds_the_gated_features_to_themselves():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    gate = rng.uniform(size=(2, 5)).astype(np.float32)

    gated = keras.ops.convert_to_numpy(ChannelGate()(features, gate))

    np.testing.assert_allclose(gated, features + features * gate[:, None, None, :], rtol=1e-5, atol=1e-6)


# Export


def test_encoding_exports_without_layout_transposes_between_convolutions():
    onnxruntime = pytest.importorskip("onnxruntime")
    tf2onnx_convert = pytest.importorskip("tf2onnx.convert")
    keras.utils.set_random_seed(13)
    frame = keras.layers.Input((4, 6, 3), batch_size=1)
    features = keras.layers.Conv2D(16, 1, activation="relu")(frame)
    gate = keras.layers.GlobalAveragePooling1D(data_format="channels_first")(ContextEncoding(8)(features))
    model = keras.Model(frame, keras.layers.Conv2D(5, 1)(ChannelGate()(features, gate)))

    @tf.function(input_signature=[tf.TensorSpec((1, 4, 6, 3), tf.float32, name="frame")])
    def forward(frame):
        return {"logits": tf.transpose(model(frame), (0, 3, 1, 2))}

    graph, _ = tf2onnx_convert.from_function(forward, input_signature=forward.input_signature, opset=17)

    # One for the input's layout, and one of the assignment matrix: softmax and product need other orders.
    assert sum(node.op_type == "Transpose" for node in graph.graph.node) <= 2
    frame_values = np.random.default_rng(13).uniform(0.0, 1.0, (1, 4, 6, 3)).astype(np.float32)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    exported = session.run(None, {"frame": frame_values})[0].transpose(0, 2, 3, 1)
    logits = keras.ops.convert_to_numpy(model(frame_values))
    # The tolerance of every export: 1e-4 of the logits' range.
    np.testing.assert_allclose(exported, logits, rtol=0, atol=1e-4 * np.ptp(logits))
