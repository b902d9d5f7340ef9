"""Backbones by the names that published checkpoints give their tensors."""

from __future__ import annotations

from typing import Iterator

from train.backbones.resnet import BLOCK_COUNTS
from train.checkpoint_import.layer_weights import Entry, Tensors, conv_and_norm

VGG16_STAGES = (2, 2, 3, 3, 3)
"""Convolutions of each stage."""

DEPTH_OF_BLOCKS = {counts[2]: depth for depth, counts in BLOCK_COUNTS.items()}


def resnet_depth(tensors: Tensors, prefix: str) -> int | None:
    """Return 50 or 101, by the blocks of the third stage; None where the tensors are of neither."""
    blocks = 0
    while f"{prefix}layer3.{blocks}.conv1.weight" in tensors:
        blocks += 1
    return DEPTH_OF_BLOCKS.get(blocks)


def torch_resnet(prefix: str, depth: int, deep_stem: bool) -> Iterator[Entry]:
    """Give the entries of a ResNet named as torchvision does (deep stem: as wuhuikai/FastFCN).

    Args:
        prefix: in front of every name, with its dot.
        depth: 50 or 101.
        deep_stem: three 3x3 convolutions instead of one 7x7.
    """
    if deep_stem:
        yield from conv_and_norm("conv1_0", f"{prefix}conv1.0", f"{prefix}conv1.1", norm_layer="conv1_1")
        yield from conv_and_norm("conv1_3", f"{prefix}conv1.3", f"{prefix}conv1.4", norm_layer="conv1_4")
        yield from conv_and_norm("conv1_6", f"{prefix}conv1.6", f"{prefix}bn1", norm_layer="bn1")
    else:
        yield from conv_and_norm("conv1", f"{prefix}conv1", f"{prefix}bn1", norm_layer="bn1")
    for stage, blocks in enumerate(BLOCK_COUNTS[depth], start=1):
        for block in range(blocks):
            ours, theirs = f"layer{stage}_{block}", f"{prefix}layer{stage}.{block}"
            if block == 0:
                yield from conv_and_norm(
                    f"{ours}_downsample_0",
                    f"{theirs}.downsample.0",
                    f"{theirs}.downsample.1",
                    norm_layer=f"{ours}_downsample_1",
                )
            for index in (1, 2, 3):
                yield from conv_and_norm(
                    f"{ours}_conv{index}",
                    f"{theirs}.conv{index}",
                    f"{theirs}.bn{index}",
                    norm_layer=f"{ours}_bn{index}",
                )


def keras_resnet(depth: int) -> Iterator[Entry]:
    """Give the entries of Keras Applications' ResNet50 or ResNet101, whose convolutions have biases."""
    yield from conv_and_norm("conv1", "conv1_conv", "conv1_bn", norm_layer="bn1", bias=True, reversed_input=True)
    for stage, blocks in enumerate(BLOCK_COUNTS[depth], start=1):
        for block in range(blocks):
            ours, theirs = f"layer{stage}_{block}", f"conv{stage + 1}_block{block + 1}"
            if block == 0:
                yield from conv_and_norm(
                    f"{ours}_downsample_0",
                    f"{theirs}_0_conv",
                    f"{theirs}_0_bn",
                    norm_layer=f"{ours}_downsample_1",
                    bias=True,
                )
            for index in (1, 2, 3):
                yield from conv_and_norm(
                    f"{ours}_conv{index}",
                    f"{theirs}_{index}_conv",
                    f"{theirs}_{index}_bn",
                    norm_layer=f"{ours}_bn{index}",
                    bias=True,
                )


def torch_vgg16(has_norms: bool) -> Iterator[Entry]:
    """Give the entries of torchvision's VGG16: `features.N`, with N counted over all layers.

    Args:
        has_norms: of the variant with BatchNorm.
    """
    position = 0
    for stage, count in enumerate(VGG16_STAGES, start=1):
        for index in range(1, count + 1):
            layer, conv = f"conv{stage}_{index}", f"features.{position}"
            if has_norms:
                yield from conv_and_norm(layer, conv, f"features.{position + 1}", bias=True)
            else:
                yield from (Entry(layer, "conv", conv), Entry(f"{layer}_bn", "identity", conv))
            position += 3 if has_norms else 2
        position += 1  # the pooling


def keras_vgg16() -> Iterator[Entry]:
    """Give the entries of Keras Applications' VGG16, which has no BatchNorm."""
    for stage, count in enumerate(VGG16_STAGES, start=1):
        for index in range(1, count + 1):
            layer, conv = f"conv{stage}_{index}", f"block{stage}_conv{index}"
            yield Entry(layer, "conv", conv, reversed_input=layer == "conv1_1")
            yield Entry(f"{layer}_bn", "identity", conv)
