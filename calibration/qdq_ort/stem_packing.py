"""Two columns of a strided first convolution computed as one: the same integers in half the time.

A first convolution reads 3 channels. ONNX Runtime gathers them pixel by pixel into the rows of a matrix product, three
bytes at a time, and that costs more than the product. In memory, four pixels of a row are twelve bytes side by side, so
the same frame is also one of a quarter of the width with 12 channels. A convolution over that, whose outputs are those
of two columns, one after the other, has some products with zero more and far fewer and longer gathers; its result lies
in memory as that of the plain one does. Frame and result change their shape, and no byte of them moves.

    (batch, height, width, 3)          -> (batch, height, width / 4, 12)
    (batch, height / 2, width / 4, 2 * channels) -> (batch, height / 2, width / 2, channels)

For quantised graphs of ONNX Runtime's form whose first convolution reads the frame itself (integer_input.py):
sums of integers do not depend on order or on zeros among them, so every output is the same, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, group_of, set_attribute

COLUMNS = 4
"""Columns of a frame that become channels of one."""

OUTPUTS = 2
"""Output columns that follow from them, at a stride of 2."""

_MOST_CHANNELS = 4


@dataclass(frozen=True)
class _Stem:
    """The first convolution of a graph, with the nodes around it.

    Attributes:
        convolution: node of the convolution.
        frame: name of the graph's input.
        shape: sizes of the frame, (batch, height, width, channels).
        borders: nodes that join columns or rows to the frame, in order.
        transpose: the node that brings channels to the front.
        quantize: the node that rounds the result.
        weight: integers of the weight, (out, channels, kh, kw) int8.
        left: number of columns left of the frame, whether joined or padded.
        right: number of columns right of the frame, whether joined or padded.
    """

    convolution: Any
    frame: str
    shape: tuple[int, ...]
    borders: tuple[Any, ...]
    transpose: Any
    quantize: Any
    weight: np.ndarray
    left: int
    right: int

    @property
    def blocks_left(self) -> int:
        """Return the number of blocks of columns that the wide convolution reads left of the frame."""
        return -(-self.left // COLUMNS)

    @property
    def kernel_blocks(self) -> int:
        """Return the width of the wide kernel in blocks of columns; it covers the columns that both outputs read."""
        last_column = 2 * (OUTPUTS - 1) + self.weight.shape[3] - 1 - self.left
        return last_column // COLUMNS + self.blocks_left + 1

    @property
    def blocks_right(self) -> int:
        """Return the number of blocks of columns that the wide convolution reads right of the frame."""
        return self.kernel_blocks - 1 - self.blocks_left

    def wide_weight(self) -> np.ndarray:
        """Return the kernel of the wide convolution, (2 * out, 4 * channels, kh, blocks) int8."""
        out, channels, height, width = self.weight.shape
        wide = np.zeros((OUTPUTS, out, COLUMNS, channels, height, self.kernel_blocks), self.weight.dtype)
        for output in range(OUTPUTS):
            for column in range(width):
                block, place = divmod(2 * output + column - self.left + COLUMNS * self.blocks_left, COLUMNS)
                wide[output, :, place, :, :, block] = self.weight[:, :, :, column].transpose(0, 1, 2)
        return wide.reshape(OUTPUTS * out, COLUMNS * channels, height, self.kernel_blocks)


def pack_stem_columns(view: EditableGraph) -> bool:
    """Rewrite the first convolution of a quantised graph to compute two columns at once, if that is faster.

    Args:
        view: a graph in ONNX Runtime's form; changed in place.

    Returns:
        True if the convolution was rewritten: its stride is 2 along a row, its input is the uint8 frame with few
        channels and a width that is a multiple of 4, its output is half as wide, and is rounded before anything else
        reads it.
    """
    stem = next(filter(None, (_stem_at(view, node) for node in view.nodes if node.op_type == "Conv")), None)
    if stem is None:
        return False
    _StemWriter(view, stem).run()
    return True


def _stem_at(view: OnnxGraph, node: Any) -> _Stem | None:
    dequantize = view.producer(node.input[0], "DequantizeLinear")
    weight = view.producer(node.input[1], "DequantizeLinear")
    if dequantize is None or weight is None or weight.input[0] not in view.constants or group_of(node) != 1:
        return None
    if len(node.input) > 2 and view.producer(node.input[2], "DequantizeLinear") is None:
        return None
    if attribute_of(node, "strides", [1, 1])[1:] != [2] or set(attribute_of(node, "dilations", [1])) != {1}:
        return None
    if attribute_of(node, "auto_pad", "NOTSET") not in ("", "NOTSET"):
        return None
    transpose = view.producer(dequantize.input[0], "Transpose")
    if transpose is None or attribute_of(transpose, "perm", []) != [0, 3, 1, 2]:
        return None
    read_once = (*node.input, dequantize.input[0], transpose.input[0])
    frame = _frame_behind(view, transpose.input[0])
    quantize = _rounded_by(view, node)
    if frame is None or quantize is None or any(len(view.readers[name]) != 1 for name in read_once):
        return None
    name, shape, borders, joined = frame
    pads = attribute_of(node, "pads", [0, 0, 0, 0])
    if borders and (pads[1] or pads[3]):
        return None  # two kinds of border would have to be kept apart
    values = view.value_of(weight.input[0])
    stem = _Stem(node, name, shape, borders, transpose, quantize, values, joined[0] + pads[1], joined[1] + pads[3])
    width = shape[2]
    outputs = (stem.left + width + stem.right - values.shape[3]) // 2 + 1
    fits = width % COLUMNS == 0 and 2 * outputs == width and shape[3] <= _MOST_CHANNELS and stem.blocks_right >= 0
    return stem if fits else None


def _rounded_by(view: OnnxGraph, node: Any) -> Any:
    """Return the QuantizeLinear that alone reads a convolution, or its Relu; None if there is another reader."""
    return view.only_reader(view.stored_output(node), "QuantizeLinear")


def _frame_behind(view: OnnxGraph, tensor: str) -> tuple[str, tuple[int, ...], tuple, tuple[int, int]] | None:
    """Follow a tensor back over joined borders to the frame.

    Returns:
        Name and shape of the frame, the nodes that join borders, and the numbers of columns that are joined left and
        right.
    """
    borders, left, right = [], 0, 0
    while tensor not in view.inputs:
        join = view.producer(tensor, "Concat")
        if join is None:
            return None
        inside = view.computed_inputs(join)
        if len(inside) != 1 or len(view.readers[inside[0]]) != 1:
            return None
        axis = attribute_of(join, "axis", 0)
        if axis == 2:
            middle = list(join.input).index(inside[0])
            left += sum(view.constants[name].dims[2] for name in list(join.input)[:middle])
            right += sum(view.constants[name].dims[2] for name in list(join.input)[middle + 1 :])
        elif axis != 1:
            return None
        borders.insert(0, join)
        tensor = inside[0]
    shape = tuple(size.dim_value for size in view.inputs[tensor].type.tensor_type.shape.dim)
    is_frame = view.type_of(tensor) == "UINT8" and len(shape) == 4 and min(shape) > 0
    return (tensor, shape, tuple(borders), (left, right)) if is_frame else None


class _StemWriter:
    """Rewrites one stem in place."""

    def __init__(self, view: EditableGraph, stem: _Stem) -> None:
        self._onnx, self._view, self._stem = import_onnx(), view, stem
        self._after: dict[int, list] = {}  # id of a node -> nodes that follow it

    def run(self) -> None:
        stem, node = self._stem, self._stem.convolution
        batch, height, width, channels = stem.shape
        rows = height + self._widen_borders()
        out = stem.weight.shape[0]
        if stem.borders:
            width += COLUMNS * (stem.blocks_left + stem.blocks_right)
        self._fold_columns(stem.transpose, (batch, rows, width // COLUMNS, COLUMNS * channels))
        set_attribute(node, "kernel_shape", [stem.weight.shape[2], stem.kernel_blocks])
        strides, pads = attribute_of(node, "strides", [1, 1]), attribute_of(node, "pads", [0, 0, 0, 0])
        set_attribute(node, "strides", [strides[0], 1])
        sides = (0, 0) if stem.borders else (stem.blocks_left, stem.blocks_right)
        set_attribute(node, "pads", [pads[0], sides[0], pads[2], sides[1]])
        self._double(node.input[1], stem.wide_weight())
        if len(node.input) > 2:
            self._double(node.input[2])
        out_rows = (rows + pads[0] + pads[2] - stem.weight.shape[2]) // strides[0] + 1
        self._unfold_columns(stem.quantize, (batch, out_rows, stem.shape[2] // 2, out))
        changed = {node.output[0], stem.quantize.input[0]}
        described = self._view.proto.value_info
        kept = [value for value in described if value.name not in changed]
        del described[:]
        described.extend(kept)
        self._view.replace_nodes([item for before in self._view.nodes for item in self._with_neighbours(before)])

    def _with_neighbours(self, node: Any) -> list:
        return [*self._after.get(-id(node), []), node, *self._after.get(id(node), [])]

    def _widen_borders(self) -> int:
        """Join whole blocks of columns where single columns were joined.

        Returns:
            Number of rows that are joined to the frame.
        """
        stem, rows = self._stem, 0
        extra = COLUMNS * (stem.blocks_left + stem.blocks_right)
        for join in stem.borders:
            axis = attribute_of(join, "axis", None)
            (inside,) = self._view.computed_inputs(join)
            middle = list(join.input).index(inside)
            for index, name in enumerate(join.input):
                if name == inside:
                    continue
                value = self._view.value_of(name)
                if axis == 1:
                    rows += value.shape[1]
                    columns = stem.shape[2] + extra
                else:
                    columns = COLUMNS * (stem.blocks_left if index < middle else stem.blocks_right)
                wide = np.repeat(value[:, :, :1], columns, axis=2)
                join.input[index] = self._view.add_constant(f"{name}/blocks", wide)
        return rows

    def _fold_columns(self, transpose: Any, shape: tuple[int, ...]) -> None:
        """Let a Transpose read its input with blocks of columns as channels."""
        name = f"{self._stem.frame}/blocks"
        sizes = self._view.add_constant(f"{name}/shape", np.array(shape, np.int64))
        reshape = self._onnx.helper.make_node("Reshape", [transpose.input[0], sizes], [name], name=f"{name}/Reshape")
        transpose.input[0] = name
        self._after[-id(transpose)] = [reshape]

    def _unfold_columns(self, quantize: Any, shape: tuple[int, ...]) -> None:
        """Restore the columns of the rounded result, which keeps its name."""
        make, result = self._onnx.helper.make_node, quantize.output[0]
        pairs, pixels, columns = (f"{result}/{what}" for what in ("pairs", "pixels", "columns"))
        sizes = self._view.add_constant(f"{columns}/shape", np.array(shape, np.int64))
        quantize.output[0] = pairs
        self._after[id(quantize)] = [
            make("Transpose", [pairs], [pixels], name=f"{pixels}/Transpose", perm=[0, 2, 3, 1]),
            make("Reshape", [pixels, sizes], [columns], name=f"{columns}/Reshape"),
            make("Transpose", [columns], [result], name=f"{result}/Transpose", perm=[0, 3, 1, 2]),
        ]

    def _double(self, tensor: str, integers: np.ndarray | None = None) -> None:
        """Repeat the scales of a dequantised constant for both outputs, and its integers unless others are given."""
        dequantize = self._view.producers[tensor]
        for index, name in enumerate(dequantize.input):
            value = self._view.value_of(name)
            if index == 0 and integers is not None:
                value = integers
            elif value.ndim == 1:
                value = np.tile(value, OUTPUTS)
            dequantize.input[index] = self._view.add_constant(f"{name}/pairs", value)
