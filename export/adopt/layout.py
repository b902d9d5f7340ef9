"""Graphs with their channels last, as Keras and TensorFlow have them: read as they are, and NCHW from here on.

ONNX operators compute in NCHW, so a graph of the other layout has a Transpose behind its input and one in front of its
output, put there by whoever converted it. The counterpart of each is added outside, which changes no number; in the
graph that is adopted both cancel each other out, with the elementwise operators between them turned too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, attribute_of, set_attribute
from edge.errors import GraphError
from export.graph.fusions import apply_rules

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""Permutations of a Transpose: NCHW to NHWC, and NHWC to NCHW."""

IS_TURNED = "is NHWC and is taken as it is"
"""What a sentence about an end of the other layout says; the user may not expect it, so it is a note."""

_SOFTMAX = ("Softmax", "LogSoftmax")
_UNARY = (
    *("Abs", "Cast", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
    *("LeakyRelu", "Log", "Mish", "Neg", "Not", "Relu", "Round", "Selu", "Sigmoid", "Softplus", "Sqrt", "Tanh"),
)
_BINARY = (
    *("Add", "Div", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min", "Mul", "PRelu", "Pow", "Sub"),
)
_CHANNELS_FIRST = ("Conv", "ConvTranspose", "BatchNormalization", "MaxPool", "AveragePool", "InstanceNormalization")
"""Operators of which the channels are the second axis, as ONNX defines them."""


def tf2onnx_option(side: str, tensor: str) -> str:
    """Return the sentence that says how tf2onnx writes a tensor channels first.

    Args:
        side: "inputs" or "outputs".
        tensor: name of the tensor in the graph.
    """
    known = ": a Keras 3 model has output_0, not the name of its layer" if tensor.startswith("output_") else ""
    return (
        f"--{side}-as-nchw {tensor}, exactly so, since it passes over a name that is not there without an error{known}"
    )


def sentence(model: Any, side: str, tensor: str) -> str:
    """Return the sentence that says that an end of a graph is NHWC, and how its exporter spares the turn.

    Args:
        model: onnx.ModelProto, which names its exporter.
        side: "input" or "output".
        tensor: name of the tensor in the graph.
    """
    # Keras 3 runs tf2onnx itself, takes no such option, and its outputs are called Identity.
    is_by_keras = any(value.name.startswith("Identity") for value in model.graph.output)
    has_option = model.producer_name == "tf2onnx" and not is_by_keras
    spared = f"; tf2onnx spares that by {tf2onnx_option(f'{side}s', tensor)}" if has_option else ""
    return f"{side} '{tensor}' {IS_TURNED}, turned to NCHW inside{spared}"


def input_channels_first(model: Any, asked_name: str | None) -> Any | None:
    """Return a copy of a graph whose input is NCHW; None if it is that already, or which input takes the frame is open.

    Args:
        model: onnx.ModelProto; left as it is.
        asked_name: name of the input that takes the frame; None for the graph's only one.

    Returns:
        The copy, whose input has the same name and feeds a Transpose to the layout that the graph expects.
    """
    graph = OnnxGraph(model)
    input_name = asked_name or next(iter(graph.inputs), "")
    if input_name not in graph.inputs or (asked_name is None and len(graph.inputs) > 1):
        return None
    dims = graph.inputs[input_name].type.tensor_type.shape.dim
    if len(dims) != 4 or not _is_channels_last(graph, input_name, dims):
        return None
    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    inner = _free_name(graph, f"{input_name}/nhwc")
    for node in turned.graph.node:
        node.input[:] = [inner if name == input_name else name for name in node.input]
    node = helper.make_node("Transpose", [input_name], [inner], name=inner, perm=TO_LAST)
    turned.graph.node.insert(0, node)
    kept = next(each for each in turned.graph.input if each.name == input_name).type.tensor_type.shape
    order = [onnx.TensorShapeProto.Dimension() for _ in range(4)]
    for target, axis in zip(order, TO_FIRST):
        target.CopyFrom(dims[axis])
    if not order[1].dim_value:
        order[1].Clear()
        order[1].dim_value = 3
    del kept.dim[:]
    kept.dim.extend(order)
    return turned


def _is_channels_last(graph: OnnxGraph, name: str, dims: Any) -> bool:
    """Return whether an input is NHWC: by its sizes, or by what reads it where they leave it open."""
    first, last = dims[1].dim_value, dims[3].dim_value
    if (first == 3) != (last == 3):
        return last == 3
    if first not in (0, 3):
        return False
    waiting, seen = [name], set()
    while waiting:
        tensor = waiting.pop()
        for node, index in graph.readers.get(tensor, ()):
            if node.op_type == "Transpose":
                return tuple(attribute_of(node, "perm", ())) == TO_FIRST
            if node.op_type in _CHANNELS_FIRST:
                return False
            if index >= 0 and node.op_type in (*_UNARY, *_BINARY, "Pad", "Concat") and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return False


def is_output_channels_last(
    path: Path, model: Any, output: str, shape: tuple[int, ...], counts: tuple[int, ...], size: tuple[int, int]
) -> bool:
    """Return whether an output is NHWC.

    Args:
        path: path of the graph, for messages.
        model: onnx.ModelProto of the graph.
        output: name of the output.
        shape: its sizes for one frame.
        counts: numbers of channels that the contract allows.
        size: height and width of the frame.

    Raises:
        GraphError: its sizes fit both layouts, and the graph does not say which it is.
    """
    if len(shape) != 4:
        return False
    is_first = shape[1] in counts and _has_stride(shape[2:], size)
    is_last = shape[3] in counts and _has_stride(shape[1:3], size)
    if is_first != is_last:
        return is_last
    if not is_first:  # neither fits: the message about it is to show the axes as the owner sees them
        return shape[3] in counts and shape[1] not in counts
    by_graph = _ends_channels_last(OnnxGraph(model), output)
    if by_graph is None:
        raise GraphError(
            f"output '{output}' of {path} is {shape}, whose second and last axis both fit the classes of the "
            f"contract. Next: export it channels first, with tf2onnx by {tf2onnx_option('outputs', output)}"
        )
    return by_graph


def _has_stride(sides: tuple[int, ...], size: tuple[int, int]) -> bool:
    return all(side > 0 and length % side == 0 for side, length in zip(sides, size)) and (
        size[0] // sides[0] == size[1] // sides[1]
    )


def _ends_channels_last(graph: OnnxGraph, tensor: str) -> bool | None:
    """Return whether the last operator that knows its layout gives NHWC; None if there is none."""
    node = graph.producer(tensor)
    while node is not None and node.domain in STANDARD_DOMAINS:
        if node.op_type == "Transpose":
            return tuple(attribute_of(node, "perm", ())) == TO_LAST
        if node.op_type in (*_CHANNELS_FIRST, "Resize"):
            return False
        if node.op_type == "MatMul":
            return True
        computed = graph.computed_inputs(node)
        if node.op_type not in (*_UNARY, *_BINARY, *_SOFTMAX) or not computed:
            return None
        node = graph.producer(computed[0])
    return None


def output_channels_first(model: Any, output: str) -> Any:
    """Return a copy of a graph in which an NHWC tensor is NCHW, under the same name.

    Args:
        model: onnx.ModelProto; left as it is.
        output: name of the tensor, an output of the graph or not.
    """
    turned = onnx.ModelProto()
    turned.CopyFrom(model)
    inner = _free_name(OnnxGraph(model), f"{output}/nhwc")
    nodes = list(turned.graph.node)
    for node in nodes:
        node.input[:] = [inner if name == output else name for name in node.input]
        node.output[:] = [inner if name == output else name for name in node.output]
    place = next(index for index, node in enumerate(nodes) if inner in node.output) + 1
    turned.graph.node.insert(place, helper.make_node("Transpose", [inner], [output], name=inner, perm=TO_FIRST))
    # What the file says of the tensor is of the other layout now; whoever reads the graph infers it.
    for values in (turned.graph.output, turned.graph.value_info):
        for value in values:
            if value.name == output:
                value.type.tensor_type.ClearField("shape")
    return turned


def _free_name(graph: OnnxGraph, name: str) -> str:
    while name in graph.producers or name in graph.constants or name in graph.inputs:
        name += "_"
    return name


# The two that cancel each other out


def cancel_transposes(model: Any) -> int:
    """Remove pairs of a Transpose and its counterpart, also where elementwise operators are between them.

    Args:
        model: onnx.ModelProto at opset 13 or later with constants folded; changed in place.

    Returns:
        Number of Transposes that are gone.
    """
    before = sum(node.op_type == "Transpose" for node in model.graph.node)
    graph = EditableGraph(model)
    apply_rules(graph, (_cancel_pair, _drop_flattening, _move_up))
    graph.drop_unread_constants()
    del model.graph.value_info[:]
    return before - sum(node.op_type == "Transpose" for node in model.graph.node)


def _cancel_pair(graph: EditableGraph, node: Any) -> bool:
    """Transpose -> Transpose back: read what the first reads, unless that is an input and the second an output.

    A Reshape does as well as the first Transpose where the only axes that move have one element.
    """
    first = graph.producer(node.input[0], "Transpose", "Reshape") if node.op_type == "Transpose" else None
    if first is None or not (
        _is_back(first, node) if first.op_type == "Transpose" else _keeps_order(graph, first, node)
    ):
        return False
    source = first.input[0]
    if node.output[0] in graph.outputs and (source in graph.outputs or source not in graph.producers):
        return False
    graph.bypass(node, source)
    graph.refresh()
    if not graph.is_read(first.output[0]):
        graph.proto.node.remove(first)
    return True


def _is_back(first: Any, second: Any) -> bool:
    inner, outer = attribute_of(first, "perm", []), attribute_of(second, "perm", [])
    return bool(inner) and len(inner) == len(outer) and [inner[axis] for axis in outer] == sorted(inner)


def _keeps_order(graph: EditableGraph, reshape: Any, transpose: Any) -> bool:
    before, middle = graph.static_shape_of(reshape.input[0]), graph.static_shape_of(transpose.input[0])
    if before is None or middle is None or before != graph.static_shape_of(transpose.output[0]):
        return False
    moved = [axis for axis in attribute_of(transpose, "perm", []) if middle[axis] != 1]
    return moved == sorted(moved)


def _drop_flattening(graph: EditableGraph, node: Any) -> bool:
    """Reshape to rows -> MatMul -> Reshape back, as a Dense layer is exported: the MatMul alone does the same."""
    matmul = graph.producer(node.input[0], "MatMul") if node.op_type == "Reshape" else None
    flat = graph.producer(matmul.input[0], "Reshape") if matmul is not None else None
    if flat is None or graph.only_reader(node.input[0]) is not node or node.output[0] in graph.inputs:
        return False
    before, after = graph.static_shape_of(flat.input[0]), graph.static_shape_of(node.output[0])
    if before is None or after is None or len(before) != 4 or before[:3] != after[:3]:
        return False
    rows = graph.static_shape_of(flat.output[0])
    if rows is None or len(rows) != 2 or rows[1] != before[3] or matmul.input[1] not in graph.constants:
        return False
    matmul.input[0] = flat.input[0]
    graph.bypass(node, matmul.output[0])
    graph.refresh()
    if not graph.is_read(flat.output[0]):
        graph.proto.node.remove(flat)
    graph.forget_shapes()
    return True


def _move_up(graph: EditableGraph, node: Any) -> bool:
    """An operator on single pixels -> Transpose to NCHW: the Transpose first, with constants and axes turned.

    Not where something else reads the operator's output, or it has several computed inputs.
    """
    if node.op_type != "Transpose" or tuple(attribute_of(node, "perm", ())) != TO_FIRST:
        return False
    before = graph.producer(node.input[0])
    if before is None or before.domain not in STANDARD_DOMAINS or graph.only_reader(node.input[0]) is not node:
        return False
    computed = graph.computed_inputs(before)
    if len(computed) != 1 or any(before.output[1:]) or not _turn(graph, before):
        return False
    source, target, planes = computed[0], node.output[0], _free_name(graph, f"{before.output[0]}/nchw")
    index = list(before.input).index(source)
    graph.proto.node.remove(node)
    moved = helper.make_node("Transpose", [source], [planes], name=planes, perm=TO_FIRST)
    before.input[index] = planes
    before.output[0] = target
    place = next(index for index, each in enumerate(graph.proto.node) if target in each.output)
    graph.proto.node.insert(place, moved)
    graph.forget_shapes()
    return True


def _turn(graph: EditableGraph, node: Any) -> bool:
    """Let an operator on NHWC do the same on NCHW; False where that is not known to be right."""
    if node.op_type in _UNARY:
        return True
    if node.op_type in _SOFTMAX:
        set_attribute(node, "axis", TO_FIRST.index(attribute_of(node, "axis", -1) % 4))
        return True
    if node.op_type == "MatMul":
        return _become_convolution(graph, node)
    if node.op_type not in _BINARY or len(node.input) != 2:
        return False
    index = 0 if node.input[0] in graph.constants else 1
    value = graph.value_of(node.input[index])
    if value is None or value.ndim > 4:
        return False
    if value.size > 1:
        turned = value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(TO_FIRST)
        node.input[index] = graph.add_constant(f"{node.name}_planes", np.ascontiguousarray(turned))
    return True


def _become_convolution(graph: EditableGraph, node: Any) -> bool:
    """Let a MatMul over the channels, which is what a Dense layer becomes, be the convolution that it is."""
    weight = graph.value_of(node.input[1])  # (channels in, channels out)
    shape = graph.shape_of(node.input[0])
    if weight is None or weight.ndim != 2 or shape is None or len(shape) != 4:
        return False
    node.input[1] = graph.add_constant(f"{node.name}_weight", np.ascontiguousarray(weight.T[:, :, None, None]))
    node.op_type = "Conv"
    set_attribute(node, "kernel_shape", [1, 1])
    return True
