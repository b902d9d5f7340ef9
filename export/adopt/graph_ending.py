"""What the end of a given graph says about its output: probabilities or logits, and a decision that it takes itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, name_of
from edge.errors import GraphError

SIGMOID, SOFTMAX = "Sigmoid", "Softmax"

_PASSES_VALUES = (
    "Identity",
    "Dropout",
    "Resize",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Gather",
    "Split",
    "Clip",
)
"""Operators of which the values are those of their input, moved or interpolated."""

_PASSES_MASKS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators between a comparison and the output of a graph that keep the order of the pixels."""

_COMPARISONS = {"Greater": True, "GreaterOrEqual": True, "Less": False, "LessOrEqual": False}
"""Operator -> whether it is true where its first input is the larger one."""


@dataclass(frozen=True)
class Ending:
    """End of a graph, from the tensor that holds a value for each class.

    Attributes:
        values: name of that tensor, (1, channels, height, width).
        source: operator that its values come from, "Sigmoid" or "Softmax"; "" for any other.
        node: name of the node that compares the values with thresholds; None where the graph takes no decision.
        thresholds: thresholds of that node, one for all channels or one for each; empty without such a node.
    """

    values: str
    source: str
    node: str | None = None
    thresholds: tuple[float, ...] = ()

    @property
    def is_decided(self) -> bool:
        """Return whether the graph takes the decision itself, so that its output is labels."""
        return self.node is not None


def find_ending(path: Path, model: Any, output: str) -> Ending:
    """Read the end of a graph.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto with constants folded.
        output: name of its output.

    Raises:
        GraphError: the graph compares values with thresholds in a way that no contract can say.
    """
    graph = OnnxGraph(model)
    compared = _comparison_before(graph, output)
    if compared is None:
        values = _with_one_channel(graph, output)
        return Ending(values, _source(graph, values))
    node, values, thresholds, is_over = compared
    if not is_over:
        raise GraphError(
            f"output '{output}' of {path} is labels: {name_of(node)} is true where '{values}' is under its threshold, "
            "expected over. Next: export the network without it"
        )
    values = _with_one_channel(graph, values)
    return Ending(values, _source(graph, values), name_of(node), thresholds)


def _comparison_before(graph: OnnxGraph, tensor: str) -> tuple[Any, str, tuple[float, ...], bool] | None:
    """Return (node, what it compares, thresholds, whether it is true over them) of a mask; None if it is none."""
    is_over = True
    node = graph.producer(tensor)
    while node is not None and node.domain in STANDARD_DOMAINS:
        if node.op_type in _COMPARISONS:
            return _comparison(graph, node, is_over)
        if node.op_type == "Round" and _source(graph, node.input[0]):
            return node, node.input[0], (0.5,), is_over  # halves are rounded to even: 0.5 to 0
        if node.op_type == "Not":
            is_over = not is_over
        elif node.op_type == "Where":
            yes, no = (graph.value_of(name) for name in node.input[1:3])
            if yes is None or no is None or yes.size != 1 or no.size != 1:
                return None
            if not min(yes.item(), no.item()) == 0 < max(yes.item(), no.item()):  # 0 is "not the class" in every mask
                return None
            is_over = is_over == (yes.item() > no.item())
        elif node.op_type not in _PASSES_MASKS:
            return None
        node = graph.producer(node.input[0])
    return None


def _comparison(graph: OnnxGraph, node: Any, is_over: bool) -> tuple[Any, str, tuple[float, ...], bool] | None:
    """Return what a comparison with a constant for each channel compares; None for any other comparison."""
    first, second = node.input
    is_constant_first = first in graph.constants
    values, constant = (second, first) if is_constant_first else (first, second)
    thresholds = graph.value_of(constant)
    shape = graph.static_shape_of(values)
    if thresholds is None or shape is None:
        return None
    # A threshold for each channel of NCHW is (channels, 1, 1).
    is_per_channel = len(shape) == 4 and thresholds.ndim >= 3 and thresholds.shape[-3:] == (shape[1], 1, 1)
    if thresholds.size != 1 and not is_per_channel:
        return None
    larger_first = _COMPARISONS[node.op_type]
    is_over = is_over == (larger_first != is_constant_first)
    return node, values, tuple(map(float, thresholds.ravel())), is_over


def _with_one_channel(graph: OnnxGraph, tensor: str) -> str:
    """Return the tensor (1, 1, height, width) in front of what removes its axis of channels; else the tensor itself."""
    shape, source = graph.static_shape_of(tensor), tensor
    while shape is not None and len(shape) != 4:
        node = graph.producer(source, "Squeeze", "Reshape", "Flatten", "Unsqueeze", "Identity")
        if node is None:
            return tensor
        source = node.input[0]
        shape = graph.static_shape_of(source)
    return source if shape is not None and shape[:2] == (1, 1) else tensor


def _source(graph: OnnxGraph, tensor: str) -> str:
    """Return the operator that all values of a tensor come from, SIGMOID or SOFTMAX; "" for any other."""
    node = graph.producer(tensor)
    while node is not None and node.domain in STANDARD_DOMAINS and node.op_type in _PASSES_VALUES:
        node = graph.producer(node.input[0])
    if node is None or node.domain not in STANDARD_DOMAINS:
        return ""
    if node.op_type == "Concat":
        sources = {_source(graph, name) for name in node.input}
        return sources.pop() if len(sources) == 1 else ""
    return node.op_type if node.op_type in (SIGMOID, SOFTMAX) else ""


def reshaped_mask(mask: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Return the mask of a graph as (1, channels, height, width) bool, as the values that it was made of.

    Args:
        mask: labels that the graph gave, of any type; 0 is no class.
        values: values in front of the comparison, (1, channels, height, width).

    Returns:
        The mask; None if it has another number of pixels.
    """
    return (mask != 0).reshape(values.shape) if mask.size == values.size else None
