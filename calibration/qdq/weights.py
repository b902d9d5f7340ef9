"""Weights as int8: one symmetric scale for each channel, and the integers.

"Per channel" is along one axis of the weight, and there are as many scales as that axis is long: ONNX demands it of a
DequantizeLinear, and TensorRT of its scales. That axis counts output channels, so it is

    Conv                (out, in / group, kh, kw)   axis 0
    ConvTranspose       (in, out / group, kh, kw)   axis 1
    Gemm                (out, in) or (in, out)      axis 0 with transB, else 1
    MatMul              (in, out)                   axis 1

A ConvTranspose with groups has out / group scales, fewer than output channels: channel j of every group has the j-th.
"""

from __future__ import annotations

from typing import Iterator

import numpy as np

from edge.errors import GraphError, InputError

LARGEST_INTEGER = 127
"""-128 is left out: symmetric int8 has as many negative steps as positive ones."""

CLIPPING_RATIOS = np.linspace(1.0, 0.5, 101)
"""Shares of the largest magnitude at which the "mse" method tries to clip; the largest first."""

_BLOCK_VALUES = 1 << 17
"""Weights looked at together: what a search keeps of them (three float32 arrays) stays in a CPU's cache."""


def weight_scales(weight: np.ndarray, axis: int, method: str, levels: int = LARGEST_INTEGER) -> np.ndarray:
    """Return the scale of each channel of a weight in symmetric int8.

    Args:
        weight: float32 of any shape.
        axis: axis of the weight that counts the channels.
        method: method for the ranges: "max" clips nothing; "mse" clips each channel where the sum of its squared errors
            of rounding and clipping is smallest.
        levels: number of steps on either side of zero, 127 or fewer.

    Returns:
        Size of a step of each channel, (weight.shape[axis],) float32, normal numbers greater than 0. A channel whose
        weights are all 0 has 1.

    Raises:
        GraphError: a weight is NaN or infinite.
        InputError: the method is unknown.

    Source: Banner et al., "Post Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment", 2019,
    section 3, for clipping as a trade of two errors; here it is measured instead of assumed to be Laplacian.
    """
    if method not in ("max", "mse"):
        raise InputError(f"weight method is '{method}', expected one of: max, mse")
    largest = largest_magnitudes(weight, axis)
    ratios = _best_ratios(weight, axis, largest, levels) if method == "mse" else 1.0
    scales = np.where(largest > 0, largest * ratios / levels, 1.0).astype(np.float32)
    # A subnormal scale is flushed to zero by GPUs and by CPUs with that mode on, and then divides by it.
    return np.maximum(scales, np.finfo(np.float32).tiny)


def quantize_weight(weight: np.ndarray, axis: int, scales: np.ndarray, levels: int = LARGEST_INTEGER) -> np.ndarray:
    """Return a weight as integers.

    Args:
        weight: float32 of any shape.
        axis: axis of the weight that counts the channels.
        scales: size of a step of each channel, (weight.shape[axis],), as weight_scales returns it.
        levels: number of steps on either side of zero, as for weight_scales.

    Returns:
        Integers, int8 of the weight's shape, -levels to levels; halves are rounded to even, as QuantizeLinear does.

    Raises:
        InputError: the number of scales differs from the number of channels.
    """
    check_scale_count(weight, axis, scales)
    integers = np.empty(weight.shape, np.int8)
    target = np.moveaxis(integers, axis, 0)
    for part, rows in _blocks(weight, axis):
        steps = np.rint(rows / scales[part, np.newaxis])
        np.clip(steps, -levels, levels, out=steps)
        target[part] = steps.reshape(target[part].shape)
    return integers


def largest_magnitudes(weight: np.ndarray, axis: int) -> np.ndarray:
    """Return the largest magnitude of each channel, (weight.shape[axis],) float64.

    Raises:
        GraphError: a weight is NaN or infinite.
    """
    other = tuple(index for index in range(weight.ndim) if index != axis % weight.ndim)
    # Of both ends, since np.abs would copy the weight.
    largest = np.maximum(weight.max(axis=other, initial=0.0), -weight.min(axis=other, initial=0.0))
    broken = int(np.count_nonzero(~np.isfinite(largest)))
    if broken:
        raise GraphError(
            f"a weight of shape {tuple(weight.shape)} is NaN or infinite in {broken} of its {largest.size} channels, "
            "expected finite weights. Next: export the graph again from weights that are sound"
        )
    return largest.astype(np.float64)


def check_scale_count(weight: np.ndarray, axis: int, scales: np.ndarray) -> None:
    """Raise InputError if the number of scales differs from the number of channels."""
    if np.shape(scales) != (weight.shape[axis],):
        raise InputError(
            f"a weight of shape {tuple(weight.shape)} got scales of shape {np.shape(scales)}, "
            f"expected ({weight.shape[axis]},), one for each channel of axis {axis}"
        )


def _blocks(weight: np.ndarray, axis: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the weight in parts of some channels, each as (channels, values of a channel)."""
    channels = np.moveaxis(weight, axis, 0)
    step = max(1, _BLOCK_VALUES * len(channels) // max(1, weight.size))
    for start in range(0, len(channels), step):
        part = slice(start, min(start + step, len(channels)))
        yield part, channels[part].reshape(part.stop - part.start, -1)


def _best_ratios(weight: np.ndarray, axis: int, largest: np.ndarray, levels: int) -> np.ndarray:
    """Return the clipping ratio of each channel with the smallest squared error, (channels,) float64.

    Of ratios as good, the largest: it clips least.
    """
    best = np.ones(largest.size)
    for part, rows in _blocks(weight, axis):
        units = np.where(largest[part] > 0, largest[part], 1.0).astype(np.float32)
        # In steps of the unclipped scale. Divided before it is multiplied, or a tiny channel would overflow.
        steps = np.abs(rows) / units[:, np.newaxis] * np.float32(levels)
        scaled, rounded = np.empty_like(steps), np.empty_like(steps)
        smallest = np.full(len(rows), np.inf)
        for ratio in CLIPPING_RATIOS:
            np.multiply(steps, np.float32(1.0 / ratio), out=scaled)
            np.rint(scaled, out=rounded)
            np.minimum(rounded, levels, out=rounded)
            np.subtract(scaled, rounded, out=scaled)
            errors = np.einsum("ij,ij->i", scaled, scaled) * ratio**2
            better = errors < smallest
            smallest[better] = errors[better]
            best[part][better] = ratio
    return best
