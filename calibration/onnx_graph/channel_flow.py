"""Channels of a graph that have to share a factor, and the nodes that can take a factor up.

A channel of an activation can be divided by any s > 0 where what makes it divides by s and what reads it multiplies by
s. Between the two, nodes with f(s x) = s f(x) hand the factor on: activations such as Relu, pooling, interpolation,
Concat, slices, shuffles. An Add of two activations wants the same factor of both. All other nodes know nothing of
factors, so that of what they read and give is 1: the channel is pinned.

Each channel of each tensor gets a number here. Channels that have to share a factor end up with one number (by
union-find), pinned ones with PINNED. The nodes that take factors up are the ends: a convolution takes that of its input
channels into the columns of its weight, and that of its output channels into the rows and the bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Sequence

import numpy as np

from calibration.onnx_graph.channel_moves import moved
from calibration.onnx_graph.graph import IN_BODY, OnnxGraph
from calibration.onnx_graph.node import STANDARD_DOMAINS, attribute_of, group_of, input_of

PINNED = 0
"""Number of the channels whose factor is 1."""

HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu", "Neg", "Abs", "Identity", "Dropout", "MaxUnpool")
"""Operators with f(s x) = s f(x) for s > 0, value by value of their first input. Clip and Sigmoid are none."""

POOLING = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool")

JOINING = ("Sum", "Max", "Min", "Mean")
"""Operators that are homogeneous in all of their inputs together."""


@dataclass(frozen=True)
class End:
    """A node that takes factors up into its constants.

    Attributes:
        node: Conv, ConvTranspose, Gemm, MatMul, BatchNormalization, or Mul, Div, Add or Sub with a constant.
        inputs: numbers of the channels that the node reads; None if these are pinned. They are (channels,), save for
            Mul, Div, Add and Sub, where they have the rank of the tensor and broadcast to its shape.
        outputs: numbers of the channels that it gives, in the same form; None if these are pinned. An Add or a Sub of a
            constant hands factors on, so both are the same.
    """

    node: Any
    inputs: np.ndarray | None
    outputs: np.ndarray | None


class ChannelFlow:
    """Numbers of the channels of every activation of a graph, and the ends of the factors.

    Args:
        view: a float graph; shapes are inferred.

    Attributes:
        ends: nodes that take factors up, in the order of the graph.
    """

    def __init__(self, view: OnnxGraph) -> None:
        self.ends: list[End] = []
        self._view = view
        self._numbers: dict[str, np.ndarray] = {}
        self._parents = [PINNED]
        for node in view.nodes:
            rule = _RULES.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
            if rule is None or not rule(self, node):
                for name in node.input:
                    self.pin(self._numbers.get(name))
        for name in view.outputs:
            self.pin(self._numbers.get(name))
        for name, readers in view.readers.items():
            if any(index == IN_BODY for _, index in readers):
                self.pin(self._numbers.get(name))

    @property
    def number_count(self) -> int:
        """Return how many numbers there are, PINNED among them; those that were joined to others count."""
        return len(self._parents)

    def numbers_of(self, tensor: str) -> np.ndarray | None:
        """Return the numbers of a tensor's channels.

        Args:
            tensor: name of an activation.

        Returns:
            Int64 array of the tensor's rank that broadcasts to its shape, such as (1, channels, 1, 1): equal numbers
            share a factor, PINNED is 1. None if all of the tensor is pinned.
        """
        numbers = self._numbers.get(tensor)
        if numbers is None:
            return None
        found = self.roots(numbers)
        return found if np.any(found != PINNED) else None

    def planes_of(self, tensor: str) -> np.ndarray | None:
        """Return the numbers of the channels of an NCHW tensor, (channels,) int64; None if it is pinned or no such."""
        numbers = self.numbers_of(tensor)
        if numbers is None or numbers.ndim != 4 or numbers.size != numbers.shape[1]:
            return None
        return numbers.reshape(-1)

    def roots(self, numbers: np.ndarray) -> np.ndarray:
        """Return the number that stands for each channel by now, int64 of the same shape."""
        return np.array([self._root(number) for number in numbers.reshape(-1).tolist()], np.int64).reshape(
            numbers.shape
        )

    def pin(self, numbers: np.ndarray | None) -> None:
        """Pin channels; None is pinned already."""
        if numbers is not None:
            self._join(numbers, np.zeros_like(numbers))

    # Union-find

    def _root(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def _join(self, some: np.ndarray, others: np.ndarray) -> None:
        for one, other in zip(some.reshape(-1).tolist(), others.reshape(-1).tolist()):
            first, second = self._root(one), self._root(other)
            # The smaller stays, so that PINNED wins.
            self._parents[max(first, second)] = min(first, second)

    def _join_all(self, several: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Join arrays that broadcast against each other; return the numbers of the result, None if it is pinned."""
        known = [numbers for numbers in several if numbers is not None]
        if len(known) < len(several):
            for numbers in known:
                self.pin(numbers)
            return None
        arrays = np.broadcast_arrays(*known)
        for other in arrays[1:]:
            self._join(arrays[0], other)
        return np.array(arrays[0])

    def _fresh(self, shape: Sequence[int]) -> np.ndarray:
        first, count = len(self._parents), int(np.prod(shape))
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64).reshape(tuple(shape))

    # Rules: each returns False where a node is to be treated as an unknown one

    def _give(self, node: Any, numbers: np.ndarray | None) -> bool:
        if numbers is not None and node.output[0]:
            self._numbers[node.output[0]] = numbers
        return True

    def _is_float32(self, name: str) -> bool:
        tensor = self._view.constants.get(name)
        return tensor is not None and tensor.data_type == type(tensor).FLOAT

    def _along(self, name: str, axis: int, channels: int) -> np.ndarray | None:
        """Return the numbers of what a node reads along one axis, (channels,); None if it is pinned.

        A tensor that varies along another axis is pinned by this.
        """
        numbers = self._numbers.get(name)
        if numbers is None:
            return None
        if not -numbers.ndim <= axis < numbers.ndim or numbers.size != numbers.shape[axis] or numbers.size != channels:
            self.pin(numbers)
            return None
        return numbers.reshape(-1)

    def _weighted(self, node: Any) -> bool:
        kind, weight = node.op_type, node.input[1]
        if not self._is_float32(weight):
            return False
        dims, group = tuple(self._view.constants[weight].dims), group_of(node)
        if kind in ("Gemm", "MatMul"):
            if len(dims) != 2 or attribute_of(node, "transA", 0):
                return False
            channels, outputs = dims[::-1] if attribute_of(node, "transB", 0) else dims
        elif kind == "Conv":
            channels, outputs = dims[1] * group, dims[0]
        else:
            channels, outputs = dims[0], dims[1] * group
        shape = self._view.shape_of(node.output[0])
        if shape is None and kind == "MatMul":
            return False
        rank = len(shape) if shape is not None else len(dims)
        axis = rank - 1 if kind == "MatMul" else 1
        inputs = self._along(node.input[0], axis, channels)
        bias = input_of(node, 2)
        made = None
        if not bias or self._is_float32(bias):
            made = self._fresh([outputs if index == axis else 1 for index in range(rank)])
        else:
            self.pin(self._numbers.get(bias))
        self.ends.append(End(node, inputs, made.reshape(-1) if made is not None else None))
        return self._give(node, made)

    def _normalise(self, node: Any) -> bool:
        if not all(map(self._is_float32, node.input[1:5])) or attribute_of(node, "training_mode", 0):
            return False
        shape = self._view.shape_of(node.output[0])
        if shape is None or len(shape) < 2 or len(node.output) > 1:
            return False
        channels = self._view.constants[node.input[1]].dims[0]
        made = self._fresh([channels if axis == 1 else 1 for axis in range(len(shape))])
        self.ends.append(End(node, self._along(node.input[0], 1, channels), made.reshape(-1)))
        return self._give(node, made)

    def _pass_on(self, node: Any) -> bool:
        for name in node.input[1:]:
            self.pin(self._numbers.get(name))
        return self._give(node, self._numbers.get(node.input[0]))

    def _pool(self, node: Any) -> bool:
        numbers = self._numbers.get(node.input[0])
        if numbers is not None and numbers.size != int(np.prod(numbers.shape[:2])):
            return False
        return self._pass_on(node)

    def _resize(self, node: Any) -> bool:
        numbers, shape = self._numbers.get(node.input[0]), self._view.shape_of(node.output[0])
        keeps = numbers is None or (
            shape is not None and all(size in (1, shape[axis]) for axis, size in enumerate(numbers.shape))
        )
        if not keeps or attribute_of(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
            return False
        return self._pool(node)

    def _add(self, node: Any) -> bool:
        constant, numbers = self._with_constant(node)
        if constant is None:
            return self._give(node, self._join_all([self._numbers.get(name) for name in node.input]))
        if numbers is None:
            return True
        if len(self._view.constants[constant].dims) > numbers.ndim or not self._is_float32(constant):
            return False
        self.ends.append(End(node, numbers, numbers))
        return self._give(node, numbers)

    def _multiply(self, node: Any) -> bool:
        constant, numbers = self._with_constant(node)
        if node.op_type == "Div" and constant == node.input[0]:
            return False
        if constant is None:
            return self._gate(node)
        if numbers is None:
            return True
        tensor = self._view.constants[constant]
        if len(tensor.dims) > numbers.ndim or not self._is_float32(constant):
            return False
        if int(np.prod(tensor.dims)) == 1:
            return self._give(node, numbers)
        made = self._fresh(numbers.shape)
        self.ends.append(End(node, numbers, made))
        return self._give(node, made)

    def _gate(self, node: Any) -> bool:
        """Handle a product or quotient of two activations, which is homogeneous in one while the other is pinned."""
        first, second = (self._numbers.get(name) for name in node.input)
        shape = self._view.shape_of(node.output[0])
        numbers = first if second is None else second
        if numbers is None:
            return True
        if shape is None or (first is not None and second is not None) or (first is None and node.op_type == "Div"):
            return False
        return self._give(node, numbers.reshape([1] * (len(shape) - numbers.ndim) + list(numbers.shape)))

    def _with_constant(self, node: Any) -> tuple[str | None, np.ndarray | None]:
        """Return the constant that a node of two inputs reads (None if none), and the numbers of the other input."""
        for index, name in enumerate(node.input):
            if name in self._view.constants:
                return name, self._numbers.get(node.input[1 - index])
        return None, None

    def _join_inputs(self, node: Any) -> bool:
        return self._give(node, self._join_all([self._numbers.get(name) for name in node.input]))

    def _concat(self, node: Any) -> bool:
        several = [self._numbers.get(name) for name in node.input]
        shapes = [self._view.shape_of(name) for name in node.input]
        known = [numbers for numbers in several if numbers is not None]
        if not known:
            return True
        axis = attribute_of(node, "axis", 0) % known[0].ndim
        lengths = [shape[axis] if shape is not None else None for shape in shapes]
        if all(numbers is None or numbers.shape[axis] == length for numbers, length in zip(several, lengths)):
            if None in lengths:
                return False
            rank = known[0].ndim
            parts = [
                np.zeros([length if index == axis else 1 for index in range(rank)], np.int64)
                if numbers is None
                else numbers
                for numbers, length in zip(several, lengths)
            ]
            sizes = np.max([part.shape for part in parts], axis=0)
            whole = [
                np.broadcast_to(part, [part.shape[axis] if index == axis else size for index, size in enumerate(sizes)])
                for part in parts
            ]
            return self._give(node, np.concatenate(whole, axis))
        if all(numbers.shape[axis] == 1 for numbers in known):
            return self._give(node, self._join_all(several))
        return False

    def _move(self, node: Any) -> bool:
        """Handle a node that moves values: what it does to them, it does to their numbers."""
        numbers = self._numbers.get(node.input[0])
        if numbers is None:
            return True
        results = moved(self._view, node, numbers)
        if results is None:
            return False
        self._numbers.update({name: result for name, result in zip(node.output, results) if name})
        return True

    def _depth_to_space(self, node: Any) -> bool:
        """Handle values that move from channels to places: channels that meet in one share a factor."""
        numbers, block = self._numbers.get(node.input[0]), attribute_of(node, "blocksize", 1)
        if numbers is None:
            return True
        if numbers.ndim != 4 or numbers.size != numbers.shape[1]:
            return False
        is_depth_first = attribute_of(node, "mode", "DCR") == "DCR"
        rows = numbers.reshape(block * block, -1) if is_depth_first else numbers.reshape(-1, block * block).T
        return self._give(node, self._join_all(list(rows)).reshape(1, -1, 1, 1))

    def _reads_no_values(self, node: Any) -> bool:
        return True


Rule = Callable[[ChannelFlow, Any], bool]

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), ChannelFlow._weighted),
    **dict.fromkeys(HOMOGENEOUS, ChannelFlow._pass_on),
    **dict.fromkeys(POOLING, ChannelFlow._pool),
    **dict.fromkeys(("Resize", "Upsample"), ChannelFlow._resize),
    **dict.fromkeys(("Add", "Sub"), ChannelFlow._add),
    **dict.fromkeys(("Mul", "Div"), ChannelFlow._multiply),
    **dict.fromkeys(JOINING, ChannelFlow._join_inputs),
    **dict.fromkeys(("Shape", "Size"), ChannelFlow._reads_no_values),
    "BatchNormalization": ChannelFlow._normalise,
    "Concat": ChannelFlow._concat,
    "DepthToSpace": ChannelFlow._depth_to_space,
    **dict.fromkeys(
        (
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Transpose",
            "Expand",
            "Slice",
            "Split",
            "Gather",
            "Pad",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceSum",
        ),
        ChannelFlow._move,
    ),
}
