"""Theoretical receptive field: how much of the frame one position of a network's output depends on.

From the output back to the frame, layer by layer: a window of k positions with stride s and p positions
of padding in front makes of the positions u to v

    u' = s u - p      v' = s v - p + k - 1

(Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019), and
layers that enlarge maps do the like with a stride below 1, rounded outwards to whole positions. Where
branches meet, both are followed, and the first and the last pixel that any of them reaches count. That
is done for every position of the output, as if the frame had no edges, and the largest field is the
network's: behind an upsampling the positions differ.

A layer that looks at all positions at once makes the field the whole frame; what the other branches
see is followed beside it.

What a layer reads follows from Keras' own kinds. Any other layer says it in an attribute
`receptive_field`, one of

    "position"    each position from the same position of its inputs
    "frame"       from all positions
    "resize"      bilinearly between neighbours, by the rule in its attribute `coordinates`
    ((rows, columns), (rows, columns))
                  a window without padding, and its stride: 0.5 where an axis is doubled
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Callable, Sequence

import numpy as np
from keras import layers

from edge.errors import SegEdgeError
from train.models.symbolic_run import Call, Shape, SymbolicRun, Tensor
from train.options import ALIGN_CORNERS, HALF_PIXEL


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of one position of an output.

    Attributes:
        height: rows of the frame, without branches that look at all of it; None where there is no other.
        width: columns of the frame, without branches that look at all of it; None where there is no other.
        whole_frame: True where a branch looks at the whole frame.
    """

    height: int | None
    width: int | None
    whole_frame: bool


@dataclass(frozen=True)
class Reach:
    """The positions of its input that a layer reads along one axis.

    For outputs `first` to `last` those from floor((step x first + before) / unit) to
    floor((step x last + behind) / unit).
    """

    step: int = 1
    unit: int = 1
    before: int = 0
    behind: int = 0

    def positions(self, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the last position that is read, each an int64 array with a value per output position."""
        return (self.step * first + self.before) // self.unit, (self.step * last + self.behind) // self.unit


@dataclass(frozen=True)
class _Seen:
    """The positions of a tensor that each position of the network's output depends on.

    Attributes:
        axes: first and last row, first and last column; None where only branches that see the whole frame lead here.
        whole_frame: True where a layer behind this tensor looks at all of it.
    """

    axes: tuple[tuple[np.ndarray, np.ndarray], ...] | None
    whole_frame: bool = False

    def union(self, other: _Seen | None) -> _Seen:
        if other is None:
            return self
        whole_frame = self.whole_frame or other.whole_frame
        if self.axes is None or other.axes is None:
            return _Seen(self.axes or other.axes, whole_frame)
        axes = tuple(
            (np.minimum(first, other_first), np.maximum(last, other_last))
            for (first, last), (other_first, other_last) in zip(self.axes, other.axes)
        )
        return _Seen(axes, whole_frame)

    def through(self, reaches: tuple[Reach, ...] | None) -> _Seen:
        if reaches is None:
            return _Seen(None, True)
        if self.axes is None:
            return self
        return _Seen(
            tuple(reach.positions(*axis) for reach, axis in zip(reaches, self.axes)),
            self.whole_frame,
        )


def receptive_field(run: SymbolicRun, output: Tensor, frame: Tensor) -> ReceptiveField:
    """Return the receptive field of an output, which is followed back to the frame.

    Args:
        run: symbolic run of the network.
        output: output of the network, (N, h, w, C) or without rows and columns.
        frame: input of the network, (N, height, width, 3).

    Returns:
        The largest field of any position; one without height, width and whole frame where nothing leads there.

    Raises:
        SegEdgeError: it is not known what a layer on the way reads; the message names the layer.
    """
    sides = output.shape[1:3] if len(output.shape) == len(frame.shape) else (1, 1)
    seen = {output: _Seen(tuple((np.arange(side), np.arange(side)) for side in sides))}
    for call in reversed(run.calls):
        behind = None
        for tensor in call.outputs:
            if tensor in seen:
                behind = seen[tensor].union(behind)
        if behind is None:
            continue
        before = behind.through(_reaches(call))
        for tensor in call.inputs:
            seen[tensor] = before.union(seen.get(tensor))
    found = seen.get(frame, _Seen(None))
    if found.axes is None:
        return ReceptiveField(None, None, found.whole_frame)
    height, width = (int((last - first).max()) + 1 for first, last in found.axes)
    return ReceptiveField(height, width, found.whole_frame)


# What a layer reads


def _reaches(call: Call) -> tuple[Reach, ...] | None:
    """Return what a call of a layer reads along rows and along columns; None where it reads all positions."""
    operation, kind = call.operation, type(call.operation)
    declared = getattr(operation, "receptive_field", None)
    if declared is not None:
        return _declared(operation, declared, call.inputs[0].shape, call.outputs[0].shape)
    if kind in _WHOLE_FRAME:
        return None
    if kind in _AXIS_RULES:
        axes = (2, 3) if operation.data_format == "channels_first" else (1, 2)
        sides = [(call.inputs[0].shape[axis], call.outputs[0].shape[axis]) for axis in axes]
        return tuple(_AXIS_RULES[kind](operation, index, *side) for index, side in enumerate(sides))
    if kind in _SAME_POSITION or (kind.__module__.startswith("keras.src.ops.") and kind.__name__ in _ELEMENTWISE):
        return Reach(), Reach()
    if kind is layers.Concatenate and operation.axis in (-1, len(call.outputs[0].shape) - 1):
        return Reach(), Reach()
    raise SegEdgeError(
        f"layer '{operation.name}' is of the kind {kind.__name__}, whose receptive field is not known. "
        f"Next: say it in an attribute receptive_field of {kind.__name__}, see train/models/receptive_field.py"
    )


def _declared(operation: Any, declared: Any, input_shape: Shape, output_shape: Shape) -> tuple[Reach, ...] | None:
    if declared == "frame":
        return None
    if declared == "position":
        return Reach(), Reach()
    if declared == "resize":
        sides = zip(input_shape[1:3], output_shape[1:3])
        return tuple(_bilinear(*side, getattr(operation, "coordinates", HALF_PIXEL)) for side in sides)
    if isinstance(declared, tuple):
        return tuple(_window(extent, Fraction(stride), 0) for extent, stride in zip(*declared))
    raise SegEdgeError(
        f"receptive_field of layer '{operation.name}' ({type(operation).__name__}) is {declared!r}, "
        "expected 'position', 'frame', 'resize' or a pair of window and stride"
    )


def _window(extent: int, stride: Fraction, padding: int) -> Reach:
    unit = stride.denominator
    return Reach(stride.numerator, unit, -padding * unit, (extent - 1 - padding) * unit)


def _bilinear(size: int, new_size: int, coordinates: str) -> Reach:
    """Return the neighbours below and above of a coordinate, which are one where it is whole."""
    if size == new_size:
        return Reach()
    if size == 1 or (new_size == 1 and coordinates == ALIGN_CORNERS):
        return Reach(step=0)
    if coordinates == ALIGN_CORNERS:
        return Reach(size - 1, new_size - 1, 0, new_size - 2)
    return Reach(2 * size, 2 * new_size, size - new_size, size + new_size - 1)


def _axis(value: int | Sequence[int], axis: int) -> int:
    return value if isinstance(value, int) else value[axis]


def _sliding(layer: Any, axis: int, size: int, new_size: int, extent: int) -> Reach:
    stride = _axis(layer.strides, axis)
    # "Same" puts what is missing on both sides, and an odd rest behind.
    missing = max((new_size - 1) * stride + extent - size, 0) if layer.padding == "same" else 0
    return _window(extent, Fraction(stride), missing // 2)


def _extent(layer: Any, axis: int) -> int:
    return (_axis(layer.kernel_size, axis) - 1) * _axis(layer.dilation_rate, axis) + 1


def _convolution(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    return _sliding(layer, axis, size, new_size, _extent(layer, axis))


def _pooling(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    return _sliding(layer, axis, size, new_size, _axis(layer.pool_size, axis))


def _transposed_convolution(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    if layer.output_padding is not None:
        raise SegEdgeError(f"Conv2DTranspose '{layer.name}' has an output_padding, expected none")
    extent, stride = _extent(layer, axis), _axis(layer.strides, axis)
    cropped = max(extent - stride, 0) // 2 if layer.padding == "same" else 0
    return Reach(1, stride, cropped - extent + stride, cropped)


def _upsampling(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    if layer.interpolation == "nearest":
        return Reach(unit=_axis(layer.size, axis))
    if layer.interpolation == "bilinear":
        return _bilinear(size, new_size, HALF_PIXEL)
    raise SegEdgeError(f"UpSampling2D '{layer.name}' interpolates {layer.interpolation}, expected nearest or bilinear")


def _padding(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    return Reach(before=-layer.padding[axis][0], behind=-layer.padding[axis][0])


def _cropping(layer: Any, axis: int, size: int, new_size: int) -> Reach:
    return Reach(before=layer.cropping[axis][0], behind=layer.cropping[axis][0])


# Exact kinds: a subclass may do something else.
_AXIS_RULES: dict[type, Callable[[Any, int, int, int], Reach]] = {
    layers.AveragePooling2D: _pooling,
    layers.Conv2D: _convolution,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.Cropping2D: _cropping,
    layers.DepthwiseConv2D: _convolution,
    layers.MaxPooling2D: _pooling,
    layers.SeparableConv2D: _convolution,
    layers.UpSampling2D: _upsampling,
    layers.ZeroPadding2D: _padding,
}

_WHOLE_FRAME = {
    layers.Flatten,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
}

_SAME_POSITION = {
    layers.Activation,
    layers.Add,
    layers.Average,
    layers.BatchNormalization,
    layers.Dense,
    layers.Dropout,
    layers.Identity,
    layers.LeakyReLU,
    layers.Maximum,
    layers.Minimum,
    layers.Multiply,
    layers.ReLU,
    layers.Rescaling,
    layers.SpatialDropout2D,
    layers.Subtract,
}

_ELEMENTWISE = {"Add", "Cast", "Divide", "HardSigmoid", "HardSilu", "Maximum", "Minimum", "Multiply", "Negative"} | {
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
    "Subtract",
    "TrueDivide",
}
"""Operations of keras.ops, by the name of their class."""
