"""A quantised graph with the questions that the linter's rules ask, and the class of a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Tuple

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import KEEPS_RANGE, WEIGHTED, attribute_of, input_of, interpolates, weight_axis
from edge.errors import InputError

BOTH = ("tensorrt", "onnxruntime")
"""Forms in which a rule holds that holds in both."""

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")

PASSING = (*KEEPS_RANGE, "Concat", "Split", "Pad", "Identity")
"""Operators that hand values on as they are: a Q or DQ can move across them."""

MOVING = ("Transpose", "Reshape", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Split", "Identity", "Concat")
"""Operators that put integers elsewhere and change none, as ONNX Runtime does between a Q and its DQ."""

ACTIVATIONS = (
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Clip",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Elu",
    "Selu",
    "Celu",
    "Softplus",
    "Softsign",
    "ThresholdedRelu",
    "Tanh",
    "Mish",
    "Gelu",
)
"""Operators that a backend fuses with the layer in front."""

QUANTIZABLE = ("Add", "Sub", "Mul", "Sum", "Max", "Min", "AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax")
"""Further operators that run on integers where both sides are quantised."""

Found = Iterator[Tuple[str, str]]
"""What a rule yields: the name of a node, and what is there and what was expected."""


@dataclass(frozen=True)
class Rule:
    """A rule that a quantised graph of some forms has to keep.

    Attributes:
        check: function that yields the findings in a graph; the rule has the name of the function.
        severity: "error" if the backend refuses such a graph or computes something else, "warning" if it runs, but
            slower or less accurately than it could.
        next_step: sentence that says how to remove a finding.
        forms: forms of graphs in which the rule holds, of calibration.qdq.insert.FORMS.
        since: version of the backend that the rule is true from, such as "1.27"; "" from the oldest on.
        before: version of the backend from which the rule is no longer true, such as "9.0"; "" if it always is.
        unknown_version: severity where the version of the backend is not known: "error" or "warning"; "" for that of
            `severity`, and None if the rule is left out then.
    """

    check: Callable[[QdqGraph], Found]
    severity: str
    next_step: str
    forms: tuple[str, ...]
    since: str = ""
    before: str = ""
    unknown_version: str | None = ""

    @property
    def name(self) -> str:
        """Name of the rule, as findings and the command show it."""
        return self.check.__name__.replace("_", "-")

    def severity_for(self, target: tuple[int, ...] | None) -> str | None:
        """Return the severity of the findings for a version of the backend; None if the rule is not true there.

        Args:
            target: numbers of the version, as version_of returns them; None if it is not known.
        """
        if target is None:
            return self.severity if self.unknown_version == "" else self.unknown_version
        is_true = target >= version_of(self.since or "0") and (not self.before or target < version_of(self.before))
        return self.severity if is_true else None


def version_of(text: str) -> tuple[int, ...]:
    """Return the numbers of a version, such as (1, 27) for "1.27.0": zeros at the end do not count.

    Raises:
        InputError: the text is no version.
    """
    if not re.fullmatch(r"\d+(\.\d+)*", text):
        raise InputError(f"'{text}' is no version, expected numbers with dots between, such as 8.5 or 1.27.0")
    numbers = [int(number) for number in text.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def rule(
    severity: str,
    next_step: str,
    forms: tuple[str, ...] = ("tensorrt",),
    since: str = "",
    before: str = "",
    unknown_version: str | None = "",
) -> Callable[[Callable], Rule]:
    """Return a decorator that makes a Rule of a check function."""
    return lambda check: Rule(check, severity, next_step, forms, since, before, unknown_version)


class QdqGraph(OnnxGraph):
    """A graph with Q/DQ nodes, as the rules ask about it.

    An Identity of a constant is a constant here too, since the rules want to know what a scale is and not where it
    stands. Nodes of other domains count like the standard ones: ONNX Runtime has Q/DQ and integer operators of its own.
    The rules ask for the shapes of constants alone, which the file has, so no shapes are inferred.
    """

    _MAY_BE_CONSTANT = ("Constant", "Identity")

    def _constant(self, node: Any) -> Any:
        return self.constants.get(node.input[0]) if node.op_type == "Identity" else super()._constant(node)

    def of(self, *operators: str) -> Iterator[Any]:
        """Yield the nodes of some operators, of whatever domain, in the order of the graph."""
        return (node for node in self.nodes if node.op_type in operators)

    def constant_kind(self, constant: str) -> str:
        """Return the name of a constant's element type, such as INT8; "" if the tensor is no constant."""
        return self.type_of(constant) if constant in self.constants else ""

    # Q/DQ nodes

    def scales(self, quantizer: Any) -> np.ndarray | None:
        """Return the scales of a Q or DQ node, (count,) float64; None if they are computed or no numbers."""
        value = self.value_of(input_of(quantizer, 1))
        return None if value is None else value.astype(np.float64).reshape(-1)

    def only_scale(self, quantizer: Any) -> float | None:
        """Return the one scale of a Q or DQ node; None if there are several, or none that is constant."""
        scales = self.scales(quantizer)
        return float(scales[0]) if scales is not None and scales.size == 1 else None

    def zero_point_kind(self, quantizer: Any) -> str:
        """Return the element type of a zero point; "" if it is not given, or computed."""
        return self.constant_kind(input_of(quantizer, 2))

    def constant_root(self, tensor: str) -> str:
        """Return the constant behind a tensor, also through Q, DQ and Transpose; "" if the tensor is computed."""
        node = self.producer(tensor, *QUANTIZERS, "Transpose")
        while node is not None:
            tensor = node.input[0]
            node = self.producer(tensor, *QUANTIZERS, "Transpose")
        return tensor if tensor in self.constants else ""

    def quantizers(self, activations_only: bool = False) -> Iterator[Any]:
        """Yield the Q and DQ nodes; without those of constants if `activations_only`."""
        for node in self.of(*QUANTIZERS):
            if not activations_only or not self.constant_root(node.input[0]):
                yield node

    def parameters(self, activations_only: bool = False) -> Iterator[Any]:
        """Yield the Q and DQ nodes, without a DQ that reads the scale and zero point of the Q in front of it."""
        for node in self.quantizers(activations_only):
            quantize = next(self.quantizers_behind(node.input[0]), None)
            if quantize is None or list(quantize.input[1:]) != list(node.input[1:]):
                yield node

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Yield each DequantizeLinear with the QuantizeLinear in front; nodes that move integers may be between."""
        for node in self.of("DequantizeLinear"):
            for quantize in self.quantizers_behind(node.input[0]):
                yield quantize, node

    def integer_sources(self, tensor: str) -> list[str]:
        """Return the names of the tensors that the integers of a tensor come from, behind nodes that only move them."""
        found, waiting = [], [tensor]
        while waiting:
            name = waiting.pop()
            node = self.producer(name, *MOVING)
            if node is None:
                found.append(name)
            else:
                waiting.extend(node.input if node.op_type == "Concat" else node.input[:1])
        return found

    def quantizers_behind(self, tensor: str) -> Iterator[Any]:
        """Yield the QuantizeLinear nodes that the integers of a tensor come from."""
        for name in self.integer_sources(tensor):
            quantize = self.producer(name, "QuantizeLinear")
            if quantize is not None:
                yield quantize

    def quantizing_readers(self, tensor: str) -> list[Any]:
        """Return the QuantizeLinear nodes that read a tensor."""
        return [node for node, index in self.readers.get(tensor, ()) if node.op_type == "QuantizeLinear" and not index]

    def is_bias_dequantizer(self, node: Any) -> bool:
        """Return whether every reader of a DequantizeLinear reads it as a bias."""
        readers = self.readers.get(node.output[0], ())
        return bool(readers) and all(reader.op_type in WEIGHTED and index == 2 for reader, index in readers)

    # Layers

    def is_dequantized(self, tensor: str) -> bool:
        """Return whether a tensor comes from a DQ node, directly or through nodes that pass values on."""
        while True:
            node = self.producers.get(tensor)
            is_linear = node is not None and interpolates(node)
            if node is None or is_linear or node.op_type not in PASSING:
                return node is not None and node.op_type == "DequantizeLinear"
            if node.op_type == "Concat":
                return all(self.is_dequantized(name) for name in node.input)
            tensor = node.input[0]

    def passes(self, node: Any) -> bool:
        """Return whether a node passes values on unchanged; one that interpolates does so between Q/DQ pairs alone."""
        if interpolates(node):
            return self.producer(node.input[0], "DequantizeLinear") is not None
        return node.op_type in PASSING

    def weight_quantizers(self, layer: Any) -> list[Any]:
        """Return the DQ node of a layer's constant weight and the Q in front of it; a Transpose may stand behind."""
        if layer.op_type not in WEIGHTED or not self.constant_root(input_of(layer, 1)):
            return []
        transpose = self.producer(layer.input[1], "Transpose")
        dequantize = self.producer(transpose.input[0] if transpose is not None else layer.input[1], "DequantizeLinear")
        if dequantize is None:
            return []
        quantize = self.producer(dequantize.input[0], "QuantizeLinear")
        return [dequantize] if quantize is None else [dequantize, quantize]

    def weight_layout(self, layer: Any) -> tuple[tuple[int, ...], int]:
        """Return the sizes of a layer's constant weight as stored, and the axis of its output channels there."""
        sizes = tuple(self.constants[self.constant_root(layer.input[1])].dims)
        axis = len(sizes) - 1 if layer.op_type == "MatMul" else weight_axis(layer)
        transpose = self.producer(layer.input[1], "Transpose")
        if transpose is not None:
            axis = list(attribute_of(transpose, "perm", range(len(sizes))[::-1]))[axis]
        return sizes, axis

    def is_quantized(self, layer: Any) -> bool:
        """Return whether both operands of a layer with multiply-adds are dequantised."""
        if layer.op_type not in WEIGHTED:
            return False
        return self.is_dequantized(layer.input[0]) and bool(
            self.weight_quantizers(layer) or self.is_dequantized(layer.input[1])
        )

    def fused_convolution(self, tensor: str) -> Any:
        """Return the quantised convolution that gives a tensor for one reader alone, BatchNormalization aside."""
        node = self.producers.get(tensor)
        if node is not None and node.op_type == "BatchNormalization" and self.only_reader(tensor) is not None:
            tensor = node.input[0]
            node = self.producers.get(tensor)
        is_fused = node is not None and node.op_type in ("Conv", "ConvTranspose") and self.is_quantized(node)
        return node if is_fused and self.only_reader(tensor) is not None else None


def first_not_zero(values: np.ndarray) -> int:
    """Return the first zero point that is not 0."""
    return int(values.reshape(-1)[np.flatnonzero(values)[0]])
