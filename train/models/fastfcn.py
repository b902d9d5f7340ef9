"""FastFCN: a plain ResNet, joint pyramid upsampling (JPU) and EncNet's context encoding head.

Papers: Wu et al., "FastFCN: Rethinking dilated convolution in the backbone for semantic
segmentation", arXiv 1903.11816; the head is from Zhang et al., "Context encoding for semantic
segmentation", arXiv 1803.08904. Facts were compared with github.com/wuhuikai/FastFCN.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from train.backbones.resnet import resnet
from train.conv_blocks import batch_norm, conv_norm, conv_norm_relu, kernel_initializer
from train.models.base import FRAME, LOGITS, PRESENCE, ModelSpec, normalize
from train.models.context import atrous_pyramid, pyramid_pooling
from train.models.layers import BilinearResize
from train.options import HALF_PIXEL

AUXILIARY = "auxiliary"

JPU_WIDTH = 512
JPU_DILATIONS = (1, 2, 4, 8)
HEAD_WIDTH = 512
DEEPLAB_RATES = (12, 24, 36)
CODEWORD_COUNT = 32
REFERENCE_POSITIONS = 60 * 60
"""Positions that the published networks encode: crops of 480x480 at stride 8."""


# Layers


@keras.saving.register_keras_serializable("segedge")
class ContextEncoding(layers.Layer):
    """Sum the residuals of all positions to learned codewords, softly assigned (EncNet, section 3).

    With features x_i, codewords c_k and smoothing factors s_k:

        a_ik = softmax over k of s_k ||x_i - c_k||^2
        e_k  = (reference_positions / positions) * sum over i of a_ik (x_i - c_k)

    The distances are expanded to ||x||^2 - 2 x.c + ||c||^2 and the sum to X A - C sum(A), so that
    both are matrix products: nothing larger than the features themselves is made, where the
    formula as written would need positions x codewords x channels numbers (2.1 GB at 1024x2048).
    Channels come before positions, the order in which ONNX convolutions leave them.

    Args:
        codeword_count: number of codewords, K.
        reference_positions: number of positions that the sum is scaled to; 0 leaves it as it is.
    """

    receptive_field = "frame"

    def __init__(self, codeword_count: int, reference_positions: int = REFERENCE_POSITIONS, **kwargs) -> None:
        super().__init__(**kwargs)
        self.codeword_count, self.reference_positions = codeword_count, reference_positions

    def build(self, input_shape) -> None:
        """Make the codewords (K, D) and the smoothing factors (K,), initialised as in EncNet's code."""
        channels = input_shape[-1]
        limit = (self.codeword_count * channels) ** -0.5
        self.codewords = self.add_weight(
            shape=(self.codeword_count, channels),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="codewords",
        )
        self.scale = self.add_weight(
            shape=(self.codeword_count,), initializer=keras.initializers.RandomUniform(-1.0, 0.0), name="scale"
        )

    def call(self, features):
        """Map (N, h, w, D) to (N, D, K), same dtype."""
        height, width, channels = features.shape[1:]
        positions = height * width
        columns = ops.reshape(ops.transpose(features, (0, 3, 1, 2)), (-1, channels, positions))  # (N, D, P)
        scale = ops.reshape(self.scale, (-1, 1))  # (K, 1)
        squared_norms = ops.sum(ops.square(columns), axis=1, keepdims=True)  # (N, 1, P)
        products = ops.matmul(-2.0 * scale * self.codewords, columns)  # (N, K, P)
        offsets = scale * ops.sum(ops.square(self.codewords), axis=1, keepdims=True)  # (K, 1)
        distances = scale * squared_norms + products + offsets  # (N, K, P)
        assignment = ops.softmax(ops.transpose(distances, (0, 2, 1)), axis=-1)  # (N, P, K)
        # Scaled before the product, so that no sum over positions leaves the range of float16.
        if self.reference_positions:
            assignment = assignment * (self.reference_positions / positions)
        masses = ops.sum(assignment, axis=1, keepdims=True)  # (N, 1, K)
        return ops.matmul(columns, assignment) - masses * ops.transpose(self.codewords)

    def multiply_adds(self, input_shape) -> int:
        """Return the multiply-adds of both matrix products for one frame."""
        _, height, width, channels = input_shape
        return 2 * height * width * channels * self.codeword_count

    def compute_output_shape(self, input_shape):
        """Return the shape of the result, (N, D, K)."""
        return (input_shape[0], input_shape[-1], self.codeword_count)

    def get_config(self) -> dict:
        """Return what `from_config` needs."""
        return {
            **super().get_config(),
            "codeword_count": self.codeword_count,
            "reference_positions": self.reference_positions,
        }


@keras.saving.register_keras_serializable("segedge")
class ChannelGate(layers.Layer):
    """Scale each channel by 1 + its gate: x + x * gate in one multiplication of the feature maps.

    The product is computed channels first. ONNX convolutions have this order too, so both transpositions
    vanish, while a gate of shape (N, 1, 1, C) would keep three of them in the exported graph.
    """

    receptive_field = "position"

    def call(self, features, gate):
        """Map features (N, h, w, C) and gate (N, C) in 0..1 to (N, h, w, C)."""
        factors = ops.reshape(gate + 1.0, (-1, features.shape[-1], 1, 1))
        return ops.transpose(ops.transpose(features, (0, 3, 1, 2)) * factors, (0, 2, 3, 1))

    def compute_output_shape(self, features_shape, gate_shape):
        """Return the shape of the features."""
        return features_shape


# Parts


def joint_pyramid_upsampling(
    c2: keras.KerasTensor, c3: keras.KerasTensor, c4: keras.KerasTensor, coordinates: str = HALF_PIXEL
) -> keras.KerasTensor:
    """Join the last three stages of a backbone at the resolution of the first (FastFCN, section 3.3).

    Args:
        c2: first of the three stages, (N, h, w, C2).
        c3: second of the three stages, (N, h/2, w/2, C3).
        c4: third of the three stages, (N, h/4, w/4, C4).
        coordinates: coordinate rule of the resizes.

    Returns:
        Feature maps (N, h, w, 2048).
    """
    height, width = c2.shape[1:3]
    inputs = []
    for features, name in ((c4, "jpu_conv5"), (c3, "jpu_conv4"), (c2, "jpu_conv3")):
        features = conv_norm(features, JPU_WIDTH, 3, conv=f"{name}_0", norm=f"{name}_1")
        features = layers.ReLU(name=f"{name}_2")(features)
        if features.shape[1:3] != (height, width):
            features = BilinearResize(height, width, coordinates, name=f"{name}_resize")(features)
        inputs.append(features)
    joined = layers.Concatenate(name="jpu_join")(inputs)
    branches = []
    for index, dilation in enumerate(JPU_DILATIONS, start=1):
        name = f"jpu_dilation{index}"
        branch = layers.DepthwiseConv2D(
            3,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            depthwise_initializer=kernel_initializer(),
            name=f"{name}_0_conv1",
        )(joined)
        branch = batch_norm(f"{name}_0_bn")(branch)
        branch = conv_norm(branch, JPU_WIDTH, 1, conv=f"{name}_0_pointwise", norm=f"{name}_1")
        branches.append(layers.ReLU(name=f"{name}_2")(branch))
    return layers.Concatenate(name="jpu_out")(branches)


def encoding_head(
    features: keras.KerasTensor, class_count: int, reference_positions: int = REFERENCE_POSITIONS
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Add EncNet's head (EncNet, section 3).

    Args:
        features: feature maps (N, h, w, C).
        class_count: number of classes.
        reference_positions: number of positions that ContextEncoding scales its sums to; 0 for plain sums.

    Returns:
        Logits (N, h, w, class_count), and for each class the logit of its presence somewhere in the frame
        (N, class_count), both float32.
    """
    features = conv_norm(features, HEAD_WIDTH, 1, conv="head_conv5_0", norm="head_conv5_1")
    features = layers.ReLU(name="head_conv5_2")(features)
    encoded = conv_norm(features, HEAD_WIDTH, 1, conv="head_encoding_0", norm="head_encoding_1")
    encoded = layers.ReLU(name="head_encoding_2")(encoded)
    # float32 also under a mixed precision policy: squared norms and sums over positions need its range.
    encoded = ContextEncoding(CODEWORD_COUNT, reference_positions, dtype="float32", name="head_encoding_3")(
        encoded
    )  # (N, D, K)
    encoded = batch_norm("head_encoding_4", dtype="float32")(encoded)
    encoded = layers.ReLU(name="head_encoding_5")(encoded)
    context = layers.GlobalAveragePooling1D(data_format="channels_first", name="head_encoding_6")(encoded)  # (N, D)
    gate = layers.Dense(HEAD_WIDTH, activation="sigmoid", name="head_fc_0")(context)
    gated = ChannelGate(name="head_gate")(features, gate)
    gated = layers.ReLU(name="head_gate_relu")(gated)
    gated = layers.SpatialDropout2D(0.1, name="head_conv6_0")(gated)
    logits = layers.Conv2D(class_count, 1, dtype="float32", name=LOGITS)(gated)
    presence = layers.Dense(class_count, dtype="float32", name=PRESENCE)(context)
    return logits, presence


def fcn_head(features: keras.KerasTensor, width: int, class_count: int, name: str, output: str) -> keras.KerasTensor:
    """Add a 3x3 convolution, dropout and the classifier: FCNHead of the published code, and the end of other heads.

    Args:
        features: feature maps (N, h, w, C).
        width: channels of the 3x3 convolution.
        class_count: number of classes.
        name: prefix of the names of all layers but the classifier.
        output: name of the classifier.

    Returns:
        Logits (N, h, w, class_count) float32.
    """
    features = conv_norm_relu(features, width, 3, f"{name}_conv")
    features = layers.SpatialDropout2D(0.1, name=f"{name}_dropout")(features)
    return layers.Conv2D(class_count, 1, dtype="float32", name=output)(features)


def psp_head(features: keras.KerasTensor, class_count: int, coordinates: str) -> keras.KerasTensor:
    """Add PSPNet's head (arXiv 1612.01105, section 3.2); see `fcn_head` for what it returns."""

    def add_conv(pooled: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        return conv_norm_relu(pooled, channels, 1, name)

    features = pyramid_pooling(features, "head_pyramid", add_conv=add_conv, coordinates=coordinates)
    return fcn_head(features, HEAD_WIDTH, class_count, "head", LOGITS)


def deeplab_head(features: keras.KerasTensor, class_count: int, coordinates: str) -> keras.KerasTensor:
    """Add DeepLabV3's head with rates for stride 8 (arXiv 1706.05587, section 3.3); see `fcn_head`."""
    width = features.shape[-1] // 8
    dropout = layers.SpatialDropout2D(0.5, name="head_aspp_dropout")
    features = atrous_pyramid(features, width, DEEPLAB_RATES, "head_aspp", coordinates=coordinates, dropout=dropout)
    return fcn_head(features, width, class_count, "head", LOGITS)


# Model


def build_fastfcn(
    height: int,
    width: int,
    class_count: int,
    depth: int = 50,
    head: str = "encnet",
    stem: str = "deep",
    coordinates: str = HALF_PIXEL,
    encoding_positions: int = REFERENCE_POSITIONS,
    stride_on: str = "3x3",
    normalisation: str = "imagenet",
) -> keras.Model:
    """Build FastFCN, by default with the EncNet head (`EncNet + JPU` in the paper's tables).

    Deviations from the paper and its code:
        - Features are resized with half-pixel coordinates, not with aligned corners: ONNX's
          default, and the rule of the other models here. `coordinates="align_corners"` is the code's.
        - The sums of the context encoding are scaled to the 60x60 positions of the published
          crops. As published they grow with the frame, while the batch normalisation behind them
          expects those of the training crops; the reference code evaluates in such crops, this
          one takes whole frames. At 480x480 both are the same. `encoding_positions=0` is the code's.
        - The outputs keep their own strides. The loss and edge.postprocess do the upsampling that
          the reference does in the network.
        - New convolutions start from a normal distribution (He et al. 2015), not from PyTorch's
          default.

    Size at 19 classes: 45.0 M trainable parameters for inference with ResNet-50, 64.0 M with
    ResNet-101; training adds 2.37 M in the auxiliary head and the presence layer. The published
    47.0 M and 66.0 M equal the inference network plus ResNet's ImageNet classifier of 2.05 M,
    which the reference carries but never runs. Multiply-adds at 1024x2048: 512.0 G with ResNet-50, of
    which 1.1 G are the products of the context encoding; without those 510.9 G, published 511 G.

    Args:
        height: rows of the frame, a multiple of 8.
        width: columns of the frame, a multiple of 8.
        class_count: number of classes.
        depth: number of layers of the ResNet, 50 or 101.
        head: "encnet", "psp", "deeplab" or "fcn", as in the paper's table 2.
        stem: "deep", three 3x3 convolutions, or "plain", one 7x7, for which Keras Applications has weights.
        coordinates: coordinate rule of the resizes, "half_pixel" or "align_corners".
        encoding_positions: positions that EncNet's sums are scaled to; 0 for plain sums.
        stride_on: convolution of a ResNet block that has its stride, "3x3" or "1x1".
        normalisation: key in train.models.base.NORMALIZATIONS.

    Returns:
        A model from frames (N, height, width, 3), RGB in 0..255, to a dict of float32 logits:
        `"logits"` (N, height/8, width/8, class_count); for training `"auxiliary"`
        (N, height/16, width/16, class_count) and with EncNet `"presence"` (N, class_count), whose target
        is 1 for each class that the label map holds (sigmoid and binary cross-entropy).

    Raises:
        SizeError: a side is no multiple of 8.

    Example:
        >>> model = build_fastfcn(512, 1024, class_count=19)
    """
    FASTFCN.check_size(height, width)
    frame = layers.Input((height, width, 3), name=FRAME)
    stages = resnet(normalize(frame, normalisation), depth, stem == "deep", stride_on=stride_on)
    features = joint_pyramid_upsampling(stages.c2, stages.c3, stages.c4, coordinates)
    outputs = {}
    if head == "encnet":
        outputs[LOGITS], outputs[PRESENCE] = encoding_head(features, class_count, encoding_positions)
    elif head == "psp":
        outputs[LOGITS] = psp_head(features, class_count, coordinates)
    elif head == "deeplab":
        outputs[LOGITS] = deeplab_head(features, class_count, coordinates)
    else:
        outputs[LOGITS] = fcn_head(features, HEAD_WIDTH, class_count, "head", LOGITS)
    outputs[AUXILIARY] = fcn_head(stages.c3, stages.c3.shape[-1] // 4, class_count, AUXILIARY, AUXILIARY)
    return keras.Model(frame, outputs, name="fastfcn")


FASTFCN = ModelSpec(
    name="fastfcn",
    title="FastFCN",
    paper="arXiv 1903.11816",
    build=build_fastfcn,
    stride=8,
    size_multiple=8,
    auxiliary_weights={AUXILIARY: 0.2, PRESENCE: 0.2},
)
