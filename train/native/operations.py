"""The operations of the kernels as functions, with their gradients."""

from __future__ import annotations

import tensorflow as tf

from train.native.library import kernels, thread_count

LANES = 8
"""Channels that are computed at once: the number of channels has to be a multiple of it."""

KERNEL_SIZES = (3, 5)
"""Sides of a depthwise kernel that there is code for."""


def batch_norm(
    features: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float, relu: bool
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise features over all axes but the last, scale and shift them, and apply a ReLU if asked for.

    Args:
        features: features (..., channels) float32, channels a multiple of LANES.
        gamma: scale (channels,) float32.
        beta: shift (channels,) float32.
        epsilon: number that is added to the variance.
        relu: whether a ReLU follows.

    Returns:
        Features of the same shape, differentiable, and the mean and the biased variance of the batch, (channels,)
        float32, through which no gradient flows.
    """
    return kernels().segedge_batch_norm(features, gamma, beta, relu=int(relu), epsilon=epsilon, threads=thread_count())


@tf.RegisterGradient("SegedgeBatchNorm")
def _batch_norm_gradient(operation: tf.Operation, upstream: tf.Tensor, *_of_statistics: object) -> tuple:
    features, gamma, beta = operation.inputs
    _, mean, variance = operation.outputs
    return kernels().segedge_batch_norm_grad(
        upstream,
        features,
        gamma,
        beta,
        mean,
        variance,
        relu=operation.get_attr("relu"),
        epsilon=operation.get_attr("epsilon"),
        threads=operation.get_attr("threads"),
    )


def depthwise_conv(features: tf.Tensor, taps: tf.Tensor, stride: int, dilation: int, padding: str) -> tf.Tensor:
    """Convolve each channel with its own kernel.

    Args:
        features: features (N, height, width, channels) float32 of known size, channels a multiple of LANES.
        taps: kernels (side, side, channels, 1) float32, whose side is one of KERNEL_SIZES.
        stride: step on both axes.
        dilation: spacing of the taps.
        padding: "valid" for none, "same" for TensorFlow's, which puts the odd pixel at the end.

    Returns:
        Features (N, height / stride, width / stride, channels) float32, sides rounded up with "same".
    """
    reach = (taps.shape[0] - 1) * dilation
    sides, pads = [], []
    for size in features.shape[1:3]:
        side = -(-size // stride) if padding == "same" else (size - reach - 1) // stride + 1
        sides.append(side)
        pads.append(max((side - 1) * stride + reach + 1 - size, 0) // 2 if padding == "same" else 0)
    output = kernels().segedge_depthwise(
        features,
        taps,
        stride=stride,
        dilation=dilation,
        top=pads[0],
        left=pads[1],
        out_height=sides[0],
        out_width=sides[1],
        threads=thread_count(),
    )
    return tf.ensure_shape(output, (features.shape[0], *sides, features.shape[3]))


@tf.RegisterGradient("SegedgeDepthwise")
def _depthwise_gradient(operation: tf.Operation, upstream: tf.Tensor) -> tuple:
    names = ("stride", "dilation", "top", "left", "threads")
    return kernels().segedge_depthwise_grad(
        upstream, *operation.inputs, **{name: operation.get_attr(name) for name in names}
    )
