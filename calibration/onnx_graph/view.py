"""A float graph as quantisation looks at it: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with multiply-adds; those with a constant weight are worth INT8."""

KEEPS_RANGE = ("Resize", "MaxPool", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")
"""Operators whose output lies within the range of their input: both share one scale."""

_STANDARD_DOMAINS = ("", "ai.onnx")

_SAME_SIZE = ("Gelu", "FastGelu", "QuickGelu", "BiasGelu")
"""Operators of ONNX Runtime's own whose output has the size of their input."""

_LARGEST_SHAPE = 64
"""Values of a constant that sizes may depend on."""


class GraphView:
    """Producers, readers and constants of a graph.

    Args:
        graph: onnx.GraphProto; nodes without a name, or with one that another node has, are named after their output.

    Attributes:
        nodes: in the order of the graph.
        constants: name -> TensorProto, of initializers.
        producers: tensor -> the node that makes it.
        readers: tensor -> the (node, input index) pairs that read it.
        outputs: names of the graph's outputs.
    """

    def __init__(self, graph: Any) -> None:
        seen: set[str] = set()
        for node in graph.node:
            if not node.name or node.name in seen:
                node.name = node.output[0]
            seen.add(node.name)
        self.nodes = list(graph.node)
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.producers = {output: node for node in self.nodes for output in node.output}
        self.readers: dict[str, list[tuple[Any, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.input):
                self.readers.setdefault(name, []).append((node, index))

    def weight_of(self, node: Any) -> Any:
        """Return the constant weight of a node (TensorProto), None if it has none."""
        return self.constants.get(node.input[1]) if node.op_type in WEIGHTED and len(node.input) > 1 else None

    def weighted(self) -> Iterator[Any]:
        """Yield the nodes with a constant weight."""
        return (node for node in self.nodes if self.weight_of(node) is not None)

    def only_reader(self, tensor: str, operator: str) -> Any:
        """Return the node of an operator that alone reads a tensor, None if there is no such node."""
        readers = self.readers.get(tensor, [])
        if tensor in self.outputs or len(readers) != 1 or readers[0][0].op_type != operator:
            return None
        return readers[0][0]

    def stored_output(self, node: Any) -> str:
        """Return the tensor that a weighted node stores: its own output, or that of the Relu that is fused with it."""
        relu = self.only_reader(node.output[0], "Relu")
        return relu.output[0] if relu is not None else node.output[0]

    def classifiers(self) -> list[Any]:
        """Return the weighted nodes whose results reach an output of the graph without another weighted node."""
        found, waiting, seen = [], sorted(self.outputs), set()
        while waiting:
            tensor = waiting.pop()
            node = self.producers.get(tensor)
            if node is None or node.name in seen:
                continue
            seen.add(node.name)
            if self.weight_of(node) is not None:
                found.append(node)
            else:
                waiting.extend(node.input)
        return found


def with_sizes(onnx: Any, model: Any) -> Any:
    """Infer the sizes of a graph's tensors, as far as ONNX knows its operators.

    Args:
        onnx: the onnx module.
        model: onnx.ModelProto, whose operator sets hold; left as it is.

    Returns:
        onnx.GraphProto with value_info, and with inputs in the place of large constants, which inference would copy.
        Behind an operator of another domain sizes are missing, unless the file has them or the operator is one of
        _SAME_SIZE.
    """
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.CopyFrom(
        onnx.GraphProto(
            name=model.graph.name,
            node=model.graph.node,
            input=model.graph.input,
            output=model.graph.output,
            value_info=model.graph.value_info,
        )
    )
    inputs = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= _LARGEST_SHAPE:
            light.graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            described = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(described)
    for node in light.graph.node:
        if node.domain not in _STANDARD_DOMAINS and node.op_type in _SAME_SIZE:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
    try:
        return onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError):
        return light.graph  # ONNX Runtime runs graphs that this inference refuses; what the file says is left


def weight_axis(node: Any) -> int:
    """Return the axis of a node's weight that counts output channels."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if next((attribute.i for attribute in node.attribute if attribute.name == "transB"), 0) else 1
    return 1  # ConvTranspose: (in, out / group, kh, kw); MatMul: (in, out)


def group_of(node: Any) -> int:
    """Return the groups of a convolution; 1 of other nodes."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
