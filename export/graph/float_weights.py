"""Conversion of stored INT8 weights to float32 weights behind a Q/DQ pair, for TensorRT 8.

TensorRT 8's ONNX parser makes a constant of the input of a DequantizeLinear, and refuses one of INT8
("invalid weights type of Int8"). Source: github.com/microsoft/onnxruntime, issue 11535.
"""

from __future__ import annotations

import numpy as np

from calibration.onnx_graph.editable import drop_unread_constants
from calibration.onnx_graph.file import import_onnx, parse_graph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of


def with_float_weights(graph: bytes) -> bytes:
    """Return a graph in which every DequantizeLinear of a constant has a QuantizeLinear in front.

    The numbers stay the same: the float32 weight is integer times scale, which rounds to that
    integer again.

    Args:
        graph: content of an ONNX file with constant scales.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph.
    """
    model = parse_graph(graph, "an int8 engine for TensorRT 8")
    onnx, view = import_onnx(), OnnxGraph(model)
    nodes = []
    for node in model.graph.node:
        is_stored = node.op_type == "DequantizeLinear" and node.input[0] in view.constants
        if is_stored and node.input[1] in view.constants:
            integers = view.value_of(node.input[0]).astype(np.float32)
            scale, axis = view.value_of(node.input[1]), attribute_of(node, "axis", 1)
            if scale.size > 1:
                scale = scale.reshape([-1 if index == axis % integers.ndim else 1 for index in range(integers.ndim)])
            name = f"{node.output[0]}_float32"
            model.graph.initializer.append(onnx.numpy_helper.from_array(integers * scale, name))
            quantize = onnx.NodeProto()
            quantize.CopyFrom(node)
            quantize.op_type, quantize.name = "QuantizeLinear", f"{node.name}_quantize"
            quantize.input[0], quantize.output[0] = name, f"{name}_quantized"
            node.input[0] = quantize.output[0]
            nodes.append(quantize)
        nodes.append(node)
    rewritten = onnx.GraphProto()
    rewritten.CopyFrom(model.graph)
    del rewritten.node[:]
    rewritten.node.extend(nodes)
    drop_unread_constants(rewritten)
    model.graph.CopyFrom(rewritten)
    return model.SerializeToString()
