"""The quantisation config: all choices of a search about one graph, as a record with a digest."""

from __future__ import annotations

from dataclasses import field

from edge.artifacts import sha256_json
from edge.errors import ContractError
from edge.records import record, record_to_json

INT8, FLOAT = "int8", "float"
WEIGHT_METHODS = ("max", "mse")
WEIGHT_ROUNDINGS = ("nearest", "reconstructed")

MEASURED_APART = "measured apart"
"""Reason of a layer that is in float so that another one is seen alone: that other one still has rounded weights."""


@record(schema=1, what="quantisation config")
class QuantizationConfig:
    """Choices that turn a float graph and its ranges into one quantised graph.

    Attributes:
        method: method for the ranges of activations, one of calibration.ranges.thresholds.CALIBRATION_METHODS.
        tensor_methods: name of a tensor -> its range method, for the tensors that differ from `method`.
        weight_method: method for the ranges of weights per output channel, "max" or "mse" (clipped where that lowers
            the error).
        weight_rounding: rounding of weights, "nearest", or "reconstructed" (calibration.qdq.weight_reconstruction: each
            makes up for the errors of others, by what the layer reads).
        float_layers: name of a node that stays in float -> reason.
        bias_correction: True if biases compensate the mean error of the rounded weights.
        equalised: True if the graph is the one whose channels calibration.qdq.channel_equalization has balanced.
        classifier: precision of the layers that give the network's outputs, "int8" or "float".
        resize: precision of interpolations, "int8" or "float".
    """

    method: str = "percentile"
    tensor_methods: dict[str, str] = field(default_factory=dict)
    weight_method: str = "max"
    weight_rounding: str = "nearest"
    float_layers: dict[str, str] = field(default_factory=dict)
    bias_correction: bool = False
    equalised: bool = False
    classifier: str = INT8
    resize: str = INT8

    def __post_init__(self) -> None:
        for what, value, known in (
            ("weight method", self.weight_method, WEIGHT_METHODS),
            ("weight rounding", self.weight_rounding, WEIGHT_ROUNDINGS),
            ("classifier", self.classifier, (INT8, FLOAT)),
            ("resize", self.resize, (INT8, FLOAT)),
        ):
            if value not in known:
                raise ContractError(f"{what} is '{value}', expected one of: {', '.join(known)}")

    def method_of(self, tensor: str) -> str:
        """Return the range method of a tensor."""
        return self.tensor_methods.get(tensor, self.method)

    def digest(self) -> str:
        """Return the SHA-256 of all choices; the reasons of float layers are not part of it."""
        content = record_to_json(self)
        content["float_layers"] = sorted(self.float_layers)
        return sha256_json(content)

    def sentence(self) -> str:
        """Return a sentence that describes the config, for progress and reports."""
        parts = [f"{self.method} ranges"]
        if self.tensor_methods:
            parts.append(f"{counted(len(self.tensor_methods), 'tensor')} by another method")
        if self.weight_method != "max":
            parts.append("clipped weights")
        if self.weight_rounding != "nearest":
            parts.append(f"{self.weight_rounding} weights")
        if self.bias_correction:
            parts.append("corrected biases")
        if self.equalised:
            parts.append("equalised channels")
        kept = [name for name, value in (("classifier", self.classifier), ("resize", self.resize)) if value == FLOAT]
        if kept:
            parts.append(f"{' and '.join(kept)} in float")
        if self.float_layers:
            parts.append(f"{counted(len(self.float_layers), 'layer')} in float")
        return ", ".join(parts)


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as "1 layer" or "2 layers"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
