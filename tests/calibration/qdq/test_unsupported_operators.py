"""Operators that ONNX does not know, and weights that are no matrices, are left as they are and named."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from tests.calibration import graph_drawing as drawing

FORMS = ("tensorrt", "onnxruntime")
FRAMES = drawing.frames(4)
NETWORK = drawing.make_network()
FLOAT = TensorProto.FLOAT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("operator", ["Gelu", "SampleOp"])
def test_graph_with_an_operator_of_onnxruntime_is_quantised_around_it(form, operator):
    model = drawing.with_operator(NETWORK, operator, "com.microsoft")
    data = quantize(model, drawing.ranges_of(model, FRAMES), QuantizationConfig("min-max"), form).data
    graph = onnx.load_model_from_string(data).graph
    assert [node.domain for node in graph.node if node.op_type == operator] == ["com.microsoft"]
    expected, actual = drawing.run(model, FRAMES[0])[0], drawing.run(data, FRAMES[0])[0]
    # As the network without it: 1 % of the spread of the logits.
    assert np.abs(actual - expected).max() < 0.03 * np.ptp(expected)


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
