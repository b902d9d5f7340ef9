"""Scales of TensorRT's implicit INT8: one for each tensor of a network, by the name that its ONNX parser gives it.

Without Q/DQ pairs, TensorRT computes a layer with integers only if all that it reads and writes has a
scale. The names have two sources:

    the ONNX graph    the parser names the output of each node as the graph does. A node that it imports
                      as nothing (a Dropout, say) passes its tensor on under the name of the last one.
    the parser        constants, broadcasts and parts of a Gemm become layers of their own. Their tensors
                      are called "(Unnamed Layer* 8) [Constant]_output" up to 8.6 and after their layer
                      ("head/bias_output") in 10. The number counts layers, so it is read from the parsed
                      network and never guessed: a wrong one would give a scale to another tensor.

What lies in front of the first layer (Cast, scaling, transpose of the frame) has no range and gets no
scale: TensorRT then computes it in float, as the Q/DQ form does.

Sources: ImporterContext.cpp, ModelImporter.cpp and convertToTensor (onnx2trt_utils.cpp in 8.x, importerUtils.cpp
in 10.x) of github.com/onnx/onnx-tensorrt, branches 8.5-GA, 8.6-GA and 10.1-GA; TensorRT developer guide, "Working with
INT8", on implicit quantisation.
"""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import KEEPS_RANGE
from calibration.qdq.placement import HOSTILE_RATIO, Placement
from calibration.qdq.quantization_config import FLOAT, QuantizationConfig
from calibration.ranges.record import Ranges
from edge.errors import GraphError

LEVELS = 127
"""Steps of symmetric int8 on either side of zero."""

_MOVES = ("SHUFFLE", "SLICE", "IDENTITY", "CAST", "SQUEEZE", "UNSQUEEZE")
"""LayerTypes whose output holds the values of their input; not every version has all of them."""


def tensor_scales(model: Any, ranges: Ranges, method: str | QuantizationConfig) -> dict[str, float]:
    """Return the scale of each tensor of a float graph that may be stored as INT8.

    Where the Q/DQ form has a pair, the scale is that of the pair, so that its measured accuracy holds here. Besides:

    - the raw output of a Conv or Add that only a Relu reads takes the Relu's: TensorRT fuses the two and
      stores nothing in between, but asks for a scale;
    - what a Concat joins and what only moves values share one scale, unless the branches of the Concat differ
      too much.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of the graph's activations.
        method: range method of all tensors, or the quantisation config that chooses it for each tensor.

    Returns:
        Name of a tensor -> size of one step, in the order of the graph.

    Raises:
        GraphError: the graph has Q/DQ pairs, with which TensorRT takes no calibration cache.
        InputError: the method is unknown.
    """
    chosen = method if isinstance(method, QuantizationConfig) else QuantizationConfig(method=method)
    own = import_onnx().ModelProto()
    own.CopyFrom(model)
    view = EditableGraph(own)
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in view.nodes):
        raise GraphError(
            "the graph has Q/DQ pairs, expected a float graph: TensorRT takes its scales from either. "
            "Next: give the float graph that it was made from"
        )
    names = [*view.inputs, *(name for node in own.graph.node for name in node.output if name)]
    placement = Placement(view, ranges, chosen, "tensorrt")
    quantized = {
        name for node in view.nodes for at, name in enumerate(node.input) if (node.name, at) in placement.reads
    }
    thresholds = {
        name: placement.threshold(name) if name in quantized else ranges.threshold(name, chosen.method_of(name))
        for name in names
        if name in ranges.tensors
    }
    for node in reversed(view.nodes):
        relu = view.only_reader(node.output[0], "Relu")
        if relu is not None and node.output[0] not in thresholds and relu.output[0] in thresholds:
            thresholds[node.output[0]] = thresholds[relu.output[0]]
    for members in _shared(view, chosen, thresholds, set(names)):
        # A member that has a pair in the Q/DQ form decides: its scale is the one that was measured.
        deciding = [name for name in members if name in quantized] or [name for name in members if name in thresholds]
        if deciding:
            thresholds.update(dict.fromkeys(members, max(thresholds[name] for name in deciding)))
    return {name: thresholds[name] / LEVELS for name in names if name in thresholds}


def _shared(
    view: OnnxGraph, chosen: QuantizationConfig, thresholds: Mapping[str, float], activations: set[str]
) -> list[list[str]]:
    """Return the groups of tensors whose integers have the same scale."""
    group_of: dict[str, list[str]] = {}
    for node in view.nodes:
        if node.op_type == "Concat":
            known = [thresholds[name] for name in node.input if name in thresholds]
            if known and max(known) > HOSTILE_RATIO * min(known):
                continue
            members = [*node.input, node.output[0]]
        elif node.op_type in KEEPS_RANGE and not (node.op_type == "Resize" and chosen.resize == FLOAT):
            members = [node.input[0], node.output[0]]
        else:
            continue
        joined: list[str] = []
        for member in dict.fromkeys(name for name in members if name in activations):
            joined += [name for name in group_of.get(member, [member]) if name not in joined]
        group_of.update(dict.fromkeys(joined, joined))
    return list({id(group): group for group in group_of.values()}.values())


def constant_scales(model: Any) -> dict[str, float]:
    """Return the scale of each float constant of a graph.

    Args:
        model: float graph (onnx.ModelProto).

    Returns:
        Name of the initializer -> size of one step.
    """
    onnx = import_onnx()
    scales = {}
    for stored in model.graph.initializer:
        if stored.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(stored)
            largest = float(np.abs(values).max()) if values.size else 0.0
            scales[stored.name] = (largest if largest > LEVELS * float(np.finfo(np.float32).tiny) else 1.0) / LEVELS
    return scales


def network_scales(
    trt: Any, network: Any, scales: Mapping[str, float], constants: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """Return scales that include the tensors that TensorRT's parser made, by their names in the parsed network.

    A constant's layer is named after the initializer. A tensor that only moves has the scale of what it was; the
    product of a Gemm has that of the sum with its bias, with which it is fused.

    Args:
        trt: the tensorrt module.
        network: tensorrt.INetworkDefinition that the parser filled.
        scales: scales as `tensor_scales` returns them.
        constants: scales as `constant_scales` returns them.

    Returns:
        All scales by tensor, and the names of the float tensors that have none: the layers at them run in float.
    """
    kinds = trt.LayerType
    moves = {getattr(kinds, name) for name in _MOVES if hasattr(kinds, name)}
    found = dict(scales)
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    for layer in layers:
        if layer.type == kinds.CONSTANT and layer.name in constants:
            found.setdefault(layer.get_output(0).name, constants[layer.name])
        elif layer.type in moves and layer.num_inputs and layer.get_input(0).name in found:
            found.setdefault(layer.get_output(0).name, found[layer.get_input(0).name])
    products = {layer.get_output(0).name for layer in layers if layer.type == kinds.MATRIX_MULTIPLY}
    for layer in reversed(layers):
        if layer.type != kinds.ELEMENTWISE or layer.get_output(0).name not in found:
            continue
        for index in range(layer.num_inputs):
            name = layer.get_input(index).name
            if name in products:
                found.setdefault(name, found[layer.get_output(0).name])
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [layer.get_output(index) for layer in layers for index in range(layer.num_outputs)]
    return found, [tensor.name for tensor in tensors if tensor.dtype in floats and tensor.name not in found]
