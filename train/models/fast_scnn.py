"""Fast-SCNN: Fast Semantic Segmentation Network (Poudel, Liwicki, Cipolla; arXiv 1902.04502)."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import layers

from train.conv_blocks import batch_norm
from train.models.base import FRAME, LOGITS, ModelSpec, normalize
from train.models.context import pyramid_pooling
from train.models.layers import BilinearResize
from train.options import HALF_PIXEL

# Table 1 of the paper: (expansion, output channels, repeats, stride of the first block).
BOTTLENECKS = ((6, 64, 3, 2), (6, 96, 3, 2), (6, 128, 3, 1))


@dataclass(frozen=True)
class _Variant:
    """Choices that the paper leaves open, or that a published implementation makes otherwise.

    Attributes:
        separable_relu: True for a ReLU between the halves of a separable convolution.
        symmetric: True where strided convolutions are padded on both sides, as PyTorch does.
        fusion_dilation: dilation of the depthwise convolution in the feature fusion.
        coordinates: coordinate rule of the resizes.
    """

    separable_relu: bool
    symmetric: bool
    fusion_dilation: int
    coordinates: str

    def pad(self, x, strides: int, name: str) -> tuple[keras.KerasTensor, str]:
        """Return the input of a 3x3 convolution, padded if need be, and the `padding` argument of its layer."""
        if not self.symmetric or strides == 1:
            return x, "same"
        return layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid"

    def depthwise(self, x, name: str, strides: int = 1, dilation: int = 1, activate: bool = True):
        x, padding = self.pad(x, strides, f"{name}_depthwise")
        x = layers.DepthwiseConv2D(
            3, strides, padding=padding, dilation_rate=dilation, use_bias=False, name=f"{name}_depthwise"
        )(x)
        x = batch_norm(f"{name}_depthwise_bn")(x)
        return layers.ReLU(name=f"{name}_depthwise_relu")(x) if activate else x

    def separable(self, x, filters: int, name: str, strides: int = 1):
        """Add a depthwise separable convolution; section 3.2.1 of the paper has no ReLU between its halves."""
        x = self.depthwise(x, name, strides, activate=self.separable_relu)
        return _conv(x, filters, 1, f"{name}_pointwise")


def _conv(x, filters: int, kernel: int, name: str, strides: int = 1, activate: bool = True, padding: str = "same"):
    x = layers.Conv2D(filters, kernel, strides, padding=padding, use_bias=False, name=name)(x)
    x = batch_norm(f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _bottleneck(x, variant: _Variant, expansion: int, filters: int, strides: int, name: str):
    """Add MobileNetV2's inverted residual (table 2 of the paper), whose last pointwise convolution has no ReLU."""
    channels = x.shape[-1]
    y = _conv(x, channels * expansion, 1, f"{name}_expand")
    y = variant.depthwise(y, name, strides)
    y = _conv(y, filters, 1, f"{name}_project", activate=False)
    if strides == 1 and channels == filters:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _learning_to_downsample(x, variant: _Variant, first_padding: str):
    padding = first_padding
    if padding == "same":
        x, padding = variant.pad(x, 2, "downsample_conv")
    x = _conv(x, 32, 3, "downsample_conv", strides=2, padding=padding)
    x = variant.separable(x, 48, "downsample_sep1", strides=2)
    return variant.separable(x, 64, "downsample_sep2", strides=2)


def _global_features(x, variant: _Variant):
    for stage, (expansion, filters, repeats, strides) in enumerate(BOTTLENECKS, start=1):
        for block in range(1, repeats + 1):
            name = f"global_{stage}_{block}"
            x = _bottleneck(x, variant, expansion, filters, strides if block == 1 else 1, name)
    channels = x.shape[-1]

    def add_conv(pooled, filters: int, name: str):
        return _conv(pooled, filters, 1, name)

    merged = pyramid_pooling(x, "pyramid", add_conv=add_conv, coordinates=variant.coordinates)
    return _conv(merged, channels, 1, "pyramid_out")


def _feature_fusion(high, low, variant: _Variant):
    _, height, width, _ = high.shape
    low = BilinearResize(height, width, variant.coordinates, name="fusion_resize")(low)
    low = variant.depthwise(low, "fusion_low", dilation=variant.fusion_dilation)
    low = _conv(low, 128, 1, "fusion_low_pointwise", activate=False)
    high = _conv(high, 128, 1, "fusion_high_pointwise", activate=False)
    return layers.ReLU(name="fusion_relu")(layers.Add(name="fusion_add")([low, high]))


def _classifier(x, variant: _Variant, class_count: int, dropout: float):
    x = variant.separable(x, 128, "classifier_sep1")
    x = variant.separable(x, 128, "classifier_sep2")
    x = layers.Dropout(dropout, name="classifier_dropout")(x)
    return layers.Conv2D(class_count, 1, dtype="float32", name=LOGITS)(x)


def _auxiliary_head(x, class_count: int, name: str):
    x = _conv(x, 32, 3, f"{name}_conv")
    x = layers.Dropout(0.1, name=f"{name}_dropout")(x)
    return layers.Conv2D(class_count, 1, dtype="float32", name=name)(x)


def build_fast_scnn(
    height: int,
    width: int,
    class_count: int,
    separable_relu: bool = False,
    padding: str = "same",
    first_padding: str = "same",
    fusion_dilation: int = 4,
    coordinates: str = HALF_PIXEL,
    dropout: float = 0.1,
    normalisation: str = "imagenet",
) -> keras.Model:
    """Build Fast-SCNN for one frame size.

    Learning to downsample (stride 8), nine inverted-residual bottlenecks and pyramid pooling
    (stride 32), feature fusion back at stride 8, and the classifier.

    At 19 classes the convolutions have 1,114,115 weights, the paper's 1.11 M, and do 6.7 billion
    multiply-adds for a frame of 1024x2048. BatchNorm adds 23,680 trainable weights, which the export
    folds away, and the auxiliary heads 56,678, which only training has. Public implementations count
    BatchNorm, and 256 biases in the feature fusion that a BatchNorm cancels: 1,138,051
    (github.com/Tramac/Fast-SCNN-pytorch without its auxiliary head).

    Deviations from the paper, and why:
        - The logits stay at stride 8: softmax and upsampling are edge.postprocess' work.
        - The pyramid pools to 1, 2, 3 and 6 bins with overlapping windows where 6 does not divide
          the map (16 x 32 at 512x1024), as PSPNet does; the paper does not say.
        - Convolutions before a BatchNorm have no bias, which the norm would cancel.
        - The auxiliary heads (a 3x3 convolution to 32 channels and the classifier) follow public
          implementations; the paper gives their weight, 0.4, and place (section 4), not their form.
        - Dropout is 0.1 here and 0.3 in the paper, which trained for 1000 epochs.

    The options before `dropout` are what Tramac/Fast-SCNN-pytorch does otherwise: ReLU between the
    halves of a separable convolution, padding on both sides, none in the first convolution, no
    dilation in the fusion, and resizes with aligned corners.

    Args:
        height: rows of the frame, a multiple of 32.
        width: columns of the frame, a multiple of 32.
        class_count: number of classes of the dataset.
        separable_relu: True for a ReLU between the halves of a separable convolution.
        padding: padding of strided 3x3 convolutions, "same" (TensorFlow's, at the end alone) or "symmetric".
        first_padding: padding of the first convolution, "same" (as `padding` says) or "valid" (none).
        fusion_dilation: dilation of the depthwise convolution in the feature fusion, 4 or 1.
        coordinates: coordinate rule of the resizes, "half_pixel" or "align_corners".
        dropout: rate of the dropout before the classifier, 0 to 1.
        normalisation: key in train.models.base.NORMALIZATIONS.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to a dict of float32 logits, each
        (N, height / stride, width / stride, class_count): "logits" at stride 8, and the training
        heads "auxiliary_high" at stride 8 and "auxiliary_low" at stride 32.

    Raises:
        SizeError: a side is no multiple of 32.
    """
    FAST_SCNN.check_size(height, width)
    variant = _Variant(separable_relu, padding == "symmetric", fusion_dilation, coordinates)
    frame = keras.Input((height, width, 3), name=FRAME)
    high = _learning_to_downsample(normalize(frame, normalisation), variant, first_padding)
    low = _global_features(high, variant)
    fused = _feature_fusion(high, low, variant)
    outputs = {
        LOGITS: _classifier(fused, variant, class_count, dropout),
        "auxiliary_high": _auxiliary_head(high, class_count, "auxiliary_high"),
        "auxiliary_low": _auxiliary_head(low, class_count, "auxiliary_low"),
    }
    return keras.Model(frame, outputs, name="fast_scnn")


FAST_SCNN = ModelSpec(
    name="fast_scnn",
    title="Fast-SCNN",
    paper="arXiv 1902.04502",
    build=build_fast_scnn,
    stride=8,
    size_multiple=32,
    auxiliary_weights={"auxiliary_high": 0.4, "auxiliary_low": 0.4},
)
