"""Draw the data flow of every architecture: `python docs/draw_models.py` writes docs/models/*.svg.

tests/test_model_pictures.py holds each block and arrow against the graph that Keras builds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from block_diagram import BACKBONE, CLASS_COUNT, CONTEXT, DECODER, ENDS, TRAINING, Area, Block, Picture, draw

SAMPLES = 2
"""Samples of the Bayesian SegNet that the picture of any T is held against."""

FOLDER = Path(__file__).resolve().parent / "models"

BLOCK_COUNTS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

UPSAMPLING = "The logits are upsampled to the frame outside the network."
NORMED = "BatchNorm and ReLU behind each convolution but the last"

# A block: key, x, y, width, kind, title, layer, channels, stride, notes.


def _frame(x: float, y: float, width: float) -> Block:
    return Block("frame", x, y, width, ENDS, "frame, normalised", "normalise", 3, 1, ("uint8, RGB",))


def _resnet(
    x: float, rows: Sequence[float], width: float, depth: int, stem: str, stem_width: int, last_stride: int
) -> list[Block]:
    blocks = [
        _frame(x, rows[0], width),
        Block("stem", x, rows[1], width, BACKBONE, stem, "relu1", stem_width, 2),
    ]
    shapes = ((256, 4), (512, 8), (1024, 16), (2048, last_stride))
    for stage, (count, (channels, stride)) in enumerate(zip(BLOCK_COUNTS[depth], shapes), start=1):
        note = f"max pool, {count} blocks" if stage == 1 else f"{count} blocks"
        if stage == 4 and last_stride == 16:
            note += ", dilation 1, 2, 2"
        title, layer = f"ResNet stage {stage}", f"layer{stage}_{count - 1}_out"
        blocks.append(
            Block(f"stage{stage}", x, rows[stage + 1], width, BACKBONE, title, layer, channels, stride, (note,))
        )
    return blocks


RESNET = "frame -> stem -> stage1 -> stage2 -> stage3 -> stage4"


def _unet() -> Picture:
    rows = [80 + 112 * level for level in range(6)]
    blocks = [_frame(20, rows[0], 190)]
    arrows = ["frame -> down1", "down5.right -> grow4.bottom"]
    for level in range(1, 6):
        channels, stride = 32 << level, 1 << (level - 1)
        layer, notes = (f"drop{level}", ("dropout 0.5",)) if level > 3 else (f"conv{level}_2_relu", ())
        blocks.append(
            Block(f"down{level}", 20, rows[level], 190, BACKBONE, "2 x conv 3x3", layer, channels, stride, notes)
        )
        if level == 5:
            break
        number = 10 - level
        for key, x, y, title, layer, factor in (
            ("grow", 380, rows[level] + 56, "up-conv 2x2, stride 2", f"up{number}", 1),
            ("join", 380, rows[level], "concat", f"merge{number}", 2),
            ("up", 690, rows[level], "2 x conv 3x3", f"conv{number}_2_relu", 1),
        ):
            blocks.append(Block(f"{key}{level}", x, y, 190, DECODER, title, layer, channels * factor, stride))
        arrows += [
            f"down{level} -> down{level + 1}: max pool 2x2",
            f"down{level} -> join{level}: skip",
            f"grow{level} -> join{level} -> up{level}",
            f"up{level}.top -> grow{level - 1}.right" if level > 1 else "up1 -> logits",
        ]
    blocks.append(Block("logits", 690, rows[0], 190, ENDS, "logits", "logits", CLASS_COUNT, 1, ("conv 1x1",)))
    foot = "ReLU behind each 3x3 convolution (with batch_norm=true: BatchNorm and ReLU)."
    return Picture("unet", "U-Net", foot, tuple(blocks), tuple(arrows))


def _bayesian_segnet() -> Picture:
    rows = [200 + 108 * stage for stage in range(6)]
    blocks = [_frame(20, rows[0], 170)]
    arrows = ["frame -> down1"]
    # Convolutions, their channels, and the channels that the decoder's stage ends with.
    stages = ((2, 64, 64), (2, 128, 64), (3, 256, 128), (3, 512, 256), (3, 512, 512))
    for stage, (count, channels, outward) in enumerate(stages, start=1):
        y, stride, sampled, title = rows[stage], 1 << (stage - 1), stage > 3, f"{count} x conv 3x3"
        for key, x, width, kind, what, layer, width_out, place, once in (
            ("down", 20, 170, BACKBONE, title, f"conv{stage}_{count}_relu", channels, stride, not sampled),
            ("pool", 225, 150, BACKBONE, "max pool 2x2", f"pool{stage}", channels, 2 * stride, not sampled),
            ("unpool", 500, 165, DECODER, "unpool by indices", f"unpool{stage}", channels, stride, False),
        ):
            blocks.append(Block(f"{key}{stage}", x, y, width, kind, what, layer, width_out, place, sampled=not once))
        title, last = ("conv 3x3", 2) if stage == 1 else (title, 1)
        layer = f"conv{stage}_{last}_decoder_relu"
        blocks.append(Block(f"up{stage}", 705, y, 170, DECODER, title, layer, outward, stride, sampled=True))
        arrows += [
            f"down{stage} -> pool{stage}",
            f"pool{stage} -> unpool{stage}: indices",
            f"unpool{stage} -> up{stage}",
        ]
        if stage < 3:
            arrows.append(f"pool{stage}.bottom -> down{stage + 1}.top")
            continue
        for key, x, middle, width, layer in (
            ("drop", 20, y + 54, 170, f"pool{stage}_drop"),
            ("lift", 500, y - 54, 165, f"decoder{stage}_drop"),
        ):
            blocks.append(Block(f"{key}{stage}", x, middle, width, CONTEXT, "dropout 0.5", layer, sampled=True))
        arrows += [
            f"pool{stage}.bottom -> drop{stage}.right",
            f"up{stage}.top -> lift{stage}.right",
            f"lift{stage} -> unpool{stage - 1}",
            f"drop{stage} -> down{stage + 1}" if stage < 5 else f"drop5.bottom -> unpool5.bottom [{y + 80}]",
        ]
    statistics = ("p = mean of softmax", "entropy or variance")
    blocks += [
        Block("classifier", 705, rows[0], 170, DECODER, "conv 3x3", "classifier", CLASS_COUNT, 1, sampled=True),
        Block("statistics", 705, 90, 170, CONTEXT, "over the T samples", "statistics", notes=statistics),
        Block("logits", 470, 64, 170, ENDS, "logits: ln p", None, CLASS_COUNT, 1),
        Block("uncertainty", 470, 116, 170, ENDS, "uncertainty", None, 1, 1),
    ]
    arrows += [
        "up2.top -> unpool1.bottom",
        "up1 -> classifier -> statistics",
        "statistics -> logits",
        "statistics -> uncertainty",
    ]
    top, step, bottom = rows[0] - 44, rows[3] + 34, rows[5] + 92
    once = ((8, top), (425, top), (425, step - 12), (8, step - 12))
    samples = ((440, top), (886, top), (886, bottom), (8, bottom), (8, step), (440, step))
    foot = (
        f"{NORMED}. Each sample has random numbers of its own in all six dropouts. With monte_carlo=0, the default, "
        "all is computed once, dropout acts in training alone, and the last convolution gives the logits."
    )
    return Picture(
        "bayesian_segnet",
        "Bayesian SegNet with monte_carlo=T",
        foot,
        tuple(blocks),
        tuple(arrows),
        (
            Area(225, top + 24, "once for a frame", once),
            Area(455, top + 24, "once for each of T samples", samples),
        ),
        (("monte_carlo", SAMPLES),),
    )


def _deeplabv3plus() -> Picture:
    rows = [76 + 84 * row for row in range(6)]
    branches = {
        "point": ("conv 1x1", "aspp_point_relu"),
        "rate6": ("conv 3x3, rate 6", "aspp_rate6_relu"),
        "rate12": ("conv 3x3, rate 12", "aspp_rate12_relu"),
        "rate18": ("conv 3x3, rate 18", "aspp_rate18_relu"),
        "pool": ("mean, 1x1, resize", "aspp_pool_resize"),
    }
    blocks = [
        *_resnet(20, rows, 190, 101, "conv 7x7, stride 2", 64, 16),
        *(
            Block(key, 262, 338 + 52 * index, 180, CONTEXT, title, layer, 256, 16)
            for index, (key, (title, layer)) in enumerate(branches.items())
        ),
        Block("join", 484, 442, 170, CONTEXT, "concat", "aspp_join", 1280, 16),
        Block("project", 484, 356, 170, CONTEXT, "conv 1x1", "aspp_dropout", 256, 16, ("dropout 0.1",)),
        Block("low", 262, rows[2], 180, DECODER, "conv 1x1", "decoder_low_relu", 48, 4),
        Block("resize", 692, 356, 188, DECODER, "resize to stride 4", "decoder_resize", 256, 4),
        Block("merge", 692, rows[2], 188, DECODER, "concat", "decoder_join", 304, 4),
        Block("convs", 692, rows[1], 188, DECODER, "2 x conv 3x3", "decoder_conv2_relu", 256, 4),
        Block("logits", 692, rows[0], 188, ENDS, "logits", "logits", CLASS_COUNT, 4, ("conv 1x1",)),
    ]
    arrows = (
        RESNET,
        *(f"stage4 -> {key} -> join" for key in branches),
        "join -> project -> resize -> merge",
        "stage1 -> low: skip",
        "low -> merge -> convs -> logits",
    )
    pyramid = ((246, 306), (670, 306), (670, 580), (246, 580))
    return Picture(
        "deeplabv3plus",
        "DeepLabV3+ with ResNet-101 at output stride 16",
        f"{NORMED}. {UPSAMPLING}",
        tuple(blocks),
        arrows,
        (Area(484, 560, "atrous spatial pyramid", pyramid),),
    )


def _fast_scnn() -> Picture:
    rows = [76 + 76 * row for row in range(7)]
    bins, expansion, training = (1, 2, 3, 6), ("expansion 6",), ("conv 3x3, dropout, 1x1",)
    ends = {"auxiliary_high": (262, rows[2] - 8, 180, 8), "auxiliary_low": (484, 372, 170, 32)}
    blocks = [
        _frame(20, rows[0], 190),
        Block("conv", 20, rows[1], 190, BACKBONE, "conv 3x3, stride 2", "downsample_conv_relu", 32, 2),
        Block("sep1", 20, rows[2], 190, BACKBONE, "separable, stride 2", "downsample_sep1_pointwise_relu", 48, 4),
        Block("sep2", 20, rows[3], 190, BACKBONE, "separable, stride 2", "downsample_sep2_pointwise_relu", 64, 8),
        Block("stage1", 20, rows[4], 190, BACKBONE, "3 bottlenecks", "global_1_3_add", 64, 16, expansion),
        Block("stage2", 20, rows[5], 190, BACKBONE, "3 bottlenecks", "global_2_3_add", 96, 32, expansion),
        Block("stage3", 20, rows[6], 190, BACKBONE, "3 bottlenecks", "global_3_3_add", 128, 32, expansion),
        *(
            Block(f"bins{n}", 262, 436 + 50 * row, 180, CONTEXT, f"{n}x{n} cells", f"pyramid_{n}_resize", 32, 32)
            for row, n in enumerate(bins)
        ),
        Block("concat", 484, 536, 170, CONTEXT, "concat", "pyramid_concat", 256, 32),
        Block("out", 484, 466, 170, CONTEXT, "conv 1x1", "pyramid_out_relu", 128, 32),
        *(
            Block(key, x, y, width, TRAINING, key, key, CLASS_COUNT, stride, training)
            for key, (x, y, width, stride) in ends.items()
        ),
        Block("high", 262, rows[3], 180, DECODER, "conv 1x1", "fusion_high_pointwise_bn", 128, 8),
        Block("resize", 692, 466, 188, DECODER, "resize to stride 8", "fusion_resize", 128, 8),
        Block("low", 692, 388, 188, DECODER, "depthwise, 1x1", "fusion_low_pointwise_bn", 128, 8, ("dilation 4",)),
        Block("add", 692, rows[3], 188, DECODER, "add, ReLU", "fusion_relu", 128, 8),
        Block("separable", 692, rows[2], 188, DECODER, "2 x separable", "classifier_sep2_pointwise_relu", 128, 8),
        Block("logits", 692, rows[1], 188, ENDS, "logits", "logits", CLASS_COUNT, 8, ("dropout 0.1, conv 1x1",)),
    ]
    arrows = (
        "frame -> conv -> sep1 -> sep2 -> stage1 -> stage2 -> stage3",
        *(f"stage3 -> bins{n} -> concat" for n in bins),
        "stage3.bottom -> concat.bottom [624]",
        "concat -> out -> auxiliary_low",
        "out -> resize -> low -> add -> separable -> logits",
        "sep2 -> high -> add",
        "sep2.right@0.2 -> auxiliary_high",
    )
    downsample = ((8, 116), (222, 116), (222, 334), (8, 334))
    extractor = ((8, 344), (472, 344), (472, 418), (668, 418), (668, 638), (8, 638))
    foot = (
        "separable: depthwise 3x3, conv 1x1. bottleneck: conv 1x1, depthwise 3x3, conv 1x1 without ReLU; the first of "
        "three has the stride, the others add their input. BatchNorm behind each convolution but the last of each "
        f"head. {UPSAMPLING}"
    )
    return Picture(
        "fast_scnn",
        "Fast-SCNN",
        foot,
        tuple(blocks),
        arrows,
        (
            Area(232, 133, "learning to downsample", downsample),
            Area(232, 364, "global feature extractor", extractor),
            Area(262, 402, "pyramid: means, conv 1x1, resize"),
        ),
    )


def _fastfcn() -> Picture:
    rows = [76 + 84 * row for row in range(6)]
    dilations, strides = (1, 2, 4, 8), {2: 8, 3: 16, 4: 32}
    training, head, codewords = ("conv 3x3, dropout, 1x1",), ("dropout 0.1, conv 1x1",), ("32 codewords, mean",)
    blocks = [
        *_resnet(20, rows, 190, 50, "3 x conv 3x3, stride 2", 128, 32),
        *(
            Block(f"conv{n}", 262, rows[n + 1], 160, CONTEXT, "conv 3x3", f"jpu_conv{n + 1}_2", 512, stride)
            for n, stride in strides.items()
        ),
        *(
            Block(f"resize{n}", 464, rows[n + 1], 165, CONTEXT, "resize to stride 8", f"jpu_conv{n + 1}_resize", 512, 8)
            for n in (3, 4)
        ),
        Block("join", 692, rows[3], 180, CONTEXT, "concat", "jpu_join", 1536, 8),
        *(
            Block(
                f"dilated{n}",
                90 + 160 * n,
                590,
                148,
                CONTEXT,
                "separable",
                f"jpu_dilation{n}_2",
                512,
                8,
                (f"dilation {dilation}",),
            )
            for n, dilation in enumerate(dilations, start=1)
        ),
        Block("auxiliary", 20, 590, 190, TRAINING, "auxiliary", "auxiliary", CLASS_COUNT, 16, training),
        Block("concat", 20, 692, 155, CONTEXT, "concat", "jpu_out", 2048, 8),
        Block("conv", 196, 692, 155, DECODER, "conv 1x1", "head_conv5_2", 512, 8),
        Block("gate", 548, 692, 155, DECODER, "x (1 + gate), ReLU", "head_gate_relu", 512, 8),
        Block("logits", 724, 692, 156, ENDS, "logits", "logits", CLASS_COUNT, 8, head),
        Block("encode", 196, 778, 155, DECODER, "conv 1x1", "head_encoding_2", 512, 8),
        Block("encoding", 372, 778, 155, DECODER, "context encoding", "head_encoding_6", 512, None, codewords),
        Block("dense", 548, 778, 155, DECODER, "dense, sigmoid", "head_fc_0", 512),
        Block("presence", 548, 846, 155, TRAINING, "presence", "presence", CLASS_COUNT, None, ("dense",)),
    ]
    arrows = (
        RESNET,
        "stage2 -> conv2 -> join",
        "stage3 -> conv3 -> resize3 -> join",
        "stage4 -> conv4 -> resize4 -> join",
        *(f"join.bottom -> dilated{n}.top [544]" for n in (1, 2, 3, 4)),
        *(f"dilated{n}.bottom -> concat.top [642]" for n in (1, 2, 3, 4)),
        "stage3.left -> auxiliary.left [10]",
        "concat -> conv -> gate -> logits",
        "conv -> encode -> encoding -> dense -> gate",
        "encoding.bottom -> presence.left",
    )
    upsampling = ((238, 272), (888, 272), (888, 652), (186, 652), (186, 728), (8, 728), (8, 632), (238, 632))
    return Picture(
        "fastfcn",
        "FastFCN with ResNet-50 and the EncNet head",
        f"{NORMED} of each head. separable: depthwise 3x3, conv 1x1. {UPSAMPLING}",
        tuple(blocks),
        arrows,
        (Area(262, 291, "joint pyramid upsampling", upsampling),),
    )


def _panoptic_deeplab() -> Picture:
    rows = [76 + 88 * row for row in range(6)]
    blocks = _resnet(370, rows, 160, 50, "conv 7x7, stride 2", 64, 32)
    arrows = [RESNET]
    pyramid = ("conv 1x1, 3x3 at rates 3, 6, 9, mean of the map", "concat 1280 ch, conv 1x1, dropout 0.5")
    # Left edges of the pyramid, the fusions and the projections; channels of both, from stage 3 to stage 1.
    for branch, left, outer, inner, width, lows in (
        ("semantic", 16, 16, 208, 256, (128, 64, 32)),
        ("instance", 552, 712, 552, 128, (64, 32, 16)),
    ):
        layer, title = f"{branch}_aspp_dropout", f"{branch} atrous spatial pyramid"
        blocks.append(Block(branch, left, rows[5], 332, CONTEXT, title, layer, 256, 32, pyramid))
        arrows.append(f"stage4 -> {branch}")
        below, channels = f"{branch}.top@{(outer + 86 - left) / 332:.4f}", 256
        for index, (stage, low) in enumerate(zip((3, 2, 1), lows)):
            y, stride, fuse = rows[stage + 1], 2 << stage, f"{branch}_fuse{index}"
            layer, join, joined = f"{fuse}_pointwise_relu", f"{branch}_join{index}", channels + low
            blocks += [
                Block(f"{branch}{stage}", inner, y, 140, DECODER, "conv 1x1", f"{branch}_low{index}_relu", low, stride),
                Block(fuse, outer, y, 172, DECODER, "separable", layer, width, stride, (), join, joined),
            ]
            arrows += [f"stage{stage} -> {branch}{stage} -> {fuse}", f"{below} -> {fuse}.bottom"]
            below, channels = fuse, width
    for name, branch, x, width, channels, outputs, note in (
        ("logits", "semantic", 16, 172, 256, CLASS_COUNT, "conv 1x1"),
        ("centre", "instance", 552, 140, 32, 1, "conv 1x1, heat map"),
        ("offset", "instance", 712, 172, 32, 2, "conv 1x1, rows, columns"),
    ):
        head = f"{name}_head"
        blocks += [
            Block(head, x, rows[1], width, DECODER, "separable", f"{head}_pointwise_relu", channels, 4),
            Block(name, x, rows[0], width, ENDS, name, name, outputs, 4, (note,)),
        ]
        arrows += [f"{branch}_fuse2.top -> {head}.bottom", f"{head} -> {name}"]
    return Picture(
        "panoptic_deeplab",
        "Panoptic-DeepLab with ResNet-50",
        f"{NORMED} of each head. separable: depthwise 5x5, conv 1x1. {UPSAMPLING}",
        tuple(blocks),
        tuple(arrows),
    )


PICTURES = (_unet(), _bayesian_segnet(), _deeplabv3plus(), _fast_scnn(), _fastfcn(), _panoptic_deeplab())


def main() -> None:
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        (FOLDER / f"{picture.model}.svg").write_text(draw(picture), encoding="utf-8")


if __name__ == "__main__":
    main()
