"""Recipes: how each model is trained on each dataset.

A recipe's comment gives the command, and the score and time that it gave, once they were measured;
docs/results.md holds the records.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from edge.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """Settings of one training.

    Attributes:
        epochs: passes over the training split.
        batch_size: crops in a step, over all devices.
        height: rows of frames in validation, and of crops unless crop_height says otherwise.
        width: columns, likewise.
        optimizer: "sgd" (momentum 0.9) or "adamw".
        learning_rate: at the start; it falls to 0 as (1 - step / steps) ** power.
        power: of the polynomial.
        weight_decay: decoupled; not applied to BatchNorm and depthwise kernels.
        balanced: weight classes by 1 / ln(1.02 + share).
        crop_height: rows of a training crop; None for height.
        crop_width: columns of a training crop; None for width.
        scale_min: smallest random zoom, relative to frames of height x width.
        scale_max: largest random zoom, likewise.
    """

    epochs: int
    batch_size: int
    height: int
    width: int
    optimizer: str
    learning_rate: float
    power: float = 0.9
    weight_decay: float = 4e-5
    balanced: bool = False
    crop_height: int | None = None
    crop_width: int | None = None
    scale_min: float = 0.5
    scale_max: float = 2.0

    def changed(self, **changes: object) -> Recipe:
        """Return the recipe with the given settings, those that are None left alone."""
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})


# python train/train.py --model fast_scnn --dataset cityscapes
# Fast-SCNN section 5: SGD, batch 12, 0.045, power 0.9, L2 4e-5, 1000 epochs, zoom 0.5 to 2.
_FAST_SCNN_CITYSCAPES = Recipe(1000, 12, 1024, 2048, "sgd", 0.045, crop_height=768, crop_width=1536)

# python train/train.py --model fast_scnn --dataset camvid --data-dir DIR
# 384x512 is CamVid's 360x480 brought to multiples of 32 with its aspect ratio kept. AdamW and
# balanced classes, since 367 frames give too few steps for the paper's schedule.
_FAST_SCNN_CAMVID = Recipe(
    120, 8, 384, 512, "adamw", 2e-3, weight_decay=1e-2, balanced=True, scale_min=0.75, scale_max=2.0
)

# python train/train.py --model fast_scnn --dataset synthetic
_FAST_SCNN_SYNTHETIC = Recipe(
    24, 8, 512, 1024, "adamw", 3e-3, weight_decay=1e-2, balanced=True,
    crop_height=256, crop_width=512, scale_min=0.5, scale_max=1.5,
)  # fmt: skip

# python train/train.py --model fastfcn --dataset cityscapes
# FastFCN section 4.1: SGD, power 0.9, weight decay 1e-4, crops 768, as the reference's script for Cityscapes.
_FASTFCN_CITYSCAPES = Recipe(240, 8, 1024, 2048, "sgd", 0.005, weight_decay=1e-4, crop_height=768, crop_width=768)
_FASTFCN_CAMVID = Recipe(60, 8, 384, 512, "adamw", 5e-4, weight_decay=1e-2, balanced=True)
_FASTFCN_SYNTHETIC = Recipe(
    4, 4, 512, 1024, "adamw", 5e-4, weight_decay=1e-2, crop_height=256, crop_width=512, scale_min=0.25, scale_max=1.0
)

RECIPES: dict[tuple[str, str], Recipe] = {
    ("fast_scnn", "cityscapes"): _FAST_SCNN_CITYSCAPES,
    ("fast_scnn", "camvid"): _FAST_SCNN_CAMVID,
    ("fast_scnn", "synthetic"): _FAST_SCNN_SYNTHETIC,
    ("fastfcn", "cityscapes"): _FASTFCN_CITYSCAPES,
    ("fastfcn", "camvid"): _FASTFCN_CAMVID,
    ("fastfcn", "synthetic"): _FASTFCN_SYNTHETIC,
}


def find_recipe(model: str, dataset: str) -> Recipe:
    """Return the recipe of a model on a dataset.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    if (model, dataset) not in RECIPES:
        known = ", ".join(f"{name} on {data}" for name, data in RECIPES)
        raise InputError(f"no recipe for {model} on {dataset}, expected one of: {known}")
    return RECIPES[(model, dataset)]
