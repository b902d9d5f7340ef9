"""Means over the bins of a feature map as two matrix products, which take a quarter of the time.

Pooling to a few bins whose sizes differ by a row is written with operators that every backend has as a Slice and a
ReduceMean for each bin and axis, and a Concat for each axis: a pyramid of 1, 2, 3 and 6 bins has some 60 nodes. All of
them are linear along one axis at a time, so whatever they do to the last two axes of a tensor X is R X C for two small
constant matrices. Floats stay floats: the result differs by the order of sums alone.

For graphs of ONNX Runtime's form, where such a pyramid is a float island behind a DequantizeLinear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of

MOST_BINS = 16
"""Along an axis; with more, the products cost more than the means."""

LEAST_NODES = 2
"""Nodes that two products have to replace."""

_LARGEST_SIDE = 2048

_ROWS, _COLUMNS = 2, 3  # axes of (batch, channels, rows, columns)


@dataclass(frozen=True)
class _Pooled:
    """A tensor that equals rows @ X @ columns.T for a tensor X.

    Attributes:
        source: name of the tensor X.
        rows: matrix of the rows, (rows of the tensor, rows of X) float64.
        columns: matrix of the columns, (columns of the tensor, columns of X) float64.
        nodes: names of the nodes from X to the tensor.
        has_means: True if one of these nodes computes means.
    """

    source: str
    rows: np.ndarray
    columns: np.ndarray
    nodes: frozenset[str]
    has_means: bool

    def along(self, axis: int) -> np.ndarray:
        """Return the matrix of an axis."""
        return self.rows if axis == _ROWS else self.columns

    def changed(self, axis: int, matrix: np.ndarray, node: Any, takes_means: bool = False) -> _Pooled:
        """Return the tensor that a node makes of this one along one axis."""
        rows, columns = (matrix, self.columns) if axis == _ROWS else (self.rows, matrix)
        return _Pooled(self.source, rows, columns, self.nodes | {node.name}, self.has_means or takes_means)


def pool_as_matmul(view: EditableGraph) -> tuple[str, ...]:
    """Replace chains of Slice, ReduceMean and Concat along rows and columns by matrix products.

    Args:
        view: a graph; changed in place. What has no static size stays as it is.

    Returns:
        Names of the tensors that matrix products compute now.
    """
    if not any(node.op_type == "ReduceMean" for node in view.nodes):
        return ()
    pooled = _Tracer(view).trace()
    replaced = {
        name: found
        for name, found in pooled.items()
        if found.has_means
        and len(found.nodes) >= LEAST_NODES
        and max(len(found.rows), len(found.columns)) <= MOST_BINS
        and (name in view.outputs or any(reader.output[0] not in pooled for reader, _ in view.readers.get(name, ())))
    }
    rebuilt = []
    for node in view.nodes:
        found = replaced.get(node.output[0])
        rebuilt.extend([node] if found is None else _products(view, node.output[0], found))
    view.replace_nodes(_without_unread(rebuilt, set(pooled), view.outputs))
    return tuple(replaced)


class _Tracer:
    """Follows the changes of the last two axes of tensors through the nodes of a graph."""

    def __init__(self, view: OnnxGraph) -> None:
        self._view = view
        self._pooled: dict[str, _Pooled] = {}

    def trace(self) -> dict[str, _Pooled]:
        """Return the tensors that such chains of nodes compute, by name."""
        steps = {"Slice": self._slice, "ReduceMean": self._reduce, "Concat": self._concat}
        for node in self._view.nodes:
            step = steps.get(node.op_type)
            found = step(node) if step is not None else None
            if found is not None:
                self._pooled[node.output[0]] = found
        return self._pooled

    def _start(self, name: str) -> _Pooled | None:
        if name in self._pooled:
            return self._pooled[name]
        shape = self._size_of(name)
        if shape is None or max(shape[2:]) > _LARGEST_SIDE:
            return None
        return _Pooled(name, np.eye(shape[2]), np.eye(shape[3]), frozenset(), False)

    def _size_of(self, name: str) -> tuple[int, ...] | None:
        """Return the static sizes of a 4-D float tensor, None for others."""
        shape = self._view.static_shape_of(name)
        is_map = shape is not None and len(shape) == 4 and min(shape) > 0 and self._view.type_of(name) == "FLOAT"
        return shape if is_map else None

    def _slice(self, node: Any) -> _Pooled | None:
        arrays = [self._view.value_of(name) for name in node.input[1:]]
        found = self._start(node.input[0])
        if found is None or len(arrays) < 3 or any(array is None for array in arrays):
            return None
        starts, ends, axes = (array.tolist() for array in arrays[:3])
        strides = arrays[3].tolist() if len(arrays) > 3 else [1] * len(axes)
        for start, end, axis, stride in zip(starts, ends, axes, strides):
            if axis % 4 not in (_ROWS, _COLUMNS):
                if stride == 1 and start == 0 and end >= self._size_of(found.source)[axis % 4]:
                    continue  # all of it
                return None
            if stride < 1:
                return None
            found = found.changed(axis % 4, found.along(axis % 4)[start:end:stride], node)
        return found

    def _reduce(self, node: Any) -> _Pooled | None:
        given = self._view.value_of(node.input[1]) if len(node.input) > 1 else attribute_of(node, "axes", None)
        found = self._start(node.input[0])
        if found is None or given is None or not attribute_of(node, "keepdims", 1):
            return None
        axes = [int(axis) % 4 for axis in given]
        if not axes or not {_ROWS, _COLUMNS}.issuperset(axes):
            return None
        for axis in axes:
            found = found.changed(axis, found.along(axis).mean(0, keepdims=True), node, takes_means=True)
        return found

    def _concat(self, node: Any) -> _Pooled | None:
        axis = attribute_of(node, "axis", 0) % 4
        parts = [self._pooled.get(name) for name in node.input]
        if axis not in (_ROWS, _COLUMNS) or any(part is None for part in parts):
            return None
        first, other = parts[0], _ROWS + _COLUMNS - axis
        if any(part.source != first.source or not _is_same(part.along(other), first.along(other)) for part in parts):
            return None
        whole = first.changed(axis, np.concatenate([part.along(axis) for part in parts]), node)
        nodes = whole.nodes.union(*(part.nodes for part in parts))
        return _Pooled(first.source, whole.rows, whole.columns, nodes, any(part.has_means for part in parts))


def _is_same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and bool(np.array_equal(first, second))


def _products(view: EditableGraph, name: str, pooled: _Pooled) -> list:
    """Return the nodes that compute a tensor by products; the columns first, one product for all channels."""
    nodes, source = [], pooled.source
    matrices = {"columns": pooled.columns.T, "rows": pooled.rows}
    needed = [what for what, matrix in matrices.items() if not _is_same(matrix, np.eye(len(matrix)))]
    for what in needed:
        constant = view.add_constant(f"{name}/{what}", np.ascontiguousarray(matrices[what], np.float32))
        result = name if what == needed[-1] else f"{name}/by_{what}"
        inputs = [source, constant] if what == "columns" else [constant, source]
        nodes.append(import_onnx().helper.make_node("MatMul", inputs, [result], name=f"{name}/by_{what}/MatMul"))
        source = result
    return nodes


def _without_unread(nodes: list, pooled: set[str], outputs: set[str]) -> list:
    """Return the nodes without those of chains whose results nothing reads any more."""
    read, kept = set(outputs), []
    for node in reversed(nodes):
        if node.op_type in ("Slice", "ReduceMean", "Concat") and node.output[0] in pooled - read:
            continue
        read.update(node.input)
        kept.append(node)
    return kept[::-1]
