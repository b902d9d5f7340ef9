"""Multiply-adds of each layer, as far as sizes are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, numpy_helper

from calibration.onnx_graph.mac_count import count_macs
from tests.calibration import graph_drawing as drawing

NETWORK = drawing.make_network()
FLOAT = TensorProto.FLOAT


def test_multiply_adds_of_every_weighted_operator():
    shape = (1, 4, 6, 6)
    nodes = [
        drawing.node("ConvTranspose", ["x", "up"], "large", strides=[2, 2]),
        drawing.node("GlobalAveragePool", ["large"], "pooled"),
        drawing.node("Flatten", ["pooled"], "flat"),
        drawing.node("Gemm", ["flat", "w"], "y", transB=1),
    ]
    constants = {"up": np.ones((4, 3, 2, 2), np.float32), "w": np.ones((5, 3), np.float32)}
    model = drawing.make_model(nodes, constants, {"x": (shape, FLOAT)}, {"y": ((1, 5), FLOAT)})
    assert count_macs(model) == {"large": 36 * 4 * 3 * 4, "y": 15}


@pytest.mark.parametrize(("operator", "point"), [("Gelu", 64 * 8 * 8), ("SampleOp", 0)])
def test_operator_of_onnxruntime_is_counted_past_where_its_size_is_known(operator, point):
    counts = count_macs(drawing.with_operator(NETWORK, operator, "com.microsoft"))
    assert counts == {**count_macs(NETWORK), "point": point}


def test_operator_that_nobody_knows_leaves_sizes_out_and_no_traceback():
    counts = count_macs(drawing.with_operator(NETWORK, "Wobble", "my.domain"))
    assert counts["deep"] and not counts["point"]
    model = drawing.with_operator(NETWORK, "Wobble", "my.domain")
    del model.opset_import[:]  # inference refuses such a graph altogether
    assert set(count_macs(model)) == {"stem", "deep", "point", "logits"}


def test_product_of_a_transposed_matrix_counts_its_rows():
    nodes = [drawing.node("Gemm", ["x", "w"], "y", transA=1)]
    model = drawing.make_model(
        nodes, {"w": np.ones((7, 5), np.float32)}, {"x": ((7, 3), FLOAT)}, {"y": ((3, 5), FLOAT)}
    )
    assert count_macs(model) == {"y": 3 * 7 * 5}


def test_weight_of_a_constant_node_counts_like_an_initializer():
    weight = np.ones((2, 4, 3, 3), np.float32)
    nodes = [
        drawing.node("Constant", [], "w", value=numpy_helper.from_array(weight)),
        drawing.node("Conv", ["x", "w"], "y"),
    ]
    model = drawing.make_model(nodes, {}, {"x": ((1, 4, 6, 6), FLOAT)}, {"y": ((1, 2, 4, 4), FLOAT)})
    assert count_macs(model) == {"y": 16 * weight.size}


def test_size_that_is_free_counts_nothing():
    model = drawing.with_operator(NETWORK, "Relu", "")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    assert set(count_macs(model).values()) == {0}
