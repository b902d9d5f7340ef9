"""The one inference of types and shapes; it copies no weights, and has one rule for operators unknown to ONNX.

Strict inference works as a backend does that trusts nothing: what the file says of tensors in between, and of the
shapes of its outputs, is left out, and types that contradict each other are refused. Sizes that contradict each other
are refused on request; else they are not known, like those behind an operator that ONNX does not know.

Lenient inference is for graphs that ONNX Runtime runs although ONNX is at a loss: what the file says counts, some
operators of ONNX Runtime's own keep sizes, and where inference fails, what the file says is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.node import STANDARD_DOMAINS
from edge.errors import GraphError

LARGEST_SHAPE_CONSTANT = 1024
"""Numbers in a constant that is handed to inference, which may have to read it: a target shape, bounds, indices.

It errs on the side of reading: a constant that is left out leaves all sizes behind it unknown, and one too many costs
8 kB. A weight of more numbers than these is no shape.
"""

SAME_SIZE = ("Gelu", "FastGelu", "QuickGelu", "BiasGelu")
"""Operators of ONNX Runtime's own whose output has the type and size of their input."""

Shape = Tuple[Optional[int], ...]
"""The sizes of a tensor, None for one that is not known."""


@dataclass(frozen=True)
class InferredTensors:
    """Types and shapes of the inputs of a graph and of the outputs of its nodes; initializers are left out.

    Attributes:
        types: name of a tensor -> element type, a number of onnx.TensorProto.DataType.
        shapes: name of a tensor -> its sizes; without the tensors whose rank is not known.
    """

    types: Dict[str, int]
    shapes: Dict[str, Shape]


def infer_shapes(model: Any, lenient: bool = False, checks_shapes: bool = False) -> InferredTensors:
    """Infer the types and shapes of a graph's tensors.

    Args:
        model: onnx.ModelProto; left as it is.
        lenient: True for lenient inference, False for strict inference; the docstring of this module describes both.
        checks_shapes: True to refuse nodes whose inputs have sizes that do not fit together; for strict inference
            alone.

    Raises:
        GraphError: types, or sizes if they are checked, contradict each other; this is never raised if `lenient`.
    """
    known = _inferred(model, lenient, checks_shapes)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants.update(node.output[0] for node in model.graph.node if _is_large_constant(node))
    types: Dict[str, int] = {}
    shapes: Dict[str, Shape] = {}
    for value in (*known.input, *known.value_info, *known.output):
        if value.name in constants or not value.type.HasField("tensor_type"):
            continue
        kind = value.type.tensor_type
        types[value.name] = kind.elem_type
        if kind.HasField("shape"):
            shapes[value.name] = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    return InferredTensors(types, shapes)


def describe_tensors(model: Any) -> None:
    """Write the result of strict inference into a graph: the type and shape of each tensor, and of each output.

    Args:
        model: onnx.ModelProto, changed in place. What it said before about tensors that are no inputs is ignored.

    Raises:
        GraphError: types or sizes contradict each other.
    """
    known, graph = _inferred(model, lenient=False, checks_shapes=True), model.graph
    del graph.value_info[:]
    graph.value_info.extend(known.value_info)
    outputs = {value.name: value for value in known.output}
    for value in graph.output:
        if value.name in outputs and outputs[value.name].type.tensor_type.HasField("shape"):
            value.type.CopyFrom(outputs[value.name].type)


def check_model(model: Any) -> None:
    """Hold a graph and its described sizes against ONNX's checker, without its large constants, which that would copy.

    Args:
        model: onnx.ModelProto, left as it is.

    Raises:
        GraphError: the graph is not valid ONNX.
    """
    onnx = import_onnx()
    light = _without_weights(onnx, model, lenient=False)
    del light.graph.output[:]
    light.graph.output.extend(model.graph.output)
    try:
        onnx.checker.check_model(light, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"the graph is not valid ONNX: {' '.join(str(error).split())[:200]}") from None


def _inferred(model: Any, lenient: bool, checks_shapes: bool) -> Any:
    """Return onnx.GraphProto with the known types and shapes, and with inputs instead of large constants."""
    onnx = import_onnx()
    light = _without_weights(onnx, model, lenient)
    try:
        return onnx.shape_inference.infer_shapes(
            light, check_type=not lenient, strict_mode=checks_shapes, data_prop=True
        ).graph
    except Exception as error:  # onnx raises errors of several unrelated types here
        if lenient:
            return light.graph
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"the types of the graph cannot be inferred: {reason}") from None


def _without_weights(onnx: Any, model: Any, lenient: bool) -> Any:
    """Return a copy of a model for inference, which copies all that it gets: large constants are inputs there."""
    graph, describe = model.graph, onnx.helper.make_tensor_value_info
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = graph.name
    light.graph.input.extend(graph.input)
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        if _is_large_constant(node):
            tensor = node.attribute[0].t
            light.graph.input.append(describe(node.output[0], tensor.data_type, list(tensor.dims)))
        else:
            light.graph.node.append(node)
    for tensor in graph.initializer:
        if _count(tensor) <= LARGEST_SHAPE_CONSTANT:
            light.graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            light.graph.input.append(describe(tensor.name, tensor.data_type, list(tensor.dims)))
    if lenient:
        light.graph.output.extend(graph.output)
        light.graph.value_info.extend(graph.value_info)
    else:
        light.graph.output.extend(
            describe(value.name, value.type.tensor_type.elem_type, None)
            for value in graph.output
            if value.name not in inputs
        )
    for named in (*light.opset_import, *light.graph.node):
        if named.domain in STANDARD_DOMAINS:
            named.domain = ""  # of the two names, inference knows the short one
    for node in light.graph.node:
        if lenient and node.domain and node.op_type in SAME_SIZE:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
    return light


def _is_large_constant(node: Any) -> bool:
    """Return whether a node is a Constant whose tensor is too large to be a shape."""
    if node.op_type != "Constant" or node.domain not in STANDARD_DOMAINS or not node.attribute:
        return False
    return node.attribute[0].name == "value" and _count(node.attribute[0].t) > LARGEST_SHAPE_CONSTANT


def _count(tensor: Any) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))
