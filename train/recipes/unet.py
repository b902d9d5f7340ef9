"""Recipes of U-Net (Ronneberger, Fischer, Brox; arXiv 1505.04597).

None is the paper's: its training (section 3) is of microscopy with two classes, SGD with momentum 0.99 on single tiles,
elastic deformation and weights that grow near borders of cells. BatchNorm, which the paper has not, is on in all of
them, since whole scenes in small batches rarely train without it.
"""

from __future__ import annotations

from train.recipe import ADAMW, COUPLED, DECOUPLED, ENET, POLYNOMIAL, SGD, Recipe

_NORMED = {"batch_norm": True}

# Command: python train/train.py --model unet --dataset cityscapes --recipe adapted
# Source: our own, with Fast-SCNN's optimiser and schedule (arXiv 1902.04502, section 4.1) at another rate and length.
# Time: not measured; 74,200 steps.
# Score: not measured. The paper reports no street scenes.
# Deviations: another training than the paper's, see above. github.com/milesial/Pytorch-UNet, train.py, trains with
#     RMSprop, batch 1 and five epochs at half size on two classes.
_CITYSCAPES = Recipe(
    epochs=200,
    batch_size=8,
    height=512,
    width=1024,
    optimizer=SGD,
    learning_rate=0.01,
    momentum=0.9,
    schedule=POLYNOMIAL,
    power=0.9,
    weight_decay=4e-5,
    weight_decay_kind=COUPLED,
    crop_height=512,
    crop_width=512,
    options=_NORMED,
)

# Command: python train/train.py --model unet --dataset camvid --data-dir DIR --recipe adapted
# Source: our own: AdamW and ENet's class weights, since 367 frames give few steps.
# Time: not measured.
# Score: not measured. The paper reports no street scenes.
# Deviations: another training than the paper's, see above.
_CAMVID = Recipe(
    epochs=80,
    batch_size=4,
    height=360,
    width=480,
    optimizer=ADAMW,
    learning_rate=1e-3,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    class_weighting=ENET,
    options=_NORMED,
)

# Command: python train/train.py --model unet --dataset synthetic --recipe trial
# Source: our own.
# Time: not measured.
# Score: not measured; four epochs show that the model trains, and no more.
# Deviations: another training than the paper's, see above.
_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer=ADAMW,
    learning_rate=1e-3,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    crop_height=128,
    crop_width=256,
    scale_min=0.25,
    scale_max=1.0,
    options=_NORMED,
)

RECIPES: dict[str, dict[str, Recipe]] = {
    "cityscapes": {"adapted": _CITYSCAPES},
    "camvid": {"adapted": _CAMVID},
    "synthetic": {"trial": _SYNTHETIC},
}
"""Dataset -> name of a recipe -> recipe."""
