"""Recipes of DeepLabV3+ on a ResNet (Chen et al., arXiv 1802.02611)."""

from __future__ import annotations

from train.recipe import ADAMW, COUPLED, DECOUPLED, ENET, POLYNOMIAL, SGD, Recipe

# Command: python train/train.py --model deeplabv3plus --dataset cityscapes --recipe paper
# Source: github.com/VainF/DeepLabV3Plus-Pytorch, the implementation that our network equals, main.py with the command
#     of its README for Cityscapes (--lr 0.1 --crop_size 768 --batch_size 16 --output_stride 16): SGD, momentum 0.9,
#     rate 0.1, a tenth of it for the backbone, power 0.9, 30,000 steps, L2 1e-4 on all parameters, crops of the whole
#     frame without zoom, colours by up to 0.5, mirroring, ImageNet weights.
# Time: not measured; 29,970 steps.
# Score: not measured. VainF's: val mIoU 76.2 % with ResNet-101. The paper's: 78.79 % with Xception-65.
# Deviations: the paper's own training of Cityscapes (tensorflow/models, research/deeplab/g3doc/cityscapes.md and
#     train.py) is 90,000 steps of crops of 769x769 with zoom 0.5 to 2; it publishes no rate for that dataset and no
#     ResNet: --epochs 486 --set scale_min=0.5 --set scale_max=2 come nearest. Two convolutions in the decoder, the
#     paper's best; VainF has one (--option decoder_convs=1).
_CITYSCAPES = Recipe(
    epochs=162,
    batch_size=16,
    height=1024,
    width=2048,
    optimizer=SGD,
    learning_rate=0.1,
    momentum=0.9,
    schedule=POLYNOMIAL,
    power=0.9,
    backbone_rate=0.1,
    weight_decay=1e-4,
    weight_decay_kind=COUPLED,
    decay_norms=True,
    decay_depthwise=True,
    crop_height=768,
    crop_width=768,
    scale_min=1.0,
    scale_max=1.0,
    flip=0.5,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    init="imagenet",
)

# Command: python train/train.py --model deeplabv3plus --dataset camvid --data-dir DIR --recipe adapted
# Source: our own: AdamW and ENet's class weights, since 367 frames give too few steps for the schedule above.
# Time: not measured.
# Score: not measured.
# Deviations: the paper does not report CamVid. From random weights, so that no download is needed.
_CAMVID = Recipe(
    epochs=60,
    batch_size=8,
    height=360,
    width=480,
    optimizer=ADAMW,
    learning_rate=5e-4,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    class_weighting=ENET,
)

# Command: python train/train.py --model deeplabv3plus --dataset synthetic --recipe trial
# Source: our own.
# Time: not measured.
# Score: not measured; four epochs show that the model trains, and no more.
# Deviations: the paper does not know these scenes. ResNet-50 instead of 101.
_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer=ADAMW,
    learning_rate=5e-4,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    crop_height=256,
    crop_width=512,
    scale_min=0.25,
    scale_max=1.0,
    options={"depth": 50},
)

RECIPES: dict[str, dict[str, Recipe]] = {
    "cityscapes": {"paper": _CITYSCAPES},
    "camvid": {"adapted": _CAMVID},
    "synthetic": {"trial": _SYNTHETIC},
}
"""Dataset -> name of a recipe -> recipe."""
