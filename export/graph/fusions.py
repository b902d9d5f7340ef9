"""Rewrites of an exported graph; each is a rule with a name that keeps the numbers.

A rule looks at one node; it either rewrites the graph around it or leaves it alone, and says in
its docstring when it must not fire. `simplify` applies all of them until none fires.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.node import attribute_of, input_of, remove_attributes, set_attribute


def _channel_constant(graph: EditableGraph, node: Any, channels: int) -> tuple[str, np.ndarray] | None:
    """Return (data input, constant (channels,)) of a node `tensor op constant`, None if it is no such node."""
    for data, constant in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
        value = graph.value_of(constant)
        if value is None or data in graph.constants:
            continue
        if value.size == 1:
            return data, np.full(channels, value.reshape(()), np.float32)
        # Against NCHW the constant has to be (channels, 1, 1), with or without a batch axis.
        if value.size == channels and value.ndim in (3, 4) and value.shape[-3:] == (channels, 1, 1):
            return data, value.reshape(channels)
    return None


def _conv_before(graph: EditableGraph, node: Any) -> tuple[Any, np.ndarray] | None:
    """Return the Conv whose output only this Mul or Add reads, and the constant."""
    for name in node.input:
        conv = graph.producer(name, "Conv")
        if conv is None or graph.only_reader(name) is not node:
            continue
        weight = graph.weight_of(conv)
        if weight is None or any(constant not in graph.constants for constant in conv.input[1:]):
            return None
        found = _channel_constant(graph, node, weight.dims[0])
        if found is not None and found[0] == name:
            return conv, found[1].astype(np.float32)
    return None


def fold_scale_into_conv(graph: EditableGraph, node: Any) -> bool:
    """Conv -> Mul by a constant per channel: scale the Conv's weights and bias (depthwise BatchNorm).

    Not where something else reads the Conv's output.
    """
    found = _conv_before(graph, node) if node.op_type == "Mul" else None
    if found is None:
        return False
    conv, scale = found
    weight = graph.value_of(conv.input[1])
    conv.input[1] = graph.add_constant(f"{conv.name}_weight", weight * scale.reshape(-1, 1, 1, 1))
    if len(conv.input) > 2:
        conv.input[2] = graph.add_constant(f"{conv.name}_bias", graph.value_of(conv.input[2]) * scale)
    graph.bypass(node, conv.output[0])
    return True


def fold_shift_into_conv(graph: EditableGraph, node: Any) -> bool:
    """Conv -> Add of a constant per channel: move it into the Conv's bias.

    Not where something else reads the Conv's output.
    """
    found = _conv_before(graph, node) if node.op_type == "Add" else None
    if found is None:
        return False
    conv, shift = found
    if len(conv.input) > 2:
        conv.input[2] = graph.add_constant(f"{conv.name}_bias", graph.value_of(conv.input[2]) + shift)
    else:
        conv.input.append(graph.add_constant(f"{conv.name}_bias", shift))
    graph.bypass(node, conv.output[0])
    return True


def drop_identity(graph: EditableGraph, node: Any) -> bool:
    """Identity, and Reshape, Slice or Transpose that changes no shape: read its input directly.

    A Slice that keeps the whole shape keeps everything if its steps are positive; a Transpose only
    where its permutation is the identity.
    """
    if node.op_type == "Identity":
        fires = True
    elif node.op_type == "Reshape":
        fires = _keeps_shape(graph, node)
    elif node.op_type == "Slice":
        steps = graph.value_of(node.input[4]) if len(node.input) > 4 else np.ones(1)
        fires = steps is not None and bool((steps > 0).all()) and _keeps_shape(graph, node)
    elif node.op_type == "Transpose":
        perm = attribute_of(node, "perm", [])
        fires = bool(perm) and perm == sorted(perm)
    else:
        return False
    # Two outputs of the graph need two names, and a graph input keeps its own.
    between_outputs = node.output[0] in graph.outputs and node.input[0] in graph.outputs
    if not fires or between_outputs or node.input[0] not in graph.producers:
        return False
    graph.bypass(node, node.input[0])
    return True


def _keeps_shape(graph: EditableGraph, node: Any) -> bool:
    """Return whether the output of a node is known to have the shape of its first input."""
    shape = graph.static_shape_of(node.input[0])
    return shape is not None and shape == graph.static_shape_of(node.output[0])


def fold_pad_into_pool(graph: EditableGraph, node: Any) -> bool:
    """Relu -> Pad with zeros -> MaxPool: let the pool pad.

    A pool pads with minus infinity, which never wins; zeros never win either where all values are
    at least 0. Hence only behind a Relu.
    """
    if node.op_type != "MaxPool":
        return False
    pad = graph.producer(node.input[0], "Pad")
    if pad is None or graph.only_reader(pad.output[0]) is not node:
        return False
    amounts = graph.value_of(pad.input[1])
    value = graph.value_of(pad.input[2]) if input_of(pad, 2) else np.zeros(1)
    kernel = attribute_of(node, "kernel_shape", [])
    fires = (
        graph.producer(pad.input[0], "Relu") is not None
        and attribute_of(pad, "mode", "constant") == "constant"
        and value is not None
        and not value.any()
        and amounts is not None
        and amounts.size == 8
        and not amounts.reshape(2, 4)[:, :2].any()
        # A negative amount crops, and a window that lies in the padding alone has no largest value.
        and bool((amounts >= 0).all() and (amounts.reshape(2, 4)[:, 2:] < np.asarray(kernel)).all())
        and not any(attribute_of(node, "pads", []))
        and attribute_of(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID")
    )
    if not fires:
        return False
    remove_attributes(node, "auto_pad")
    set_attribute(node, "pads", amounts.reshape(2, 4)[:, 2:].ravel().tolist())
    graph.bypass(pad, pad.input[0])
    return True


def resize_to_sizes(graph: EditableGraph, node: Any) -> bool:
    """Resize by scales: name the sizes instead.

    ONNX rounds size times scale down, and a scale is a rounded quotient: 6 times 5/6 becomes 4. Not
    where the scales or the size of the input are not known.
    """
    if node.op_type != "Resize" or len(node.input) != 3:
        return False
    scales, shape = graph.value_of(node.input[2]), graph.static_shape_of(node.input[0])
    if scales is None or shape is None or scales.size != len(shape):
        return False
    sizes = np.rint(np.asarray(shape) * scales.astype(np.float64)).astype(np.int64)
    del node.input[1:]
    node.input.extend(["", "", graph.add_constant(f"{node.name}_sizes", sizes)])
    graph.forget_shapes()
    return True


RULES: tuple[Callable[[EditableGraph, Any], bool], ...] = (
    fold_scale_into_conv,
    fold_shift_into_conv,
    fold_pad_into_pool,
    resize_to_sizes,
    drop_identity,
)


def simplify(model: Any) -> dict[str, int]:
    """Apply all rules until none fires, then drop constants that nothing reads.

    Args:
        model: onnx.ModelProto, changed in place.

    Returns:
        Name of a rule -> number of times that it fired.
    """
    return apply_rules(EditableGraph(model), RULES)


def apply_rules(graph: EditableGraph, rules: Sequence[Callable[[EditableGraph, Any], bool]]) -> dict[str, int]:
    """Apply rules to every node until none fires, then drop constants that nothing reads.

    Args:
        graph: changed in place, and refreshed after each rule that fired.
        rules: functions that take the graph and a node, and return whether they changed the graph.

    Returns:
        Name of a rule -> number of times that it fired.
    """
    fired = dict.fromkeys((rule.__name__ for rule in rules), 0)
    again = True
    while again:
        again = False
        for node in list(graph.proto.node):
            for rule in rules:
                if rule(graph, node):
                    fired[rule.__name__] += 1
                    graph.refresh()
                    again = True
                    break
    graph.drop_unread_constants()
    return fired
