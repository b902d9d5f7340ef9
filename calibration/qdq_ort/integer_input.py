"""The uint8 frame as the first quantised activation: its scaling becomes part of the first convolution.

A frame is uint8 already. Where a network scales each channel, x * factor_c + offset_c, and the first to read that is a
convolution, the integers of the frame need no rounding and no float copy of the frame: with one scale and zero point
z for all channels, x * factor_c + offset_c = scale * (x - z) * (factor_c / scale) + (offset_c + factor_c * z), of which
the first part belongs to the weights of input channel c and the second, times those weights, to the bias.

What a convolution pads with is 0 of the scaled frame, the grey level -offset_c / factor_c of the raw one (the mean that
was subtracted). Where that is z for all channels, to half a level, as it is for frames scaled to -1..1, the convolution
pads as before. Where it is not, columns and rows of these levels are joined to the frame, again to half a level.

Only for the form of ONNX Runtime: TensorRT's is symmetric, with zero point 0, and so has no room for a uint8 frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.file import import_onnx
from calibration.onnx_graph.graph import OnnxGraph
from calibration.onnx_graph.node import attribute_of, group_of, input_of, set_attribute
from calibration.ranges.record import TensorRange

FRAME_LEVELS = 255
"""The brightest level of a frame."""

ZERO_POINTS = (128, 0)
"""Of a frame, in order of preference; those that the linter knows."""

_HALF_LEVEL = 0.5 + 1e-3  # float32 constants of a normalisation are off by some 1e-5 levels

_MOST_CHANNELS = 4


@dataclass(frozen=True)
class ScaledFrame:
    """A frame whose channels are scaled, and the one convolution that reads it.

    Attributes:
        convolution: node that reads the scaled frame.
        between: nodes from the frame to the convolution, in order.
        frame: name of the graph's input, (batch, height, width, channels) uint8.
        shape: sizes of the frame, (batch, height, width, channels).
        order: channel of the frame that the convolution reads as channel c, at index c.
        factor: factor of each channel that the convolution reads, (channels,) float64.
        offset: number that is added to each of these channels after the factor, (channels,) float64.
    """

    convolution: Any
    between: tuple[Any, ...]
    frame: str
    shape: tuple[int, ...]
    order: np.ndarray
    factor: np.ndarray
    offset: np.ndarray

    @property
    def zero_levels(self) -> np.ndarray:
        """Return the grey level that becomes 0 for each channel of the frame, (channels,) float64."""
        levels = np.empty_like(self.factor)
        levels[self.order] = -self.offset / self.factor
        return levels


def find_scaled_frame(view: OnnxGraph) -> ScaledFrame | None:
    """Find a uint8 frame that is cast, scaled by constants per channel and transposed, and then read by a convolution.

    Args:
        view: a float graph.

    Returns:
        The frame and its convolution; None where anything else happens to the frame, or anything else reads a step of
        it.
    """
    frames = list(view.inputs.values())
    if len(frames) != 1 or view.type_of(frames[0].name) != "UINT8":
        return None
    shape = tuple(size.dim_value for size in frames[0].type.tensor_type.shape.dim)
    if len(shape) != 4 or min(shape) < 1 or shape[3] > _MOST_CHANNELS:
        return None
    walk = _Walk(view, shape[3])
    tensor, between = frames[0].name, []
    while True:
        readers = view.readers.get(tensor, [])
        if tensor in view.outputs or len(readers) != 1:
            return None
        node, index = readers[0]
        if node.op_type == "Conv":
            return _read_by(node, index, walk, frames[0].name, shape, tuple(between), view)
        if not walk.step(node, index):
            return None
        between.append(node)
        tensor = node.output[0]


def _read_by(
    node: Any, index: int, walk: _Walk, frame: str, shape: tuple[int, ...], between: tuple, view: OnnxGraph
) -> ScaledFrame | None:
    has_auto_pad = attribute_of(node, "auto_pad", "") not in ("", "NOTSET")
    bias = input_of(node, 2)
    if (
        index != 0
        or walk.axis != 1
        or not walk.is_float
        or group_of(node) != 1
        or has_auto_pad
        or view.weight_of(node) is None
        or len(view.weight_of(node).dims) != 4
        or (bias and bias not in view.constants)
        or not np.all(np.isfinite(walk.offset) & np.isfinite(walk.factor) & (walk.factor != 0))
    ):
        return None
    return ScaledFrame(node, between, frame, shape, walk.order, walk.factor, walk.offset)


class _Walk:
    """The steps that a frame went through so far: a factor and an offset for each channel, their order, their axis."""

    def __init__(self, view: OnnxGraph, channels: int) -> None:
        self._view = view
        self.axis, self.is_float = 3, False
        self.order = np.arange(channels)
        self.factor, self.offset = np.ones(channels), np.zeros(channels)

    def step(self, node: Any, index: int) -> bool:
        """Follow one node; return False if it does not scale, order or move channels."""
        if node.op_type == "Identity":
            return True
        if node.op_type == "Cast":
            self.is_float = attribute_of(node, "to", None) == import_onnx().TensorProto.FLOAT
            return self.is_float
        if node.op_type == "Transpose":
            is_to_planes = attribute_of(node, "perm", []) == [0, 3, 1, 2] and self.axis == 3
            self.axis = 1
            return is_to_planes
        if node.op_type == "Gather":
            return self._reorder(node, index)
        return self.is_float and self._scale(node, index)

    def _reorder(self, node: Any, index: int) -> bool:
        axis, chosen = attribute_of(node, "axis", 0), self._view.value_of(node.input[1])
        if index != 0 or axis % 4 != self.axis or chosen is None or chosen.ndim != 1:
            return False
        if sorted(chosen.tolist()) != list(range(len(self.order))):
            return False
        chosen = chosen.astype(np.int64)
        self.order, self.factor, self.offset = self.order[chosen], self.factor[chosen], self.offset[chosen]
        return True

    def _scale(self, node: Any, index: int) -> bool:
        if node.op_type not in ("Mul", "Div", "Add", "Sub"):
            return False
        value = self._per_channel(node.input[1 - index])
        if value is None or (node.op_type == "Div" and (index == 1 or not value.all())):
            return False
        if node.op_type in ("Mul", "Div"):
            by = value if node.op_type == "Mul" else 1.0 / value
            self.factor, self.offset = self.factor * by, self.offset * by
        elif node.op_type == "Sub" and index == 1:
            self.factor, self.offset = -self.factor, value - self.offset
        else:
            self.offset = self.offset + (value if node.op_type == "Add" else -value)
        return True

    def _per_channel(self, name: str) -> np.ndarray | None:
        """Return a constant that broadcasts along the channels alone as (channels,) float64; None for another."""
        value = self._view.value_of(name)
        channels = len(self.order)
        if value is None or value.ndim > 4:
            return None
        shape = (1,) * (4 - value.ndim) + value.shape
        wanted = tuple(channels if axis == self.axis else 1 for axis in range(4))
        if shape not in (wanted, (1, 1, 1, 1)):
            return None
        return np.broadcast_to(value.reshape(-1).astype(np.float64), (channels,))


def take_integer_input(
    view: EditableGraph,
    tensors: dict[str, TensorRange],
    runs_in_int8: Callable[[Any], bool],
) -> dict[str, TensorRange] | None:
    """Let the first convolution of a graph read the frame behind a DequantizeLinear, if only it does and in INT8.

    Args:
        view: a float graph; changed in place where the frame can be read so.
        tensors: ranges of the graph's activations, by name.
        runs_in_int8: function that returns whether a weighted node is to be computed with integers.

    Returns:
        Ranges of the changed graph, by name; None where the graph stays as it is.
    """
    scaled = find_scaled_frame(view)
    if scaled is None or not runs_in_int8(scaled.convolution):
        return None
    levels, pads = scaled.zero_levels, _pads(scaled.convolution)
    zero_point = next((z for z in ZERO_POINTS if np.abs(levels - z).max() <= _HALF_LEVEL), None)
    needs_borders = any(pads) and zero_point is None
    if needs_borders and (levels.min() < -_HALF_LEVEL or levels.max() > FRAME_LEVELS + _HALF_LEVEL):
        return None  # what the convolution pads with is darker or brighter than any pixel
    writer = _FrontWriter(view, scaled)
    source = scaled.frame
    if needs_borders:
        source = writer.add_borders(pads, np.clip(np.rint(levels), 0, FRAME_LEVELS).astype(np.uint8))
    return writer.connect(source, ZERO_POINTS[0] if zero_point is None else zero_point, tensors)


def _pads(node: Any) -> list[int]:
    """Return the top, left, bottom and right padding of a convolution."""
    return attribute_of(node, "pads", [0, 0, 0, 0])


class _FrontWriter:
    """Replaces the float nodes in front of one convolution by integer ones."""

    def __init__(self, view: EditableGraph, scaled: ScaledFrame) -> None:
        self._onnx, self._view, self._scaled = import_onnx(), view, scaled
        self._nodes: list = []

    def add_borders(self, pads: list[int], levels: np.ndarray) -> str:
        """Join columns and rows of given levels to the frame instead of the padding of the convolution.

        Returns:
            Name of the tensor with the larger frame.
        """
        batch, height, width, channels = self._scaled.shape
        top, left, bottom, right = pads

        def border(name: str, rows: int, columns: int) -> list[str]:
            value = np.broadcast_to(levels, (batch, rows, columns, channels))
            if not value.size:
                return []
            return [self._view.add_constant(f"{self._scaled.frame}/{name}", np.ascontiguousarray(value))]

        columns = [*border("left", height, left), self._scaled.frame, *border("right", height, right)]
        name = self._joined("columns", columns, axis=2)
        whole_width = left + width + right
        name = self._joined("rows", [*border("top", top, whole_width), name, *border("bottom", bottom, whole_width)], 1)
        set_attribute(self._scaled.convolution, "pads", [0, 0, 0, 0])
        return name

    def connect(self, source: str, zero_point: int, tensors: dict[str, TensorRange]) -> dict[str, TensorRange]:
        """Let the convolution read a frame through Transpose and DequantizeLinear, and drop the float nodes between.

        Returns:
            Ranges that include the tensor that the convolution reads now, by name.
        """
        scaled, node, make = self._scaled, self._scaled.convolution, self._onnx.helper.make_node
        planes, result = f"{scaled.frame}/planes", f"{scaled.frame}/dequantized"
        scale = np.float32(np.abs(scaled.factor).max())
        parameters = [
            self._view.add_constant(f"{scaled.frame}/scale", scale),
            self._view.add_constant(f"{scaled.frame}/zero_point", np.uint8(zero_point)),
        ]
        self._nodes.append(make("Transpose", [source], [planes], name=f"{planes}/Transpose", perm=[0, 3, 1, 2]))
        self._nodes.append(
            make("DequantizeLinear", [planes, *parameters], [result], name=f"{scaled.frame}/DequantizeLinear")
        )
        read_before = node.input[0]
        self._fold(float(scale), zero_point)
        node.input[0] = result
        dropped = {id(item) for item in scaled.between}
        rest = [item for item in self._view.nodes if id(item) not in dropped]
        self._view.replace_nodes([*self._nodes, *rest])
        ranges = {
            name: seen for name, seen in tensors.items() if all(name not in item.output for item in scaled.between)
        }
        ranges[result] = self._range(float(scale), zero_point, tensors.get(read_before))
        return ranges

    def _fold(self, scale: float, zero_point: int) -> None:
        """Change the weights and the bias of the convolution so that it also does the scaling."""
        scaled, node = self._scaled, self._scaled.convolution
        weight = self._view.value_of(node.input[1]).astype(np.float64)  # (out, channels, kh, kw)
        added = np.einsum("ochw,c->o", weight, scaled.offset + scaled.factor * zero_point)
        if len(node.input) > 2 and node.input[2]:
            added = added + self._view.value_of(node.input[2]).astype(np.float64).reshape(-1)
        folded = np.empty_like(weight)
        folded[:, scaled.order] = weight * (scaled.factor / scale).reshape(1, -1, 1, 1)
        names = [
            self._view.add_constant(f"{node.name}/weight/of_frame", folded.astype(np.float32)),
            self._view.add_constant(f"{node.name}/bias/of_frame", added.astype(np.float32)),
        ]
        del node.input[1:]
        node.input.extend(names)

    def _range(self, scale: float, zero_point: int, seen: TensorRange | None) -> TensorRange:
        """Return the range of the dequantised frame; means of its channels follow from those of the scaled one."""
        scaled = self._scaled
        low, high = -scale * zero_point, scale * (FRAME_LEVELS - zero_point)
        means = None
        if seen is not None and seen.channel_means is not None:
            levels = np.empty_like(scaled.factor)
            levels[scaled.order] = (np.asarray(seen.channel_means) - scaled.offset) / scaled.factor
            means = tuple(float(value) for value in scale * (levels - zero_point))
        thresholds = dict.fromkeys(seen.thresholds if seen is not None else (), max(-low, high))
        return TensorRange(low, high, thresholds, None, means)

    def _joined(self, name: str, parts: list[str], axis: int) -> str:
        if len(parts) == 1:
            return parts[0]
        result = f"{self._scaled.frame}/{name}"
        self._nodes.append(self._onnx.helper.make_node("Concat", parts, [result], name=f"{result}/Concat", axis=axis))
        return result
