"""Parameters and multiply-adds of graphs whose sizes can be counted by hand."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from calibration.onnx_graph.graph_size import graph_size


def convolution(weights_of=(4, 3, 3, 3), height=8):
    """A 3x3 convolution with bias behind a scaling by a constant for each channel; `height` None leaves it free."""
    constants = {
        "scale": np.ones((1, 3, 1, 1), np.float32),
        "half": np.float32(0.5).reshape(1),
        "weight": np.ones(weights_of, np.float32),
        "bias": np.ones(weights_of[:1], np.float32),
        "sizes": np.float32([1, 1, 2, 2]),
    }
    nodes = [
        helper.make_node("Mul", ["frame", "scale"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "half"], ["halved"]),
        helper.make_node("Conv", ["halved", "weight", "bias"], ["logits"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["logits", "", "sizes"], ["large"], mode="linear"),
    ]
    frame = helper.make_tensor_value_info("frame", TensorProto.FLOAT, [1, 3, height or "height", 16])
    large = helper.make_tensor_value_info("large", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", [frame], [large], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_weights_biases_and_factors_are_parameters_and_single_numbers_and_sizes_are_not():
    size = graph_size(convolution())
    assert size.parameter_count == 4 * 3 * 9 + 4 + 3
    assert size.multiply_adds == 4 * 3 * 9 * 8 * 16


def test_multiply_adds_are_unknown_where_a_size_is():
    assert graph_size(convolution(height=None)).multiply_adds is None
