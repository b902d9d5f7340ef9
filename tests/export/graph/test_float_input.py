"""A float network input gives the same logits for the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from edge.errors import GraphError
from edge.runtime.onnxruntime import open_session
from export.graph.float_input import with_float_input
from tests.edge.runtime import tensorrt_stand_in as stand_in

FRAME = np.random.default_rng(2).integers(0, 256, (1, 8, 16, 3), np.uint8)


def test_input_is_float32_the_cast_is_gone_and_the_logits_are_the_same():
    graph = stand_in.tiny_graph()
    result = with_float_input(graph)
    model = onnx.load_model_from_string(result)
    onnx.checker.check_model(model, full_check=True)
    assert [(value.name, value.type.tensor_type.elem_type) for value in model.graph.input] == [
        ("frame", TensorProto.FLOAT)
    ]
    assert "Cast" not in [node.op_type for node in model.graph.node]
    expected = open_session(graph, threads=1).run(None, {"frame": FRAME})[0]
    # Every uint8 is a float32 exactly, so the numbers are the same to the last bit.
    np.testing.assert_array_equal(
        open_session(result, threads=1).run(None, {"frame": FRAME.astype(np.float32)})[0], expected
    )


def test_graph_that_has_a_float_input_keeps_it():
    once = with_float_input(stand_in.tiny_graph())
    assert with_float_input(once) == once


def test_graph_that_reads_uint8_itself_has_pairs_or_is_damaged_is_refused():
    model = onnx.load_model_from_string(stand_in.tiny_graph())
    model.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    with pytest.raises(GraphError, match=r"uint8 input frame is read by Cast .*expected a Cast to float32"):
        with_float_input(model.SerializeToString())
    with pytest.raises(GraphError, match="has Q/DQ pairs, expected a float graph"):
        with_float_input(stand_in.tiny_graph(quantized=True))
    with pytest.raises(GraphError, match="truncated or not ONNX"):
        with_float_input(stand_in.tiny_graph()[:-3])
