"""An ONNX graph for reading: its nodes and constants, the producer and readers of a tensor, types and shapes."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import HAS_BODIES, STANDARD_DOMAINS, WEIGHTED, reads_in_bodies
from calibration.onnx_graph.shapes import InferredTensors, Shape, infer_shapes

IN_BODY = -1
"""Input index of a read that a body of If, Loop or Scan does."""

_CONSTANT_KINDS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


class OnnxGraph:
    """Nodes, constants, producers and readers of a graph; types and shapes are inferred when they are first asked for.

    A constant is an initializer or what a Constant node gives: to a backend they are one. An Identity of a constant is
    a node like any other, since a backend runs it.

    Args:
        model: onnx.ModelProto; left as it is.
        lenient: True to infer shapes leniently, as calibration/onnx_graph/shapes.py describes.

    Attributes:
        model: model that the graph is part of, onnx.ModelProto.
        proto: graph of the model, onnx.GraphProto.
        nodes: nodes without those that give constants, in the order of the graph.
        constant_nodes: nodes that give constants.
        constants: name of a constant -> TensorProto. A constant that is no tensor in the file (value_ints and its like)
            is a copy.
        inputs: name of an input that is no constant -> ValueInfoProto.
        outputs: names of the graph's outputs.
        producers: name of a tensor -> node that gives it.
        readers: name of a tensor -> (node, input index) of each read; the index is IN_BODY for a read within a body of
            If, Loop or Scan.
    """

    _MAY_BE_CONSTANT = ("Constant",)

    def __init__(self, model: Any, lenient: bool = False) -> None:
        self.model, self.proto = model, model.graph
        self._lenient = lenient
        self._inferred: InferredTensors | None = None
        self.constants: Dict[str, Any] = {}
        self._look_at_initializers()
        self._look_at_nodes()

    def _look_at_initializers(self) -> None:
        self.constants = {tensor.name: tensor for tensor in self.proto.initializer}

    def _look_at_nodes(self) -> None:
        self.nodes: List[Any] = []
        self.constant_nodes: List[Any] = []
        for node in self.proto.node:
            value = self._constant(node) if node.op_type in self._MAY_BE_CONSTANT else None
            if value is None:
                self.nodes.append(node)
                continue
            self.constant_nodes.append(node)
            self.constants[node.output[0]] = value
        self.inputs = {value.name: value for value in self.proto.input if value.name not in self.constants}
        self.outputs = {value.name for value in self.proto.output}
        self.producers = {name: node for node in self.nodes for name in node.output if name}
        self.readers: Dict[str, List[Tuple[Any, int]]] = {}
        for node in self.nodes:
            for index, name in enumerate(node.input):
                if name:
                    self.readers.setdefault(name, []).append((node, index))
            for name in reads_in_bodies(node) if node.op_type in HAS_BODIES or node.domain else ():
                self.readers.setdefault(name, []).append((node, IN_BODY))

    def _constant(self, node: Any) -> Any:
        """Return the TensorProto that a node of _MAY_BE_CONSTANT gives; None if it is no constant."""
        if node.domain not in STANDARD_DOMAINS or not node.attribute:
            return None
        attribute = node.attribute[0]
        if attribute.name == "value":
            return attribute.t
        if attribute.name not in _CONSTANT_KINDS:
            return None  # texts and sparse tensors
        onnx = import_onnx()
        value = np.asarray(onnx.helper.get_attribute_value(attribute), _CONSTANT_KINDS[attribute.name])
        return onnx.numpy_helper.from_array(value, node.output[0])

    def of(self, *operators: str) -> Iterator[Any]:
        """Yield the nodes of some standard operators, in the order of the graph."""
        return (node for node in self.nodes if node.op_type in operators and node.domain in STANDARD_DOMAINS)

    # Tensors

    def value_of(self, tensor: str) -> np.ndarray | None:
        """Return the value of a constant; None if the tensor is no constant."""
        if tensor not in self.constants:
            return None
        return np.asarray(import_onnx().numpy_helper.to_array(self.constants[tensor]))

    def type_of(self, tensor: str) -> str:
        """Return the name of a tensor's element type, such as FLOAT or UINT8; UNDEFINED if it is not known."""
        if tensor in self.constants:
            kind = self.constants[tensor].data_type
        elif tensor in self.inputs:
            kind = self.inputs[tensor].type.tensor_type.elem_type
        else:
            kind = self._known().types.get(tensor, 0)
        return import_onnx().TensorProto.DataType.Name(kind)

    @property
    def shapes(self) -> Dict[str, Shape]:
        """Return the sizes of each tensor that is no constant, None for an unknown one; without those of unknown rank.

        Raises:
            GraphError: the types of the graph contradict each other, and shapes are not inferred leniently.
        """
        return self._known().shapes

    def shape_of(self, tensor: str) -> Shape | None:
        """Return the sizes of a tensor, constant or not, None for an unknown size; None if the rank is not known."""
        return tuple(self.constants[tensor].dims) if tensor in self.constants else self.shapes.get(tensor)

    def static_shape_of(self, tensor: str) -> Tuple[int, ...] | None:
        """Return the sizes of a tensor, constant or not; None if one of them is not known."""
        shape = self.shape_of(tensor)
        return None if shape is None or None in shape else shape

    def _known(self) -> InferredTensors:
        if self._inferred is None:
            self._inferred = infer_shapes(self.model, self._lenient)
        return self._inferred

    # Neighbours

    def producer(self, tensor: str, *operators: str) -> Any:
        """Return the node that gives a tensor; None if there is none, or it is none of the given operators."""
        node = self.producers.get(tensor)
        return node if node is not None and (not operators or node.op_type in operators) else None

    def only_reader(self, tensor: str, *operators: str) -> Any:
        """Return the node that alone reads a tensor, and reads it once.

        Returns:
            The node. None if there are several reads or none, if the tensor is an output of the graph, or if the node
            is none of the operators that were given.
        """
        readers = self.readers.get(tensor, ())
        if tensor in self.outputs or len(readers) != 1 or (operators and readers[0][0].op_type not in operators):
            return None
        return readers[0][0]

    def is_read(self, tensor: str) -> bool:
        """Return whether a node or a body of one reads a tensor, or the tensor is an output of the graph."""
        return tensor in self.readers or tensor in self.outputs

    def computed_inputs(self, node: Any) -> List[str]:
        """Return the inputs of a node that are given and no constants."""
        return [name for name in node.input if name and name not in self.constants]

    # Layers with multiply-adds

    def weight_of(self, node: Any) -> Any:
        """Return the constant weight of a node (TensorProto); None if it has none."""
        return self.constants.get(node.input[1]) if node.op_type in WEIGHTED and len(node.input) > 1 else None

    def stored_output(self, node: Any) -> str:
        """Return the tensor that a weighted node stores: its own output, or that of the Relu that is fused with it."""
        relu = self.only_reader(node.output[0], "Relu")
        return relu.output[0] if relu is not None else node.output[0]

    def classifiers(self) -> List[Any]:
        """Return the weighted nodes whose results reach an output of the graph without another weighted node."""
        found, waiting, seen = [], sorted(self.outputs), set()
        while waiting:
            tensor = waiting.pop()
            node = self.producers.get(tensor)
            if node is None or node.output[0] in seen:
                continue
            seen.add(node.output[0])
            if self.weight_of(node) is not None:
                found.append(node)
            else:
                waiting.extend(node.input)
        return found
