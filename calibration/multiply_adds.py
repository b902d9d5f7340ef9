"""Counting the multiply-adds of a graph, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np


def multiply_adds(onnx: Any, graph: Any) -> dict[str, int]:
    """Count the multiply-adds of each convolution and matrix product of a graph with static shapes.

    Args:
        onnx: the onnx module.
        graph: onnx.GraphProto.

    Returns:
        Output tensor of the node -> multiply-adds for one frame.
    """
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    shapes.update({tensor.name: list(tensor.dims) for tensor in graph.initializer})
    counts = {}
    for node in graph.node:
        output = shapes.get(node.output[0], [])
        if node.op_type in ("Conv", "ConvTranspose"):
            weight = shapes[node.input[1]]
            spatial = output if node.op_type == "Conv" else shapes.get(node.input[0], [])
            counts[node.output[0]] = int(np.prod(spatial[2:]) * np.prod(weight) * output[0])
        elif node.op_type in ("MatMul", "Gemm") and output:
            counts[node.output[0]] = int(np.prod(output) * shapes[node.input[0]][-1])
    return counts
