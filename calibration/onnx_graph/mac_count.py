"""Counting the multiply-adds (MACs) of a graph, layer by layer."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import WEIGHTED, attribute_of


def count_macs(model: Any) -> dict[str, int]:
    """Count the multiply-adds of each convolution and matrix product of a graph with static shapes.

    Args:
        model: onnx.ModelProto; left as it is.

    Returns:
        Name of the node's output -> multiply-adds for one frame; 0 where a size is unknown, as behind an operator that
        ONNX does not know.
    """
    graph = OnnxGraph(model, lenient=True)

    def sizes_of(tensor: str) -> list[int]:
        return [size or 0 for size in graph.shape_of(tensor) or ()]

    return {
        node.output[0]: _macs_of(node, *(sizes_of(name) for name in (node.input[0], node.input[1], node.output[0])))
        for node in graph.nodes
        if node.op_type in WEIGHTED
    }


def _macs_of(node: Any, data: Sequence[int], weight: Sequence[int], output: Sequence[int]) -> int:
    if node.op_type in ("Conv", "ConvTranspose"):
        spread = output if node.op_type == "Conv" else data  # each position of it meets the whole weight
        if not output or not weight or len(spread) < 3:
            return 0
        return int(np.prod(spread[2:], dtype=np.int64) * np.prod(weight, dtype=np.int64) * output[0])
    if not data or not output:
        return 0
    is_turned = attribute_of(node, "transA", 0)
    return int(np.prod(output, dtype=np.int64) * (data[0] if is_turned else data[-1]))
