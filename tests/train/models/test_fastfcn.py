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


def test_other_size_and_class_count_give_other_shapes():
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


def test_stages_of_a_size_that_no_stage_divides_are_joined_at_stride_8():
    network = FASTFCN.build(72, 104, CLASS_COUNT)

    assert tuple(network.output[LOGITS].shape) == (None, 9, 13, CLASS_COUNT)
    assert network.get_layer("layer4_0_out").output.shape[1:3] == (3, 4)


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
