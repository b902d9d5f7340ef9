"""Layer mappings of backbones: the names that published checkpoints give the tensors of a ResNet or a VGG16."""

from __future__ import annotations

from typing import Iterator

from train.backbones.resnet import BLOCK_COUNTS
from train.checkpoint_import.layer_weights import LayerMapping, Tensors, conv_and_norm

VGG16_STAGES = (2, 2, 3, 3, 3)
"""Number of convolutions in each stage of VGG16."""

DEPTH_OF_BLOCKS = {counts[2]: depth for depth, counts in BLOCK_COUNTS.items()}
"""Blocks in the third stage of a ResNet -> its depth, 50 or 101."""


def resnet_depth(tensors: Tensors, prefix: str) -> int | None:
    """Return the depth of a ResNet, 50 or 101, from the blocks of its third stage; None for another network."""
    blocks = 0
    while f"{prefix}layer3.{blocks}.conv1.weight" in tensors:
        blocks += 1
    return DEPTH_OF_BLOCKS.get(blocks)


def torch_resnet(prefix: str, depth: int, deep_stem: bool) -> Iterator[LayerMapping]:
    """Yield the layer mappings of a ResNet whose tensors are named as torchvision or wuhuikai/FastFCN names them.

    Args:
        prefix: text that precedes every name in the checkpoint, with its dot.
        depth: number of layers, 50 or 101.
        deep_stem: True for FastFCN's stem of three 3x3 convolutions, False for torchvision's single 7x7.
    """
    if deep_stem:
        yield from conv_and_norm("conv1_0", f"{prefix}conv1.0", f"{prefix}conv1.1", norm_layer="conv1_1")
        yield from conv_and_norm("conv1_3", f"{prefix}conv1.3", f"{prefix}conv1.4", norm_layer="conv1_4")
        yield from conv_and_norm("conv1_6", f"{prefix}conv1.6", f"{prefix}bn1", norm_layer="bn1")
    else:
        yield from conv_and_norm("conv1", f"{prefix}conv1", f"{prefix}bn1", norm_layer="bn1")
    for stage, blocks in enumerate(BLOCK_COUNTS[depth], start=1):
        for block in range(blocks):
            layer, tensor = f"layer{stage}_{block}", f"{prefix}layer{stage}.{block}"
            if block == 0:
                yield from conv_and_norm(
                    f"{layer}_downsample_0",
                    f"{tensor}.downsample.0",
                    f"{tensor}.downsample.1",
                    norm_layer=f"{layer}_downsample_1",
                )
            for index in (1, 2, 3):
                yield from conv_and_norm(
                    f"{layer}_conv{index}",
                    f"{tensor}.conv{index}",
                    f"{tensor}.bn{index}",
                    norm_layer=f"{layer}_bn{index}",
                )


def keras_resnet(depth: int) -> Iterator[LayerMapping]:
    """Yield the layer mappings of Keras Applications' ResNet50 or ResNet101, whose convolutions have biases."""
    yield from conv_and_norm("conv1", "conv1_conv", "conv1_bn", norm_layer="bn1", bias=True, reversed_input=True)
    for stage, blocks in enumerate(BLOCK_COUNTS[depth], start=1):
        for block in range(blocks):
            layer, tensor = f"layer{stage}_{block}", f"conv{stage + 1}_block{block + 1}"
            if block == 0:
                yield from conv_and_norm(
                    f"{layer}_downsample_0",
                    f"{tensor}_0_conv",
                    f"{tensor}_0_bn",
                    norm_layer=f"{layer}_downsample_1",
                    bias=True,
                )
            for index in (1, 2, 3):
                yield from conv_and_norm(
                    f"{layer}_conv{index}",
                    f"{tensor}_{index}_conv",
                    f"{tensor}_{index}_bn",
                    norm_layer=f"{layer}_bn{index}",
                    bias=True,
                )


def torch_vgg16(has_norms: bool) -> Iterator[LayerMapping]:
    """Yield the layer mappings of torchvision's VGG16, named `features.N` with N counted over all layers.

    Args:
        has_norms: True for the variant with BatchNorm.
    """
    position = 0
    for stage, count in enumerate(VGG16_STAGES, start=1):
        for index in range(1, count + 1):
            layer, conv = f"conv{stage}_{index}", f"features.{position}"
            if has_norms:
                yield from conv_and_norm(layer, conv, f"features.{position + 1}", bias=True)
            else:
                yield from (LayerMapping(layer, "conv", conv), LayerMapping(f"{layer}_bn", "identity", conv))
            position += 3 if has_norms else 2
        position += 1  # the pooling


def keras_vgg16() -> Iterator[LayerMapping]:
    """Yield the layer mappings of Keras Applications' VGG16, which has no BatchNorm."""
    for stage, count in enumerate(VGG16_STAGES, start=1):
        for index in range(1, count + 1):
            layer, conv = f"conv{stage}_{index}", f"block{stage}_conv{index}"
            yield LayerMapping(layer, "conv", conv, reversed_input=layer == "conv1_1")
            yield LayerMapping(f"{layer}_bn", "identity", conv)
