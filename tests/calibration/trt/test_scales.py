"""Which tensor of a network gets which scale, by the names that TensorRT's parser gives."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.trt.scales import constant_scales, network_scales, tensor_scales
from edge.errors import GraphError, InputError
from tests.calibration import graph_drawing as drawing
from tests.edge.runtime import tensorrt_stand_in as stand_in
from tests.edge.runtime.parsed_network import parsed_network

MODEL = drawing.make_network()
COUNTED = drawing.ranges_of(MODEL, drawing.frames())
# So few values that the methods clip nothing: thresholds that differ, whatever the method.
SHARES = {"min-max": 1.0, "percentile": 0.75, "entropy": 0.5, "mse": 0.625}
RANGES = dataclasses.replace(
    COUNTED,
    tensors={
        name: dataclasses.replace(
            counted,
            thresholds={key: value * SHARES.get(key, 1.0) for key, value in counted.thresholds.items()},
        )
        for name, counted in COUNTED.tensors.items()
    },
)


def test_every_tensor_behind_the_front_has_a_scale_and_none_before():
    scales = tensor_scales(MODEL, RANGES, "percentile")
    outputs = [node.output[0] for node in MODEL.graph.node]
    # `normalised` only moves into `nchw`, and both hold the same values.
    assert [name for name in outputs if name not in scales] == ["cast", "scaled"]
    assert "frame" not in scales
    assert all(np.isfinite(scale) and scale > 0 for scale in scales.values())


@pytest.mark.parametrize("method", ["min-max", "percentile", "entropy"])
def test_scales_are_those_of_the_quantised_graph(method):
    scales = tensor_scales(MODEL, RANGES, method)
    graph = onnx.load_model_from_string(quantize(MODEL, RANGES, QuantizationConfig(method=method), "tensorrt").data)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    pairs = {
        node.input[0]: float(stored[node.input[1]])
        for node in graph.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in stored
    }
    assert set(pairs) >= {"nchw", "stem_relu", "deep_relu", "merged"}
    for name, scale in pairs.items():
        # The graph keeps float32, which has 24 binary digits.
        assert scales[name] == pytest.approx(scale, rel=2**-23), name


def test_sum_that_only_a_relu_reads_has_the_scale_of_the_relu():
    scales = tensor_scales(MODEL, RANGES, "percentile")
    assert scales["stem"] == scales["stem_relu"]
    assert scales["deep"] == scales["deep_relu"]
    assert scales["stem_relu"] != scales["deep_relu"]


def concatenation(factor: float):
    """Return a graph that joins two branches, one of them larger by a factor, and its ranges."""
    generator = np.random.default_rng(4)
    constants = {name: generator.normal(0, 0.3, (4, 3, 1, 1)).astype(np.float32) for name in ("small_w", "large_w")}
    constants["large_w"] = constants["small_w"] * np.float32(factor)
    constants["out_w"] = generator.normal(0, 0.3, (2, 8, 1, 1)).astype(np.float32)
    nodes = [
        drawing.node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        drawing.node("Transpose", ["cast"], "nchw", perm=[0, 3, 1, 2]),
        drawing.node("Conv", ["nchw", "small_w"], "small"),
        drawing.node("Conv", ["nchw", "large_w"], "large"),
        drawing.node("MaxPool", ["small"], "pooled", kernel_shape=[1, 1]),
        drawing.node("Concat", ["pooled", "large"], "merged", axis=1),
        drawing.node("Conv", ["merged", "out_w"], "logits"),
    ]
    model = drawing.make_model(
        nodes,
        constants,
        {"frame": ((1, 8, 8, 3), TensorProto.UINT8)},
        {"logits": ((1, 2, 8, 8), TensorProto.FLOAT)},
    )
    return model, drawing.ranges_of(model, drawing.frames(size=8))


def test_branches_of_a_concat_and_what_only_moves_share_one_scale():
    scales = tensor_scales(*concatenation(2.0), "min-max")
    assert scales["small"] == scales["pooled"] == scales["large"] == scales["merged"]


def test_concat_of_very_different_branches_keeps_their_scales():
    scales = tensor_scales(*concatenation(20.0), "min-max")
    assert scales["small"] == scales["pooled"]
    assert scales["large"] == scales["merged"] == pytest.approx(20 * scales["small"])


def test_concat_that_no_integer_layer_reads_has_the_largest_scale_of_its_branches():
    model, ranges = concatenation(2.0)
    del model.graph.node[-1]  # the convolution behind it, whose input has a pair
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("merged", TensorProto.FLOAT, (1, 8, 8, 8)))
    scales = tensor_scales(model, ranges, "min-max")
    assert scales["small"] == scales["large"] == scales["merged"] == ranges.threshold("merged", "min-max") / 127
    assert ranges.threshold("merged", "min-max") > 1.5 * ranges.threshold("small", "min-max")


def test_recipe_chooses_the_method_tensor_by_tensor():
    recipe = QuantizationConfig(method="percentile", tensor_methods={"deep_relu": "min-max"})
    scales = tensor_scales(MODEL, RANGES, recipe)
    assert scales["deep_relu"] == RANGES.tensors["deep_relu"].thresholds["min-max"] / 127
    assert scales["deep"] == scales["deep_relu"]
    assert scales["stem_relu"] == tensor_scales(MODEL, RANGES, "percentile")["stem_relu"]


def test_graph_is_left_as_it_is_and_one_with_pairs_is_refused():
    before = MODEL.SerializeToString()
    tensor_scales(MODEL, RANGES, "percentile")
    assert MODEL.SerializeToString() == before
    quantized = onnx.load_model_from_string(quantize(MODEL, RANGES, QuantizationConfig(), "tensorrt").data)
    with pytest.raises(GraphError, match="has Q/DQ pairs, expected a float graph"):
        tensor_scales(quantized, RANGES, "percentile")
    with pytest.raises(InputError, match="calibration method is 'guess'"):
        tensor_scales(MODEL, RANGES, "guess")


def test_constant_has_its_largest_value_and_a_zero_one_a_scale_all_the_same():
    model = drawing.make_network(zero_channel=True)
    constants = constant_scales(model)
    assert constants["offset"] == 2 / 127
    assert "sizes" not in constants  # int64 is no data
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "zeros"))
    assert constant_scales(model)["zeros"] == 1 / 127


def gemm_graph():
    generator = np.random.default_rng(6)
    constants = {
        "inverse": np.array(1 / 255, np.float32),
        "weight": generator.normal(0, 1, (12, 4)).astype(np.float32),
        "bias": generator.normal(0, 1, 4).astype(np.float32),
        "flat": np.array([1, 12], np.int64),
    }
    nodes = [
        drawing.node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        drawing.node("Mul", ["cast", "inverse"], "scaled"),
        drawing.node("Reshape", ["scaled", "flat"], "row"),
        drawing.node("Gemm", ["row", "weight", "bias"], "sums"),
        drawing.node("Relu", ["sums"], "logits"),
    ]
    model = drawing.make_model(
        nodes,
        constants,
        {"frame": ((1, 2, 2, 3), TensorProto.UINT8)},
        {"logits": ((1, 4), TensorProto.FLOAT)},
    )
    return model, drawing.ranges_of(model, drawing.frames(size=2))


def network_of(model, version):
    trt = stand_in.make_tensorrt(stand_in.Gpu(), version)
    network = trt.INetworkDefinition(False)
    network._inputs, network._layers = parsed_network(trt, version, model)
    return trt, network


WEIGHT, PRODUCT, BIAS, BROADCAST = (
    "(Unnamed Layer* 5) [Constant]_output",
    "(Unnamed Layer* 6) [Matrix Multiply]_output",
    "(Unnamed Layer* 7) [Constant]_output",
    "(Unnamed Layer* 8) [Shuffle]_output",
)


def test_tensors_that_the_parser_of_8_5_makes_are_found_by_its_numbers():
    model, ranges = gemm_graph()
    trt, network = network_of(model, "8.5.3.1")
    scales, constants = tensor_scales(model, ranges, "min-max"), constant_scales(model)
    found, without = network_scales(trt, network, scales, constants)
    assert found[WEIGHT] == constants["weight"]
    assert found[BIAS] == found[BROADCAST] == constants["bias"]
    assert found[PRODUCT] == scales["sums"] == scales["logits"]
    # The frame itself is no float tensor, and the front has no range.
    assert without == ["cast"]
    assert {name: found[name] for name in scales} == scales


def test_tensors_that_the_parser_of_10_makes_are_found_by_their_layers():
    model, ranges = gemm_graph()
    trt, network = network_of(model, "10.3.0")
    constants = constant_scales(model)
    found, without = network_scales(trt, network, tensor_scales(model, ranges, "min-max"), constants)
    assert found["weight_output"] == constants["weight"]
    assert found["bias_output"] == found["ONNXTRT_8_output"] == constants["bias"]
    assert without == ["cast"]


def test_scale_of_a_tensor_that_nobody_knows_is_not_guessed():
    model, ranges = gemm_graph()
    trt, network = network_of(model, "8.5.3.1")
    found, without = network_scales(trt, network, tensor_scales(model, ranges, "min-max"), {})
    assert without == [
        "cast",
        "(Unnamed Layer* 1) [Constant]_output",
        "(Unnamed Layer* 2) [Shuffle]_output",
        WEIGHT,
        BIAS,
        BROADCAST,
    ]
    assert WEIGHT not in found
