"""Equalisation: channels of very different size get similar ranges, and the layers around them compensate.

A channel can be divided by any s > 0 where it is made (weights and bias of a convolution) and multiplied by it where it
is read, and the network computes the same, as long as all between has f(s x) = s f(x). An activation has one scale for
all of its channels in INT8, so a channel that is a thousand times smaller than the largest keeps no value at all;
afterwards it has the same number of steps as the others. calibration.onnx_graph.channel_flow says which channels have
to share a factor, across Concat, Add and shuffles too, and calibration.qdq.channel_factors chooses the factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration.onnx_graph.channel_flow import ChannelFlow, End
from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.node import attribute_of, group_of, input_of
from calibration.qdq.channel_factors import StoredChannels, channel_importance, choose_factors
from calibration.ranges.record import Ranges
from edge.errors import InputError


def equalize(model: Any, ranges: Ranges) -> tuple[Any, dict[str, np.ndarray]]:
    """Balance the channels of all activations whose producers and readers can take factors up.

    Args:
        model: float graph (onnx.ModelProto); left as it is.
        ranges: ranges of the graph's activations, with channel_maxima (see calibration.ranges.collector); a channel
            without a maximum in any tensor is left alone.

    Returns:
        (new ModelProto, factors): name of each changed activation with a range -> what its channels were divided by,
        float32 of the tensor's rank that broadcasts to its shape, such as (1, channels, 1, 1). The dict is empty where
        nothing was changed. Nodes and tensors keep their names (a node without one gets that of its output); a constant
        that others read too is copied under a new one.

    Raises:
        GraphError: a weight is NaN or infinite.
        InputError: a range has other channels than the graph, or some that are no finite numbers.
    """
    target = type(model)()
    target.CopyFrom(model)
    constants = _Constants(target)
    flow = ChannelFlow(constants.view)
    factors = _chosen(flow, constants, ranges)
    changed = _changed_activations(flow, factors, ranges)
    if not changed:
        return target, {}
    for end in flow.ends:
        _Absorber(constants, end, flow, factors).run()
    return target, changed


def _chosen(flow: ChannelFlow, constants: _Constants, ranges: Ranges) -> np.ndarray:
    """Return the factor of each number, (numbers,) float32; 1 for those that nothing is known of."""
    tensors, seen = [], {}
    for name in ranges.tensors:
        numbers = flow.planes_of(name)
        maxima = _channel_maxima(ranges, name, numbers.size) if numbers is not None else None
        if maxima is not None:
            tensors.append(StoredChannels(numbers, maxima))
            seen[name] = maxima
    largest, importance = np.zeros(flow.number_count), np.zeros(flow.number_count)
    for stored in tensors:
        np.maximum.at(largest, stored.numbers, stored.maxima)
    for end in flow.ends:
        if end.inputs is None or (end.outputs is end.inputs):
            continue
        numbers = flow.roots(end.inputs).reshape(-1)
        maxima = seen.get(end.node.input[0], largest[numbers])
        np.maximum.at(importance, numbers, _importance_at(end, constants, maxima))
    tensors.extend(_rows_of_one_scale(flow, constants))
    return choose_factors(tensors, importance).astype(np.float32)


def _importance_at(end: End, constants: _Constants, maxima: np.ndarray) -> np.ndarray:
    """Return how much a node depends on each channel that it reads, (channels,) 0 to 1."""
    kind = end.node.op_type
    if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return np.ones(maxima.size)  # each channel is scaled by itself
    weight, group = constants.value(end.node, 1), group_of(end.node)
    if kind == "ConvTranspose":  # (in, out / group, ...) becomes (out, in / group, ...)
        parts = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = parts.reshape(-1, *parts.shape[2:])
    elif kind == "MatMul" or (kind == "Gemm" and not attribute_of(end.node, "transB", 0)):
        weight = weight.T
    return channel_importance(maxima, weight, group, has_one_scale=kind == "ConvTranspose")


def _rows_of_one_scale(flow: ChannelFlow, constants: _Constants) -> list[StoredChannels]:
    """Return the weights of each ConvTranspose as if it were an activation: in INT8 it has one scale for all rows."""
    found = []
    for end in flow.ends:
        if end.node.op_type == "ConvTranspose" and end.outputs is not None:
            weight, group = constants.value(end.node, 1), group_of(end.node)
            rows = np.abs(weight).reshape(group, -1, weight.shape[1], int(np.prod(weight.shape[2:])))
            found.append(StoredChannels(flow.roots(end.outputs), rows.max(axis=(1, 3)).reshape(-1).astype(np.float64)))
    return found


def _changed_activations(flow: ChannelFlow, factors: np.ndarray, ranges: Ranges) -> dict[str, np.ndarray]:
    changed = {}
    for name in ranges.tensors:
        numbers = flow.numbers_of(name)
        if numbers is not None:
            own = factors[numbers]
            if np.any(own != 1.0):
                changed[name] = own
    return changed


class _Constants:
    """The constants of a graph, changed for one reader at a time."""

    def __init__(self, model: Any) -> None:
        self.view = EditableGraph(model, lenient=True)
        self._reads = {name: len(readers) for name, readers in self.view.readers.items()}

    def value(self, node: Any, index: int) -> np.ndarray:
        """Return the constant that a node has at an input."""
        return self.view.value_of(node.input[index])

    def replace(self, node: Any, index: int, value: np.ndarray) -> None:
        """Give one node another value of a constant; other readers keep theirs."""
        name, value = node.input[index], value.astype(np.float32)
        if self._reads[name] == 1 and name not in self.view.outputs:
            self.view.set_constant(name, value)
            return
        copy = self.view.add_constant(f"{name}/{node.name}", value)
        self._reads[name] -= 1
        self._reads[copy] = 1
        node.input[index] = copy


class _Absorber:
    """Takes the factors of the channels that one node reads and gives into its constants."""

    def __init__(self, constants: _Constants, end: End, flow: ChannelFlow, factors: np.ndarray) -> None:
        self._constants, self._node = constants, end.node
        self._read = self._factors(end.inputs, flow, factors)
        self._given = self._factors(end.outputs, flow, factors)

    def _factors(self, numbers: np.ndarray | None, flow: ChannelFlow, factors: np.ndarray) -> np.ndarray | None:
        """Return the factors of some channels; None if all are 1."""
        if numbers is None:
            return None
        own = factors[flow.roots(numbers)]
        return own if np.any(own != 1.0) else None

    def run(self) -> None:
        """Change the constants of the node, unless all factors are 1."""
        kind = self._node.op_type
        if self._read is None and self._given is None:
            return
        if kind in ("Add", "Sub"):
            self._change(self._constant_index(), lambda value: value / self._given)
        elif kind in ("Mul", "Div"):
            self._multiply()
        elif kind == "BatchNormalization":
            self._normalise()
        else:
            self._weigh()

    def _change(self, index: int, change: Any) -> None:
        self._constants.replace(self._node, index, change(self._constants.value(self._node, index)))

    def _constant_index(self) -> int:
        return next(index for index, name in enumerate(self._node.input) if name in self._constants.view.constants)

    def _multiply(self) -> None:
        """Change y = c x into y / given = (c read / given) (x / read)."""
        read = 1.0 if self._read is None else self._read
        given = 1.0 if self._given is None else self._given
        by = read / given if self._node.op_type == "Mul" else given / read
        self._change(self._constant_index(), lambda value: value * by)

    def _normalise(self) -> None:
        """Change y = scale (x - mean) / sqrt(variance + epsilon) + bias; the variance stays, and epsilon with it."""
        read = 1.0 if self._read is None else self._read
        given = 1.0 if self._given is None else self._given
        self._change(1, lambda scale: scale * (read / given))
        if self._given is not None:
            self._change(2, lambda bias: bias / given)
        if self._read is not None:
            self._change(3, lambda mean: mean / read)

    def _weigh(self) -> None:
        kind, node = self._node.op_type, self._node
        is_transposed = kind == "MatMul" or (kind == "Gemm" and not attribute_of(node, "transB", 0))
        weight = self._constants.value(node, 1)
        if kind == "ConvTranspose":
            weight = self._spread(weight)
        else:
            rows = (1.0 / self._given) if self._given is not None else np.ones(1, np.float32)
            weight = weight.T if is_transposed else weight
            weight = _scale_columns(weight, self._read, group_of(node)) * rows.reshape([-1] + [1] * (weight.ndim - 1))
            weight = weight.T if is_transposed else weight
        self._constants.replace(node, 1, np.ascontiguousarray(weight))
        if self._given is not None and kind != "MatMul" and input_of(node, 2):
            self._change(2, lambda bias: bias / self._given)  # a Gemm may add a matrix, or a number for all channels

    def _spread(self, weight: np.ndarray) -> np.ndarray:
        """Return the weight of a ConvTranspose, (in, out / group, ...), with the factors of both sides."""
        inputs, outputs = weight.shape[:2]
        group = group_of(self._node)
        grouped = weight.reshape(group, inputs // group, outputs, -1)
        if self._read is not None:
            grouped = grouped * self._read.reshape(group, -1, 1, 1)
        if self._given is not None:
            grouped = grouped / self._given.reshape(group, 1, outputs, 1)
        return grouped.reshape(weight.shape)


def _scale_columns(weight: np.ndarray, factors: np.ndarray | None, group: int) -> np.ndarray:
    """Multiply the weights of each input channel; channel g * (in / group) + i is column i of the rows of group g."""
    if factors is None:
        return weight
    rows, columns = weight.shape[:2]
    grouped = weight.reshape(group, rows // group, columns, -1)
    return (grouped * factors.reshape(group, 1, columns, 1)).reshape(weight.shape)


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
