"""Layer mappings of whole networks: the names that public PyTorch implementations give their tensors."""

from __future__ import annotations

from typing import Iterator

from train.checkpoint_import.backbone_names import torch_resnet
from train.checkpoint_import.layer_weights import LayerMapping, conv_and_norm
from train.models.context import PYRAMID_BINS

LOGITS = "logits"


def _pyramid(name: str, prefix: str, rates: tuple[int, ...], pool: tuple[str, str | None]) -> Iterator[LayerMapping]:
    """Yield the layer mappings of an atrous pyramid whose branches are numbered `convs.N`, as torchvision's."""
    yield from conv_and_norm(f"{name}_point", f"{prefix}.convs.0.0", f"{prefix}.convs.0.1")
    for index, rate in enumerate(rates, start=1):
        yield from conv_and_norm(f"{name}_rate{rate}", f"{prefix}.convs.{index}.0", f"{prefix}.convs.{index}.1")
    conv, norm = (f"{prefix}.convs.{len(rates) + 1}.{part}" if part else None for part in pool)
    if norm is None:
        yield LayerMapping(f"{name}_pool", "conv", conv)
    else:
        yield from conv_and_norm(f"{name}_pool", conv, norm)
    yield from conv_and_norm(f"{name}_project", f"{prefix}.project.0", f"{prefix}.project.1")


# wuhuikai/FastFCN


def fastfcn(depth: int, head: str, deep_stem: bool) -> Iterator[LayerMapping]:
    """Yield the layer mappings of FastFCN for inference."""
    yield from torch_resnet("pretrained.", depth, deep_stem)
    for level in (5, 4, 3):
        name, prefix = f"jpu_conv{level}", f"jpu.conv{level}"
        yield from conv_and_norm(f"{name}_0", f"{prefix}.0", f"{prefix}.1", norm_layer=f"{name}_1")
    for index in (1, 2, 3, 4):
        name, prefix = f"jpu_dilation{index}", f"jpu.dilation{index}"
        yield from conv_and_norm(
            f"{name}_0_conv1", f"{prefix}.0.conv1", f"{prefix}.0.bn", norm_layer=f"{name}_0_bn", kind="depthwise"
        )
        yield from conv_and_norm(f"{name}_0_pointwise", f"{prefix}.0.pointwise", f"{prefix}.1", norm_layer=f"{name}_1")
    yield from {"encnet": _encnet, "psp": _psp, "deeplab": _deeplab, "fcn": _fcn}[head]()


def fastfcn_auxiliary() -> list[LayerMapping]:
    """Return the layer mappings of the head that only training uses."""
    return [
        *conv_and_norm("auxiliary_conv", "auxlayer.conv5.0", "auxlayer.conv5.1"),
        LayerMapping("auxiliary", "conv", "auxlayer.conv5.4"),
    ]


def fastfcn_presence() -> list[LayerMapping]:
    """Return the layer mapping of EncNet's semantic encoding loss, which only training uses."""
    return [LayerMapping("presence", "dense", "head.encmodule.selayer")]


def _encnet() -> Iterator[LayerMapping]:
    encoding = "head.encmodule.encoding"
    yield from conv_and_norm("head_conv5_0", "head.conv5.0", "head.conv5.1", norm_layer="head_conv5_1")
    yield from conv_and_norm("head_encoding_0", f"{encoding}.0", f"{encoding}.1", norm_layer="head_encoding_1")
    yield LayerMapping("head_encoding_3", "encoding", f"{encoding}.3")
    yield LayerMapping("head_encoding_4", "norm", f"{encoding}.4")
    yield LayerMapping("head_fc_0", "dense", "head.encmodule.fc.0")
    yield LayerMapping(LOGITS, "conv", "head.conv6.1")


def _psp() -> Iterator[LayerMapping]:
    for index, bins in enumerate(PYRAMID_BINS, start=1):
        prefix = f"head.conv5.0.conv{index}"
        yield from conv_and_norm(f"head_pyramid_{bins}_conv", f"{prefix}.0", f"{prefix}.1")
    yield from conv_and_norm("head_conv", "head.conv5.1", "head.conv5.2")
    yield LayerMapping(LOGITS, "conv", "head.conv5.5")


def _deeplab() -> Iterator[LayerMapping]:
    yield from conv_and_norm("head_aspp_point", "head.aspp.b0.0", "head.aspp.b0.1")
    for index, rate in enumerate((12, 24, 36), start=1):
        yield from conv_and_norm(f"head_aspp_rate{rate}", f"head.aspp.b{index}.0", f"head.aspp.b{index}.1")
    yield from conv_and_norm("head_aspp_pool", "head.aspp.b4.gap.1", "head.aspp.b4.gap.2")
    yield from conv_and_norm("head_aspp_project", "head.aspp.project.0", "head.aspp.project.1")
    yield from conv_and_norm("head_conv", "head.block.0", "head.block.1")
    yield LayerMapping(LOGITS, "conv", "head.block.4")


def _fcn() -> Iterator[LayerMapping]:
    yield from conv_and_norm("head_conv", "head.conv5.0", "head.conv5.1")
    yield LayerMapping(LOGITS, "conv", "head.conv5.4")


# Tramac/Fast-SCNN-pytorch


def fast_scnn() -> Iterator[LayerMapping]:
    """Yield the layer mappings of Fast-SCNN for inference."""
    yield from conv_and_norm("downsample_conv", *_pair("learning_to_downsample.conv.conv", 0))
    yield from _separable("downsample_sep1", "learning_to_downsample.dsconv1.conv")
    yield from _separable("downsample_sep2", "learning_to_downsample.dsconv2.conv")
    for stage in (1, 2, 3):
        for block in (1, 2, 3):
            name = f"global_{stage}_{block}"
            prefix = f"global_feature_extractor.bottleneck{stage}.{block - 1}.block"
            yield from conv_and_norm(f"{name}_expand", *_pair(f"{prefix}.0.conv", 0))
            yield from conv_and_norm(f"{name}_depthwise", *_pair(f"{prefix}.1.conv", 0), kind="depthwise")
            yield from conv_and_norm(f"{name}_project", *_pair(prefix, 2))
    for index, bins in enumerate(PYRAMID_BINS, start=1):
        yield from conv_and_norm(f"pyramid_{bins}_conv", *_pair(f"global_feature_extractor.ppm.conv{index}.conv", 0))
    yield from conv_and_norm("pyramid_out", *_pair("global_feature_extractor.ppm.out.conv", 0))
    fusion = "feature_fusion"
    yield from conv_and_norm("fusion_low_depthwise", *_pair(f"{fusion}.dwconv.conv", 0), kind="depthwise")
    yield from conv_and_norm("fusion_low_pointwise", *_pair(f"{fusion}.conv_lower_res", 0), bias=True)
    yield from conv_and_norm("fusion_high_pointwise", *_pair(f"{fusion}.conv_higher_res", 0), bias=True)
    yield from _separable("classifier_sep1", "classifier.dsconv1.conv")
    yield from _separable("classifier_sep2", "classifier.dsconv2.conv")
    yield LayerMapping(LOGITS, "conv", "classifier.conv.1")


def fast_scnn_auxiliary() -> list[LayerMapping]:
    """Return the layer mappings of the one auxiliary head that the implementation has, on the high resolution."""
    return [
        *conv_and_norm("auxiliary_high_conv", *_pair("auxlayer", 0)),
        LayerMapping("auxiliary_high", "conv", "auxlayer.4"),
    ]


def _pair(prefix: str, index: int) -> tuple[str, str]:
    return f"{prefix}.{index}", f"{prefix}.{index + 1}"


def _separable(name: str, prefix: str) -> Iterator[LayerMapping]:
    yield from conv_and_norm(f"{name}_depthwise", *_pair(prefix, 0), kind="depthwise")
    yield from conv_and_norm(f"{name}_pointwise", *_pair(prefix, 3))


# VainF/DeepLabV3Plus-Pytorch


def deeplabv3plus(depth: int, rates: tuple[int, ...]) -> Iterator[LayerMapping]:
    """Yield the layer mappings of DeepLabV3+."""
    yield from torch_resnet("backbone.", depth, deep_stem=False)
    yield from conv_and_norm("decoder_low", "classifier.project.0", "classifier.project.1")
    yield from _pyramid("aspp", "classifier.aspp", rates, ("1", "2"))
    yield from conv_and_norm("decoder_conv1", "classifier.classifier.0", "classifier.classifier.1")
    yield LayerMapping(LOGITS, "conv", "classifier.classifier.3")


# meetps/pytorch-semseg


def segnet(reversed_input: bool = True) -> Iterator[LayerMapping]:
    """Yield the layer mappings of SegNet, whose last convolution has BatchNorm and ReLU.

    Args:
        reversed_input: True where the checkpoint was trained on frames in the channel order blue, green, red.
    """
    widths = (2, 2, 3, 3, 3)
    for stage, count in enumerate(widths, start=1):
        for index in range(1, count + 1):
            unit = f"down{stage}.conv{index}.cbr_unit"
            first = (stage, index) == (1, 1)
            yield from conv_and_norm(
                f"conv{stage}_{index}", *_pair(unit, 0), bias=True, reversed_input=first and reversed_input
            )
            unit = f"up{stage}.conv{count - index + 1}.cbr_unit"
            name = "classifier" if first else f"conv{stage}_{index}_decoder"
            yield from conv_and_norm(name, *_pair(unit, 0), bias=True)


# bowenc0221/panoptic-deeplab


def panoptic_deeplab(rates: tuple[int, ...]) -> Iterator[LayerMapping]:
    """Yield the layer mappings of Panoptic-DeepLab with a ResNet-50."""
    yield from torch_resnet("backbone.", 50, deep_stem=False)
    for branch in ("semantic", "instance"):
        decoder = f"decoder.{branch}_decoder"
        yield from _pyramid(f"{branch}_aspp", f"{decoder}.aspp", rates, ("aspp_pooling.1", None))
        for index in range(3):
            yield from conv_and_norm(f"{branch}_low{index}", *_pair(f"{decoder}.project.{index}", 0))
            yield from _fusion(f"{branch}_fuse{index}", f"{decoder}.fuse.{index}")
    for layer, branch, key in (
        (LOGITS, "semantic", "semantic"),
        ("centre", "instance", "center"),
        ("offset", "instance", "offset"),
    ):
        classifier = f"decoder.{branch}_head.classifier.{key}"
        yield from _fusion(f"{layer}_head", f"{classifier}.0")
        yield LayerMapping(layer, "conv", f"{classifier}.1")


def _fusion(name: str, prefix: str) -> Iterator[LayerMapping]:
    yield from conv_and_norm(f"{name}_depthwise", *_pair(f"{prefix}.0.0", 0), kind="depthwise")
    yield from conv_and_norm(f"{name}_pointwise", *_pair(f"{prefix}.0", 1))


# milesial/Pytorch-UNet


def unet() -> Iterator[LayerMapping]:
    """Yield the layer mappings of U-Net with BatchNorm and transposed convolutions."""
    for level in range(1, 10):
        if level == 1:
            pair = "inc.double_conv"
        elif level <= 5:
            pair = f"down{level - 1}.maxpool_conv.1.double_conv"
        else:
            pair = f"up{level - 5}.conv.double_conv"
            yield LayerMapping(f"up{level}", "transposed", f"up{level - 5}.up")
        yield from conv_and_norm(f"conv{level}_1", *_pair(pair, 0))
        yield from conv_and_norm(f"conv{level}_2", *_pair(pair, 3))
    yield LayerMapping(LOGITS, "conv", "outc.conv")
