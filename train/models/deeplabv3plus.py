"""DeepLabV3+: atrous convolution in the encoder, and a decoder that brings sharp edges back.

Paper: Chen et al., "Encoder-decoder with atrous separable convolution for semantic image
segmentation", arXiv 1802.02611. Facts were compared with github.com/VainF/DeepLabV3Plus-Pytorch.
"""

from __future__ import annotations

import keras
from keras import layers

from train.backbones.resnet import resnet
from train.conv_blocks import conv_norm_relu
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.models.context import atrous_pyramid
from train.models.layers import BilinearResize
from train.options import HALF_PIXEL

WIDTH = 256
LOW_LEVEL_WIDTH = 48
RATES = {16: (6, 12, 18), 8: (12, 24, 36)}
"""Output stride -> dilations of the pyramid (DeepLabV3, arXiv 1706.05587, section 3.3)."""


def build_deeplabv3plus(
    height: int,
    width: int,
    class_count: int,
    depth: int = 101,
    output_stride: int = 16,
    decoder_convs: int = 2,
    coordinates: str = HALF_PIXEL,
    stride_on: str = "3x3",
    normalisation: str = "imagenet",
) -> keras.Model:
    """Build DeepLabV3+ with a ResNet backbone.

    Deviations from the paper, and why:
        - The backbone is a ResNet (the paper's section 4.2), not the modified Xception of its best results
          (section 4.3), because there are published weights of it for segmentation.
        - The ResNet has no multi-grid in its last stage, as the public weights have none.
        - Convolutions of the pyramid and of the decoder are not depthwise separable (the paper has both
          forms; the reference implementation's weights have these).
        - The logits stay at stride 4: the last upsampling by 4 is edge.postprocess' work.
        - Dropout in front of the classifier is the pyramid's 0.1 of the reference; the paper names none.

    With `decoder_convs=2`, the paper's best (section 4.1, table 2), the network does 77 G multiply-adds more at
    1024x2048 than with the one convolution of the reference implementation.

    Args:
        height: rows of the frame, a multiple of 8.
        width: columns of the frame, a multiple of 8.
        class_count: number of classes.
        depth: number of layers of the ResNet, 50 or 101.
        output_stride: stride of the backbone's last stage, 16 or 8.
        decoder_convs: number of 3x3 convolutions of the decoder, 1 or 2.
        coordinates: coordinate rule of the resizes, "half_pixel" or "align_corners".
        stride_on: convolution of a ResNet block that has its stride, "3x3" or "1x1".
        normalisation: key in train.models.base.NORMALIZATIONS.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to {"logits": (N, height/4, width/4,
        class_count)} float32.

    Raises:
        SizeError: a side is no multiple of 8.

    Example:
        >>> model = build_deeplabv3plus(512, 1024, class_count=19, depth=50)
    """
    DEEPLABV3PLUS.check_size(height, width)
    frame = layers.Input((height, width, 3), name=FRAME)
    stages = resnet(normalize(frame, normalisation), depth, False, output_stride, stride_on)
    dropout = layers.Dropout(0.1, name="aspp_dropout")
    high = atrous_pyramid(stages.c4, WIDTH, RATES[output_stride], "aspp", coordinates=coordinates, dropout=dropout)
    low = conv_norm_relu(stages.c1, LOW_LEVEL_WIDTH, 1, "decoder_low")
    high = BilinearResize(*low.shape[1:3], coordinates, name="decoder_resize")(high)
    joined = layers.Concatenate(name="decoder_join")([low, high])
    for index in range(1, decoder_convs + 1):
        joined = conv_norm_relu(joined, WIDTH, 3, f"decoder_conv{index}")
    logits = layers.Conv2D(class_count, 1, dtype="float32", name=LOGITS)(joined)
    return keras.Model(frame, {LOGITS: logits}, name="deeplabv3plus")


DEEPLABV3PLUS = ModelSpec(
    name="deeplabv3plus",
    title="DeepLabV3+",
    paper="arXiv 1802.02611",
    build=build_deeplabv3plus,
    stride=4,
    size_multiple=8,
    auxiliary_weights={},
)
