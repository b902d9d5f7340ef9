"""Recipes: the settings with which each model is trained on each dataset.

The comment above a recipe gives the command that uses it, and the source of its settings where there is one;
docs/results.md holds the measured scores.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from edge.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """The settings of one training.

    Attributes:
        epochs: number of passes over the training split.
        batch_size: number of crops in a step, over all devices.
        height: rows of the frames in validation, and of the crops unless `crop_height` says otherwise.
        width: columns of the frames in validation, and of the crops unless `crop_width` says otherwise.
        optimizer: name of the optimiser, "sgd" (momentum 0.9) or "adamw".
        learning_rate: learning rate at the first step; it falls to 0 as (1 - step / steps) ** power.
        power: exponent of the polynomial by which the learning rate falls.
        weight_decay: decoupled weight decay; it is not applied to BatchNorm and depthwise kernels.
        balanced: True to weight each class by 1 / ln(1.02 + its share of pixels).
        crop_height: rows of a training crop; None for `height`.
        crop_width: columns of a training crop; None for `width`.
        scale_min: smallest random zoom, relative to frames of height x width.
        scale_max: largest random zoom, relative to frames of height x width.
        options: options of the architecture that differ from its defaults.
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
    options: dict[str, Any] = field(default_factory=dict)

    def changed(self, **changes: object) -> Recipe:
        """Return a recipe with the given settings; a setting of None keeps the value of this recipe."""
        return dataclasses.replace(self, **{name: value for name, value in changes.items() if value is not None})


# python train/train.py --model fast_scnn --dataset cityscapes
# Fast-SCNN section 5: SGD, batch 12, 0.045, power 0.9, L2 4e-5, 1000 epochs, zoom 0.5 to 2.
_FAST_SCNN_CITYSCAPES = Recipe(
    epochs=1000,
    batch_size=12,
    height=1024,
    width=2048,
    optimizer="sgd",
    learning_rate=0.045,
    crop_height=768,
    crop_width=1536,
)

# python train/train.py --model fast_scnn --dataset camvid --data-dir DIR
# 384x512 is CamVid's 360x480 brought to multiples of 32 with its aspect ratio kept. AdamW and
# balanced classes, since 367 frames give too few steps for the paper's schedule.
_FAST_SCNN_CAMVID = Recipe(
    epochs=120,
    batch_size=8,
    height=384,
    width=512,
    optimizer="adamw",
    learning_rate=2e-3,
    weight_decay=1e-2,
    balanced=True,
    scale_min=0.75,
    scale_max=2.0,
)

# python train/train.py --model fast_scnn --dataset synthetic
_FAST_SCNN_SYNTHETIC = Recipe(
    epochs=24,
    batch_size=8,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=1e-2,
    balanced=True,
    crop_height=256,
    crop_width=512,
    scale_min=0.5,
    scale_max=1.5,
)

# python train/train.py --model fastfcn --dataset cityscapes
# FastFCN section 4.1: SGD, power 0.9, weight decay 1e-4, crops 768, as the reference's script for Cityscapes.
_FASTFCN_CITYSCAPES = Recipe(
    epochs=240,
    batch_size=8,
    height=1024,
    width=2048,
    optimizer="sgd",
    learning_rate=0.005,
    weight_decay=1e-4,
    crop_height=768,
    crop_width=768,
)
_FASTFCN_CAMVID = Recipe(
    epochs=60,
    batch_size=8,
    height=384,
    width=512,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    balanced=True,
)
_FASTFCN_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    crop_height=256,
    crop_width=512,
    scale_min=0.25,
    scale_max=1.0,
)

# python train/train.py --model unet --dataset cityscapes
# The paper's schedule (section 3: SGD, momentum 0.99, single tiles, two classes) is of microscopy; this is
# Fast-SCNN's with U-Net's crops, and BatchNorm, without which whole scenes in small batches rarely train.
_NORMED = {"batch_norm": True}
_UNET_CITYSCAPES = Recipe(
    epochs=200,
    batch_size=8,
    height=512,
    width=1024,
    optimizer="sgd",
    learning_rate=0.01,
    crop_height=512,
    crop_width=512,
    options=_NORMED,
)
_UNET_CAMVID = Recipe(
    epochs=80,
    batch_size=4,
    height=360,
    width=480,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=1e-2,
    balanced=True,
    options=_NORMED,
)
_UNET_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=1e-2,
    crop_height=128,
    crop_width=256,
    scale_min=0.25,
    scale_max=1.0,
    options=_NORMED,
)

# python train/train.py --model bayesian_segnet --dataset camvid --data-dir DIR --init imagenet
# SegNet (arXiv 1511.00561, section 4): 360x480, SGD 0.1, momentum 0.9, batch 12, balanced classes, VGG16's weights.
_SEGNET_CITYSCAPES = Recipe(
    epochs=200,
    batch_size=8,
    height=512,
    width=1024,
    optimizer="sgd",
    learning_rate=0.05,
    weight_decay=5e-4,
    balanced=True,
    crop_height=512,
    crop_width=512,
)
_SEGNET_CAMVID = Recipe(
    epochs=150,
    batch_size=12,
    height=360,
    width=480,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    balanced=True,
)
_SEGNET_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    crop_height=128,
    crop_width=256,
    scale_min=0.25,
    scale_max=1.0,
)

# python train/train.py --model deeplabv3plus --dataset cityscapes --init imagenet
# DeepLabV3+ section 4 and DeepLabV3's Cityscapes setting (arXiv 1706.05587, appendix B): SGD, batch 16, power
# 0.9, 90,000 steps (484 epochs), crops of 769, here of 768; 0.01 as in VainF/DeepLabV3Plus-Pytorch.
_DEEPLAB_CITYSCAPES = Recipe(
    epochs=484,
    batch_size=16,
    height=1024,
    width=2048,
    optimizer="sgd",
    learning_rate=0.01,
    weight_decay=1e-4,
    crop_height=768,
    crop_width=768,
)
_DEEPLAB_CAMVID = Recipe(
    epochs=60,
    batch_size=8,
    height=360,
    width=480,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    balanced=True,
)
_DEEPLAB_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    crop_height=256,
    crop_width=512,
    scale_min=0.25,
    scale_max=1.0,
    options={"depth": 50},
)

# python train/train.py --model panoptic_deeplab --dataset cityscapes --init imagenet
# Trains the semantic branch alone: the losses of centres and offsets are not here yet. bowenc0221's setting of
# ResNet-50: Adam 5e-5, batch 8, 90,000 steps (242 epochs), whole frames, no weight decay.
_PANOPTIC_CITYSCAPES = Recipe(
    epochs=242, batch_size=8, height=1024, width=2048, optimizer="adamw", learning_rate=5e-5, weight_decay=0.0
)
_PANOPTIC_CAMVID = Recipe(
    epochs=60,
    batch_size=8,
    height=360,
    width=480,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    balanced=True,
)
_PANOPTIC_SYNTHETIC = Recipe(
    epochs=4,
    batch_size=4,
    height=512,
    width=1024,
    optimizer="adamw",
    learning_rate=5e-4,
    weight_decay=1e-2,
    crop_height=256,
    crop_width=512,
    scale_min=0.25,
    scale_max=1.0,
)

RECIPES: dict[tuple[str, str], Recipe] = {
    ("fast_scnn", "cityscapes"): _FAST_SCNN_CITYSCAPES,
    ("fast_scnn", "camvid"): _FAST_SCNN_CAMVID,
    ("fast_scnn", "synthetic"): _FAST_SCNN_SYNTHETIC,
    ("fastfcn", "cityscapes"): _FASTFCN_CITYSCAPES,
    ("fastfcn", "camvid"): _FASTFCN_CAMVID,
    ("fastfcn", "synthetic"): _FASTFCN_SYNTHETIC,
    ("unet", "cityscapes"): _UNET_CITYSCAPES,
    ("unet", "camvid"): _UNET_CAMVID,
    ("unet", "synthetic"): _UNET_SYNTHETIC,
    ("bayesian_segnet", "cityscapes"): _SEGNET_CITYSCAPES,
    ("bayesian_segnet", "camvid"): _SEGNET_CAMVID,
    ("bayesian_segnet", "synthetic"): _SEGNET_SYNTHETIC,
    ("deeplabv3plus", "cityscapes"): _DEEPLAB_CITYSCAPES,
    ("deeplabv3plus", "camvid"): _DEEPLAB_CAMVID,
    ("deeplabv3plus", "synthetic"): _DEEPLAB_SYNTHETIC,
    ("panoptic_deeplab", "cityscapes"): _PANOPTIC_CITYSCAPES,
    ("panoptic_deeplab", "camvid"): _PANOPTIC_CAMVID,
    ("panoptic_deeplab", "synthetic"): _PANOPTIC_SYNTHETIC,
}


def find_recipe(model: str, dataset: str) -> Recipe:
    """Return the recipe of a model on a dataset.

    Raises:
        InputError: there is no such recipe; the message lists the recipes that there are.
    """
    if (model, dataset) not in RECIPES:
        known = ", ".join(f"{name} on {data}" for name, data in RECIPES)
        raise InputError(f"no recipe for {model} on {dataset}, expected one of: {known}")
    return RECIPES[(model, dataset)]
