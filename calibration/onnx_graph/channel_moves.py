"""What nodes that move values do to the numbers of channels: reshapes, slices, shuffles, padding, means over places.

The numbers of a tensor are an array of its rank that broadcasts to its shape, such as (1, channels, 1, 1). What a node
does to values, it does to numbers, and what stays equal along an axis is kept once.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, input_of

_MOST_NUMBERS = 1 << 20
"""Numbers that a reshape may have to write out; a larger one is given up."""

_REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum")


def moved(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    """Return the numbers of what a node gives.

    Args:
        view: the graph of the node.
        node: a node that moves the values of its first input, pads them with zeros or takes means over places.
        numbers: numbers of that input, of its rank.

    Returns:
        Numbers of each output. None where they cannot be told: sizes or indices are computed, values are padded with
        anything but zeros or themselves, or channels are mixed.
    """
    kind = node.op_type
    if kind == "Transpose":
        order = attribute_of(node, "perm", list(reversed(range(numbers.ndim))))
        return [numbers.transpose(order)]
    if kind == "Slice":
        return _sliced(view, node, numbers)
    if kind == "Split":
        return _split(view, node, numbers)
    if kind == "Gather":
        return _gathered(view, node, numbers)
    if kind == "Pad":
        return _padded(view, node, numbers)
    if kind in _REDUCTIONS:
        return _reduced(view, node, numbers)
    old, new = view.shape_of(node.input[0]), view.shape_of(node.output[0])
    if old is None or new is None:
        return None
    if kind == "Expand":
        return [numbers.reshape([1] * (len(new) - numbers.ndim) + list(numbers.shape))]
    return _reshaped(numbers, old, new)


def _reshaped(numbers: np.ndarray, old: Sequence, new: Sequence) -> list[np.ndarray] | None:
    """Return numbers behind a change of shape; axes at either end that stay are left out of it."""
    old, new = list(old), list(new)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if None in middle_old or None in middle_new:
        return None
    first, last = numbers.shape[:head], numbers.shape[len(old) - tail :]
    if int(np.prod([*first, *middle_old, *last])) > _MOST_NUMBERS:
        return None
    whole = np.broadcast_to(numbers, [*first, *middle_old, *last]).reshape([*first, *middle_new, *last])
    for axis in range(whole.ndim):
        once = whole.take([0], axis)
        if np.array_equal(np.broadcast_to(once, whole.shape), whole):
            whole = once
    return [whole]


def _sliced(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    starts, ends = _integers(view, node, 1, "starts"), _integers(view, node, 2, "ends")
    if starts is None or ends is None:
        return None
    axes, steps = _integers(view, node, 3, "axes"), _integers(view, node, 4, "steps")
    if (axes is None and input_of(node, 3)) or (steps is None and input_of(node, 4)):
        return None
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    chosen = [slice(None)] * numbers.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        if numbers.shape[axis] > 1:
            chosen[axis] = slice(start, end, step)
    return [numbers[tuple(chosen)]]


def _split(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    axis = attribute_of(node, "axis", 0)
    if numbers.shape[axis] == 1:
        return [numbers] * len(node.output)
    shapes = [view.shape_of(name) for name in node.output]
    if any(shape is None or shape[axis] is None for shape in shapes):
        return None
    ends = np.cumsum([shape[axis] for shape in shapes])
    return np.split(numbers, ends[:-1], axis) if ends[-1] == numbers.shape[axis] else None


def _gathered(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    axis, indices = attribute_of(node, "axis", 0), view.value_of(node.input[1])
    if indices is None or indices.ndim > 1:
        return None
    if numbers.shape[axis] > 1:
        return [numbers.take(indices.astype(np.int64), axis)]
    return [numbers if indices.ndim else numbers.squeeze(axis)]


def _padded(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    pads, axes = _integers(view, node, 1, "pads"), _integers(view, node, 3, "")
    value = view.value_of(input_of(node, 2)) if input_of(node, 2) else np.asarray(attribute_of(node, "value", 0.0))
    is_constant = attribute_of(node, "mode", "constant") == "constant"
    if pads is None or (axes is None and input_of(node, 3)) or (is_constant and (value is None or np.any(value))):
        return None
    axes = list(range(numbers.ndim)) if axes is None else axes
    sums = np.abs(np.reshape(pads, (2, len(axes)))).sum(axis=0)
    if any(total and numbers.shape[axis] > 1 for axis, total in zip(axes, sums)):
        return None
    return [numbers]


def _reduced(view: OnnxGraph, node: Any, numbers: np.ndarray) -> list[np.ndarray] | None:
    axes = _integers(view, node, 1, "axes")
    if not axes or any(numbers.shape[axis] > 1 for axis in axes):
        return None
    return [numbers if attribute_of(node, "keepdims", 1) else numbers.squeeze(tuple(axes))]


def _integers(view: OnnxGraph, node: Any, index: int, attribute: str) -> list[int] | None:
    """Return numbers that are an input of a node or, in older operator sets, an attribute; None if they are neither."""
    name = input_of(node, index)
    value = view.value_of(name) if name else attribute_of(node, attribute, None)
    return None if value is None else [int(number) for number in np.reshape(value, -1)]
