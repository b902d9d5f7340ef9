"""Convolutions with BatchNorm, which most architectures here are built from.

The constants are those that the published weights were trained with.
"""

from __future__ import annotations

import keras
from keras import layers


def conv_norm(
    features: keras.KerasTensor,
    channels: int,
    kernel_size: int,
    *,
    conv: str,
    norm: str,
    stride: int = 1,
    dilation: int = 1,
    first_gamma: float = 1.0,
) -> keras.KerasTensor:
    """Add a convolution without bias and its batch normalisation.

    Padding is (kernel_size - 1) / 2 x dilation on each side, as PyTorch pads. Keras' own "same"
    puts all of it at the bottom and right where the stride is 2 and the size even, which would
    shift the features of published weights by half a step.

    Args:
        features: feature maps (N, h, w, C).
        channels: number of output channels.
        kernel_size: odd side of the kernel.
        conv: name of the convolution.
        norm: name of the normalisation.
        stride: step on both axes.
        dilation: spacing of the kernel's taps.
        first_gamma: scale of the normalisation before any training.

    Returns:
        Feature maps (N, h/stride, w/stride, channels), sides rounded up.
    """
    pad = (kernel_size - 1) // 2 * dilation
    explicit = stride > 1 and pad > 0
    if explicit:
        features = layers.ZeroPadding2D(pad, name=f"{conv}_pad")(features)
    features = layers.Conv2D(
        channels,
        kernel_size,
        strides=stride,
        dilation_rate=dilation,
        padding="valid" if explicit else "same",
        use_bias=False,
        kernel_initializer=kernel_initializer(),
        name=conv,
    )(features)
    return batch_norm(norm, first_gamma=first_gamma)(features)


def batch_norm(name: str, dtype: str | None = None, first_gamma: float = 1.0) -> layers.BatchNormalization:
    """Return a batch normalisation with the constants that the published weights were trained with.

    Keras' momentum is the share of the old statistic that is kept: 0.9 is PyTorch's 0.1.
    """
    gamma = keras.initializers.Constant(first_gamma)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, dtype=dtype, name=name)


def kernel_initializer() -> keras.initializers.Initializer:
    """Return the initial distribution of a kernel before ReLU: normal, variance 2 / fan-out (He et al. 2015)."""
    return keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")


def conv_norm_relu(
    features: keras.KerasTensor, channels: int, kernel_size: int, name: str, *, stride: int = 1, dilation: int = 1
) -> keras.KerasTensor:
    """Add a convolution, its normalisation `<name>_bn` and a ReLU; see `conv_norm`."""
    features = conv_norm(
        features, channels, kernel_size, conv=name, norm=f"{name}_bn", stride=stride, dilation=dilation
    )
    return layers.ReLU(name=f"{name}_relu")(features)


def separable_norm_relu(features: keras.KerasTensor, channels: int, kernel_size: int, name: str) -> keras.KerasTensor:
    """Add a depthwise and a pointwise convolution, each with its normalisation and a ReLU.

    Args:
        features: feature maps (N, h, w, C).
        channels: number of output channels.
        kernel_size: odd side of the depthwise kernel.
        name: name of the pair; its layers are `<name>_depthwise` and `<name>_pointwise`.

    Returns:
        Feature maps (N, h, w, channels).
    """
    features = layers.DepthwiseConv2D(
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=kernel_initializer(),
        name=f"{name}_depthwise",
    )(features)
    features = batch_norm(f"{name}_depthwise_bn")(features)
    features = layers.ReLU(name=f"{name}_depthwise_relu")(features)
    return conv_norm_relu(features, channels, 1, f"{name}_pointwise")
