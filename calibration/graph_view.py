"""A float graph as quantisation looks at it: who makes a tensor, who reads it, what is constant."""

from __future__ import annotations

from typing import Any, Iterator

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with multiply-adds; those with a constant weight are worth INT8."""

KEEPS_RANGE = ("Resize", "MaxPool", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")
"""Operators whose output lies within the range of their input: both share one scale."""


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
