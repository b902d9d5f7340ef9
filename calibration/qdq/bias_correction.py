"""Bias correction: rounded weights shift the mean of a layer's output, and its bias takes the shift back."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from calibration.qdq.weights import check_scale_count
from edge.errors import InputError


def bias_shift(
    weight: np.ndarray,
    integers: np.ndarray,
    scales: np.ndarray,
    axis: int,
    channel_means: Sequence[float],
    group: int,
    output_axis: int | None = None,
    strides: Sequence[int] = (),
) -> np.ndarray:
    """Return the correction of a quantised layer's bias that gives its output the mean of the float layer's.

    It is -sum over inputs of (W_q - W) E[x], with the means that were seen in calibration. Padding is not looked at:
    near the border of a padded input fewer weights meet an input, so the correction is slightly too large there. Nor
    is what the rounding of the input itself does, whose mean is close to zero unless the range clips.

    Args:
        weight: float32 weight, (out, in / group, ...) of a Conv or a Gemm with transB, else (in, out / group, ...). The
            alpha and beta of a Gemm are assumed to be 1.
        integers: quantised weight, int8 of the shape of `weight`.
        scales: step of the integers of each channel, (weight.shape[axis],).
        axis: axis of the weight that the scales belong to.
        channel_means: mean of each input channel, (in,).
        group: number of groups of the convolution; 1 for other nodes.
        output_axis: axis of the weight that counts output channels, 0 or 1; None for `axis`, which is right wherever
            scales are per output channel.
        strides: strides of the node. A ConvTranspose spreads its taps over strides[0] x strides[1] outputs for each
            input, so that an output meets that share of them; they are used with output_axis 1 alone.

    Returns:
        Correction of each bias, (out,) float64.

    Raises:
        InputError: the sizes of weight, integers, scales, means and groups do not fit each other.

    Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.2.
    """
    check_scale_count(weight, axis, scales)
    output_axis = axis if output_axis is None else output_axis
    rows, columns = weight.shape[:2]
    inputs = columns * group if output_axis == 0 else rows
    means = np.asarray(channel_means, np.float64)
    if integers.shape != weight.shape or means.shape != (inputs,) or rows % group:
        raise InputError(
            f"a weight of shape {weight.shape} with {group} groups got integers of shape {integers.shape} and means of "
            f"shape {means.shape}, expected integers of its shape and ({inputs},) means, one for each input channel"
        )
    # A mean is the same under every tap of a kernel, so the taps are summed first; integers exactly.
    taps = tuple(range(2, weight.ndim))
    steps = np.asarray(scales, np.float64).reshape([-1, 1] if axis == 0 else [1, -1])
    errors = integers.sum(axis=taps, dtype=np.int64) * steps - weight.sum(axis=taps, dtype=np.float64)
    if output_axis == 0:
        shift = np.einsum("goi,gi->go", errors.reshape(group, rows // group, columns), means.reshape(group, columns))
        return -shift.reshape(-1)
    shift = np.einsum("gio,gi->go", errors.reshape(group, rows // group, columns), means.reshape(group, rows // group))
    return -shift.reshape(-1) / np.prod(np.asarray(strides, np.float64))
