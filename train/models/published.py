"""Published sizes and work of the architectures, for the column beside our own figures.

Unless its source is a paper, a figure was counted by running the implementation's modules on a frame of
1024x2048 with 19 classes: parameters are all that the built model has, multiply-adds those of its
convolutions, transposed convolutions and linear layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

HEIGHT, WIDTH, CLASS_COUNT = 1024, 2048, 19


@dataclass(frozen=True)
class Figure:
    """A published number, and the source that it comes from."""

    value: int
    source: str


@dataclass(frozen=True)
class PublishedFigures:
    """Published size and work of an architecture with certain options.

    Attributes:
        parameters: number of trainable weights.
        multiply_adds: multiply-adds for one frame of 1024x2048.
    """

    parameters: Figure
    multiply_adds: Figure


Variant = tuple[str, frozenset[tuple[str, Any]]]
"""An architecture, and its options that differ from their defaults."""


def _variant(model: str, **options: Any) -> Variant:
    return model, frozenset(options.items())


def _counted(parameters: int, multiply_adds: int, source: str) -> PublishedFigures:
    return PublishedFigures(Figure(parameters, source), Figure(multiply_adds, source))


_FASTFCN = (
    "github.com/wuhuikai/FastFCN, {} with JPU, without its auxiliary head; the parameters include ResNet's "
    "ImageNet classifier of 2.05 M, which is never run"
)
_ENCODING = ", the multiply-adds leave out 1.07 G in the products of the encoding"

PUBLISHED: dict[Variant, PublishedFigures] = {
    _variant("unet", batch_norm=True): _counted(
        31_038_803, 1_543_772_307_456, "github.com/milesial/Pytorch-UNet, UNet with transposed convolutions"
    ),
    _variant("bayesian_segnet"): _counted(
        29_454_009,
        1_302_180_397_056,
        "github.com/meetps/pytorch-semseg, segnet; its convolutions have biases in front of BatchNorm",
    ),
    _variant("deeplabv3plus", decoder_convs=1): _counted(
        58_753_459,
        631_562_043_392,
        "github.com/VainF/DeepLabV3Plus-Pytorch, deeplabv3plus_resnet101 at output stride 16",
    ),
    _variant("deeplabv3plus", decoder_convs=1, depth=50): _counted(
        39_761_331,
        476_406_349_824,
        "github.com/VainF/DeepLabV3Plus-Pytorch, deeplabv3plus_resnet50 at output stride 16",
    ),
    _variant("fast_scnn"): PublishedFigures(
        Figure(1_110_000, "arXiv 1902.04502"),
        Figure(6_708_323_168, "github.com/Tramac/Fast-SCNN-pytorch, whose first convolution has no padding"),
    ),
    _variant("fastfcn"): _counted(47_018_011, 510_916_820_992, _FASTFCN.format("EncNet (ResNet-50)") + _ENCODING),
    _variant("fastfcn", depth=101): _counted(
        66_010_139, 666_072_514_560, _FASTFCN.format("EncNet (ResNet-101)") + _ENCODING
    ),
    _variant("fastfcn", head="psp"): _counted(68_499_899, 1_086_494_605_312, _FASTFCN.format("PSP (ResNet-50)")),
    _variant("fastfcn", head="deeplab"): _counted(
        61_546_683, 978_909_134_848, _FASTFCN.format("DeepLabV3 (ResNet-50)")
    ),
    _variant("fastfcn", head="fcn"): _counted(54_864_315, 777_204_531_200, _FASTFCN.format("FCN (ResNet-50)")),
    _variant("panoptic_deeplab"): _counted(
        55_308_870,
        267_650_596_864,
        "github.com/bowenc0221/panoptic-deeplab, configuration panoptic_deeplab_R50_os32_cityscapes; its image "
        "pooling has no BatchNorm",
    ),
}


def published_figures(
    model: str, options: Mapping[str, Any], height: int, width: int, class_count: int
) -> PublishedFigures | None:
    """Return the published figures of a network.

    Args:
        model: key in train.models.MODELS.
        options: options that differ from their defaults.
        height: rows of the frame.
        width: columns of the frame.
        class_count: number of classes.

    Returns:
        The figures; None where there are none for this network, this size and these classes.
    """
    if (height, width, class_count) != (HEIGHT, WIDTH, CLASS_COUNT):
        return None
    return PUBLISHED.get(_variant(model, **options))
