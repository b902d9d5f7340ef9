"""A float16 graph has the inputs, outputs and, within float16's digits, the numbers of the float32 one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge.errors import GraphError
from edge.runtime.onnxruntime import open_session
from export.graph.float16 import SMALLEST_SCALE, to_float16

SIZE = (1, 4, 6, 6)
GENERATOR = np.random.default_rng(3)
DATA = GENERATOR.normal(0, 1, SIZE).astype(np.float32)


def make_graph(nodes, constants, output_shape=SIZE, opset=17, input_type=TensorProto.FLOAT) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", input_type, SIZE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def run(graph: bytes, data: np.ndarray = DATA) -> np.ndarray:
    """Run a graph as it is written; ONNX Runtime would compute in float32 what its CPU lacks in float16."""
    return ReferenceEvaluator(onnx.load_model_from_string(graph)).run(None, {"x": data})[0]


def run_quantised(graph: bytes) -> np.ndarray:
    """Run by ONNX Runtime, since the reference lacks Q and DQ of opset 17."""
    return open_session(graph, threads=1).run(None, {"x": DATA})[0]


def converted(graph: bytes):
    """Convert, check, and return (bytes, {node output: element type}, model)."""
    result = to_float16(graph)
    model = onnx.load_model_from_string(result)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    return result, types, model


def conv(data, kernel, output, **attributes):
    return helper.make_node("Conv", [data, kernel], [output], name=output, pads=[1, 1, 1, 1], **attributes)


KERNEL = GENERATOR.normal(0, 0.2, (4, 4, 3, 3)).astype(np.float32)


def test_layers_compute_in_float16_between_inputs_and_outputs_of_the_old_types():
    graph = make_graph([conv("x", "k", "a"), helper.make_node("Relu", ["a"], ["y"])], {"k": KERNEL})
    result, types, model = converted(graph)
    assert types["a"] == TensorProto.FLOAT16
    assert types["y"] == TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node] == ["Cast", "Conv", "Relu", "Cast"]
    assert {tensor.data_type for tensor in model.graph.initializer} == {TensorProto.FLOAT16}
    # 36 products, each rounded to 11 binary digits.
    np.testing.assert_allclose(run(result), run(graph), atol=36 * 2**-11, rtol=0)


def test_uint8_frame_is_cast_straight_to_float16():
    nodes = [helper.make_node("Cast", ["x"], ["p"], to=TensorProto.FLOAT), conv("p", "k", "y")]
    graph = make_graph(nodes, {"k": KERNEL / 255}, input_type=TensorProto.UINT8)
    frame = GENERATOR.integers(0, 256, SIZE, np.uint8)
    result, types, _ = converted(graph)
    assert types["p"] == TensorProto.FLOAT16
    np.testing.assert_allclose(run(result, frame), run(graph, frame), atol=36 * 2**-11, rtol=0)


def test_sums_and_softmax_stay_float32():
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["a"]),
        helper.make_node("Softmax", ["a"], ["s"], axis=1),
        helper.make_node("ReduceSum", ["s", "axes"], ["r"], keepdims=1),
        helper.make_node("Add", ["a", "r"], ["y"]),
    ]
    graph = make_graph(nodes, {"two": np.float32(2), "axes": np.array([2, 3], np.int64)})
    result, types, model = converted(graph)
    by_kind = {node.op_type: node for node in model.graph.node}
    assert [node.op_type for node in model.graph.node].count("Cast") == 4
    assert types[by_kind["Softmax"].output[0]] == TensorProto.FLOAT
    assert types[by_kind["ReduceSum"].output[0]] == TensorProto.FLOAT
    assert by_kind["ReduceSum"].input[0] == by_kind["Softmax"].output[0]
    assert types[by_kind["Add"].output[0]] == TensorProto.FLOAT16
    np.testing.assert_allclose(run(result), run(graph), rtol=2**-9, atol=2**-9)


def test_distances_of_large_features_do_not_overflow():
    """Squares, their sum, its scaling and the softmax, as in an encoding layer: 700**2 is beyond float16."""
    nodes = [
        conv("x", "k", "f"),
        helper.make_node("Mul", ["f", "f"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "axes"], ["norms"], keepdims=1),
        helper.make_node("Mul", ["norms", "scale"], ["distances"]),
        helper.make_node("Softmax", ["distances"], ["weights"], axis=3),
        conv("weights", "k1", "y"),
    ]
    constants = {"k": KERNEL * 500, "k1": KERNEL[:, :1], "axes": np.array([1], np.int64), "scale": np.float32(-1e-6)}
    graph = make_graph(nodes, constants)
    result, types, model = converted(graph)
    assert types["f"] == TensorProto.FLOAT16
    assert [node.op_type for node in model.graph.node].count("Cast") == 4
    assert np.abs(run(graph)).max() > 0.1
    np.testing.assert_allclose(run(result), run(graph), atol=2**-8)


@pytest.mark.parametrize("constant", [1e-7, 1e6])
def test_number_that_float16_has_no_room_for_keeps_its_layer_in_float32(constant):
    graph = make_graph(
        [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Div", ["a", "c"], ["y"])],
        {"c": np.float32(constant)},
    )
    np.testing.assert_allclose(run(to_float16(graph)), run(graph), rtol=2**-10)


def test_scales_of_resize_stay_float32():
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Resize", ["a", "", "scales"], ["y"], mode="linear"),
    ]
    graph = make_graph(nodes, {"scales": np.array([1, 1, 2, 2], np.float32)}, (1, 4, 12, 12))
    result, _, model = converted(graph)
    assert [tensor.data_type for tensor in model.graph.initializer] == [TensorProto.FLOAT]
    np.testing.assert_allclose(run(result), run(graph), atol=2**-9)


@pytest.mark.parametrize(
    "form", [{"value": numpy_helper.from_array(np.float32(0.5))}, {"value_float": 0.5}], ids=["tensor", "number"]
)
def test_constant_nodes_and_shared_constants_are_converted(form):
    nodes = [
        helper.make_node("Constant", [], ["c"], **form),
        helper.make_node("Mul", ["x", "c"], ["a"]),
        helper.make_node("Softmax", ["a"], ["b"], axis=1),
        helper.make_node("Pow", ["b", "c"], ["d"]),
        helper.make_node("Add", ["d", "c"], ["y"]),
    ]
    graph = make_graph(nodes, {})
    result, _, _ = converted(graph)
    np.testing.assert_allclose(run(result), run(graph), atol=2**-9)


def quantized_graph(kernel, stored: bool, opset: int = 17) -> bytes:
    scale = (np.abs(kernel).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    zero = np.zeros(4, np.int8)
    constants = {"ks": scale, "kz": zero, "xs": np.float32(0.03), "xz": np.int8(0)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["kq", "ks", "kz"], ["kd"], axis=0),
        conv("xd", "kd", "y"),
    ]
    if stored:
        constants["kq"] = np.rint(kernel / scale.reshape(-1, 1, 1, 1)).clip(-127, 127).astype(np.int8)
    else:
        constants["k"] = kernel
        nodes.insert(0, helper.make_node("QuantizeLinear", ["k", "ks", "kz"], ["kq"], axis=0))
    return make_graph(nodes, constants, opset=opset)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("channel_gain", [1.0, 2.0**-10])
def test_quantised_layers_keep_their_numbers_even_with_tiny_weight_scales(stored, channel_gain):
    """The second gain puts scales where float16 has few digits left; weights are rounded anew for them."""
    gains = np.array([1, 1, channel_gain, channel_gain], np.float32).reshape(-1, 1, 1, 1)
    graph = quantized_graph(KERNEL * gains, stored)
    result, types, model = converted(graph)
    assert types["xd"] == types["kd"] == TensorProto.FLOAT16
    assert {entry.version for entry in model.opset_import} == {19}
    # Each of 36 weights may move by a step of INT8 in either graph; the data is below 4.
    steps = np.maximum(np.abs(KERNEL * gains).max(axis=(1, 2, 3)) / 127, SMALLEST_SCALE).reshape(1, 4, 1, 1)
    difference = np.abs(run_quantised(result) - run_quantised(graph))
    assert (difference <= steps * np.sqrt(36) * 4 + np.abs(run_quantised(graph)) * 2**-8).all()
    correlation = np.corrcoef(run_quantised(result)[0, 2].ravel(), run_quantised(graph)[0, 2].ravel())[0, 1]
    assert correlation > 0.99


def test_scales_are_rounded_up_so_that_nothing_saturates_anew():
    _, _, model = converted(quantized_graph(KERNEL, stored=False))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    old = (np.abs(KERNEL).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    new = constants["ks_float16_scale"]
    assert new.dtype == np.float16
    assert (new.astype(np.float32) >= old).all()
    np.testing.assert_allclose(new.astype(np.float32), old, rtol=2**-6)


def test_scale_of_a_channel_that_is_all_but_zero_is_raised_to_one_that_float16_has():
    _, _, model = converted(quantized_graph(KERNEL * np.float32(1e-7), stored=True))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert (constants["ks_float16_scale"] == SMALLEST_SCALE).all()
    assert np.abs(constants["kq_rounded"]).max() == 0


def test_noise_is_drawn_in_float32():
    noise = helper.make_node("RandomUniform", [], ["noise"], name="noise", shape=list(SIZE))
    graph = make_graph([noise, helper.make_node("Mul", ["x", "noise"], ["y"], name="y")], {})
    result, types, _ = converted(graph)
    assert types[next(name for name in types if name.startswith("noise"))] == TensorProto.FLOAT
    # ONNX Runtime has no other kernel for it on a CPU.
    drawn = open_session(result, threads=1).run(None, {"x": np.ones(SIZE, np.float32)})[0]
    assert 0 <= drawn.min() < 0.2 and 0.8 < drawn.max() <= 1


def test_truncated_graph_is_refused():
    graph = make_graph([helper.make_node("Relu", ["x"], ["y"])], {})
    with pytest.raises(GraphError, match="truncated or not ONNX"):
        to_float16(graph[:-3])


def test_control_flow_is_refused():
    branch = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, SIZE)]
    )
    nodes = [helper.make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)]
    with pytest.raises(GraphError, match=r"choice \(If\) is control flow"):
        to_float16(make_graph(nodes, {"c": np.array(True)}))
