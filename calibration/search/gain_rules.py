"""How noise on the output of each ONNX operator looks from its inputs: the rules of calibration.search.noise_gain.

A gain is the noise power in the end for a unit of variance on one element of a tensor. It is an array that broadcasts
to the tensor: it has the tensor's size along the axes on which elements differ (channels, mostly), and 1 along the
others, where it is a mean. So a rule is a few products of small arrays, whatever the size of the picture.

Noise is of two kinds. White noise is independent from element to element, as that of rounding is; a kernel adds the
squares of its weights. Even noise is the same at all positions of a channel, as the shift by a rounded weight is; a
kernel adds its weights first, and what averages over positions does not lessen it. Channels are independent in both.
"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, group_of
from calibration.ranges.record import Ranges
from calibration.search.noise_share import (
    hard_sigmoid_slope_square,
    share_from_powers,
    share_from_rectified,
    sigmoid_slope_square,
)

_LARGEST_GAIN = 1 << 16
"""Numbers that a gain may have before the axes behind the channels are averaged."""


KEEPS_NOISE = (
    "Identity", "Cast", "Dropout", "Add", "Sub", "Sum", "Max", "Min", "Softmax", "LogSoftmax", "Tanh", "Elu",
    "Softplus", "HardSwish", "Gelu", "Abs", "Neg",
)  # fmt: skip
"""Operators whose output has the noise of each input, element by element."""

_MOVES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_NORMALISES = ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization")
_AVERAGES = ("ReduceMean", "ReduceSum")


class GainRules:
    """The rules for the nodes of one graph.

    Args:
        graph: float graph; sizes that are not static are averaged over.
        ranges: ranges of its activations.
        is_even: True for even noise, False for white noise.
    """

    def __init__(self, graph: OnnxGraph, ranges: Ranges, is_even: bool) -> None:
        self._graph, self._ranges, self._is_even = graph, ranges, is_even
        self._rules: dict[str, Callable[[Any, int, np.ndarray], np.ndarray]] = {
            "Conv": self._conv,
            "ConvTranspose": self._conv_transpose,
            "Gemm": self._product,
            "MatMul": self._product,
            "BatchNormalization": self._batch_normalization,
            "Mul": self._mul,
            "Div": self._mul,
            "Relu": self._relu,
            "Clip": self._relu,
            "LeakyRelu": self._leaky,
            "PRelu": self._leaky,
            "Sigmoid": self._sigmoid,
            "HardSigmoid": self._sigmoid,
            "AveragePool": self._pool,
            "GlobalAveragePool": self._pool,
            "MaxPool": self._pool,
            "GlobalMaxPool": self._pool,
            "Pad": self._pad,
            "Resize": self._resize,
            "Upsample": self._resize,
            "Concat": self._concat,
            "Slice": self._part,
            "Gather": self._part,
            "Transpose": self._transpose,
            "DepthToSpace": self._depth_to_space,
            **dict.fromkeys(_MOVES, self._reshape),
            **dict.fromkeys(_NORMALISES, self._normalise),
            **dict.fromkeys(_AVERAGES, self._reduce),
            **dict.fromkeys(KEEPS_NOISE, lambda node, index, gain: gain),
        }

    def input_gain(self, node: Any, index: int, gain: np.ndarray, output: int = 0) -> np.ndarray:
        """Return the gain of an input of a node through this node alone.

        Args:
            node: node of the graph.
            index: position of the input, which is no constant.
            gain: gain of the node's output, an array that broadcasts to it.
            output: position of that output.

        Returns:
            An array that broadcasts to the input, float64. An operator without a rule passes the mean on.
        """
        if node.op_type == "Split":
            before = self._split(node, output, gain)
        else:
            before = self._rules.get(node.op_type, self._unknown)(node, index, gain)
        return self._fitted(before, node.input[index])

    # Sizes

    def _shape(self, tensor: str) -> tuple[int, ...] | None:
        return self._graph.static_shape_of(tensor)

    def _count_ratio(self, node: Any, index: int) -> float:
        """Return the elements of a node's output for each one of an input; 1 where they are not known."""
        before, after = self._shape(node.input[index]), self._shape(node.output[0])
        if before is None or after is None or not np.prod(before):
            return 1.0
        return float(np.prod(after, dtype=np.float64) / np.prod(before, dtype=np.float64))

    def _position_ratio(self, node: Any) -> float:
        """Return the positions of a node's output for each one of its first input; 1 where they are not known."""
        before, after = self._shape(node.input[0]), self._shape(node.output[0])
        if before is None or after is None or len(before) < 3 or len(after) < 3 or not np.prod(before):
            return 1.0
        return float(np.prod(after[2:], dtype=np.float64) / np.prod(before[2:], dtype=np.float64))

    def _fitted(self, gain: np.ndarray, tensor: str) -> np.ndarray:
        """Return a gain that broadcasts to a tensor; an element that is repeated has the sum of all its gains."""
        shape = self._shape(tensor)
        if shape is None:
            return gain if gain.ndim == 0 else np.asarray(gain.mean())
        if gain.ndim > len(shape):
            gain = gain.sum(axis=tuple(range(gain.ndim - len(shape))))
        gain = gain.reshape((1,) * (len(shape) - gain.ndim) + gain.shape)
        for axis, size in enumerate(shape):
            if gain.shape[axis] not in (1, size):
                gain = gain.sum(axis=axis, keepdims=True) if size == 1 else gain.mean(axis=axis, keepdims=True)
        if gain.size > _LARGEST_GAIN:
            gain = gain.mean(axis=tuple(range(2, gain.ndim)), keepdims=True)
        return gain

    def _unknown(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        return np.asarray(gain.mean() * self._count_ratio(node, index))

    # What the ranges know

    def power(self, tensor: str) -> np.ndarray:
        """Return the mean square of a tensor, an array that broadcasts to it; a guess of 1 where nothing is known."""
        value = self._graph.value_of(tensor)
        if value is not None:
            return np.square(value.astype(np.float64))
        seen = self._ranges.tensors.get(tensor)
        if seen is None:
            return np.asarray(1.0)
        if seen.channel_mean_squares is not None:
            return np.asarray(seen.channel_mean_squares).reshape(1, -1, 1, 1)
        if seen.mean_square is not None:
            return np.asarray(seen.mean_square)
        return np.asarray(max(seen.maximum, -seen.minimum) ** 2 / 9.0)  # as of a normal one seen to 3 sigma

    def _active(self, tensor: str) -> np.ndarray:
        """Return the share of the values of a tensor that are not zero, for each channel as far as it is known."""
        seen = self._ranges.tensors.get(tensor)
        if seen is None or seen.zero_share is None:
            return np.asarray(0.5)
        share = 1.0 - seen.zero_share
        if seen.channel_maxima is None:
            return np.asarray(share)
        if seen.channel_means is None or seen.channel_mean_squares is None:
            return np.where(np.asarray(seen.channel_maxima) > 0.0, share, 0.0).reshape(1, -1, 1, 1)
        shares = share_from_rectified(np.asarray(seen.channel_means), np.asarray(seen.channel_mean_squares))
        known = share / max(float(shares.mean()), float(np.finfo(np.float32).tiny))  # of all channels together
        return np.minimum(shares * known, 1.0).reshape(1, -1, 1, 1)

    # Layers with weights

    def _conv(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        weight = self._graph.value_of(node.input[1])
        if index != 0 or weight is None:
            return self._unknown(node, index, gain)
        taps = self._taps(weight)  # (out, in / group)
        groups = group_of(node)
        behind = np.broadcast_to(_of_channels(gain), (len(taps),)).reshape(groups, -1)
        by_input = np.einsum("goi,go->gi", taps.reshape(groups, -1, taps.shape[1]), behind)
        return _as_channels(by_input.reshape(-1) * self._position_ratio(node), weight.ndim)

    def _conv_transpose(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        weight = self._graph.value_of(node.input[1])
        if index != 0 or weight is None:
            return self._unknown(node, index, gain)
        groups, strides = group_of(node), attribute_of(node, "strides", [1] * (weight.ndim - 2))
        taps = self._taps(weight) if not self._is_even else self._taps_by_phase(weight, strides)  # (in, out / group)
        behind = np.broadcast_to(_of_channels(gain), (taps.shape[1] * groups,)).reshape(groups, -1)
        by_input = np.einsum("gio,go->gi", taps.reshape(groups, -1, taps.shape[1]), behind)
        return _as_channels(by_input.reshape(-1), weight.ndim)

    def _taps_by_phase(self, weight: np.ndarray, strides: list[int]) -> np.ndarray:
        """Return the sum over places between inputs of the square of the sum of the taps that an output there meets."""
        total = np.zeros(weight.shape[:2])
        for phase in np.ndindex(*strides):
            met = weight[(..., *(slice(start, None, step) for start, step in zip(phase, strides)))]
            total += np.square(met.astype(np.float64).sum(axis=tuple(range(2, weight.ndim))))
        return total

    def _taps(self, weight: np.ndarray) -> np.ndarray:
        """Return the sum of squares of each kernel, or the square of its sum for even noise, (rows, columns)."""
        kernels = weight.astype(np.float64).reshape(*weight.shape[:2], -1)
        return np.square(kernels.sum(-1)) if self._is_even else np.square(kernels).sum(-1)

    def _product(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        weight = self._graph.value_of(node.input[1])
        if index != 0 or weight is None or weight.ndim != 2:
            return self._product_of_activations(node, index, gain)
        squares = np.square(weight.astype(np.float64)) * attribute_of(node, "alpha", 1.0) ** 2
        if attribute_of(node, "transB", 0):
            squares = squares.T
        if not gain.ndim or gain.shape[-1] == 1:
            gain = np.broadcast_to(gain, (*gain.shape[:-1], squares.shape[1]))
        return gain @ squares.T

    def _product_of_activations(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        shape = self._shape(node.output[0])
        if node.op_type != "MatMul" or index > 1 or shape is None or len(shape) < 2:
            return self._unknown(node, index, gain)
        met = shape[-1] if index == 0 else shape[-2]
        return np.asarray(gain.mean() * met * self.power(node.input[1 - index]).mean())

    def _batch_normalization(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        scale, variance = self._graph.value_of(node.input[1]), self._graph.value_of(node.input[4])
        if index != 0 or scale is None or variance is None:
            return self._unknown(node, index, gain)
        factor = np.square(scale.astype(np.float64)) / (variance + attribute_of(node, "epsilon", 1e-5))
        return gain * _as_channels(factor, len(self._shape(node.input[0]) or (1, 1, 1, 1)))

    # Element by element

    def _mul(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        other = self.power(node.input[1 - index])
        if node.op_type == "Mul":
            product = gain * other
        elif index == 0:
            product = gain / np.maximum(other, np.finfo(np.float32).tiny)
        else:
            return self._unknown(node, index, gain)
        # Where this input is repeated along an axis of which the gain is a mean, it meets all elements of it.
        shape, after = self._shape(node.input[index]), self._shape(node.output[0])
        if shape is None or after is None:
            return product
        repeated = [size for size, own in zip(after[::-1], ((1,) * len(after) + shape)[::-1]) if own == 1 and size > 1]
        counted = [
            size
            for size, own, kept in zip(
                after[::-1], ((1,) * len(after) + shape)[::-1], ((1,) * len(after) + product.shape)[::-1]
            )
            if own == 1 and kept == size > 1
        ]
        return product * (np.prod(repeated or [1.0]) / np.prod(counted or [1.0]))

    def _relu(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        if node.op_type == "Clip" and (index != 0 or not self._clips_at_zero(node)):
            return gain
        return gain * self._active(node.output[0])

    def _clips_at_zero(self, node: Any) -> bool:
        bound = self._graph.value_of(node.input[1]) if len(node.input) > 1 and node.input[1] else None
        return bound is not None and bound.size == 1 and float(bound.reshape(-1)[0]) == 0.0

    def _leaky(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        if index != 0:
            return self._unknown(node, index, gain)
        slope = np.asarray(attribute_of(node, "alpha", 0.01) ** 2)
        if node.op_type == "PRelu":
            slope = self.power(node.input[1])
        before, after = (self._ranges.tensors.get(name) for name in (node.input[0], node.output[0]))
        share = 0.5
        if before is not None and after is not None and None not in (before.mean_square, after.mean_square):
            share = share_from_powers(before.mean_square, after.mean_square, float(slope.mean()))
        return gain * (share + (1.0 - share) * slope)

    def _sigmoid(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        power = float(self.power(node.input[0]).mean())
        if node.op_type == "Sigmoid":
            return gain * sigmoid_slope_square(power)
        slope, offset = attribute_of(node, "alpha", 0.2), attribute_of(node, "beta", 0.5)
        return gain * hard_sigmoid_slope_square(power, slope, offset)

    def _normalise(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        if index != 0:
            return self._unknown(node, index, gain)
        before = max(float(self.power(node.input[0]).mean()), float(np.finfo(np.float32).tiny))
        return gain * (float(self.power(node.output[0]).mean()) / before)

    # Positions

    def _pool(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        ratio = self._position_ratio(node)
        if self._is_even or node.op_type in ("MaxPool", "GlobalMaxPool"):
            return gain * ratio  # a maximum has the noise of the value that it is
        averaged = np.prod(attribute_of(node, "kernel_shape", [1])) if node.op_type == "AveragePool" else 1.0 / ratio
        return gain * ratio / averaged

    def _pad(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        return gain if index == 0 else self._unknown(node, index, gain)

    def _resize(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        ratio = self._position_ratio(node)
        if self._is_even or attribute_of(node, "mode", "nearest") != "linear":
            return gain * ratio
        before, after = self._shape(node.input[0]), self._shape(node.output[0])
        if before is None or after is None:
            return gain * ratio
        return gain * ratio * np.prod([_mean_squared_weights(*sizes) for sizes in zip(before, after)])

    def _reduce(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        if index != 0 or not attribute_of(node, "keepdims", 1):
            return self._unknown(node, index, gain)
        averaged = 1.0 / self._count_ratio(node, 0)
        scaled = gain if node.op_type == "ReduceSum" else gain / averaged**2
        return scaled * averaged if self._is_even else scaled

    # Moving elements

    def _transpose(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        axes = attribute_of(node, "perm", list(range(gain.ndim))[::-1])
        return gain.transpose(np.argsort(axes)) if gain.ndim == len(axes) else gain

    def _reshape(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        before, after = self._shape(node.input[0]), self._shape(node.output[0])
        if index != 0 or before is None or after is None or gain.ndim != len(after):
            return self._unknown(node, index, gain)
        return _reshaped(gain, after, before)

    def _concat(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        after = self._shape(node.output[0])
        sizes = [self._shape(name) for name in node.input]
        if after is None or None in sizes or gain.ndim != len(after):
            return np.asarray(gain.mean())
        axis = attribute_of(node, "axis", 0) % len(after)
        if gain.shape[axis] == 1:
            return gain
        start = sum(size[axis] for size in sizes[:index])
        return gain.take(range(start, start + sizes[index][axis]), axis)

    def _split(self, node: Any, output: int, gain: np.ndarray) -> np.ndarray:
        before = self._shape(node.input[0])
        sizes = [self._shape(name) for name in node.output]
        if before is None or None in sizes or gain.ndim != len(before):
            return np.asarray(gain.mean() / len(node.output))
        axis = attribute_of(node, "axis", 0) % len(before)
        whole = np.zeros([before[axis] if place == axis else size for place, size in enumerate(gain.shape)])
        start = sum(size[axis] for size in sizes[:output])
        np.moveaxis(whole, axis, 0)[start : start + sizes[output][axis]] = np.moveaxis(gain, axis, 0)
        return whole

    def _part(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        """Return the gain of a tensor of which a Slice or a Gather takes some elements: the others have none."""
        before, after = self._shape(node.input[0]), self._shape(node.output[0])
        chosen = self._channels_taken(node, before)
        if index != 0 or chosen is None or after is None or gain.ndim != len(before) or after[1] != chosen.size:
            return self._unknown(node, index, gain)
        whole = np.zeros((gain.shape[0], before[1], *gain.shape[2:]))
        np.add.at(np.moveaxis(whole, 1, 0), chosen, np.moveaxis(np.broadcast_to(gain, (1, chosen.size, 1, 1)), 1, 0))
        return whole * (self._count_ratio(node, 0) * before[1] / after[1])

    def _channels_taken(self, node: Any, shape: tuple[int, ...] | None) -> np.ndarray | None:
        """Return the channels of an NCHW tensor that a node takes, (taken,) int; None where that is not known."""
        values = [self._graph.value_of(name) for name in node.input[1:] if name]
        if shape is None or len(shape) != 4 or not values or any(value is None for value in values):
            return None
        if node.op_type == "Gather":
            is_list = attribute_of(node, "axis", 0) % 4 == 1 and values[0].ndim == 1
            return values[0].astype(np.int64) % shape[1] if is_list else None
        if len(values) < 3:
            return None
        starts, ends, axes = (value.tolist() for value in values[:3])
        strides = values[3].tolist() if len(values) > 3 else [1] * len(axes)
        taken = np.arange(shape[1])
        for start, end, axis, stride in zip(starts, ends, axes, strides):
            if axis % 4 == 1:
                taken = taken[start:end:stride]
        return taken

    def _depth_to_space(self, node: Any, index: int, gain: np.ndarray) -> np.ndarray:
        blocks = attribute_of(node, "blocksize", 1) ** 2
        channels = _of_channels(gain)
        spread = np.tile if attribute_of(node, "mode", "DCR") == "DCR" else np.repeat
        return _as_channels(spread(channels, blocks), 4) if channels.size > 1 else gain


def _of_channels(gain: np.ndarray) -> np.ndarray:
    """Return the gain of each channel, (channels,) or (1,)."""
    if gain.ndim < 2:
        return gain.reshape(-1)[:1] if gain.size == 1 else np.asarray([gain.mean()])
    return gain.mean(axis=tuple(axis for axis in range(gain.ndim) if axis != 1))


def _as_channels(values: np.ndarray, rank: int) -> np.ndarray:
    """Return values of channels as an array of a rank, (1, channels, 1, ...)."""
    return values.reshape(1, -1, *[1] * (rank - 2))


def _mean_squared_weights(before: int, after: int) -> float:
    """Return the mean sum of squared weights of linear interpolation along an axis, at half-pixel positions."""
    if before == after:
        return 1.0
    places = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    part = places - np.floor(places)
    return float(np.mean(part**2 + (1.0 - part) ** 2))


def _reshaped(gain: np.ndarray, shape: tuple[int, ...], wanted: tuple[int, ...]) -> np.ndarray:
    """Return the gain of a tensor of size `shape` for the same elements in size `wanted`.

    The axes are taken in the smallest groups that hold the same elements in both. A group whose elements all differ
    keeps them, and one of which the gain has means becomes one mean.
    """
    result, first, second = [], 0, 0
    parts = []  # (axes of gain, sizes wanted)
    while first < len(shape) or second < len(wanted):
        here, there = [first] if first < len(shape) else [], [second] if second < len(wanted) else []
        first, second = first + len(here), second + len(there)
        while np.prod([shape[axis] for axis in here]) != np.prod([wanted[axis] for axis in there]):
            if np.prod([shape[axis] for axis in here]) < np.prod([wanted[axis] for axis in there]):
                here.append(first)
                first += 1
            else:
                there.append(second)
                second += 1
        parts.append((here, [wanted[axis] for axis in there]))
    for here, sizes in parts:
        is_whole = all(gain.shape[axis] == shape[axis] for axis in here)
        if not is_whole:
            gain = gain.mean(axis=tuple(here), keepdims=True)
        result.extend(sizes if is_whole else [1] * len(sizes))
    return gain.reshape(result)
