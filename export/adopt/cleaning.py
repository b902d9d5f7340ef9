"""Preparation of a given graph for quantisation: folded constants and BatchNorm, our frame as the input.

Each step keeps the numbers, up to rounding; export/adopt/adoption.py compares the result with the graph as
it was given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.onnx_graph.editable import EditableGraph, drop_unread_constants
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, attribute_of, input_of, name_of
from edge.runtime.onnxruntime import open_session
from export.adopt.checks import walk_back
from export.adopt.contract import ForeignContract
from export.graph.fusions import (
    apply_rules,
    drop_identity,
    fold_pad_into_pool,
    fold_scale_into_conv,
    fold_shift_into_conv,
)
from export.graph.trt_operator_support import RANDOM

FRAME, LOGITS = "frame", "logits"

PLANES = "planes/Transpose"
"""Name of the first tensor of a network in NCHW."""

FRONT_NAMES = (FRAME, f"{FRAME}/Cast", "normalise/Mul", "normalise/Add", PLANES, "channels/Gather")

SAME_ORDER = ("Softmax", "LogSoftmax")
"""Operators over the classes behind which the largest is the same."""

COORDINATES = {"half_pixel": "half_pixel", "pytorch_half_pixel": "half_pixel", "align_corners": "align_corners"}
"""Rule of a Resize -> rule of a contract. PyTorch's differs where there is one pixel alone."""


def fold_constants(model: Any) -> int:
    """Compute the nodes that depend on no input: shapes, since all sizes are known, and functions of constants.

    Args:
        model: onnx.ModelProto with an input of static shape, without control flow; changed in place.

    Returns:
        Number of nodes that were removed.
    """
    graph, count = model.graph, 0
    while True:
        shapes = {name: shape for name, shape in OnnxGraph(model).shapes.items() if None not in shape}
        known = {tensor.name for tensor in graph.initializer}
        folded, rest = [], []
        for node in graph.node:
            inputs = [name for name in node.input if name]
            is_shape = node.op_type in ("Shape", "Size") and inputs and inputs[0] in shapes
            is_fixed = node.domain in STANDARD_DOMAINS and node.op_type not in (*RANDOM, "Bernoulli")
            if is_fixed and (is_shape or known.issuperset(inputs)):
                folded.append(node)
                known.update(node.output)
            else:
                rest.append(node)
        if not folded:
            return count
        count += len(folded)
        read = {name for node in rest for name in node.input} | {value.name for value in graph.output}
        wanted = [name for node in folded for name in node.output if name in read]
        values = _evaluate(model, folded, wanted, shapes)
        del graph.node[:]
        graph.node.extend(rest)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in zip(wanted, values))
        drop_unread_constants(graph)


def _evaluate(model: Any, nodes: list, wanted: list[str], shapes: dict[str, tuple[int, ...]]) -> list[np.ndarray]:
    """Run nodes that depend on constants alone; Shape and Size of an activation become constants."""
    if not wanted:
        return []
    made = {name for node in nodes for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    part = onnx.ModelProto(ir_version=model.ir_version)
    part.opset_import.extend(model.opset_import)
    part.graph.name = "constants"
    for node in nodes:
        source = node.input[0] if node.input else ""
        if node.op_type in ("Shape", "Size") and source not in made and source not in constants:
            sizes = np.array(shapes[source], np.int64)
            if node.op_type == "Shape":
                sizes = sizes[attribute_of(node, "start", 0) : attribute_of(node, "end", len(sizes))]
            value = sizes if node.op_type == "Shape" else np.array(sizes.prod(), np.int64)
            part.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        else:
            part.graph.node.append(node)
    read = {name for node in part.graph.node for name in node.input}
    part.graph.initializer.extend(tensor for name, tensor in constants.items() if name in read)
    ready = {tensor.name: numpy_helper.to_array(tensor) for tensor in part.graph.initializer}
    computed = [name for name in wanted if name not in ready]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
    if computed:
        ready.update(zip(computed, open_session(part.SerializeToString()).run(computed, {})))
    return [np.asarray(ready[name]) for name in wanted]


@dataclass(frozen=True)
class Tail:
    """An end of a graph that labels do not need: edge.postprocess upsamples without a full-size float tensor.

    Attributes:
        logits: name of the tensor in front of the end.
        coordinates: rule of the upsampling that is cut off, "half_pixel" or "align_corners"; None if none is.
        nodes: names of the nodes that are cut off, the last first.
        cut: operator among them behind which labels follow from other numbers, "Sigmoid" or "Softmax"; "" for none.
    """

    logits: str
    coordinates: str | None
    nodes: tuple[str, ...]
    cut: str = ""


def find_tail(
    model: Any, output: str, height: int, width: int, passes: tuple[str, ...] = SAME_ORDER, is_by_size: bool = False
) -> Tail | None:
    """Find a bilinear upsampling to full size that nothing but what labels do not need follows.

    Args:
        model: onnx.ModelProto with constants folded.
        output: name of the output, (1, classes, height, width).
        height: rows of the input.
        width: columns of the input.
        passes: operators, of "Softmax", "LogSoftmax" and "Sigmoid", in front of which labels can be told as well.
        is_by_size: True if labels depend on the size of the numbers behind these operators, as thresholds do. Then one
            of them is cut off at most, and also where no upsampling is.

    Returns:
        The end of the graph; None if the graph has another end, or if edge.postprocess would give other labels: another
        rule or mode, or no whole stride.
    """
    graph = OnnxGraph(model)
    nodes, tensor, cut = [], output, ""
    for node in walk_back(graph, output):
        is_over_classes = node.op_type == "Sigmoid" or attribute_of(node, "axis", -1) in (1, -3)
        if node.op_type in ("Identity", "Dropout"):
            nodes.append(name_of(node))
            tensor = node.input[0]
            continue
        if node.op_type in passes and is_over_classes and not (is_by_size and cut):
            nodes.append(name_of(node))
            tensor, cut = node.input[0], node.op_type
            continue
        found = _upsampling(graph, node, height, width)
        if found is not None:
            return Tail(node.input[0], found, (*nodes, name_of(node)), cut)
        break
    return Tail(tensor, None, tuple(nodes), cut) if is_by_size and cut else None


def _upsampling(graph: OnnxGraph, node: Any, height: int, width: int) -> str | None:
    """Return the rule of a Resize that edge.postprocess does alike; None for any other node."""
    before, after = (graph.static_shape_of(name) or () for name in (node.input[0], node.output[0]))
    rule = COORDINATES.get(attribute_of(node, "coordinate_transformation_mode", "half_pixel"))
    is_plain = (
        node.op_type == "Resize"
        and attribute_of(node, "mode", "nearest") == "linear"
        and not attribute_of(node, "antialias", 0)
        and len(before) == len(after) == 4
        and before[:2] == after[:2]
        and after[2:] == (height, width)
        and height % before[2] == width % before[3] == 0
        and height // before[2] == width // before[3]
        and _scales_are_sizes(graph, node, height // before[2])
    )
    return rule if is_plain else None


def _scales_are_sizes(graph: OnnxGraph, resize: Any, stride: int) -> bool:
    """Return whether a Resize by scales uses the quotient of the sizes as its step, as edge.postprocess does."""
    name = input_of(resize, 2)
    if not name:
        return True
    scales = graph.value_of(name)
    return scales is not None and (not scales.size or set(scales.tolist()) <= {1.0, float(stride)})


def fold_batch_norm(graph: EditableGraph, node: Any) -> bool:
    """Conv or ConvTranspose -> BatchNormalization: scale its weights and shift its bias.

    Not where something else reads the convolution's output, or weights are computed. In float64,
    since gamma / sqrt(variance) may be large.
    """
    if node.op_type != "BatchNormalization" or any(node.output[1:]) or attribute_of(node, "training_mode", 0):
        return False
    conv = graph.producer(node.input[0], "Conv", "ConvTranspose")
    if conv is None or graph.only_reader(node.input[0]) is not node:
        return False
    bias_name = input_of(conv, 2)
    if any(name and name not in graph.constants for name in (conv.input[1], bias_name, *node.input[1:])):
        return False
    gamma, beta, mean, variance = (graph.value_of(name).astype(np.float64) for name in node.input[1:])
    factor = gamma / np.sqrt(variance + attribute_of(node, "epsilon", 1e-5))  # (channels,)
    weight = graph.value_of(conv.input[1]).astype(np.float64)
    bias = graph.value_of(bias_name) if bias_name else 0.0
    if conv.op_type == "Conv":
        scaled = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    else:
        groups = attribute_of(conv, "group", 1)
        split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
        scaled = split * factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
    values = {
        f"{conv.name}_weight": scaled.reshape(weight.shape).astype(np.float32),
        f"{conv.name}_bias": ((bias - mean) * factor + beta).astype(np.float32),
    }
    del conv.input[1:]
    conv.input.extend(graph.add_constant(name, value) for name, value in values.items())
    graph.bypass(node, conv.output[0])
    return True


def drop_copy(graph: EditableGraph, node: Any) -> bool:
    """Identity, and Dropout after training: read its input directly, be it the graph's.

    Not where its mask is read, nor between the input and an output of the graph, which need two names.
    """
    if node.op_type not in ("Identity", "Dropout") or any(name in graph.readers for name in node.output[1:]):
        return False
    source, target = node.input[0], node.output[0]
    if target in graph.outputs and (source in graph.outputs or source not in graph.producers):
        return False
    graph.bypass(node, source)
    return True


def fold_pad_into_whole_pool(graph: EditableGraph, node: Any) -> bool:
    """fold_pad_into_pool, but not where the pool rounds its size up: what lies in its own padding may not count."""
    return not attribute_of(node, "ceil_mode", 0) and fold_pad_into_pool(graph, node)


RULES = (
    drop_copy,
    drop_identity,
    fold_batch_norm,
    fold_scale_into_conv,
    fold_shift_into_conv,
    fold_pad_into_whole_pool,
)


def clean(model: Any) -> dict[str, int]:
    """Apply all rules until none fires.

    Args:
        model: changed in place; constants are folded and nodes have names.

    Returns:
        Name of a rule -> number of times that it fired.
    """
    return apply_rules(EditableGraph(model), RULES)


def put_frame_in_front(model: Any, contract: ForeignContract, height: int, width: int) -> None:
    """Change the input of a graph to the raw frame: uint8 NHWC RGB, which nodes cast, normalise and transpose.

    Where the graph wants BGR, the weights of the convolutions that read the frame are reordered; where other nodes
    read it too, a Gather behind the transpose reorders the channels.

    Args:
        model: onnx.ModelProto whose one input is (1, 3, height, width) float32; changed in place.
        contract: contract, which says how the input is normalised.
        height: rows of the input.
        width: columns of the input.
    """
    graph = model.graph
    source = graph.input[0].name
    factor, offset = contract.factor_and_offset()
    swaps = contract.channel_order == "bgr"
    if swaps:
        factor, offset = factor[::-1], offset[::-1]
    constants = {"normalise/Mul/constant1": factor, "normalise/Add/constant1": offset}
    make = helper.make_node
    cast, scaled, shifted = FRONT_NAMES[1:4]
    nodes = [make("Cast", [FRAME], [cast], name=cast, to=TensorProto.FLOAT)]
    last = cast
    if not np.array_equal(factor, np.ones(3)):
        nodes.append(make("Mul", [last, "normalise/Mul/constant1"], [scaled], name=scaled))
        last = scaled
    if offset.any():
        nodes.append(make("Add", [last, "normalise/Add/constant1"], [shifted], name=shifted))
        last = shifted
    nodes.append(make("Transpose", [last], [PLANES], name=PLANES, perm=[0, 3, 1, 2]))
    planes = PLANES
    if swaps and not _swap_weights(graph, source):
        planes = FRONT_NAMES[5]
        nodes.append(make("Gather", [PLANES, f"{planes}/constant1"], [planes], name=planes, axis=1))
        graph.initializer.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), f"{planes}/constant1"))
    read = {name for node in nodes for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items() if name in read
    )
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = planes if name == source else name
        nodes.append(node)
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(FRAME, TensorProto.UINT8, (1, height, width, 3)))


def _swap_weights(graph: Any, source: str) -> bool:
    """Reverse the input channels of every convolution that reads a tensor; False if something else reads it."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = [node for node in graph.node if source in node.input]
    for node in readers:
        if node.op_type != "Conv" or attribute_of(node, "group", 1) != 1 or node.input[1] not in constants:
            return False
    for number, node in enumerate(readers):
        weight = numpy_helper.to_array(constants[node.input[1]])
        name = f"{node.name}_weight_rgb_{number}"
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weight[:, ::-1]), name))
        node.input[1] = name
    drop_unread_constants(graph)
    return True


def sentences(folded: int, fired: dict[str, int]) -> list[str]:
    """Return sentences that say how a graph was changed.

    Args:
        folded: number of nodes that depended on constants alone.
        fired: result of `clean`.
    """
    dropped = fired["drop_copy"] + fired["drop_identity"]
    merged = fired["fold_scale_into_conv"] + fired["fold_shift_into_conv"] + fired["fold_pad_into_whole_pool"]
    counted = (
        (folded, "nodes that depend on constants alone computed"),
        (fired["fold_batch_norm"], "BatchNormalization folded into their convolutions"),
        (merged, "other nodes folded into their neighbours"),
        (dropped, "nodes that only copy dropped"),
    )
    return [f"{count} {what}" for count, what in counted if count]
