"""Recipes of FastFCN with EncNet's head (Wu et al., arXiv 1903.11816)."""

from __future__ import annotations

from train.recipe import ADAMW, COUPLED, DECOUPLED, ENET, POLYNOMIAL, SGD, SYNCHRONISED, Recipe

# Command: python train/train.py --model fastfcn --dataset cityscapes --recipe paper
# Source: the authors' code, github.com/wuhuikai/FastFCN, experiments/segmentation/option.py and train.py: SGD, momentum
#     0.9, 240 epochs, batch 16, rate 0.01 for the backbone and ten times as much for JPU and heads, power 0.9, L2 1e-4
#     on all parameters, synchronised BatchNorm; --aux --se-loss as in scripts/encnet_res50_ade20k_train.sh, of weight
#     0.2 each (the architecture has them); encoding/datasets/base.py: zoom 0.5 to 2, mirroring, half of the crops
#     blurred, colours left alone. The same optimiser, zoom and losses as in section 4.1 of the paper.
# Time: not measured; 44,400 steps.
# Score: not measured. The paper reports no Cityscapes (Pascal Context: 51.05 % with this network). Of mmsegmentation,
#     which trains it for 80,000 steps of 8 crops of 512x1024: 77.97 %.
# Deviations: crops of 768x768 of whole frames; the code's crops of 480 from frames of 520 rows are meant for smaller
#     pictures than Cityscapes'. The 7x7 stem of Keras Applications' ResNet, since its ImageNet weights are at hand; the
#     authors' has three 3x3 convolutions (--option stem=deep --init imagenet --init-weights FILE with their backbone).
#     No rotation by up to 10 degrees, which encoding/datasets/cityscapes.py has.
_CITYSCAPES = Recipe(
    epochs=240,
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
    scale_min=0.5,
    scale_max=2.0,
    flip=0.5,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    blur=0.5,
    batch_norm=SYNCHRONISED,
    init="imagenet",
    options={"stem": "plain"},
)

# Command: python train/train.py --model fastfcn --dataset camvid --data-dir DIR --recipe adapted
# Source: our own: AdamW and ENet's class weights, since 367 frames give too few steps for the paper's schedule.
# Time: not measured.
# Score: not measured.
# Deviations: the paper does not report CamVid. From random weights, so that no download is needed.
_CAMVID = Recipe(
    epochs=60,
    batch_size=8,
    height=384,
    width=512,
    optimizer=ADAMW,
    learning_rate=5e-4,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    class_weighting=ENET,
)

# Command: python train/train.py --model fastfcn --dataset synthetic --recipe trial
# Source: our own.
# Time: not measured.
# Score: not measured; four epochs show that the model trains, and no more.
# Deviations: the paper does not know these scenes.
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
)

RECIPES: dict[str, dict[str, Recipe]] = {
    "cityscapes": {"paper": _CITYSCAPES},
    "camvid": {"adapted": _CAMVID},
    "synthetic": {"trial": _SYNTHETIC},
}
"""Dataset -> name of a recipe -> recipe."""
