"""How the tensors of a published checkpoint become the weights of one layer here.

An entry names a layer of ours, what kind it is, and what its tensors are called in the checkpoint.
Two things are folded, exactly, so that no architecture needs an option for them:

    a bias in front of a BatchNorm      moves into the norm's mean: BN(x + b) has the mean m - b
    another epsilon of a BatchNorm      moves into its variance: v + (theirs - ours)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Mapping

import numpy as np

from edge.errors import WeightsError

EPSILON = 1e-5
"""Of every BatchNorm in train/conv_blocks.py."""

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Entry:
    """One layer with weights.

    Attributes:
        layer: name of the layer here.
        kind: "conv", "depthwise", "transposed", "dense", "norm", "encoding" or "identity" (a norm that
            the checkpoint has not, and that only takes the bias of its convolution).
        prefix: of the tensors in the checkpoint, without the last dot or slash.
        bias_of: prefix of the convolution whose bias a norm takes.
        reversed_input: the checkpoint takes blue, green and red.
    """

    layer: str
    kind: str
    prefix: str
    bias_of: str | None = None
    reversed_input: bool = False


def conv_and_norm(
    layer: str,
    conv: str,
    norm: str,
    *,
    norm_layer: str | None = None,
    bias: bool = False,
    kind: str = "conv",
    reversed_input: bool = False,
) -> list[Entry]:
    """Return the entries of a convolution and its normalisation (`<layer>_bn` unless named otherwise).

    Args:
        layer: the convolution here.
        conv: its prefix.
        norm: prefix of the normalisation.
        norm_layer: the normalisation here.
        bias: the convolution of the checkpoint has a bias.
        kind: of the convolution.
        reversed_input: see Entry.
    """
    return [
        Entry(layer, kind, conv, reversed_input=reversed_input),
        Entry(norm_layer or f"{layer}_bn", "norm", norm, bias_of=conv if bias else None),
    ]


class Reading:
    """One pass over a checkpoint: every tensor that is taken is taken once.

    Args:
        tensors: of the checkpoint.
        naming: "torch" (`conv1.weight`, output channels first) or "keras" (`conv1/kernel`, channels last).
        epsilon: of the checkpoint's BatchNorms.
    """

    def __init__(self, tensors: Tensors, naming: str, epsilon: float) -> None:
        self._tensors, self._is_torch, self._epsilon = tensors, naming == "torch", epsilon
        self._folded: set[str] = set()
        self.used: set[str] = set()
        self.names: dict[str, list[str]] = {}
        """Layer -> the tensor that each of its weights is from."""

    def weights(self, entries: Iterable[Entry]) -> dict[str, list[np.ndarray]]:
        """Return the weights of each entry's layer, in the order in which Keras holds them.

        Raises:
            WeightsError: tensors are missing, wanted twice or of a shape that no such layer has; the message
                names the first of them.
        """
        entries = list(entries)
        # A bias that the norm behind takes is not the convolution's own.
        self._folded = {
            self._name(entry.prefix if entry.kind == "identity" else entry.bias_of, "bias")
            for entry in entries
            if entry.kind == "identity" or entry.bias_of is not None
        }
        missing = [name for entry in entries for name in self._names(entry) if name not in self._tensors]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise WeightsError(f"the checkpoint lacks {missing[0]}{others}")
        makers: dict[str, Callable[[Entry], list[np.ndarray]]] = {
            "conv": self._kernel,
            "depthwise": self._kernel,
            "transposed": self._kernel,
            "dense": self._kernel,
            "norm": self._norm,
            "identity": self._identity,
            "encoding": self._encoding,
        }
        return {entry.layer: makers[entry.kind](entry) for entry in entries}

    def _names(self, entry: Entry) -> list[str]:
        if entry.kind == "norm":
            bias = [self._name(entry.bias_of, "bias")] if entry.bias_of is not None else []
            return [self._name(entry.prefix, part) for part in self._norm_parts()] + bias
        if entry.kind == "encoding":
            return [self._name(entry.prefix, part) for part in ("codewords", "scale")]
        return [self._name(entry.prefix, "bias")] if entry.kind == "identity" else [self._kernel_name(entry)]

    def _name(self, prefix: str, part: str) -> str:
        return f"{prefix}.{part}" if self._is_torch else f"{prefix}/{part}"

    def _kernel_name(self, entry: Entry) -> str:
        if self._is_torch:
            return f"{entry.prefix}.weight"
        return f"{entry.prefix}/{'depthwise_kernel' if entry.kind == 'depthwise' else 'kernel'}"

    def _norm_parts(self) -> tuple[str, str, str, str]:
        if self._is_torch:
            return ("weight", "bias", "running_mean", "running_var")
        return ("gamma", "beta", "moving_mean", "moving_variance")

    def _take(self, name: str) -> np.ndarray:
        if name in self.used:
            raise WeightsError(f"the tensor {name} is taken twice")
        self.used.add(name)
        return np.asarray(self._tensors[name], np.float32)

    def _kernel(self, entry: Entry) -> list[np.ndarray]:
        name, bias = self._kernel_name(entry), self._name(entry.prefix, "bias")
        kernel = self._take(name)
        # (out, in, rows, columns), of a depthwise one (channels, 1, ...), of a transposed one (in, out, ...).
        orders = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "transposed": (2, 3, 1, 0), "dense": (1, 0)}
        order = orders[entry.kind]
        if kernel.ndim != len(order):
            raise WeightsError(f"the tensor {name} has the shape {kernel.shape}, expected {len(order)} axes")
        if self._is_torch:
            kernel = kernel.transpose(order)
        if entry.reversed_input:
            kernel = kernel[:, :, ::-1]
        self.names[entry.layer], weights = [name], [np.ascontiguousarray(kernel)]
        if bias in self._tensors and bias not in self._folded:
            self.names[entry.layer].append(bias)
            weights.append(self._take(bias))
        return weights

    def _norm(self, entry: Entry) -> list[np.ndarray]:
        names = [self._name(entry.prefix, part) for part in self._norm_parts()]
        gamma, beta, mean, variance = (self._take(name) for name in names)
        if entry.bias_of is not None:
            bias_name = self._name(entry.bias_of, "bias")
            bias = self._take(bias_name)
            if bias.shape != mean.shape:  # NumPy would repeat a single number
                raise WeightsError(
                    f"the tensor {bias_name} has the shape {bias.shape}, the norm behind it has {mean.shape}"
                )
            mean = mean - bias
        self.names[entry.layer] = names
        return [gamma, beta, mean, variance + np.float32(self._epsilon - EPSILON)]

    def _identity(self, entry: Entry) -> list[np.ndarray]:
        name = self._name(entry.prefix, "bias")
        bias = self._take(name)
        ones = np.ones_like(bias)
        self.names[entry.layer] = [name] * 4
        return [ones, np.zeros_like(bias), -bias, ones - np.float32(EPSILON)]

    def _encoding(self, entry: Entry) -> list[np.ndarray]:
        self.names[entry.layer] = [self._name(entry.prefix, part) for part in ("codewords", "scale")]
        return [self._take(name) for name in self.names[entry.layer]]
