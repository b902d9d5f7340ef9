"""Context modules that several architectures share: atrous spatial pyramid pooling, pyramid pooling."""

from __future__ import annotations

from typing import Callable, Sequence

import keras
from keras import layers

from train.conv_blocks import conv_norm_relu, kernel_initializer
from train.models.layers import AdaptiveAveragePooling, BilinearResize

PYRAMID_BINS = (1, 2, 3, 6)
"""Cells on each side of the grids that pyramid pooling averages into (PSPNet, arXiv 1612.01105, section 3.2)."""


def atrous_pyramid(
    features: keras.KerasTensor,
    channels: int,
    rates: Sequence[int],
    name: str,
    *,
    coordinates: str,
    dropout: layers.Layer,
    pooling_norm: bool = True,
) -> keras.KerasTensor:
    """Add atrous spatial pyramid pooling with image pooling (DeepLabV3, arXiv 1706.05587, section 3.3).

    A 1x1 convolution, a dilated 3x3 for each rate and the mean over the whole map, resized to the
    map, side by side; a 1x1 convolution joins them.

    Args:
        features: feature maps (N, h, w, C).
        channels: number of channels of each branch and of the result.
        rates: dilations of the 3x3 convolutions.
        name: prefix of the names of all layers.
        coordinates: coordinate rule of the resize.
        dropout: dropout layer that is put behind the result.
        pooling_norm: True for BatchNorm in the branch of the mean; one published implementation has none there.

    Returns:
        Feature maps (N, h, w, channels).
    """
    height, width = features.shape[1:3]
    branches = [conv_norm_relu(features, channels, 1, f"{name}_point")]
    branches += [conv_norm_relu(features, channels, 3, f"{name}_rate{rate}", dilation=rate) for rate in rates]
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool_mean")(features)
    if pooling_norm:
        pooled = conv_norm_relu(pooled, channels, 1, f"{name}_pool")
    else:
        pooled = layers.Conv2D(
            channels, 1, use_bias=False, kernel_initializer=kernel_initializer(), name=f"{name}_pool"
        )(pooled)
        pooled = layers.ReLU(name=f"{name}_pool_relu")(pooled)
    branches.append(BilinearResize(height, width, coordinates, name=f"{name}_pool_resize")(pooled))
    joined = layers.Concatenate(name=f"{name}_join")(branches)
    return dropout(conv_norm_relu(joined, channels, 1, f"{name}_project"))


def pyramid_pooling(
    features: keras.KerasTensor,
    name: str,
    *,
    add_conv: Callable[[keras.KerasTensor, int, str], keras.KerasTensor],
    coordinates: str,
) -> keras.KerasTensor:
    """Add PSPNet's pyramid pooling: means over grids of 1, 2, 3 and 6 cells, beside the features.

    Args:
        features: feature maps (N, h, w, C).
        name: prefix of the names of all layers.
        add_conv: (features, channels, name) -> features; the 1x1 convolution behind each mean.
        coordinates: coordinate rule of the resize.

    Returns:
        Feature maps (N, h, w, 2 C).
    """
    _, height, width, channels = features.shape
    branches = [features]
    for bins in PYRAMID_BINS:
        pooled = AdaptiveAveragePooling(bins, name=f"{name}_{bins}_pool")(features)
        pooled = add_conv(pooled, channels // len(PYRAMID_BINS), f"{name}_{bins}_conv")
        branches.append(BilinearResize(height, width, coordinates, name=f"{name}_{bins}_resize")(pooled))
    return layers.Concatenate(name=f"{name}_concat")(branches)
