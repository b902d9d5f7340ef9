"""A Q/DQ graph has its pairs where each backend wants them, and the numbers of the float graph."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

import calibration.qdq.insert
from calibration.onnx_graph.mac_count import count_macs
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.search.sensitivity import quantized_nodes
from edge.errors import GraphError, InputError
from edge.runtime.onnxruntime import open_session
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration.varied_graphs import varied_network

FORMS = ("tensorrt", "onnxruntime")
FRAMES = drawing.frames(4)
NETWORK = drawing.make_network()
RANGES = drawing.ranges_of(NETWORK, FRAMES)
FLOAT, UINT8 = TensorProto.FLOAT, TensorProto.UINT8


class View:
    """A Q/DQ graph with what the tests ask of it."""

    def __init__(self, data: bytes) -> None:
        self.model = onnx.load_model_from_string(data)
        onnx.checker.check_model(self.model, full_check=True)
        self.producers = {node.output[0]: node for node in self.model.graph.node}
        # A matrix product has the name of its convolution, and another output.
        self.nodes = {**self.producers, **{node.name: node for node in self.model.graph.node}}
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}
        self.counts = Counter(node.op_type for node in self.model.graph.node)

    def quantized_inputs(self, output: str) -> list[bool]:
        """Say of each input of a node whether it comes from a DequantizeLinear."""
        node = self.nodes[output]
        return [name in self.producers and self.producers[name].op_type == "DequantizeLinear" for name in node.input]

    def pair(self, output: str, index: int = 0):
        """Return (scale, zero point) of an input of a node, read off its DequantizeLinear."""
        dequantize = self.producers[self.nodes[output].input[index]]
        return self.constants[dequantize.input[1]], self.constants[dequantize.input[2]]


def quantized(form, model=NETWORK, ranges=RANGES, method="min-max", levels=255) -> View:
    return View(quantize(model, ranges, QuantizationConfig(method), form, levels).data)


def one_layer(kind="Conv", signed=True):
    """Return a graph of one weighted layer, its weight, and a list of inputs."""
    generator = np.random.default_rng(4)
    if kind == "Conv":
        weight, shape, result = generator.normal(0, 1, (6, 4, 1, 1)), (1, 4, 5, 5), (1, 6, 5, 5)
        attributes = {}
    else:
        weight, shape, result = generator.normal(0, 1, (4, 6)), (3, 4), (3, 6)
        attributes = {"transB": 0}
    bias = generator.normal(0, 1, 6).astype(np.float32)
    weight = weight.astype(np.float32)
    nodes = [drawing.node("Relu" if not signed else "Neg", ["x"], "data")]
    nodes.append(drawing.node(kind, ["data", "w", "b"], "y", **attributes))
    model = drawing.make_model(nodes, {"w": weight, "b": bias}, {"x": (shape, FLOAT)}, {"y": (result, FLOAT)})
    inputs = [{"x": generator.normal(0, 2, shape).astype(np.float32)} for _ in range(3)]
    return model, weight, bias, inputs


# Numbers


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_one_layer_equals_its_quantisation_by_hand(form, signed, kind):
    model, weight, bias, inputs = one_layer(kind, signed)
    ranges = drawing.ranges_of(model, inputs)
    data = quantize(model, ranges, QuantizationConfig("min-max"), form).data
    values = -inputs[0]["x"] if signed else np.maximum(inputs[0]["x"], 0)
    largest = ranges.threshold("data", "min-max")
    if form == "onnxruntime" and not signed:
        scale, low, high = np.float32(largest / 255), 0, 255
    else:
        scale, low, high = np.float32(largest / 127), -128, 127
    values = np.clip(np.rint(values / scale), low, high) * scale
    channel_axis = 0 if kind == "Conv" else 1
    other = tuple(axis for axis in range(weight.ndim) if axis != channel_axis)
    scales = np.abs(weight).max(other, keepdims=True) / np.float32(127)
    weight = np.rint(weight / scales) * scales
    if kind == "Conv":
        expected = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], values) + bias.reshape(1, -1, 1, 1)
    else:
        expected = values @ weight + bias
    # In one form the bias is rounded to steps of scale times weight scale, here 1e-3; a wrong level would cost 1e-2.
    np.testing.assert_allclose(drawing.run(data, inputs[0])[0], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ["min-max", "percentile"])
def test_network_is_close_to_float(form, method):
    data = quantize(NETWORK, RANGES, QuantizationConfig(method), form).data
    for feeds in FRAMES:
        expected, actual = drawing.run(NETWORK, feeds)[0], drawing.run(data, feeds)[0]
        # Five layers with steps of 1/255 to 1/127 of the range each: about 1 % of the spread of the logits.
        assert np.abs(actual - expected).max() < 0.03 * (expected.max() - expected.min())
        assert not np.array_equal(actual, expected)


def test_quantised_kernels_give_the_numbers_of_the_graph(tmp_path):
    # Weights of 63 steps, so that sums of two products cannot saturate on any CPU.
    data = quantize(NETWORK, RANGES, QuantizationConfig("min-max"), "onnxruntime", 127).data
    for feeds in FRAMES:
        literal = drawing.run(data, feeds)[0]
        fused = drawing.run(data, feeds, optimised_path=tmp_path / "optimised.onnx")[0]
        assert np.abs(fused - literal).max() < 0.02 * (literal.max() - literal.min())


@pytest.mark.parametrize("has_vnni", [True, False])
def test_labels_of_the_kernels_agree_with_the_exact_simulation(has_vnni):
    levels = 255 if has_vnni else 127
    if levels > unsigned_levels():
        pytest.skip("weights of 127 steps saturate on this CPU, and no engine here has them")
    network, feeds_list = drawing.make_network(size=64), drawing.frames(4, size=64)
    ranges = drawing.ranges_of(network, feeds_list)
    data = quantize(network, ranges, QuantizationConfig("min-max"), "onnxruntime", levels).data
    kernels, simulation = open_session(data), open_session(data, exact=True)
    agreements = []
    for feeds in feeds_list:
        found, expected = (session.run(None, feeds)[0].argmax(1) for session in (kernels, simulation))
        agreements.append(np.mean(found == expected))
    # Kernels and simulation round the same sums; where float32 puts one on the other side of a half, a value is one
    # step off. That is one value in 1e5 a layer, and moves the few pixels whose best two classes are that close.
    assert np.mean(agreements) > 0.99


def test_cpu_that_saturates_costs_weights_a_bit_and_activations_nothing():
    full, reduced = (quantized("onnxruntime", levels=levels) for levels in (255, 127))
    for output in ("deep", "point", "logits"):
        assert reduced.pair(output) == full.pair(output)
        np.testing.assert_allclose(reduced.pair(output, 1)[0] / full.pair(output, 1)[0], 127 / 63, rtol=1e-6)
    assert quantized("tensorrt", levels=127).model == quantized("tensorrt").model


@pytest.mark.parametrize("form", FORMS)
def test_method_decides_the_scale(form):
    scale = quantized(form, method="entropy").pair("logits")[0]
    levels = 127 if form == "tensorrt" or RANGES.tensors["merged"].is_signed else 255
    assert scale == np.float32(RANGES.threshold("merged", "entropy") / levels)
    assert scale != np.float32(RANGES.threshold("merged", "min-max") / levels)


@pytest.mark.parametrize("form", FORMS)
def test_channel_of_zero_weights_stays_zero(form):
    model = drawing.make_network(zero_channel=True)
    data = quantize(model, drawing.ranges_of(model, FRAMES), QuantizationConfig("min-max"), form).data
    scales = View(data).pair("point", 1)[0]
    assert np.isfinite(scales).all() and (scales > 0).all()
    actual = drawing.run(data, FRAMES[0])[0]
    expected = drawing.run(model, FRAMES[0])[0]
    assert np.abs(actual - expected).max() < 0.03 * (expected.max() - expected.min())


@pytest.mark.parametrize("form", FORMS)
def test_activation_that_is_always_zero_is_quantised_all_the_same(form):
    model, _, _, inputs = one_layer(signed=False)
    dead = [{"x": -np.abs(feeds["x"])} for feeds in inputs]
    ranges = drawing.ranges_of(model, dead)
    data = quantize(model, ranges, QuantizationConfig("percentile"), form).data
    # Nothing is left but the bias, rounded to its step.
    np.testing.assert_allclose(drawing.run(data, dead[0])[0], drawing.run(model, dead[0])[0], atol=0.02)


# The form for TensorRT


def test_tensorrt_form_is_symmetric_int8_throughout():
    view = quantized("tensorrt")
    pairs = [node for node in view.model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    for node in pairs:
        zero_point = view.constants[node.input[2]]
        assert zero_point.dtype == np.int8 and not zero_point.any()


def test_tensorrt_form_quantises_weighted_layers_and_the_residual_alone():
    view = quantized("tensorrt")
    for output in ("stem", "deep", "point", "logits"):
        assert view.quantized_inputs(output) == [True, True, False], output  # TensorRT wants float biases
    # The Conv that the Add is fused with stays float, the other input is quantised.
    assert view.quantized_inputs("residual") == [False, True]
    assert view.quantized_inputs("pooled") == [False]
    assert view.quantized_inputs("merged") == [False, False]
    assert view.counts["QuantizeLinear"] == 4  # nchw, stem_relu (shared by Conv and Add), deep_relu, merged


def test_tensorrt_form_has_nothing_between_conv_and_relu():
    view = quantized("tensorrt")
    for output in ("stem_relu", "deep_relu"):
        assert view.nodes[view.nodes[output].input[0]].op_type == "Conv"


def add_graph(first, second):
    """Return x -> first, x -> second, Add; each is "conv", "relu" (Conv and Relu) or "constant"."""
    constants, nodes, names = {}, [], []
    for index, kind in enumerate((first, second)):
        if kind == "constant":
            constants[f"c{index}"] = np.ones((1, 2, 1, 1), np.float32)
            names.append(f"c{index}")
            continue
        constants[f"w{index}"] = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
        nodes.append(drawing.node("Conv", ["x", f"w{index}"], f"conv{index}"))
        names.append(f"conv{index}")
        if kind == "relu":
            nodes.append(drawing.node("Relu", [f"conv{index}"], f"relu{index}"))
            names[-1] = f"relu{index}"
    nodes.append(drawing.node("Add", names, "sum"))
    nodes.append(drawing.node("Relu", ["sum"], "y"))
    shape = (1, 2, 4, 4)
    model = drawing.make_model(nodes, constants, {"x": (shape, FLOAT)}, {"y": (shape, FLOAT)})
    generator = np.random.default_rng(0)
    ranges = drawing.ranges_of(model, [{"x": generator.normal(0, 1, shape).astype(np.float32)}])
    tensors = {**ranges.tensors, "x": drawing.TensorRange(-3.0, 3.0, dict.fromkeys(drawing.CALIBRATION_METHODS, 3.0))}
    return model, dataclasses.replace(ranges, tensors=tensors)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("conv", "relu", [False, True]),
        ("relu", "conv", [True, False]),
        ("conv", "conv", [True, False]),  # one of them is fused, the other is the residual
        ("relu", "relu", [False, False]),  # fused with neither
        ("conv", "constant", [False, False]),
        ("constant", "relu", [False, False]),
    ],
)
def test_tensorrt_form_quantises_the_input_of_an_add_that_is_not_fused(first, second, expected):
    model, ranges = add_graph(first, second)
    assert quantized("tensorrt", model, ranges).quantized_inputs("sum") == expected


def test_conv_that_others_read_too_is_a_residual_and_not_fused():
    shape = (1, 2, 4, 4)
    kernel = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
    nodes = [
        drawing.node("Conv", ["x", "w"], "first"),
        drawing.node("Relu", ["first"], "first_relu"),
        drawing.node("Conv", ["first_relu", "w"], "second"),
        drawing.node("Add", ["second", "first"], "y"),
    ]
    model = drawing.make_model(nodes, {"w": kernel}, {"x": (shape, FLOAT)}, {"y": (shape, FLOAT)})
    ranges = drawing.ranges_of(model, [{"x": np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)}])
    tensors = {**ranges.tensors, "x": ranges.tensors["first"]}
    view = quantized("tensorrt", model, dataclasses.replace(ranges, tensors=tensors))
    assert view.quantized_inputs("y") == [False, True]
    # A weight that two layers share gets its integers in both.
    assert view.quantized_inputs("first")[1] and view.quantized_inputs("second")[1]


# The form for ONNX Runtime


def test_onnxruntime_form_has_unsigned_activations_and_int32_biases():
    view = quantized("onnxruntime")
    for output, signed in (("stem", True), ("deep", False), ("logits", True)):
        zero_point = view.pair(output)[1]
        assert zero_point.dtype == np.uint8 and zero_point == (128 if signed else 0), output
        weight = view.constants[view.producers[view.nodes[output].input[1]].input[0]]
        assert weight.dtype == np.int8
    for output in ("stem", "deep", "point"):
        assert view.quantized_inputs(output) == [True, True, True]
        assert view.constants[view.producers[view.nodes[output].input[2]].input[0]].dtype == np.int32


def test_onnxruntime_form_gives_logits_by_a_product_of_integers_with_a_float_bias(tmp_path):
    result = quantize(NETWORK, RANGES, QuantizationConfig("min-max"), "onnxruntime")
    view = View(result.data)
    assert (view.nodes["logits"].op_type, view.quantized_inputs("logits")) == ("MatMul", [True, True])
    bias = next(numpy_helper.to_array(tensor) for tensor in NETWORK.graph.initializer if tensor.name == "head_b")
    found = view.constants[view.nodes["logits/bias/Add"].input[1]].reshape(-1)
    step = view.pair("logits")[0] * view.pair("logits", 1)[0]
    assert found.dtype == np.float32 and (np.abs(found - bias) <= 0.5001 * step).all()
    assert [(layer.precision, layer.reason) for layer in result.layers] == [("int8", "")] * 4
    path = tmp_path / "optimised.onnx"
    drawing.run(result.data, FRAMES[0], optimised_path=path)
    assert "MatMulIntegerToFloat" in {node.op_type for node in onnx.load(str(path)).graph.node}


def test_bias_step_is_activation_step_times_weight_step():
    view = quantized("onnxruntime")
    for output in ("stem", "deep", "point"):
        activation, weight, bias = (view.pair(output, index)[0] for index in range(3))
        np.testing.assert_allclose(bias, activation * weight, rtol=1e-6)


def test_interpolation_rounds_to_the_integers_of_its_input_at_a_scale_of_its_own():
    view = quantized("onnxruntime")
    before, after = view.pair("resized"), view.pair("merged", 1)
    # One scale on both sides would let old versions interpolate integers, and cut the result.
    assert after[0] == np.nextafter(before[0], np.float32(np.inf))
    assert after[1] == before[1]
    steps = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(np.rint(steps * before[0] / after[0]), steps)


def test_what_moves_an_interpolated_value_keeps_its_scale():
    nodes = [
        drawing.node("Relu", ["x"], "relu"),
        drawing.node("Conv", ["relu", "w"], "first"),
        drawing.node("Resize", ["first", "", "", "sizes"], "larger", mode="linear"),
        drawing.node("MaxPool", ["larger"], "pooled", kernel_shape=[2, 2]),
        drawing.node("Resize", ["pooled", "", "", "sizes"], "nearest", mode="nearest"),
        drawing.node("Resize", ["nearest", "", "", "sizes"], "again", mode="linear"),
        drawing.node("Conv", ["again", "w"], "y"),
    ]
    model = drawing.make_model(
        nodes,
        {"w": np.ones((2, 2, 1, 1), np.float32), "sizes": np.array([1, 2, 12, 12], np.int64)},
        {"x": ((1, 2, 6, 6), TensorProto.FLOAT)},
        {"y": ((1, 2, 12, 12), TensorProto.FLOAT)},
    )
    feeds = {"x": np.random.default_rng(3).uniform(0, 2, (1, 2, 6, 6)).astype(np.float32)}
    view = quantized("onnxruntime", model, drawing.ranges_of(model, [feeds]))
    scales = [view.pair(name)[0] for name in ("larger", "pooled", "nearest", "again", "y")]
    assert scales[0] < scales[1] == scales[2] == scales[3] < scales[4]


@pytest.mark.parametrize("form", FORMS)
def test_output_of_the_graph_is_not_rounded(form):
    view = quantized(form)
    kinds = {view.producers["logits"].op_type, view.nodes["logits"].op_type}
    assert kinds == ({"Conv"} if form == "tensorrt" else {"Add", "MatMul"})
    assert "logits/quantized" not in view.producers


def test_onnxruntime_fuses_its_form_into_integer_kernels(tmp_path):
    path = tmp_path / "optimised.onnx"
    drawing.run(
        quantize(NETWORK, RANGES, QuantizationConfig("min-max"), "onnxruntime").data, FRAMES[0], optimised_path=path
    )
    counts = Counter(node.op_type for node in onnx.load(str(path)).graph.node)
    assert counts["QLinearConv"] == 3  # and the classifier, a product that gives float
    assert counts["MatMulIntegerToFloat"] == 1 and counts["Conv"] == 0
    assert counts["QLinearAdd"] == counts["QLinearConcat"] == counts["QLinearGlobalAveragePool"] == 1
    assert counts["Relu"] == 0


def read_by(reader, first="Conv", output=None):
    """Return x -> Conv (or another) -> Relu -> readers that no integer kernel has -> Conv, its ranges and inputs.

    Args:
        reader: "Slice" (even and odd columns, joined by a Max) or "Sigmoid".
        first: operator in front of the Relu.
        output: a further output of the graph.
    """
    generator = np.random.default_rng(3)
    shape, half = (1, 4, 6, 6), (1, 4, 6, 3)
    constants = {
        "w": generator.normal(0, 1, (4, 4, 3, 3)).astype(np.float32),
        "head": generator.normal(0, 1, (2, 4, 1, 1)).astype(np.float32),
        "start": np.array([0], np.int64),
        "stop": np.array([6], np.int64),
        "axis": np.array([3], np.int64),
        "step": np.array([2], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        drawing.node("Conv", ["x", "w"], "first", pads=[1, 1, 1, 1])
        if first == "Conv"
        else drawing.node(first, ["x"], "first"),
        drawing.node("Relu", ["first"], "relu"),
    ]
    if reader == "Sigmoid":
        nodes.append(drawing.node("Sigmoid", ["relu"], "read"))
    else:
        nodes.append(drawing.node("Slice", ["relu", "start", "stop", "axis", "step"], "left"))
        nodes.append(drawing.node("Slice", ["relu", "one", "stop", "axis", "step"], "right"))
        nodes.append(drawing.node("Max", ["left", "right"], "read"))
    nodes.append(drawing.node("Conv", ["read", "head"], "y"))
    result = (1, 2, *(shape if reader == "Sigmoid" else half)[2:])
    outputs = {"y": (result, FLOAT), **({output: (shape, FLOAT)} if output else {})}
    used = {name for node in nodes for name in node.input}
    constants = {name: value for name, value in constants.items() if name in used}
    model = drawing.make_model(nodes, constants, {"x": (shape, FLOAT)}, outputs)
    inputs = [{"x": generator.normal(0, 1, shape).astype(np.float32)} for _ in range(3)]
    ranges = drawing.ranges_of(model, inputs)
    tensors = {**ranges.tensors, "x": drawing.TensorRange(-4.0, 4.0, dict.fromkeys(drawing.CALIBRATION_METHODS, 4.0))}
    return model, dataclasses.replace(ranges, tensors=tensors), inputs


READERS = {"Sigmoid": ["read"], "Slice": ["left", "right"]}


@pytest.mark.parametrize("reader", READERS)
def test_relu_behind_a_convolution_is_stored_whatever_reads_it(reader, tmp_path):
    model, ranges, inputs = read_by(reader)
    result = quantize(model, ranges, QuantizationConfig("min-max"), "onnxruntime", 127)
    view = View(result.data)
    for output in READERS[reader]:
        assert view.quantized_inputs(output)[0], output
    assert view.nodes[view.nodes["relu"].input[0]].op_type == "Conv"
    assert result.int8_mac_share == 1.0
    path = tmp_path / "optimised.onnx"
    fused = drawing.run(result.data, inputs[0], optimised_path=path)[0]
    counts = Counter(node.op_type for node in onnx.load(str(path)).graph.node)
    assert (counts["QLinearConv"], counts["Conv"], counts["Relu"]) == (1, 0, 0)
    expected = drawing.run(model, inputs[0])[0]
    # Steps of 1/127 of the range in three places.
    assert np.abs(fused - expected).max() < 0.05 * np.ptp(expected)


@pytest.mark.parametrize("reader", READERS)
def test_relu_behind_another_operator_is_not_stored(reader):
    model, ranges, _ = read_by(reader, first="Neg")
    view = View(quantize(model, ranges, QuantizationConfig("min-max"), "onnxruntime").data)
    for output in READERS[reader]:
        assert not view.quantized_inputs(output)[0], output


def test_relu_that_is_an_output_of_the_graph_stays_float():
    model, ranges, inputs = read_by("Slice", output="relu")
    result = quantize(model, ranges, QuantizationConfig("min-max"), "onnxruntime")
    view = View(result.data)
    assert not view.quantized_inputs("left")[0]
    assert [value.name for value in view.model.graph.output] == ["y", "relu"]
    reasons = {layer.name: layer.reason for layer in result.layers}
    assert reasons == {"first": "its output is the network's, which is float", "y": ""}
    assert (drawing.run(result.data, inputs[0], ["relu"])[0] >= 0).all()


@pytest.mark.parametrize("reader", READERS)
def test_tensorrt_form_has_no_pair_for_a_relu_that_no_weighted_layer_reads(reader):
    model, ranges, _ = read_by(reader)
    view = View(quantize(model, ranges, QuantizationConfig("min-max"), "tensorrt").data)
    for output in READERS[reader]:
        assert not view.quantized_inputs(output)[0], output
    assert view.counts["QuantizeLinear"] == 2  # x and what the last convolution reads


# Both forms


@pytest.mark.parametrize(("form", "levels", "steps"), [(FORMS[0], 255, 127), (FORMS[1], 255, 127), (FORMS[1], 127, 63)])
def test_weights_have_one_scale_for_each_output_channel(form, levels, steps, monkeypatch):
    monkeypatch.setattr(calibration.qdq.insert, "pack_stem_columns", lambda *_: False)  # it has each channel twice
    view = quantized(form, levels=levels)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in NETWORK.graph.initializer}
    for output in ("stem", "deep", "point", "logits"):
        dequantize = view.producers[view.nodes[output].input[1]]
        scale, zero_point = view.pair(output, 1)
        channels = 1 if view.nodes[output].op_type == "MatMul" else 0
        weight = weights[next(node for node in NETWORK.graph.node if node.name == output).input[1]]
        np.testing.assert_allclose(scale, np.abs(weight).max((1, 2, 3)) / steps, rtol=1e-6)
        assert not zero_point.any()
        assert [attribute.i for attribute in dequantize.attribute if attribute.name == "axis"] == [channels]
        integers = np.moveaxis(view.constants[dequantize.input[0]], channels, 0).reshape(len(weight), -1)
        assert integers.dtype == np.int8 and integers.min() >= -steps
        assert np.abs(integers.astype(int)).max(1).tolist() == [steps] * len(weight)


@pytest.mark.parametrize("form", FORMS)
def test_input_and_output_stay_as_they_were(form):
    graph = quantized(form).model.graph
    assert list(graph.input) == list(NETWORK.graph.input)
    assert list(graph.output) == list(NETWORK.graph.output)
    assert quantized(form).model.opset_import[0].version == 17


@pytest.mark.parametrize("form", FORMS)
def test_float_graph_is_left_as_it_is_and_the_result_is_the_same_every_time(form):
    before = NETWORK.SerializeToString(deterministic=True)
    first, second = (quantize(NETWORK, RANGES, QuantizationConfig("entropy"), form).data for _ in range(2))
    assert first == second
    assert NETWORK.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("form", FORMS)
def test_no_float_weights_and_no_unread_constants_are_left(form):
    view = quantized(form)
    read = {name for node in view.model.graph.node for name in node.input}
    assert set(view.constants) <= read
    assert not {"stem_w", "deep_w", "point_w", "head_w"} & set(view.constants)


def test_share_of_int8_counts_the_multiply_adds():
    macs = count_macs(NETWORK)
    pixels = 8 * 8
    expected = {
        "stem": pixels * 8 * 27,
        "deep": pixels * 8 * 9,
        "point": pixels * 64,
        "logits": pixels * 5 * 16,
    }
    assert macs == expected
    assert quantize(NETWORK, RANGES, QuantizationConfig("min-max"), "tensorrt").int8_mac_share == 1.0
    recipe = QuantizationConfig("min-max", classifier="float")
    for form in FORMS:
        share = quantize(NETWORK, RANGES, recipe, form).int8_mac_share
        assert share == pytest.approx(1 - expected["logits"] / sum(expected.values()))


@pytest.mark.parametrize("form", FORMS)
def test_resize_in_float_reads_no_dequantised_tensor(form):
    resized = {}
    for resize in ("int8", "float"):
        view = View(quantize(NETWORK, RANGES, QuantizationConfig("min-max", resize=resize), form).data)
        resized[resize] = view.quantized_inputs("resized")[0]
        # What is behind it is rounded as before.
        assert view.quantized_inputs("logits")[0]
    assert resized == {"int8": form == "onnxruntime", "float": False}


# Refused


@pytest.mark.parametrize("form", FORMS)
def test_quantised_graph_is_refused(form):
    once = onnx.load_model_from_string(quantize(NETWORK, RANGES, QuantizationConfig("min-max"), form).data)
    with pytest.raises(GraphError, match=r"Q/DQ nodes already, expected a float graph\. Next: give the float graph"):
        quantize(once, RANGES, QuantizationConfig("min-max"), form)


@pytest.mark.parametrize("form", FORMS)
def test_layer_without_a_range_stays_float_and_says_so(form):
    tensors = {name: seen for name, seen in RANGES.tensors.items() if name != "deep_relu"}
    result = quantize(NETWORK, dataclasses.replace(RANGES, tensors=tensors), QuantizationConfig("min-max"), form)
    reasons = {layer.name: layer.reason for layer in result.layers if layer.precision == "float"}
    assert reasons["point"] == "its input has no range"


def test_unknown_form_and_method_are_refused():
    with pytest.raises(InputError, match="form is 'int4'"):
        quantize(NETWORK, RANGES, QuantizationConfig("min-max"), "int4")
    with pytest.raises(InputError, match="method is 'best'"):
        quantize(NETWORK, RANGES, QuantizationConfig("best"), "tensorrt")


@pytest.mark.parametrize("form", FORMS)
def test_weight_that_is_not_a_number_names_its_layer(form):
    model = drawing.make_network()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "point_w")
    values = numpy_helper.to_array(weight).copy()
    values[2, 1] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, "point_w"))
    with pytest.raises(
        GraphError, match=r"^point: a weight of shape .* is NaN or infinite in 1 of its 8 channels.*Next: "
    ):
        quantize(model, RANGES, QuantizationConfig("min-max"), form)


@pytest.mark.parametrize("form", FORMS)
def test_constants_of_nodes_are_quantised_like_initializers(form):
    model = drawing.with_constant_nodes(NETWORK)
    assert drawing.ranges_of(model, FRAMES).tensors == RANGES.tensors
    expected, actual = (quantize(given, RANGES, QuantizationConfig("min-max"), form) for given in (NETWORK, model))
    assert actual.layers == expected.layers and actual.int8_mac_share == 1.0
    first, second = (drawing.run(quantised.data, FRAMES[0])[0] for quantised in (expected, actual))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_no_pair_is_left_where_every_layer_is_in_float(form):
    """What pools, joins and interpolates follows its input: else a search could put all layers into float in vain."""
    model = varied_network(blocks=3)
    calibration = [{"frame": frame[None]} for frame in hostile.street_frames(3, seed=3)]
    ranges = drawing.ranges_of(model, calibration)
    names = quantized_nodes(model, ranges, QuantizationConfig(), form)[0]
    data = quantize(model, ranges, QuantizationConfig(float_layers=dict.fromkeys(names, "asked for")), form).data
    kinds = {node.op_type for node in onnx.load_from_string(data).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
