"""Panoptic-DeepLab: semantic segmentation and instance centres from one backbone, bottom up.

Paper: Cheng et al., "Panoptic-DeepLab: A simple, strong, and fast baseline for bottom-up panoptic
segmentation", arXiv 1911.10194. Facts were compared with github.com/bowenc0221/panoptic-deeplab.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import keras
from keras import layers

from edge.contract import CENTRE_HEATMAP, OFFSETS, OutputTensor
from train.backbones.mobilenet_v3 import mobilenet_v3_large
from train.backbones.resnet import resnet
from train.conv_blocks import conv_norm_relu, separable_norm_relu
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.models.context import atrous_pyramid
from train.models.layers import BilinearResize
from train.options import HALF_PIXEL

CENTRE, OFFSET = "centre", "offset"

SEMANTIC_WIDTH, INSTANCE_WIDTH, INSTANCE_HEAD_WIDTH, PYRAMID_WIDTH = 256, 128, 32, 256
SEMANTIC_LOW_WIDTHS, INSTANCE_LOW_WIDTHS = (128, 64, 32), (64, 32, 16)
"""Channels that the backbone's stages of stride 16, 8 and 4 are projected to in each decoder."""

RATES = {32: (3, 6, 9), 16: (6, 12, 18)}
"""Output stride -> dilations of the pyramids; those of 32 are the reference's."""


def _decoder(
    stages: Sequence[keras.KerasTensor],
    low_widths: Sequence[int],
    width: int,
    rates: Sequence[int],
    name: str,
    coordinates: str,
    pooling_norm: bool,
) -> keras.KerasTensor:
    """Add a pyramid and three fusions, from stride 32 up to 4 (paper, section 3.1).

    Args:
        stages: feature maps of the backbone, from the largest to the smallest.
        low_widths: channels that the other feature maps are projected to, from the smallest map to the largest.
        width: channels of the fusions.
        rates: dilations of the pyramid.
        name: prefix of the names of all layers.
        coordinates: coordinate rule of the resizes.
        pooling_norm: True for BatchNorm in the image pooling of the pyramid.

    Returns:
        Feature maps (N, height/4, width/4, `width`).
    """
    *low_stages, top = stages
    dropout = layers.Dropout(0.5, name=f"{name}_aspp_dropout")
    features = atrous_pyramid(
        top, PYRAMID_WIDTH, rates, f"{name}_aspp", coordinates=coordinates, dropout=dropout, pooling_norm=pooling_norm
    )
    for index, (low, low_width) in enumerate(zip(reversed(low_stages), low_widths)):
        low = conv_norm_relu(low, low_width, 1, f"{name}_low{index}")
        features = BilinearResize(*low.shape[1:3], coordinates, name=f"{name}_resize{index}")(features)
        features = layers.Concatenate(name=f"{name}_join{index}")([features, low])
        features = separable_norm_relu(features, width, 5, f"{name}_fuse{index}")
    return features


def _head(features: keras.KerasTensor, width: int, channels: int, name: str) -> keras.KerasTensor:
    features = separable_norm_relu(features, width, 5, f"{name}_head")
    return layers.Conv2D(channels, 1, dtype="float32", name=name)(features)


def build_panoptic_deeplab(
    height: int,
    width: int,
    class_count: int,
    backbone: str = "resnet50",
    output_stride: int = 32,
    pooling_norm: bool = True,
    coordinates: str = HALF_PIXEL,
    stride_on: str = "3x3",
    normalisation: str = "imagenet",
) -> keras.Model:
    """Build the network of Panoptic-DeepLab, with its three heads.

    The semantic and the instance branch each have a pyramid and a decoder of their own; fusions are
    5x5 depthwise separable convolutions with BatchNorm and ReLU behind each half.

    Deviations from the paper, and why:
        - The backbone keeps stride 32 and the decoders fuse three of its stages, with rates 3, 6 and 9,
          as the reference's fast configurations; `output_stride=16` dilates the last
          stage as the paper does, and still fuses three stages where the paper fuses two.
        - The ResNet has a plain 7x7 stem (the paper: Xception-71, or a ResNet-50 with three 3x3).
        - Convolutions of the pyramid are not separable, as in the reference; in the paper they are.
        - The three outputs stay at stride 4. Offsets count positions of the output, not pixels of the
          frame: rows first, as the reference has them before its last upsampling.
        - `pooling_norm=False` leaves out the BatchNorm of the pyramid's image pooling, as the reference.
        - With the MobileNetV3 backbone (paper, table 9: the light one) the stages are those of stride 4,
          8, 16 and 32 of Keras Applications' MobileNetV3-Large.

    Args:
        height: rows of the frame, a multiple of 8.
        width: columns of the frame, a multiple of 8.
        class_count: number of classes.
        backbone: "resnet50" or "mobilenet_v3_large".
        output_stride: stride of the ResNet's last stage, 32 or 16.
        pooling_norm: True for BatchNorm in the image pooling of the pyramids.
        coordinates: coordinate rule of the resizes, "half_pixel" or "align_corners".
        stride_on: convolution of a ResNet block that has its stride, "3x3" or "1x1".
        normalisation: key in train.models.base.NORMALIZATIONS.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to a dict at stride 4, float32:
        "logits" (..., class_count), "centre" (..., 1) heat map and "offset" (..., 2) rows and columns to
        the centre.

    Raises:
        SizeError: a side is no multiple of 8.

    Example:
        >>> model = build_panoptic_deeplab(512, 1024, class_count=19)
    """
    PANOPTIC_DEEPLAB.check_size(height, width)
    frame = layers.Input((height, width, 3), name=FRAME)
    normalised = normalize(frame, normalisation)
    if backbone == "resnet50":
        stages = resnet(normalised, 50, False, output_stride, stride_on)
        rates = RATES[output_stride]
    else:
        stages, rates = mobilenet_v3_large(normalised), RATES[32]
    semantic = _decoder(stages, SEMANTIC_LOW_WIDTHS, SEMANTIC_WIDTH, rates, "semantic", coordinates, pooling_norm)
    instance = _decoder(stages, INSTANCE_LOW_WIDTHS, INSTANCE_WIDTH, rates, "instance", coordinates, pooling_norm)
    outputs = {
        LOGITS: _head(semantic, SEMANTIC_WIDTH, class_count, LOGITS),
        CENTRE: _head(instance, INSTANCE_HEAD_WIDTH, 1, CENTRE),
        OFFSET: _head(instance, INSTANCE_HEAD_WIDTH, 2, OFFSET),
    }
    return keras.Model(frame, outputs, name="panoptic_deeplab")


def _extra_outputs(class_count: int, options: Mapping[str, Any]) -> tuple[OutputTensor, ...]:
    return (OutputTensor(CENTRE, 1, CENTRE_HEATMAP), OutputTensor(OFFSET, 2, OFFSETS, "positions"))


PANOPTIC_DEEPLAB = ModelSpec(
    name="panoptic_deeplab",
    title="Panoptic-DeepLab",
    paper="arXiv 1911.10194",
    build=build_panoptic_deeplab,
    stride=4,
    size_multiple=8,
    auxiliary_weights={},
    extra_outputs=_extra_outputs,
)
