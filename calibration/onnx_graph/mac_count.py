"""Counting the multiply-adds of a graph, layer by layer."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from calibration.onnx_graph.view import WEIGHTED, with_sizes


def multiply_adds(onnx: Any, model: Any) -> dict[str, int]:
    """Count the multiply-adds of each convolution and matrix product of a graph with static shapes.

    Args:
        onnx: the onnx module.
        model: onnx.ModelProto.

    Returns:
        Output tensor of the node -> multiply-adds for one frame; 0 where a size is unknown, as behind an operator that
        ONNX does not know.
    """
    graph = with_sizes(onnx, model)
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    sizes.update({tensor.name: list(tensor.dims) for tensor in model.graph.initializer})
    return {
        node.output[0]: _count(node, *(sizes.get(name, []) for name in (node.input[0], node.input[1], node.output[0])))
        for node in model.graph.node
        if node.op_type in WEIGHTED
    }


def _count(node: Any, data: Sequence[int], weight: Sequence[int], output: Sequence[int]) -> int:
    if node.op_type in ("Conv", "ConvTranspose"):
        spread = output if node.op_type == "Conv" else data  # each position of it meets the whole weight
        if not output or not weight or len(spread) < 3:
            return 0
        return int(np.prod(spread[2:], dtype=np.int64) * np.prod(weight, dtype=np.int64) * output[0])
    if not data or not output:
        return 0
    is_turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(np.prod(output, dtype=np.int64) * (data[0] if is_turned else data[-1]))
