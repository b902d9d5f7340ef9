"""One node of an ONNX graph: its name, its attributes, its inputs, and the role of its operator in quantisation."""

from __future__ import annotations

from typing import Any, Iterator

from calibration.onnx_graph.file import import_onnx

STANDARD_DOMAINS = ("", "ai.onnx")
"""Two names of the domain of ONNX's own operators."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators with multiply-adds; those with a constant weight are worth INT8."""

KEEPS_RANGE = ("Resize", "MaxPool", "Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")
"""Operators whose output lies within the range of their input: both share one scale."""

HAS_BODIES = ("If", "Loop", "Scan", "SequenceMap")
"""Standard operators with a graph among their attributes."""

_FIELDS = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
"""Type of an AttributeProto -> the field that it fills; tensors and graphs are left out."""


def name_of(node: Any) -> str:
    """Return the name of a node; the name of its first output if it has none."""
    return node.name or next(filter(None, node.output), node.op_type)


def input_of(node: Any, index: int) -> str:
    """Return the name of the tensor at an input; "" if the input is not given."""
    return node.input[index] if len(node.input) > index else ""


def attribute_of(node: Any, name: str, default: Any) -> Any:
    """Return the value of one attribute of a node.

    Args:
        node: node, onnx.NodeProto.
        name: name of the attribute.
        default: value that is returned where the node has no such attribute, or one that is a tensor or a graph.

    Returns:
        The value: a number, a text, or a list of numbers or of texts.
    """
    for attribute in node.attribute:
        if attribute.name == name and attribute.type in _FIELDS:
            value = getattr(attribute, _FIELDS[attribute.type])
            if attribute.type == 3:
                return value.decode()
            if attribute.type == 8:
                return [text.decode() for text in value]
            return list(value) if attribute.type in (6, 7) else value
    return default


def has_attribute(node: Any, name: str) -> bool:
    """Return whether a node has an attribute, even one with the default value."""
    return any(attribute.name == name for attribute in node.attribute)


def set_attribute(node: Any, name: str, value: Any) -> None:
    """Set the value of a node's attribute, which is added if the node has none of this name."""
    made = import_onnx().helper.make_attribute(name, value)
    found = next((attribute for attribute in node.attribute if attribute.name == name), None)
    if found is None:
        node.attribute.append(made)
    else:
        found.CopyFrom(made)


def remove_attributes(node: Any, *names: str) -> None:
    """Remove some attributes of a node, if it has them."""
    for attribute in [attribute for attribute in node.attribute if attribute.name in names]:
        node.attribute.remove(attribute)


def bodies_of(node: Any) -> Iterator[Any]:
    """Yield the bodies (onnx.GraphProto) of a node; of the standard operators, those of HAS_BODIES have some."""
    if node.op_type not in HAS_BODIES and node.domain in STANDARD_DOMAINS:
        return  # looking at the attributes of all nodes takes long, and a graph is looked at behind each rewrite
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def has_bodies(node: Any) -> bool:
    """Return whether a node is control flow: it has graphs among its attributes."""
    return next(bodies_of(node), None) is not None


def reads_in_bodies(node: Any) -> Iterator[str]:
    """Yield the names that the bodies of a node read or give, tensors of the graph around them among these."""
    for body in bodies_of(node):
        for inner in body.node:
            yield from filter(None, inner.input)
            yield from reads_in_bodies(inner)
        for value in body.output:
            yield value.name


def weight_axis(node: Any) -> int:
    """Return the axis of a node's weight that counts output channels."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attribute_of(node, "transB", 0) else 1
    return 1  # ConvTranspose: (in, out / group, kh, kw); MatMul: (in, out)


def group_of(node: Any) -> int:
    """Return the number of groups of a convolution; 1 for other nodes."""
    return attribute_of(node, "group", 1)


def interpolates(node: Any) -> bool:
    """Return whether a node is a Resize that computes values between those of its input."""
    return node.op_type == "Resize" and attribute_of(node, "mode", "nearest") != "nearest"
