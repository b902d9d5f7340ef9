"""Cross-layer equalisation: channels of very different size get similar ranges, and the next layer compensates.

Where a convolution feeds another one with nothing between them but an activation f with f(s x) = s f(x) for s > 0,
channel c can be divided by any s_c in the first (weights and bias) and multiplied by it in the second, and the network
computes the same. An activation has one scale for all of its channels in INT8, so a channel that is a thousand times
smaller than the largest keeps no value at all; afterwards it has the same number of steps as the others.
"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.node import group_of
from calibration.qdq.weights import largest_magnitudes
from calibration.ranges.record import Ranges
from edge.errors import InputError

HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu")
"""Activations with f(s x) = s f(x) for s > 0. Clip and Sigmoid are none."""

FACTOR_LIMITS = (1e-3, 1e3)
"""Bounds of s_c: a channel that was nearly silent in calibration may speak up on another image."""

_BALANCED = 0.01
"""A pair whose factors are all this close to 1 is left as it is."""


def equalize_cross_layer(model: Any, ranges: Ranges) -> tuple[Any, tuple[tuple[str, str, str], ...]]:
    """Balance the channels between pairs of convolutions.

    A pair is Conv -> Conv, or with Relu, LeakyRelu or PRelu between, where each tensor between has one reader and is no
    output. The second one may be grouped or depthwise. In a chain every pair counts; their order does not matter, since
    the factors of one do not depend on those of another (see balancing_factors). Ranges are to be collected anew on
    what is returned.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of the graph's activations, with channel_maxima where a convolution reads them; a pair without
            them is left alone.

    Returns:
        (new ModelProto, pairs that were changed), each pair as (first node, tensor that the second reads, second node).
        Nodes and tensors keep their names (a node without one gets that of its output); a weight or bias that others
        read too is copied under a new one.

    Raises:
        GraphError: a weight is NaN or infinite.
        InputError: a range has other channels than the graph, or some that are no finite numbers.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1;
    ranges of activations in place of the first weights: Xiao et al., "SmoothQuant", 2023, section 4.
    """
    target = type(model)()
    target.CopyFrom(model)
    constants = _Constants(target)
    changed = []
    for first, tensor, second in _pairs(constants):
        weight = constants.value(second, 1)
        maxima = _channel_maxima(ranges, tensor, weight.shape[1] * group_of(second))
        if maxima is None:
            continue
        factors = balancing_factors(maxima, weight, group_of(second)).astype(np.float32)
        if np.allclose(factors, 1.0, rtol=0.0, atol=_BALANCED):
            continue
        constants.replace(first, 1, constants.value(first, 1) / _along_rows(factors, constants.value(first, 1).ndim))
        if _has_bias(first):
            constants.replace(first, 2, constants.value(first, 2) / factors)
        constants.replace(second, 1, _scale_inputs(weight, factors, group_of(second)))
        changed.append((first.name, tensor, second.name))
    return target, tuple(changed)


def balancing_factors(maxima: np.ndarray, weight: np.ndarray, group: int) -> np.ndarray:
    """Return the number by which each channel of an activation is divided.

    s_c = sqrt(a_c / w_c), with a_c the largest magnitude of channel c, and w_c that of the weights that read it. Each
    weight is taken relative to the largest contribution |W[o, i]| a_i to its output channel o: rows have scales of
    their own, so their size says nothing. That makes a second call find factors of 1, makes pairs of a chain
    independent of each other, and gives a depthwise layer s_c = a_c, which costs its weights nothing.

    The factors are normalised so that the activation as a whole keeps its range. A channel that is always zero is left
    alone; one that no weight reads is made as small as the limits allow.

    Args:
        maxima: largest magnitude of each channel, (in,).
        weight: weight of the convolution that reads the activation, (out, in / group, ...).
        group: number of groups of that convolution.

    Returns:
        Factor of each channel, (in,) float64, within FACTOR_LIMITS.
    """
    rows, columns = weight.shape[:2]
    magnitudes = largest_magnitudes(weight.reshape(rows * columns, -1), 0).reshape(group, rows // group, columns)
    largest = (magnitudes * maxima.reshape(group, 1, columns)).max(axis=2, keepdims=True)
    relative = np.divide(magnitudes, largest, out=np.zeros_like(magnitudes), where=largest > 0).max(axis=1).reshape(-1)
    factors = np.ones(maxima.size)
    balanced = (maxima > 0) & (relative > 0)
    if not balanced.any():
        return factors
    factors[balanced] = np.sqrt(maxima[balanced] / relative[balanced])
    factors[balanced] *= (maxima[balanced] / factors[balanced]).max() / maxima[balanced].max()
    factors[(maxima > 0) & (relative == 0)] = FACTOR_LIMITS[1]
    return np.clip(factors, *FACTOR_LIMITS)


class _Constants:
    """The constants of a graph, changed for one reader at a time."""

    def __init__(self, model: Any) -> None:
        self.view = EditableGraph(model)
        self._reads = {name: len(readers) for name, readers in self.view.readers.items()}

    def is_float32(self, node: Any, index: int) -> bool:
        """Return whether an input is a float32 constant, so that it can be scaled."""
        tensor = self.view.constants.get(node.input[index]) if len(node.input) > index else None
        return tensor is not None and tensor.data_type == type(tensor).FLOAT

    def value(self, node: Any, index: int) -> np.ndarray:
        """Return the constant that a node has at an input."""
        return self.view.value_of(node.input[index])

    def replace(self, node: Any, index: int, value: np.ndarray) -> None:
        """Give one node another value of a constant; other readers keep theirs."""
        name = node.input[index]
        if self._reads[name] == 1 and name not in self.view.outputs:
            self.view.set_constant(name, value)
            return
        copy = self.view.add_constant(f"{name}/{node.name}", value)
        self._reads[name] -= 1
        self._reads[copy] = 1
        node.input[index] = copy


def _pairs(constants: _Constants) -> Iterator[tuple[Any, str, Any]]:
    """Yield (first, tensor that the second reads, second) of every pair whose constants can be scaled."""
    for first in constants.view.nodes:
        has_other_bias = _has_bias(first) and not constants.is_float32(first, 2)
        if first.op_type != "Conv" or not constants.is_float32(first, 1) or has_other_bias:
            continue
        tensor = first.output[0]
        while tensor not in constants.view.outputs:
            readers = constants.view.readers.get(tensor, [])
            reader = readers[0][0] if len(readers) == 1 and readers[0][1] == 0 else None
            if reader is not None and reader.op_type in HOMOGENEOUS:
                tensor = reader.output[0]
                continue
            if reader is not None and reader.op_type == "Conv" and constants.is_float32(reader, 1):
                yield first, tensor, reader
            break


def _has_bias(node: Any) -> bool:
    return len(node.input) > 2 and bool(node.input[2])


def _channel_maxima(ranges: Ranges, tensor: str, channels: int) -> np.ndarray | None:
    """Return the largest magnitude of each channel of a tensor, (channels,) float64; None if it was not counted."""
    # A tensor that is the same for every frame has no range, and stays in float.
    seen = ranges.tensors.get(tensor)
    if seen is None or seen.channel_maxima is None:
        return None
    maxima = seen.channel_maxima
    if len(maxima) != channels or not np.all(np.isfinite(maxima)):
        raise InputError(
            f"the range of tensor {tensor} has {len(maxima)} channel maxima, expected {channels} finite ones. "
            "Next: collect the ranges of this graph"
        )
    return np.asarray(maxima, np.float64)


def _along_rows(factors: np.ndarray, dimensions: int) -> np.ndarray:
    return factors.reshape([-1] + [1] * (dimensions - 1))


def _scale_inputs(weight: np.ndarray, factors: np.ndarray, group: int) -> np.ndarray:
    """Multiply the weights of each input channel; channel g * (in / group) + i is column i of the rows of group g."""
    rows, columns = weight.shape[:2]
    grouped = weight.reshape(group, rows // group, columns, -1)
    return (grouped * factors.reshape(group, 1, columns, 1)).reshape(weight.shape)
