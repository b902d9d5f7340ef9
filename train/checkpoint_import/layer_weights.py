"""Conversion of the tensors of a published checkpoint to the weights of single layers here.

A LayerMapping names a layer of a network here, says what kind it is, and what its tensors are called in the
checkpoint. Two things are folded, exactly, so that no architecture needs an option for them:

    a bias in front of a BatchNorm      moves into the norm's mean: BN(x + b) has the mean m - b
    another epsilon of a BatchNorm      moves into its variance: v + (theirs - ours)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Mapping

import numpy as np

from edge.errors import WeightsError

EPSILON = 1e-5
"""Epsilon of every BatchNorm in train/conv_blocks.py."""

Tensors = Mapping[str, np.ndarray]
"""Tensors of a checkpoint, by their names in it."""


@dataclass(frozen=True)
class LayerMapping:
    """One layer of a network here, and the tensors of a checkpoint that become its weights.

    Attributes:
        layer: name of the layer in the Keras model.
        kind: "conv", "depthwise", "transposed", "dense", "norm", "encoding" or "identity". An "identity" is a
            BatchNorm that the checkpoint does not have; here it only takes the bias of its convolution.
        prefix: name of the layer in the checkpoint, which its tensors' names begin with, without the last dot
            or slash.
        bias_of: prefix of the convolution whose bias is folded into this BatchNorm; None where there is no bias.
        reversed_input: True where the checkpoint takes frames in the channel order blue, green, red.
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
) -> list[LayerMapping]:
    """Return the mappings of a convolution and of the BatchNorm behind it.

    Args:
        layer: name of the convolution in the Keras model.
        conv: prefix of the convolution in the checkpoint.
        norm: prefix of the BatchNorm in the checkpoint.
        norm_layer: name of the BatchNorm in the Keras model; None for `<layer>_bn`.
        bias: True where the convolution of the checkpoint has a bias.
        kind: kind of the convolution, "conv" or "depthwise".
        reversed_input: True where the checkpoint takes frames in the channel order blue, green, red.
    """
    return [
        LayerMapping(layer, kind, conv, reversed_input=reversed_input),
        LayerMapping(norm_layer or f"{layer}_bn", "norm", norm, bias_of=conv if bias else None),
    ]


class LayerWeightsReader:
    """Turns the tensors of one checkpoint into weights of Keras layers, and takes each tensor at most once.

    Args:
        tensors: tensors of the checkpoint, by name.
        naming: "torch" (`conv1.weight`, output channels first) or "keras" (`conv1/kernel`, channels last).
        epsilon: epsilon of the BatchNorms in the checkpoint's network.

    Attributes:
        used: names of the tensors that were taken so far.
        tensor_names: layer -> names of the tensors that its weights come from, one per weight.
    """

    def __init__(self, tensors: Tensors, naming: str, epsilon: float) -> None:
        self._tensors, self._is_torch, self._epsilon = tensors, naming == "torch", epsilon
        self._folded: set[str] = set()
        self.used: set[str] = set()
        self.tensor_names: dict[str, list[str]] = {}

    def read(self, mappings: Iterable[LayerMapping]) -> dict[str, list[np.ndarray]]:
        """Return the weights of each layer, in the order in which Keras holds them.

        Args:
            mappings: layers to read.

        Raises:
            WeightsError: tensors are missing, wanted twice or of a shape that no such layer has; the message
                names the first of them.
        """
        mappings = list(mappings)
        # A bias that is folded into the BatchNorm behind is no weight of the convolution here.
        self._folded = {
            self._name(mapping.prefix if mapping.kind == "identity" else mapping.bias_of, "bias")
            for mapping in mappings
            if mapping.kind == "identity" or mapping.bias_of is not None
        }
        missing = [name for mapping in mappings for name in self._names(mapping) if name not in self._tensors]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise WeightsError(f"the checkpoint lacks {missing[0]}{others}")
        makers: dict[str, Callable[[LayerMapping], list[np.ndarray]]] = {
            "conv": self._kernel,
            "depthwise": self._kernel,
            "transposed": self._kernel,
            "dense": self._kernel,
            "norm": self._norm,
            "identity": self._identity,
            "encoding": self._encoding,
        }
        return {mapping.layer: makers[mapping.kind](mapping) for mapping in mappings}

    def _names(self, mapping: LayerMapping) -> list[str]:
        if mapping.kind == "norm":
            bias = [self._name(mapping.bias_of, "bias")] if mapping.bias_of is not None else []
            return [self._name(mapping.prefix, part) for part in self._norm_parts()] + bias
        if mapping.kind == "encoding":
            return [self._name(mapping.prefix, part) for part in ("codewords", "scale")]
        return [self._name(mapping.prefix, "bias")] if mapping.kind == "identity" else [self._kernel_name(mapping)]

    def _name(self, prefix: str, part: str) -> str:
        return f"{prefix}.{part}" if self._is_torch else f"{prefix}/{part}"

    def _kernel_name(self, mapping: LayerMapping) -> str:
        if self._is_torch:
            return f"{mapping.prefix}.weight"
        return f"{mapping.prefix}/{'depthwise_kernel' if mapping.kind == 'depthwise' else 'kernel'}"

    def _norm_parts(self) -> tuple[str, str, str, str]:
        if self._is_torch:
            return ("weight", "bias", "running_mean", "running_var")
        return ("gamma", "beta", "moving_mean", "moving_variance")

    def _take(self, name: str) -> np.ndarray:
        if name in self.used:
            raise WeightsError(f"the tensor {name} is taken twice")
        self.used.add(name)
        return np.asarray(self._tensors[name], np.float32)

    def _kernel(self, mapping: LayerMapping) -> list[np.ndarray]:
        name, bias = self._kernel_name(mapping), self._name(mapping.prefix, "bias")
        kernel = self._take(name)
        # (out, in, rows, columns), of a depthwise one (channels, 1, ...), of a transposed one (in, out, ...).
        orders = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "transposed": (2, 3, 1, 0), "dense": (1, 0)}
        order = orders[mapping.kind]
        if kernel.ndim != len(order):
            raise WeightsError(f"the tensor {name} has the shape {kernel.shape}, expected {len(order)} axes")
        if self._is_torch:
            kernel = kernel.transpose(order)
        if mapping.reversed_input:
            kernel = kernel[:, :, ::-1]
        self.tensor_names[mapping.layer], weights = [name], [np.ascontiguousarray(kernel)]
        if bias in self._tensors and bias not in self._folded:
            self.tensor_names[mapping.layer].append(bias)
            weights.append(self._take(bias))
        return weights

    def _norm(self, mapping: LayerMapping) -> list[np.ndarray]:
        names = [self._name(mapping.prefix, part) for part in self._norm_parts()]
        gamma, beta, mean, variance = (self._take(name) for name in names)
        if mapping.bias_of is not None:
            bias_name = self._name(mapping.bias_of, "bias")
            bias = self._take(bias_name)
            if bias.shape != mean.shape:  # NumPy would repeat a single number
                raise WeightsError(
                    f"the tensor {bias_name} has the shape {bias.shape}, the norm behind it has {mean.shape}"
                )
            mean = mean - bias
        self.tensor_names[mapping.layer] = names
        return [gamma, beta, mean, variance + np.float32(self._epsilon - EPSILON)]

    def _identity(self, mapping: LayerMapping) -> list[np.ndarray]:
        name = self._name(mapping.prefix, "bias")
        bias = self._take(name)
        ones = np.ones_like(bias)
        self.tensor_names[mapping.layer] = [name] * 4
        return [ones, np.zeros_like(bias), -bias, ones - np.float32(EPSILON)]

    def _encoding(self, mapping: LayerMapping) -> list[np.ndarray]:
        self.tensor_names[mapping.layer] = [self._name(mapping.prefix, part) for part in ("codewords", "scale")]
        return [self._take(name) for name in self.tensor_names[mapping.layer]]
