"""ResNet-50 and ResNet-101 as feature extractors for segmentation.

Papers: He et al., "Deep residual learning for image recognition", arXiv 1512.03385; the stem of
three 3x3 convolutions is from PSPNet's public code (Zhao et al., arXiv 1612.01105); the dilated
form from Yu et al., "Dilated residual networks", arXiv 1705.09914.

Facts such as channel counts, strides and the order of layers were compared with
encoding/dilated/resnet.py of github.com/wuhuikai/FastFCN. Layer names follow that file's weight
names (`layer1.0.conv1` is `layer1_0_conv1`), so that published weights can be mapped by name:
`conv1_0`, `conv1_3` and `conv1_6` are the deep stem, `bn1` its last normalisation.

Deviations from the paper, all of them also in the published weights that segmentation models use:
    - The stride of a stage is on the 3x3 convolution of its first block ("version 1.5"), because less
      of the input is thrown away; `stride_on="1x1"` puts it where the paper and Keras Applications have it.
    - The stem is three 3x3 convolutions (64, 64, 128 channels) when `deep_stem` is true.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import layers

from train.conv_blocks import conv_norm

BLOCK_COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""Depth -> bottleneck blocks of the four stages (table 1 of the paper)."""

STAGE_WIDTHS = (64, 128, 256, 512)
EXPANSION = 4

OUTPUT_STRIDES = (8, 16, 32)

BRANCH_GAMMA = 0.2
"""Scale of a block's last normalisation before any training.

Near the 0 with which Goyal et al. (arXiv 1706.02677, section 5.1) train better, and not 0, because
an untrained network has to run too: with 1, each of 33 blocks doubles the variance of what it adds
to, and the activations of a random ResNet-101 leave the range of float16.
"""


class ResNetFeatures(NamedTuple):
    """Feature maps of the four stages, for output stride 32; sides that do not divide are rounded up."""

    c1: keras.KerasTensor  # (N, height/4, width/4, 256)
    c2: keras.KerasTensor  # (N, height/8, width/8, 512)
    c3: keras.KerasTensor  # (N, height/16, width/16, 1024)
    c4: keras.KerasTensor  # (N, height/32, width/32, 2048)


def resnet(
    frame: keras.KerasTensor, depth: int = 50, deep_stem: bool = True, output_stride: int = 32, stride_on: str = "3x3"
) -> ResNetFeatures:
    """Add the layers of a ResNet, without its classifier, to a normalised frame.

    Args:
        frame: (N, height, width, 3) float.
        depth: 50 or 101.
        deep_stem: three 3x3 convolutions with 128 channels at the end, else one 7x7 with 64.
        output_stride: stride of the last stage. At 16 the last stage, at 8 the last two keep their
            input's size and are dilated instead.
        stride_on: convolution of a stage's first block that has its stride, "3x3" or "1x1".

    Returns:
        The output of each stage.

    Raises:
        ValueError: the depth, the output stride or the place of the stride is none of those above.
    """
    if stride_on not in ("3x3", "1x1"):
        raise ValueError(f"a block's stride is on {stride_on}, expected 3x3 or 1x1")
    if depth not in BLOCK_COUNTS:
        raise ValueError(f"ResNet depth is {depth}, expected one of {', '.join(map(str, BLOCK_COUNTS))}")
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"output stride is {output_stride}, expected one of {', '.join(map(str, OUTPUT_STRIDES))}")
    features = _deep_stem(frame) if deep_stem else conv_norm(frame, 64, 7, stride=2, conv="conv1", norm="bn1")
    features = layers.ReLU(name="relu1")(features)
    # Zeros instead of the minus infinity that a padded maximum is defined with: after ReLU no
    # value is below zero, so the maximum is the same.
    features = layers.ZeroPadding2D(1, name="maxpool_pad")(features)
    features = layers.MaxPooling2D(3, strides=2, padding="valid", name="maxpool")(features)

    stages = []
    stride, dilation = 4, 1
    for stage, (width, block_count) in enumerate(zip(STAGE_WIDTHS, BLOCK_COUNTS[depth]), start=1):
        stage_stride, first_dilation = (1 if stage == 1 else 2), dilation
        if stride * stage_stride > output_stride:
            # The 3x3 of the first block still looks at the spacing that its input was made with, unless a
            # 1x1 in front of it had the stride: then it looked at the new spacing.
            dilation *= stage_stride
            first_dilation = first_dilation if stride_on == "3x3" else dilation
            stage_stride = 1
        stride *= stage_stride
        for block in range(block_count):
            features = _bottleneck(
                features,
                width,
                stride=stage_stride if block == 0 else 1,
                dilation=first_dilation if block == 0 else dilation,
                project=block == 0,
                stride_on=stride_on,
                name=f"layer{stage}_{block}",
            )
        stages.append(features)
    return ResNetFeatures(*stages)


def _deep_stem(frame: keras.KerasTensor) -> keras.KerasTensor:
    features = conv_norm(frame, 64, 3, stride=2, conv="conv1_0", norm="conv1_1")
    features = layers.ReLU(name="conv1_2")(features)
    features = conv_norm(features, 64, 3, conv="conv1_3", norm="conv1_4")
    features = layers.ReLU(name="conv1_5")(features)
    return conv_norm(features, 128, 3, conv="conv1_6", norm="bn1")


def _bottleneck(
    features: keras.KerasTensor, width: int, *, stride: int, dilation: int, project: bool, stride_on: str, name: str
) -> keras.KerasTensor:
    shortcut = features
    if project:
        shortcut = conv_norm(
            features,
            width * EXPANSION,
            1,
            stride=stride,
            conv=f"{name}_downsample_0",
            norm=f"{name}_downsample_1",
        )
    first_stride, second_stride = (1, stride) if stride_on == "3x3" else (stride, 1)
    branch = conv_norm(features, width, 1, stride=first_stride, conv=f"{name}_conv1", norm=f"{name}_bn1")
    branch = layers.ReLU(name=f"{name}_relu1")(branch)
    branch = conv_norm(
        branch, width, 3, stride=second_stride, dilation=dilation, conv=f"{name}_conv2", norm=f"{name}_bn2"
    )
    branch = layers.ReLU(name=f"{name}_relu2")(branch)
    branch = conv_norm(branch, width * EXPANSION, 1, conv=f"{name}_conv3", norm=f"{name}_bn3", first_gamma=BRANCH_GAMMA)
    merged = layers.Add(name=f"{name}_add")([branch, shortcut])
    return layers.ReLU(name=f"{name}_out")(merged)
