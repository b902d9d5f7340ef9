"""Operators that ONNX does not know, and weights that are no matrices, are left as they are and named."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from calibration.onnx_graph.mac_count import count_macs
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from tests.calibration import graph_drawing as drawing

FORMS = ("tensorrt", "onnxruntime")
FRAMES = drawing.frames(4)
NETWORK = drawing.make_network()
FLOAT = TensorProto.FLOAT


def with_operator(name, domain, behind="deep_relu"):
    """Return NETWORK with a node of another operator set behind one of its tensors."""
    model = onnx.ModelProto()
    model.CopyFrom(NETWORK)
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [f"{behind}/other" if source == behind else source for source in node.input]
    place = next(index for index, node in enumerate(nodes) if node.output[0] == behind) + 1
    model.graph.node.insert(place, onnx.helper.make_node(name, [behind], [f"{behind}/other"], name, domain=domain))
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    return model


@pytest.mark.parametrize(("operator", "point"), [("Gelu", 64 * 8 * 8), ("SampleOp", 0)])
def test_operator_of_onnxruntime_is_counted_past_where_its_size_is_known(operator, point):
    counts = count_macs(with_operator(operator, "com.microsoft"))
    assert counts == {**count_macs(NETWORK), "point": point}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operator", ["Gelu", "SampleOp"])
def test_graph_with_an_operator_of_onnxruntime_is_quantised_around_it(form, operator):
    model = with_operator(operator, "com.microsoft")
    data = quantize(model, drawing.ranges_of(model, FRAMES), QuantizationConfig("min-max"), form).data
    graph = onnx.load_model_from_string(data).graph
    assert [node.domain for node in graph.node if node.op_type == operator] == ["com.microsoft"]
    expected, actual = drawing.run(model, FRAMES[0])[0], drawing.run(data, FRAMES[0])[0]
    # As the network without it: 1 % of the spread of the logits.
    assert np.abs(actual - expected).max() < 0.03 * np.ptp(expected)


def test_operator_that_nobody_knows_leaves_sizes_out_and_no_traceback():
    counts = count_macs(with_operator("Wobble", "my.domain"))
    assert counts["deep"] and not counts["point"]
    model = with_operator("Wobble", "my.domain")
    del model.opset_import[:]  # inference refuses such a graph altogether
    assert set(count_macs(model)) == {"stem", "deep", "point", "logits"}


def test_product_of_a_transposed_matrix_counts_its_rows():
    nodes = [drawing.node("Gemm", ["x", "w"], "y", transA=1)]
    model = drawing.make_model(
        nodes, {"w": np.ones((7, 5), np.float32)}, {"x": ((7, 3), FLOAT)}, {"y": ((3, 5), FLOAT)}
    )
    assert count_macs(model) == {"y": 3 * 7 * 5}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(4,), (4, 6), (2, 3, 4, 6)])
def test_only_matrices_are_quantised_as_weights_of_a_matrix_product(form, shape):
    generator = np.random.default_rng(4)
    weight = generator.normal(0, 1, shape).astype(np.float32)
    result = (2, 3, 5, *shape[-1:]) if len(shape) > 1 else (2, 3, 5)
    nodes = [drawing.node("Relu", ["x"], "data"), drawing.node("MatMul", ["data", "w"], "y")]
    model = drawing.make_model(nodes, {"w": weight}, {"x": ((2, 3, 5, 4), FLOAT)}, {"y": (result, FLOAT)})
    inputs = [{"x": generator.normal(0, 1, (2, 3, 5, 4)).astype(np.float32)}]
    quantised = quantize(model, drawing.ranges_of(model, inputs), QuantizationConfig("min-max"), form)
    is_int8 = form == "tensorrt" and len(shape) == 2
    assert [layer.precision for layer in quantised.layers] == ["int8" if is_int8 else "float"]
    expected, actual = drawing.run(model, inputs[0])[0], drawing.run(quantised.data, inputs[0])[0]
    assert np.array_equal(actual, expected) != is_int8
    # Steps of 1/127 in sums of four.
    assert np.abs(actual - expected).max() < 0.03 * np.ptp(expected)
