"""Kinds of networks whose ranges are hostile to INT8, each as small as shows it."""

from __future__ import annotations

from typing import Callable

import numpy as np

from benchmarks.hostile.network_builder import IMAGE, NetworkBuilder

DEAD_SHIFT = -40.0
"""Mean of a dead channel in its standard deviations: a ReLU behind it gives nothing."""


def image_beside_features(net: NetworkBuilder) -> str:
    """Concat of features with the shrunken image, whose values are some 185 times smaller.

    ESPNet and C3Net are of this kind (Mehta 2018, section 3; Park 2018): dilated branches are summed step by step and
    joined, and a batch normalisation stands behind each Concat, where no convolution takes it up.
    """
    image_half = net.add("AveragePool", [IMAGE], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    image_quarter = net.add("AveragePool", [image_half], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    half = net.prelu(net.conv(IMAGE, 16, stride=2))
    joined = net.prelu(net.batch_norm(net.add("Concat", [half, image_half], axis=1)))
    quarter = net.prelu(net.conv(joined, 40, stride=2))
    first = quarter
    for _ in range(3):
        quarter = _dilated_block(net, quarter)
    joined = net.prelu(net.batch_norm(net.add("Concat", [quarter, first, image_quarter], axis=1)))
    eighth = net.prelu(net.conv(joined, 60, stride=2))
    for _ in range(3):
        eighth = _dilated_block(net, eighth)
    return net.add("Concat", [joined, net.resize(eighth, 2)], axis=1)


def spread_channels(net: NetworkBuilder) -> str:
    """Residual blocks whose channels have ranges spread over three decades."""
    spread = 10 ** net.random.uniform(-1.5, 1.5, 32)
    trunk = net.add("Relu", [net.conv(IMAGE, 16, stride=2, spread=10 ** net.random.uniform(-1.5, 1.5, 16))])
    trunk = first = net.add("Relu", [net.conv(trunk, 32, stride=2, spread=spread)])
    for index in range(8):
        inner = net.conv(trunk, 32, spread=10 ** net.random.uniform(-1.5, 1.5, 32), dilation=1 + index % 4)
        branch = net.conv(net.add("Relu", [inner]), 32, spread=0.5 * spread)
        trunk = net.add("Relu", [net.add("Add", [trunk, branch])])
    return net.add("Concat", [first, trunk], axis=1)


def depthwise_prelu(net: NetworkBuilder) -> str:
    """Chains of 1x1, depthwise and 1x1 convolutions with PRelu, whose depthwise kernels differ by two decades."""
    trunk = first = net.conv(net.prelu(net.conv(IMAGE, 16, stride=2)), 24, stride=2)
    for index in range(8):
        wide = net.prelu(net.conv(trunk, 72, kernel=1, spread=10 ** net.random.uniform(-1, 1, 72)), 0.0, 1.5)
        spread = 10 ** net.random.uniform(-1, 1, 72)
        deep = net.prelu(net.conv(wide, 72, groups=72, spread=spread, dilation=1 + 2 * (index % 3)), -0.3, 1.5)
        trunk = net.add("Add", [trunk, net.conv(deep, 24, kernel=1, spread=0.5)])
    return net.add("Concat", [first, trunk, deep], axis=1)


def dead_channels(net: NetworkBuilder) -> str:
    """Channels that a ReLU shuts off everywhere, and that are read by weights a hundred times the others."""

    def layer(tensor: str, channels: int, **options: int) -> str:
        shift = np.where(net.random.permutation(channels) < channels // 8, DEAD_SHIFT, 0.3)
        return net.add("Relu", [net.conv(tensor, channels, shift=shift, **options)])

    trunk = first = layer(layer(IMAGE, 16, stride=2), 32, stride=2)
    for index in range(6):
        trunk = layer(layer(trunk, 48, dilation=1 + index % 3), 32, kernel=1)
    eighth = layer(trunk, 48, stride=2)
    for index in range(4):
        eighth = layer(eighth, 48, dilation=1 + index)
    return net.add("Concat", [first, trunk, net.resize(eighth, 2)], axis=1)


def shuffled_groups(net: NetworkBuilder) -> str:
    """Blocks of which half the channels pass and half are changed, shuffled by Reshape and Transpose (Ma 2018)."""
    trunk = net.conv(net.add("Relu", [net.conv(IMAGE, 16, stride=2)]), 48, stride=2)
    first = net.add("Relu", [trunk])
    trunk = first
    for index in range(9):
        passed, changed = net.add("Split", [trunk], (np.array([24, 24], np.int64),), outputs=2, axis=1)
        changed = net.add("Relu", [net.conv(changed, 24, kernel=1, spread=10 ** net.random.uniform(-1, 1, 24))])
        changed = net.conv(changed, 24, groups=24, dilation=1 + index % 4, spread=10 ** net.random.uniform(-1, 1, 24))
        grown = 4.0 ** (
            (index % 4) - 1
        )  # what passes and what is changed drift apart, and meet again after the shuffle
        changed = net.add("Relu", [net.conv(changed, 24, kernel=1, spread=grown)])
        trunk = _shuffle(net, net.add("Concat", [passed, changed], axis=1), groups=2)
    return net.add("Concat", [first, trunk], axis=1)


def sigmoid_gates(net: NetworkBuilder) -> str:
    """Residual blocks whose channels are multiplied by sigmoid gates of the whole picture, from 0.002 to 0.9."""
    trunk = first = net.add("Relu", [net.conv(net.add("Relu", [net.conv(IMAGE, 16, stride=2)]), 32, stride=2)])
    for index in range(7):
        branch = net.add("Relu", [net.conv(trunk, 48, dilation=1 + index % 4)])
        mean = net.add("GlobalAveragePool", [branch])
        squeezed = net.add("Relu", [net.conv(mean, 12, kernel=1)])
        gate = net.add("Sigmoid", [net.conv(squeezed, 48, kernel=1, shift=net.random.uniform(-6, 2, 48))])
        branch = net.conv(net.add("Mul", [branch, gate]), 32, kernel=1, spread=0.5)
        trunk = net.add("Relu", [net.add("Add", [trunk, branch])])
    return net.add("Concat", [first, trunk], axis=1)


KINDS: dict[str, Callable[[NetworkBuilder], str]] = {
    maker.__name__: maker
    for maker in (
        image_beside_features,
        spread_channels,
        depthwise_prelu,
        dead_channels,
        shuffled_groups,
        sigmoid_gates,
    )
}
"""Name of a kind -> function that adds its layers, and returns the name of the features that the classifier reads."""


def _dilated_block(net: NetworkBuilder, tensor: str) -> str:
    """Add a residual block of dilated branches, each with the sum of those before it, and return its output."""
    channels = net.channels(tensor)
    reduced = net.conv(tensor, channels // 5, kernel=1)
    branches = [net.conv(reduced, channels // 5, dilation=dilation) for dilation in (1, 2, 4, 8, 16)]
    sums = branches[:2]
    for branch in branches[2:]:
        sums.append(net.add("Add", [sums[-1], branch]))
    joined = net.add("Add", [tensor, net.add("Concat", sums, axis=1)])
    return net.prelu(net.batch_norm(joined))


def _shuffle(net: NetworkBuilder, tensor: str, groups: int) -> str:
    """Add a shuffle of channels between groups, and return its output."""
    _, channels, height, width = net.values[tensor].shape
    apart = net.add("Reshape", [tensor], (np.array([0, groups, channels // groups, height, width], np.int64),))
    turned = net.add("Transpose", [apart], perm=[0, 2, 1, 3, 4])
    return net.add("Reshape", [turned], (np.array([0, channels, height, width], np.int64),))
