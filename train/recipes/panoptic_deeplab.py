"""Recipes of Panoptic-DeepLab (Cheng et al., arXiv 1911.10194), whose semantic branch alone is trained."""

from __future__ import annotations

from train.recipe import ADAM, ADAMW, COUPLED, DECOUPLED, ENET, POLYNOMIAL, Recipe

# Command: python train/train.py --model panoptic_deeplab --dataset cityscapes --recipe paper
# Source: the author's code, github.com/bowenc0221/panoptic-deeplab, configs/panoptic_deeplab_R50_os32_cityscapes.yaml:
#     Adam, rate 5e-5 without warm-up falling with power 0.9, no decay, 90,000 steps of 8 crops of 1025x2049, zoom 0.5
#     to 2, mirroring, the hardest 20 % of the pixels, ImageNet weights.
# Time: not measured; 90,153 steps.
# Score: not measured. The author's, with all three branches: val mIoU 78.6 % (tools/docs/MODEL_ZOO.md).
# Deviations: the losses of centres and offsets are not here yet, nor the threefold weight of small instances. The
#     hardest pixels are counted in each crop and among labelled pixels; the code takes them from the whole batch.
#     Crops of 1024x2048 without the odd row and column, and zooms of any value instead of steps of 0.1.
_CITYSCAPES = Recipe(
    epochs=243,
    batch_size=8,
    height=1024,
    width=2048,
    optimizer=ADAM,
    learning_rate=5e-5,
    schedule=POLYNOMIAL,
    power=0.9,
    weight_decay=0.0,
    weight_decay_kind=COUPLED,
    hardest_share=0.2,
    scale_min=0.5,
    scale_max=2.0,
    flip=0.5,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    init="imagenet",
)

# Command: python train/train.py --model panoptic_deeplab --dataset camvid --data-dir DIR --recipe adapted
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

# Command: python train/train.py --model panoptic_deeplab --dataset synthetic --recipe trial
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
