"""The planes that a decision compares, put into the graph of an adopted network.

A decision is the largest of some planes: channels that stay, each less its threshold, behind a plane of zeros where
"none of them" is a label. That is a linear map over channels. Where a convolution gives the logits and nothing else
reads them it goes into its weights: rows that stay, a row of zeros, a bias less the threshold. Else a 1x1 convolution
behind the logits computes it: one operator that every backend, several frames in a call and the rules of quantisation
know, which a Concat with a constant is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from calibration.onnx_graph.editable import EditableGraph
from calibration.onnx_graph.node import attribute_of, group_of, input_of, name_of, weight_axis

DECISION = "decision"
"""Name of the convolution that is added where no other takes the planes."""


@dataclass(frozen=True)
class Planes:
    """Linear map from the channels of an output to the planes whose largest is the label.

    Attributes:
        channels: index of the output channel of each plane, without the plane of zeros.
        shifts: number that is taken from each of these channels; all 0 where there are no thresholds.
        has_zeros: True if a plane of zeros goes before them.
    """

    channels: tuple[int, ...]
    shifts: tuple[float, ...]
    has_zeros: bool = False

    @property
    def count(self) -> int:
        """Number of planes."""
        return len(self.channels) + self.has_zeros

    def keeps(self, channel_count: int) -> bool:
        """Return whether the planes are the channels themselves."""
        return self.channels == tuple(range(channel_count)) and not self.has_zeros and not any(self.shifts)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the planes by definition.

        Args:
            values: output of a network, (1, channels, height, width) float32.

        Returns:
            Planes, (1, count, height, width) float32.
        """
        shifted = values[:, list(self.channels)].astype(np.float64) - np.reshape(self.shifts, (1, -1, 1, 1))
        zeros = np.zeros_like(shifted[:, :1]) if self.has_zeros else shifted[:, :0]
        return np.concatenate([zeros, shifted], axis=1).astype(np.float32)

    def rows(self, values: np.ndarray, axis: int = 0) -> np.ndarray:
        """Return weights or biases of the planes: those of the channels, and zeros for the plane of zeros."""
        kept = np.take(values, self.channels, axis)
        return np.concatenate([np.zeros_like(np.take(kept, [0], axis)), kept], axis) if self.has_zeros else kept


def put_planes(model: Any, output: str, planes: Planes) -> str:
    """Let a graph give the planes of a decision in place of its channels.

    Args:
        model: onnx.ModelProto with one output, whose nodes have names and whose constants are folded; changed in place.
        output: name of that output, (1, channels, height, width); the planes get it.
        planes: planes, not the channels themselves.

    Returns:
        Sentence that says where they went.
    """
    graph = EditableGraph(model)
    channel_count = graph.static_shape_of(output)[1]
    resizes, tensor = [], output
    node = graph.producer(tensor)
    # Of a graph with one output, all that is read leads there, so nothing else reads what is passed here.
    while node is not None and _keeps_constants(graph, node):
        resizes.append(node)
        tensor = node.input[0]
        node = graph.producer(tensor)
    if node is not None and _fold(graph, node, planes):
        for resize in resizes:
            sizes = graph.value_of(input_of(resize, 3)) if input_of(resize, 3) else None
            if sizes is not None and sizes.size == 4:
                changed = sizes.copy()
                changed[1] = planes.count
                resize.input[3] = graph.add_constant(f"{name_of(resize)}_sizes", changed)
        where = f"in the weights of {name_of(node)}"
    else:
        _append(graph, output, planes, channel_count)
        where = f"by a 1x1 convolution '{DECISION}'"
    graph.refresh()
    graph.drop_unread_constants()
    del model.graph.value_info[:]
    channels = "1 channel becomes" if channel_count == 1 else f"{channel_count} channels become"
    return f"{channels} {planes.count} planes for the decision, {where}"


def _keeps_constants(graph: EditableGraph, node: Any) -> bool:
    """Return whether a node is a Resize whose weights of a pixel have the sum 1, channel by channel."""
    if node.op_type != "Resize":
        return False
    before, after = graph.static_shape_of(node.input[0]), graph.static_shape_of(node.output[0])
    return (
        before is not None
        and after is not None
        and len(before) == len(after) == 4
        and before[:2] == after[:2]
        # It may give a fixed value outside of the image.
        and attribute_of(node, "coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
        and not attribute_of(node, "axes", [])
    )


def _fold(graph: EditableGraph, node: Any, planes: Planes) -> bool:
    """Put planes into the weights and the bias of a convolution; not where they are computed, or it has groups."""
    if node.op_type not in ("Conv", "ConvTranspose") or group_of(node) != 1:
        return False
    weight, bias = graph.value_of(node.input[1]), input_of(node, 2)
    if weight is None or (bias and bias not in graph.constants):
        return False
    axis = weight_axis(node)
    old = graph.value_of(bias).astype(np.float64) if bias else np.zeros(weight.shape[axis])
    shifts = np.concatenate([np.zeros(int(planes.has_zeros)), planes.shifts])
    values = {
        f"{node.name}_weight": np.ascontiguousarray(planes.rows(weight, axis)),
        f"{node.name}_bias": (planes.rows(old) - shifts).astype(np.float32),
    }
    del node.input[1:]
    node.input.extend(graph.add_constant(name, value) for name, value in values.items())
    return True


def _append(graph: EditableGraph, output: str, planes: Planes, channel_count: int) -> None:
    """Add a 1x1 convolution that gives the planes of what was the output."""
    last = graph.producer(output)
    taken = {*graph.producers, *graph.inputs, *graph.constants}
    inner = next(name for name in (last.name, f"{last.name}/logits", f"{DECISION}/input") if name not in taken)
    graph.rename(output, inner)
    identity = np.eye(channel_count, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    shifts = np.concatenate([np.zeros(int(planes.has_zeros)), planes.shifts])
    weight = graph.add_constant(f"{DECISION}/weight", planes.rows(identity))
    bias = graph.add_constant(f"{DECISION}/bias", -shifts.astype(np.float32))
    node = helper.make_node("Conv", [inner, weight, bias], [output], name=DECISION, kernel_shape=[1, 1])
    graph.proto.node.append(node)
