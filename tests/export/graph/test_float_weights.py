"""Stored INT8 weights and float32 weights behind a Q/DQ pair are the same weights."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from edge.errors import GraphError
from edge.runtime.onnxruntime import open_session
from export.graph.float_weights import with_float_weights
from tests.edge.runtime import tensorrt_stand_in as stand_in

FRAME = np.random.default_rng(2).integers(0, 256, (1, 8, 16, 3), np.uint8)


def test_weights_become_float32_behind_a_pair_with_the_same_numbers():
    graph = stand_in.tiny_graph(quantized=True)
    result = with_float_weights(graph)
    model = onnx.load_model_from_string(result)
    onnx.checker.check_model(model, full_check=True)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = {node.input[0]: node for node in model.graph.node}
    assert "kernel_q" not in constants
    weights = constants["kernel_dq_float32"]
    assert weights.data_type == TensorProto.FLOAT
    quantize = readers["kernel_dq_float32"]
    assert quantize.op_type == "QuantizeLinear"
    assert readers[quantize.output[0]].output[0] == "kernel_dq"
    np.testing.assert_array_equal(run(result), run(graph))
    scale = numpy_helper.to_array(constants["kernel_scale"]).reshape(-1, 1, 1, 1)
    steps = numpy_helper.to_array(weights) / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)


def run(graph: bytes) -> np.ndarray:
    return open_session(graph, threads=1).run(None, {"frame": FRAME})[0]


def test_graph_without_stored_weights_keeps_its_nodes():
    graph = stand_in.tiny_graph()
    assert onnx.load_model_from_string(with_float_weights(graph)) == onnx.load_model_from_string(graph)


def test_truncated_graph_is_refused():
    with pytest.raises(GraphError, match="truncated or not ONNX"):
        with_float_weights(stand_in.tiny_graph()[:-3])
