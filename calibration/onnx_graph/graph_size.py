"""How large a network is: its parameters and multiply-adds, counted in its graph, whoever made that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.mac_count import count_macs

_LEARNT_INPUTS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "MatMul": (0, 1),
    "BatchNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (1,),
}
"""Operator -> positions of its inputs that are parameters where they are constants of more than one value."""

_FLOATS = ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")


@dataclass(frozen=True)
class GraphSize:
    """Size of a network, as its float graph has it.

    Attributes:
        parameter_count: number of weights, biases and factors; a batch normalisation that was folded into a convolution
            is its bias alone, so that this is a little less than a training framework counts.
        multiply_adds: number of multiply-adds of convolutions and matrix products for one frame; None where the size of
            a tensor is not known.
    """

    parameter_count: int
    multiply_adds: int | None


def graph_size(model: Any) -> GraphSize:
    """Count the parameters and the multiply-adds of a float graph.

    Args:
        model: onnx.ModelProto with static shapes; left as it is.
    """
    graph = OnnxGraph(model, lenient=True)
    learnt = {
        node.input[place]
        for node in graph.nodes
        for place in _LEARNT_INPUTS.get(node.op_type, ())
        if place < len(node.input) and node.input[place] in graph.constants
    }
    counts = [math.prod(graph.shape_of(name) or ()) for name in learnt if graph.type_of(name) in _FLOATS]
    macs = count_macs(model)
    known = bool(macs) and all(macs.values())
    return GraphSize(sum(count for count in counts if count > 1), sum(macs.values()) if known else None)
