"""An ONNX graph with constants, producers, readers, types and shapes at hand, to look at and not to change."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Tuple

import numpy as np

from edge.errors import GraphError

STANDARD_DOMAINS = ("", "ai.onnx")

_LARGEST_SHAPE_CONSTANT = 1024
"""Numbers in a constant that shape inference may have to read; weights have more."""

_CONSTANT_KINDS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


class InferredGraph:
    """A graph whose types and shapes are inferred anew from its inputs.

    What the file says of tensors in between, or of the shapes of its outputs, is not trusted: a
    backend infers them too.

    Args:
        onnx: the onnx module.
        model: onnx.ModelProto; left as it is.

    Attributes:
        nodes: all but Constant.
        constants: name -> TensorProto, of initializers and Constant nodes.
        inputs: ValueInfoProto of each input that is no constant.
        outputs: names.
        producers: tensor -> the node that gives it.
        readers: tensor -> the nodes that read it, once for each time.
        shapes: tensor that is no constant -> its sizes, None for one that is not known.

    Raises:
        GraphError: the types of the graph contradict each other.
    """

    def __init__(self, onnx: Any, model: Any) -> None:
        self.model, self._onnx = model, onnx
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes = []
        for node in model.graph.node:
            if node.op_type == "Constant" and node.domain in STANDARD_DOMAINS:
                self.constants[node.output[0]] = self._constant(node)
            else:
                self.nodes.append(node)
        self.inputs = [value for value in model.graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in model.graph.output]
        self.producers = {output: node for node in self.nodes for output in node.output if output}
        self.readers: Dict[str, list] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self._types = {name: tensor.data_type for name, tensor in self.constants.items()}
        self.shapes: Dict[str, Tuple[int | None, ...]] = {}
        inferred = self._infer().graph
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            if value.name in self.constants or not value.type.HasField("tensor_type"):
                continue
            kind = value.type.tensor_type
            self._types[value.name] = kind.elem_type
            if kind.HasField("shape"):
                self.shapes[value.name] = tuple(
                    dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
                )

    def of(self, *operators: str) -> Iterator[Any]:
        """Yield the nodes of some standard operators."""
        return (node for node in self.nodes if node.op_type in operators and node.domain in STANDARD_DOMAINS)

    def type_of(self, tensor: str) -> str:
        """Return the name of a tensor's element type, such as FLOAT or UINT8; UNDEFINED if it is not known."""
        return self._onnx.TensorProto.DataType.Name(self._types.get(tensor, 0))

    def shape_of(self, tensor: str) -> tuple[int | None, ...] | None:
        """Return the sizes of a tensor, constant or not; None if even its rank is not known."""
        return tuple(self.constants[tensor].dims) if tensor in self.constants else self.shapes.get(tensor)

    def value_of(self, constant: str) -> np.ndarray:
        """Return the value of a constant."""
        return self._onnx.numpy_helper.to_array(self.constants[constant])

    def computed_inputs(self, node: Any) -> list[str]:
        """Return the inputs of a node that are there and no constants."""
        return [name for name in node.input if name and name not in self.constants]

    def permutation(self, node: Any) -> tuple[int, ...] | None:
        """Return the permutation of a Transpose; None if it reverses a tensor of unknown rank."""
        perm = attribute_of(node, "perm", None)
        if perm is not None:
            return tuple(perm)
        shape = self.shapes.get(node.input[0])
        return None if shape is None else tuple(reversed(range(len(shape))))

    def _constant(self, node: Any) -> Any:
        attribute = node.attribute[0]
        if attribute.name == "value":
            return attribute.t
        value = self._onnx.helper.get_attribute_value(attribute)
        if attribute.name not in _CONSTANT_KINDS:
            raise GraphError(f"constant {node.output[0]} is a {attribute.name}, expected numbers")
        return self._onnx.numpy_helper.from_array(np.asarray(value, _CONSTANT_KINDS[attribute.name]), node.output[0])

    def _infer(self) -> Any:
        try:
            return infer_without_weights(self._onnx, self.model, self.model.graph, check_type=True)
        except (RuntimeError, self._onnx.shape_inference.InferenceError) as error:
            reason = " ".join(str(error).split())[:200]
            raise GraphError(f"the types of the graph cannot be inferred: {reason}") from None


def infer_without_weights(onnx: Any, model: Any, graph: Any, check_type: bool = False) -> Any:
    """Infer types and shapes; inference copies all that it gets, so large constants stay behind.

    Args:
        onnx: the onnx module.
        model: onnx.ModelProto, whose operator sets and functions hold.
        graph: its graph, or one that is being rewritten.
        check_type: refuse types that contradict each other.

    Returns:
        onnx.ModelProto with value_info, and with inputs in the place of large constants.
    """
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = graph.name
    light.graph.node.extend(graph.node)
    light.graph.input.extend(graph.input)
    for named in (*light.opset_import, *light.graph.node):
        # Two names of one domain, of which shape inference knows the short one.
        named.domain = "" if named.domain in STANDARD_DOMAINS else named.domain
    describe = onnx.helper.make_tensor_value_info
    inputs = {value.name for value in graph.input}
    light.graph.output.extend(
        describe(value.name, value.type.tensor_type.elem_type, None)
        for value in graph.output
        if value.name not in inputs
    )
    for tensor in graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= _LARGEST_SHAPE_CONSTANT:
            light.graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            light.graph.input.append(describe(tensor.name, tensor.data_type, list(tensor.dims)))
    return onnx.shape_inference.infer_shapes(light, check_type=check_type, data_prop=True)


def name_of(node: Any) -> str:
    """Return what to call a node in a message."""
    return node.name or f"{node.op_type} that gives {node.output[0]}"


def attribute_of(node: Any, name: str, default: Any) -> Any:
    """Return a number, text or list of numbers among a node's attributes, or the default."""
    # The field of AttributeProto that each of its types fills.
    fields = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
    for attribute in node.attribute:
        if attribute.name == name:
            value = getattr(attribute, fields[attribute.type])
            return value.decode() if isinstance(value, bytes) else value
    return default
