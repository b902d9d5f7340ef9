"""U-Net: a contracting and an expanding path with a skip connection at each level.

Paper: Ronneberger, Fischer, Brox, "U-Net: Convolutional networks for biomedical image segmentation",
arXiv 1505.04597. Facts were compared with github.com/zhixuhao/unet (dropout, same padding) and
github.com/milesial/Pytorch-UNet (BatchNorm, transposed convolutions, sizes that do not divide).
"""

from __future__ import annotations

import keras
from keras import layers

from train import conv_blocks
from train.models.base import FRAME, LOGITS, ModelSpec, normalize

LEVELS = 5
DROPOUT_LEVELS = (4, 5)


def _conv(features: keras.KerasTensor, channels: int, name: str, normed: bool) -> keras.KerasTensor:
    features = layers.Conv2D(
        channels, 3, padding="same", use_bias=not normed, kernel_initializer="he_normal", name=name
    )(features)
    if normed:
        features = conv_blocks.batch_norm(f"{name}_bn")(features)
    return layers.ReLU(name=f"{name}_relu")(features)


def _conv_pair(features: keras.KerasTensor, channels: int, level: int, normed: bool) -> keras.KerasTensor:
    features = _conv(features, channels, f"conv{level}_1", normed)
    return _conv(features, channels, f"conv{level}_2", normed)


def _grow_to(features: keras.KerasTensor, like: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add a row and a column of zeros where the pooling dropped an odd one."""
    bottom, right = (want - have for want, have in zip(like.shape[1:3], features.shape[1:3]))
    if not bottom and not right:
        return features
    return layers.ZeroPadding2D(((0, bottom), (0, right)), name=f"{name}_pad")(features)


def build_unet(
    height: int,
    width: int,
    class_count: int,
    batch_norm: bool = False,
    base_width: int = 64,
    normalisation: str = "imagenet",
) -> keras.Model:
    """Build U-Net: 64-128-256-512-1024 channels, 31.0 M parameters.

    Deviations from the paper, and why:
        - Padding is "same" (zeros), so that the logits have the frame's size; the paper's valid
          convolutions need a mirrored frame of 572x572 for a map of 388x388.
        - The paper puts dropout "at the end of the contracting path" without a rate; here it is 0.5
          behind the last convolutions of levels 4 and 5, as in zhixuhao/unet.
        - The up-convolution is a transposed 2x2 convolution without an activation, as milesial has it;
          zhixuhao repeats pixels and has a 2x2 convolution with ReLU. Both have the same weights' count.
        - The skip connection needs no crop, since nothing was lost. A level with an odd side drops its
          last row or column in the pooling and gets zeros there on the way up, as milesial has it.
        - `batch_norm=True` puts BatchNorm behind each 3x3 convolution, which then has no bias: with
          whole street scenes in small batches it trains, where the plain network often does not.
        - The 1x1 convolution gives one channel a class (the paper: 2).

    Args:
        height: rows of the frame, a multiple of 8, at least 16.
        width: columns of the frame, a multiple of 8, at least 16.
        class_count: number of classes.
        batch_norm: True for BatchNorm behind each 3x3 convolution.
        base_width: number of channels at full resolution.
        normalisation: key in train.models.base.NORMALIZATIONS.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to {"logits": (N, height, width,
        class_count)} float32.

    Raises:
        SizeError: a side is no multiple of 8, or less than 16.

    Example:
        >>> model = build_unet(512, 1024, class_count=19, batch_norm=True)
    """
    UNET.check_size(height, width)
    frame = layers.Input((height, width, 3), name=FRAME)
    features = normalize(frame, normalisation)
    skips = []
    for level in range(1, LEVELS + 1):
        features = _conv_pair(features, base_width << (level - 1), level, batch_norm)
        if level in DROPOUT_LEVELS:
            features = layers.Dropout(0.5, name=f"drop{level}")(features)
        if level < LEVELS:
            skips.append(features)
            features = layers.MaxPooling2D(2, name=f"pool{level}")(features)
    for level in range(LEVELS + 1, 2 * LEVELS):
        skip = skips.pop()
        channels = skip.shape[-1]
        features = layers.Conv2DTranspose(channels, 2, strides=2, kernel_initializer="he_normal", name=f"up{level}")(
            features
        )
        features = _grow_to(features, skip, f"up{level}")
        features = layers.Concatenate(name=f"merge{level}")([skip, features])
        features = _conv_pair(features, channels, level, batch_norm)
    logits = layers.Conv2D(class_count, 1, dtype="float32", name=LOGITS)(features)
    return keras.Model(frame, {LOGITS: logits}, name="unet")


UNET = ModelSpec(
    name="unet",
    title="U-Net",
    paper="arXiv 1505.04597",
    build=build_unet,
    stride=1,
    size_multiple=8,
    auxiliary_weights={},
    smallest_side=16,
)
