"""Readable names for the nodes and tensors of a given graph.

Cards, ranges and reports name layers. A node keeps the name that its graph has for it; where that is
none, or a number of an exporter's count (`Conv_41`), the weights tell which layer it is. Tensors are
named after the nodes that give them, as in the graphs that this project exports.
"""

from __future__ import annotations

import re
from typing import Any

_UNSAFE = re.compile(r"[^A-Za-z0-9._/+-]+")

_ROLES = {"Conv": ("weight", "bias"), "ConvTranspose": ("weight", "bias"), "Gemm": ("weight", "bias")}

_WEIGHTED = (*_ROLES, "BatchNormalization", "MatMul", "PRelu")

_TAKEN_BY_QUANTISATION = ("scale", "zero_point", "quantized", "dequantized", "integers")
"""Last parts of names that calibration/ gives to tensors of its own."""


def name_for_people(model: Any, fixed: tuple[str, ...], output: str, output_name: str) -> None:
    """Name nodes, tensors and constants, each once.

    Args:
        model: onnx.ModelProto, changed in place. The names of its inputs stay, whatever else is called so.
        fixed: names that stay free for tensors that are added later.
        output: name of the tensor that is the graph's one output.
        output_name: new name of that output.
    """
    graph = model.graph
    renamed = {value.name: value.name for value in graph.input}
    used = {*renamed, *fixed, output_name}
    constants = {tensor.name for tensor in graph.initializer}
    # Out of the way of the names that nodes get here; no such name has a colon.
    renamed.update((name, f"constant:{number}") for number, name in enumerate(sorted(constants)))
    layers: dict[str, str] = {}  # tensor -> the layer whose weights made it
    for node in graph.node:
        layer = _layer_of_weight(node, constants) or next((layers[n] for n in node.input if n in layers), None)
        given = _safe(node.name)
        if _is_count(node.name, node.op_type):
            given = f"{layer}/{node.op_type}" if layer else given or node.op_type
        node.name = _free_name(given, used)
        if layer:
            layers.update((name, layer) for name in node.output)
        for index, name in enumerate(node.output):
            if name == output:
                renamed[name] = output_name
            elif name and name not in renamed:
                renamed[name] = node.name if index == 0 else _free_name(f"{node.name}_{index}", used)
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = renamed.get(name, name)
    for value in (*graph.output, *graph.initializer):
        value.name = renamed.get(value.name, value.name)
    del graph.value_info[:]
    name_constants(model)


def name_constants(model: Any) -> None:
    """Name each constant after the first node that reads it and its role there; in place."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    used = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
    renamed: dict[str, str] = {}
    for node in graph.node:
        roles = ("", *_ROLES.get(node.op_type, ()))
        for index, name in enumerate(node.input):
            if name in constants and name not in renamed:
                role = roles[index] if 0 < index < len(roles) else f"constant{index}"
                renamed[name] = _free_name(f"{node.name}/{role}", used)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)


def _free_name(wanted: str, used: set[str]) -> str:
    """Return a name that is not used yet, and add it to the used ones."""
    name, number = wanted, 2
    while name in used:
        name, number = f"{wanted}_{number}", number + 1
    used.add(name)
    return name


def _safe(name: str) -> str:
    """Return a name without a leading slash and without characters that files of ranges and caches cannot hold."""
    safe = _UNSAFE.sub("_", name).strip("/_")
    return f"{safe}/node" if safe.rsplit("/", 1)[-1] in _TAKEN_BY_QUANTISATION else safe


def _is_count(name: str, operator: str) -> bool:
    """Return whether a name only counts, as '', '41', 'Conv_41', 'node_conv2d_3' and 'n4' do and '/Conv' does not."""
    return not name or re.fullmatch(rf"(?i)(?:node_?|n)?(?:{operator}\d?d?)?_?\d*", name) is not None


def _layer_of_weight(node: Any, constants: set[str]) -> str | None:
    """Return the layer that a weight belongs to by its name: 'layer1.0.conv1.weight' -> 'layer1.0.conv1'."""
    if node.op_type not in _WEIGHTED:
        return None
    weights = [name for name in node.input[1:2] if name in constants]
    for name in weights:
        found = re.fullmatch(r"(.*[A-Za-z].*)[./](?:weight|kernel|gamma|scale|W|w)(?::0)?", name)
        if found and not found[1].startswith("onnx::"):
            return _safe(found[1])
    return None
