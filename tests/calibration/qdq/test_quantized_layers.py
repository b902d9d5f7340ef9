"""Biases, deconvolutions and the record of layers of a quantised graph, in numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from calibration.lint_rules.linter import require_clean
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.results import LayerReport
from edge.errors import InputError
from tests.calibration import graph_drawing as drawing

FORMS = ("tensorrt", "onnxruntime")
FLOAT = TensorProto.FLOAT
PLAIN = QuantizationConfig("min-max")


def layer(kind, weight, bias=None, shape=(1, 4, 6, 6), inputs=4, **attributes):
    """Return x -> Relu -> a layer -> y, ranges of it, and what it was run on."""
    generator = np.random.default_rng(4)
    constants = {"w": weight.astype(np.float32), **({} if bias is None else {"b": bias.astype(np.float32)})}
    nodes = [drawing.node("Relu", ["x"], "data"), drawing.node(kind, ["data", *constants], "y", **attributes)]
    scale = attributes.get("strides", [1, 1])[0]
    channels = weight.shape[0] if kind == "Conv" else weight.shape[1]
    result = (1, channels, shape[2] * scale, shape[3] * scale)
    model = drawing.make_model(nodes, constants, {"x": (shape, FLOAT)}, {"y": (result, FLOAT)})
    feeds = [{"x": generator.normal(0.3, 1, shape).astype(np.float32)} for _ in range(inputs)]
    return model, drawing.ranges_of(model, feeds), feeds


def arrays(data):
    return {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_model_from_string(data).graph.initializer
    }


# Bias correction


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("has_bias", [True, False])
def test_bias_correction_takes_back_the_mean_error_of_each_channel(form, has_bias):
    generator = np.random.default_rng(2)
    # A large weight makes the steps of the others coarse.
    weight = generator.normal(0, 0.02, (6, 4, 1, 1))
    weight[:, 0] = 3
    model, ranges, feeds = layer("Conv", weight, generator.normal(0, 1, 6) if has_bias else None, inputs=8)
    errors = {}
    for corrected in (False, True):
        data = quantize(model, ranges, dataclasses.replace(PLAIN, bias_correction=corrected), form).data
        difference = [drawing.run(data, values)[0] - drawing.run(model, values)[0] for values in feeds]
        errors[corrected] = np.abs(np.mean(difference, (0, 1, 3, 4)))
    assert errors[False].max() > 3e-3
    # What is left is the rounding of the input, whose mean over 288 values a channel is some 1e-4 of its step of 0.015.
    assert errors[True].max() < 0.35 * errors[False].max()


@pytest.mark.parametrize("form", FORMS)
def test_layer_without_means_keeps_its_bias_under_correction(form):
    weight, bias = np.random.default_rng(2).normal(0, 1, (6, 4, 1, 1)), np.arange(6)
    model, ranges, _ = layer("Conv", weight, bias)
    tensors = {name: dataclasses.replace(seen, channel_means=None) for name, seen in ranges.tensors.items()}
    ranges = dataclasses.replace(ranges, tensors=tensors)
    corrected = dataclasses.replace(PLAIN, bias_correction=True)
    first, second = (arrays(quantize(model, ranges, recipe, form).data) for recipe in (PLAIN, corrected))
    name = "b" if form == "tensorrt" else "y/bias/of_planes"
    biases = [found.get(name, found.get("y/bias/corrected")) for found in (first, second)]
    np.testing.assert_array_equal(*biases)


# Biases as int32


def with_reader(weight, bias):
    """Return a convolution that another one reads behind a Relu, so that its kernel writes integers, and its ranges."""
    model, _, feeds = layer("Conv", weight, bias, pads=[1, 1, 1, 1])
    model.graph.node.extend([drawing.node("Relu", ["y"], "z"), drawing.node("Conv", ["z", "head"], "out")])
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, 6, 1, 1), np.float32), "head"))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("out", FLOAT, (1, 1, 6, 6)))
    return model, drawing.ranges_of(model, feeds)


@pytest.mark.parametrize("has_bias", [True, False])
def test_channel_of_next_to_no_weights_has_scales_that_are_normal_numbers(has_bias):
    weight = np.random.default_rng(2).normal(0, 1, (6, 4, 3, 3))
    weight[2] *= 1e-37  # a channel that training has let die
    model, ranges = with_reader(weight, np.zeros(6))
    if not has_bias:  # bias correction gives it one
        del next(node for node in model.graph.node if node.output[0] == "y").input[2]
    data = quantize(model, ranges, dataclasses.replace(PLAIN, bias_correction=True), "onnxruntime").data
    found = arrays(data)
    for scales in (found["y/weight/scale"], found["y/bias/scale"]):
        assert scales.min() >= np.finfo(np.float32).tiny
    require_clean(onnx.load_model_from_string(data), "onnxruntime", "the graph")


def test_channel_of_tiny_weights_beside_a_large_bias_gets_coarser_weights_and_keeps_its_bias():
    weight = np.random.default_rng(2).normal(0, 1, (6, 4, 3, 3))
    weight[2] *= 1e-9
    bias = np.zeros(6)
    bias[2] = 100.0
    model, ranges = with_reader(weight, bias)
    found = arrays(quantize(model, ranges, PLAIN, "onnxruntime").data)
    integers, scales = found["y/bias/integers"], found["y/bias/scale"]
    assert integers.dtype == np.int32 and np.abs(integers.astype(np.int64)).max() <= 2**30 * (1 + 1e-6)
    # The scale is float32: 1e-7 of the bias.
    np.testing.assert_allclose(integers * scales.astype(np.float64), bias, atol=scales.max() + 1e-5)


# Deconvolutions


def test_deconvolution_has_one_scale_for_all_channels_in_tensorrt_form():
    weight = np.random.default_rng(2).normal(0, 1, (4, 3, 2, 2)) * np.array([0.1, 1, 3]).reshape(1, 3, 1, 1)
    model, ranges, feeds = layer("ConvTranspose", weight, np.arange(3), strides=[2, 2])
    data = quantize(model, ranges, PLAIN, "tensorrt").data
    found = arrays(data)
    np.testing.assert_allclose(found["y/weight/scale"], [np.abs(weight).max() / 127] * 3, rtol=1e-6)
    node = next(
        node for node in onnx.load_model_from_string(data).graph.node if node.name == "y/weight/DequantizeLinear"
    )
    assert [attribute.i for attribute in node.attribute if attribute.name == "axis"] == [1]
    expected, actual = (drawing.run(graph, feeds[0])[0] for graph in (model, data))
    # One step of the largest channel in weights (0.08) and of the input (0.03) in sums of four.
    assert 0 < np.abs(actual - expected).max() < 0.04 * np.ptp(expected)


def test_deconvolution_stays_float_on_onnxruntime():
    model, ranges, feeds = layer("ConvTranspose", np.ones((4, 3, 2, 2)), strides=[2, 2])
    result = quantize(model, ranges, PLAIN, "onnxruntime")
    assert result.layers[0].reason == "ONNX Runtime has no INT8 kernel for ConvTranspose"
    np.testing.assert_array_equal(drawing.run(result.data, feeds[0])[0], drawing.run(model, feeds[0])[0])


# The record of layers


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_those_with_multiply_adds_in_order_with_precision_and_reason(form):
    network = drawing.make_network()
    ranges = drawing.ranges_of(network, drawing.frames())
    recipe = dataclasses.replace(PLAIN, float_layers={"logits": "asked for"})
    result = quantize(network, ranges, recipe, form)
    assert result.layers == (
        LayerReport("stem", "Conv", 64 * 8 * 27, "int8"),
        LayerReport("deep", "Conv", 64 * 8 * 9, "int8"),
        LayerReport("point", "Conv", 64 * 8 * 8, "int8"),
        LayerReport("logits", "Conv", 64 * 5 * 16, "float", "asked for"),
    )
    assert result.int8_mac_share == pytest.approx(1 - 5 * 16 / (5 * 16 + 8 * 27 + 8 * 9 + 8 * 8))
    weights = {name for name in arrays(result.data) if name.endswith("_w")}
    assert weights == {"head_w"}


@pytest.mark.parametrize("form", FORMS)
def test_float_layer_that_is_not_there_is_refused(form):
    model, ranges, _ = layer("Conv", np.ones((2, 4, 1, 1)))
    recipe = dataclasses.replace(PLAIN, float_layers={"y": "", "stem": ""})
    with pytest.raises(InputError, match="no layer is named stem, so it cannot stay in float"):
        quantize(model, ranges, recipe, form)
