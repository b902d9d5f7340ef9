"""Rewrites of an exported graph: each is one named rule that keeps the numbers.

A rule looks at one node; it either rewrites the graph around it or leaves it alone, and says in
its docstring when it must not fire. `simplify` applies all of them until none fires.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import onnx

from calibration.onnx_graph.editable import GraphView, _drop_unread_constants


def _channel_constant(view: GraphView, node: onnx.NodeProto, channels: int) -> tuple[str, np.ndarray] | None:
    """Return (data input, constant (channels,)) of a node `tensor op constant`, None if it is no such node."""
    for data, constant in ((node.input[0], node.input[1]), (node.input[1], node.input[0])):
        value = view.constants.get(constant)
        if value is None or data in view.constants:
            continue
        if value.size == 1:
            return data, np.full(channels, value.reshape(()), np.float32)
        # Against NCHW the constant has to be (channels, 1, 1), with or without a batch axis.
        if value.size == channels and value.ndim in (3, 4) and value.shape[-3:] == (channels, 1, 1):
            return data, value.reshape(channels)
    return None


def _conv_before(view: GraphView, node: onnx.NodeProto) -> tuple[onnx.NodeProto, np.ndarray] | None:
    """Return the Conv whose output only this Mul or Add reads, and the constant."""
    for name in node.input:
        conv = view.producers.get(name)
        if conv is None or conv.op_type != "Conv" or view.only_consumer(name) is not node:
            continue
        weights = view.constants.get(conv.input[1])
        if weights is None or (len(conv.input) > 2 and conv.input[2] not in view.constants):
            return None
        found = _channel_constant(view, node, weights.shape[0])
        if found is not None and found[0] == name:
            return conv, found[1].astype(np.float32)
    return None


def fold_scale_into_conv(view: GraphView, node: onnx.NodeProto) -> bool:
    """Conv -> Mul by a constant per channel: scale the Conv's weights and bias (depthwise BatchNorm).

    Not where something else reads the Conv's output.
    """
    found = _conv_before(view, node) if node.op_type == "Mul" else None
    if found is None:
        return False
    conv, scale = found
    weights = view.constants[conv.input[1]]
    conv.input[1] = view.add_constant(f"{conv.name}_weight", weights * scale.reshape(-1, 1, 1, 1))
    if len(conv.input) > 2:
        conv.input[2] = view.add_constant(f"{conv.name}_bias", view.constants[conv.input[2]] * scale)
    view.bypass(node, conv.output[0])
    return True


def fold_shift_into_conv(view: GraphView, node: onnx.NodeProto) -> bool:
    """Conv -> Add of a constant per channel: move it into the Conv's bias.

    Not where something else reads the Conv's output.
    """
    found = _conv_before(view, node) if node.op_type == "Add" else None
    if found is None:
        return False
    conv, shift = found
    if len(conv.input) > 2:
        conv.input[2] = view.add_constant(f"{conv.name}_bias", view.constants[conv.input[2]] + shift)
    else:
        conv.input.append(view.add_constant(f"{conv.name}_bias", shift))
    view.bypass(node, conv.output[0])
    return True


def drop_identity(view: GraphView, node: onnx.NodeProto) -> bool:
    """Identity, and Reshape, Slice or Transpose that changes no shape: read its input directly.

    A Slice that keeps the whole shape keeps everything if its steps are positive; a Transpose only
    where its permutation is the identity.
    """
    same_shape = len(node.input) and view.shapes.get(node.input[0]) == view.shapes.get(node.output[0])
    known = view.shapes.get(node.input[0]) is not None if len(node.input) else False
    if node.op_type == "Identity":
        fires = node.input[0] in view.producers
    elif node.op_type == "Reshape":
        fires = bool(same_shape and known)
    elif node.op_type == "Slice":
        steps = view.constants.get(node.input[4]) if len(node.input) > 4 else np.ones(1)
        fires = bool(same_shape and known and steps is not None and (steps > 0).all())
    elif node.op_type == "Transpose":
        perm = list(next((attribute.ints for attribute in node.attribute if attribute.name == "perm"), []))
        fires = bool(perm) and perm == sorted(perm)
    else:
        fires = False
    # Two outputs of the graph need two names, and a graph input keeps its own.
    between_outputs = node.output[0] in view.outputs and node.input[0] in view.outputs
    if not fires or between_outputs or node.input[0] not in view.producers:
        return False
    view.bypass(node, node.input[0])
    return True


def fold_pad_into_pool(view: GraphView, node: onnx.NodeProto) -> bool:
    """Relu -> Pad with zeros -> MaxPool: let the pool pad.

    A pool pads with minus infinity, which never wins; zeros never win either where all values are
    at least 0. Hence only behind a Relu.
    """
    if node.op_type != "MaxPool":
        return False
    pad = view.producers.get(node.input[0])
    if pad is None or pad.op_type != "Pad" or view.only_consumer(pad.output[0]) is not node:
        return False
    relu, amounts = view.producers.get(pad.input[0]), view.constants.get(pad.input[1])
    mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
    value = view.constants.get(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
    own = next((attribute for attribute in node.attribute if attribute.name == "pads"), None)
    automatic = next((attribute for attribute in node.attribute if attribute.name == "auto_pad"), None)
    kernel = next((attribute.ints for attribute in node.attribute if attribute.name == "kernel_shape"), [])
    fires = (
        relu is not None
        and relu.op_type == "Relu"
        and mode == b"constant"
        and value is not None
        and not value.any()
        and amounts is not None
        and amounts.size == 8
        and not amounts.reshape(2, 4)[:, :2].any()
        # A negative amount crops, and a window that lies in the padding alone has no largest value.
        and bool((amounts >= 0).all() and (amounts.reshape(2, 4)[:, 2:] < np.asarray(kernel)).all())
        and (own is None or not any(own.ints))
        and (automatic is None or automatic.s in (b"NOTSET", b"VALID"))
    )
    if not fires:
        return False
    for replaced in filter(None, (own, automatic)):
        node.attribute.remove(replaced)
    node.attribute.append(onnx.helper.make_attribute("pads", amounts.reshape(2, 4)[:, 2:].ravel().tolist()))
    view.bypass(pad, pad.input[0])
    return True


def resize_to_sizes(view: GraphView, node: onnx.NodeProto) -> bool:
    """Resize by scales: name the sizes instead.

    ONNX rounds size times scale down, and a scale is a rounded quotient: 6 times 5/6 becomes 4. Not
    where the scales or the size of the input are not known.
    """
    if node.op_type != "Resize" or len(node.input) != 3:
        return False
    scales, shape = view.constants.get(node.input[2]), view.shapes.get(node.input[0])
    if scales is None or shape is None or scales.size != len(shape):
        return False
    sizes = np.rint(np.asarray(shape) * scales.astype(np.float64)).astype(np.int64)
    del node.input[1:]
    node.input.extend(["", "", view.add_constant(f"{node.name}_sizes", sizes)])
    return True


RULES: tuple[Callable[[GraphView, onnx.NodeProto], bool], ...] = (
    fold_scale_into_conv,
    fold_shift_into_conv,
    fold_pad_into_pool,
    resize_to_sizes,
    drop_identity,
)


def simplify(model: onnx.ModelProto) -> dict[str, int]:
    """Apply all rules until none fires, then drop constants that nothing reads.

    Args:
        model: changed in place.

    Returns:
        Rule name -> how often it fired.
    """
    fired = apply_rules(model, GraphView(model), RULES)
    _drop_unread_constants(model.graph)
    return fired


def apply_rules(model: onnx.ModelProto, view: Any, rules: Sequence[Callable[[Any, Any], bool]]) -> dict[str, int]:
    """Apply rules to every node until none fires.

    Args:
        model: changed in place.
        view: of the model, what the rules look at; refreshed after each that fired.
        rules: each takes the view and a node, and says whether it changed the graph.

    Returns:
        Rule name -> how often it fired.
    """
    fired = dict.fromkeys((rule.__name__ for rule in rules), 0)
    again = True
    while again:
        again = False
        for node in list(model.graph.node):
            for rule in rules:
                if rule(view, node):
                    fired[rule.__name__] += 1
                    view.refresh()
                    again = True
                    break
    return fired
