"""Turning stored INT8 weights back into float32 weights behind a Q/DQ pair, for TensorRT 8.

Its ONNX parser makes a constant of what a DequantizeLinear reads, and refuses one of INT8
("invalid weights type of Int8"). Source: github.com/microsoft/onnxruntime, issue 11535.
"""

from __future__ import annotations

import numpy as np

from edge.errors import GraphError, MissingDependencyError


def with_float_weights(graph: bytes) -> bytes:
    """Return a graph in which every DequantizeLinear of a constant has a QuantizeLinear in front.

    The numbers stay the same: the float32 weight is integer times scale, which rounds to that
    integer again.

    Args:
        graph: an ONNX file with constant scales.

    Raises:
        MissingDependencyError: onnx is not installed.
        GraphError: the file is no ONNX graph.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError:
        raise MissingDependencyError("onnx", "an int8 engine for TensorRT 8", "pip install onnx") from None
    try:
        model = onnx.load_model_from_string(graph)
    except DecodeError:
        raise GraphError("the graph cannot be read: it is truncated or not ONNX. Next: export it again") from None
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        stored = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if stored is not None and node.input[1] in constants:
            integers = onnx.numpy_helper.to_array(stored).astype(np.float32)
            scale = onnx.numpy_helper.to_array(constants[node.input[1]])
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
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
    del rewritten.node[:], rewritten.initializer[:]
    rewritten.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    rewritten.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    model.graph.CopyFrom(rewritten)
    return model.SerializeToString()
