"""Graphs that ONNX Runtime saved (`optimized_model_filepath`): its fused operators are taken apart again.

From the extended level on such a graph has operators of ONNX Runtime's own: a convolution with its activation, a Gelu.
What they compute is written down in its contrib operators, so they become standard operators again, which can be
quantised and which every backend runs. The layout level puts weights into blocks of the width of one CPU's registers;
such a graph is for that CPU, and is refused with the level that it was saved at.

Source: github.com/microsoft/onnxruntime, docs/ContribOperators.md; the levels: onnxruntime.ai, graph optimizations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from calibration.onnx_graph.node import attribute_of, input_of, name_of
from edge.errors import GraphError

CONTRIB = "com.microsoft"

BLOCKED_DOMAINS = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
"""Domains of operators on weights or tensors in an order of one CPU or accelerator."""

BLOCKED_OPERATORS = ("NhwcConv", "NhwcFusedConv", "NhwcMaxPool")


def refuse_blocked(path: Path, model: Any) -> None:
    """Refuse a graph that was saved at a level that fits one machine alone.

    Raises:
        GraphError: the graph has operators of such a level.
    """
    for node in model.graph.node:
        is_blocked = node.domain in BLOCKED_DOMAINS or (node.domain == CONTRIB and node.op_type in BLOCKED_OPERATORS)
        if is_blocked:
            raise GraphError(
                f"{path} was saved by ONNX Runtime at its layout level (ORT_ENABLE_ALL, its default): {name_of(node)} "
                f"is a {node.op_type} of {node.domain}, with tensors in an order of the machine that saved it. "
                "Next: give the graph that it was made from, or save it at ORT_ENABLE_BASIC"
            )


def standard_operators(model: Any) -> Any:
    """Return a graph with standard operators in the place of ONNX Runtime's fused ones.

    Args:
        model: onnx.ModelProto; left as it is.

    Returns:
        A copy; the graph itself where it has no such operators. Operators that are not known here stay.
    """
    if not any(node.domain == CONTRIB and node.op_type in _PARTS for node in model.graph.node):
        return model
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    taken = {name for node in plain.graph.node for name in (*node.input, *node.output)}
    nodes = []
    for node in plain.graph.node:
        parts = _Parts(node, taken)
        if node.domain != CONTRIB or node.op_type not in _PARTS or not _PARTS[node.op_type](parts):
            nodes.append(node)
            continue
        nodes += parts.nodes
        plain.graph.initializer.extend(parts.constants)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del plain.graph.node[:]
    plain.graph.node.extend(kept)
    return plain


class _Parts:
    """The standard operators that one fused operator becomes; the last gives its output."""

    def __init__(self, node: Any, taken: set[str]) -> None:
        self.fused, self._taken = node, taken
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def constant(self, value: float) -> str:
        name = self._free(f"{self.fused.output[0]}/constant")
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def add(self, operator: str, inputs: list[str], is_last: bool = False, **attributes: Any) -> str:
        """Add an operator, and return the name of what it gives."""
        output = self.fused.output[0] if is_last else self._free(f"{self.fused.output[0]}/{operator}")
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def attributes(self, *left_out: str) -> dict[str, Any]:
        return {
            attribute.name: helper.get_attribute_value(attribute)
            for attribute in self.fused.attribute
            if attribute.name not in left_out
        }

    def activate(self, tensor: str) -> bool:
        """Add the activation that the fused operator names; False if it is not known here."""
        kind = attribute_of(self.fused, "activation", "")
        numbers = list(attribute_of(self.fused, "activation_params", []))
        if kind in ("Relu", "Tanh", "Sigmoid"):
            self.add(kind, [tensor], is_last=True)
        elif kind == "LeakyRelu" and len(numbers) == 1:
            self.add(kind, [tensor], is_last=True, alpha=numbers[0])
        elif kind == "HardSigmoid" and len(numbers) == 2:
            self.add(kind, [tensor], is_last=True, alpha=numbers[0], beta=numbers[1])
        elif kind == "Clip" and len(numbers) == 2:
            self.add(kind, [tensor, *map(self.constant, numbers)], is_last=True)
        else:
            return False
        return True


def _fused_conv(parts: _Parts) -> bool:
    node, addend = parts.fused, input_of(parts.fused, 3)
    has_activation = bool(attribute_of(node, "activation", ""))
    inputs = [name for name in list(node.input)[:3] if name]
    attributes = parts.attributes("activation", "activation_params")
    result = parts.add("Conv", inputs, is_last=not addend and not has_activation, **attributes)
    if addend:
        result = parts.add("Add", [result, addend], is_last=not has_activation)
    return parts.activate(result) if has_activation else True


def _fused_gemm(parts: _Parts) -> bool:
    left_out = ("activation", "activation_alpha", "activation_beta", "activation_gamma")
    if attribute_of(parts.fused, "activation", "") not in ("Relu", "Tanh", "Sigmoid"):
        return False
    return parts.activate(parts.add("Gemm", list(parts.fused.input), **parts.attributes(*left_out)))


def _quick_gelu(parts: _Parts) -> bool:
    (source,) = parts.fused.input
    alpha = attribute_of(parts.fused, "alpha", 1.702)
    scaled = source if alpha == 1 else parts.add("Mul", [source, parts.constant(alpha)])
    parts.add("Mul", [source, parts.add("Sigmoid", [scaled])], is_last=True)
    return True


def _gelu(parts: _Parts) -> bool:
    source = parts.fused.input[0]
    if input_of(parts.fused, 1):  # BiasGelu
        source = parts.add("Add", [source, parts.fused.input[1]])
    erf = parts.add("Erf", [parts.add("Div", [source, parts.constant(np.sqrt(2.0))])])
    share = parts.add("Add", [erf, parts.constant(1.0)])
    parts.add("Mul", [parts.add("Mul", [source, share]), parts.constant(0.5)], is_last=True)
    return True


def _fused_matmul(parts: _Parts) -> bool:
    turns = ("transA", "transB", "transBatchA", "transBatchB")
    if any(attribute_of(parts.fused, name, 0) for name in turns):
        return False
    alpha = attribute_of(parts.fused, "alpha", 1.0)
    result = parts.add("MatMul", list(parts.fused.input), is_last=alpha == 1)
    if alpha != 1:
        parts.add("Mul", [result, parts.constant(alpha)], is_last=True)
    return True


_PARTS: dict[str, Callable[[_Parts], bool]] = {
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "QuickGelu": _quick_gelu,
    "Gelu": _gelu,
    "BiasGelu": _gelu,
}
"""Fused operator -> function that writes its parts, and returns False where it cannot."""


def drop_unused_domains(model: Any) -> None:
    """Leave out the operator sets that no node uses, of which ONNX Runtime names eight; in place."""
    used = {node.domain for node in model.graph.node} | {"", "ai.onnx"}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    if len(kept) < len(model.opset_import):
        copies = [helper.make_opsetid(opset.domain, opset.version) for opset in kept]
        del model.opset_import[:]
        model.opset_import.extend(copies)
