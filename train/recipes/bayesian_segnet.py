"""Recipes of Bayesian SegNet (Kendall, Badrinarayanan, Cipolla; arXiv 1511.02680)."""

from __future__ import annotations

from train.recipe import ADAMW, CONSTANT, COUPLED, DECOUPLED, MEDIAN_FREQUENCY, POLYNOMIAL, SGD, Recipe

# Command: python train/train.py --model bayesian_segnet --dataset camvid --data-dir DIR --recipe paper
# Source: the authors' code, github.com/alexgkendall/SegNet-Tutorial, Models/bayesian_segnet_solver.prototxt and
#     bayesian_segnet_train.prototxt: SGD, momentum 0.9, a constant rate of 0.001, L2 5e-4, 60,000 steps of 4 frames of
#     360x480, weights of the classes by median frequency, no zoom, no crop, no mirroring, from VGG16's weights.
# Time: not measured; 60,000 steps.
# Score: not measured. The paper's: mIoU 63.1 % on CamVid's test split, the mean of many samples with dropout.
# Deviations: validation is without dropout, and on CamVid's validation split. The solver learns biases at twice the
#     rate and has L2 on BatchNorm's scales; here neither is so. Its loss is divided by the number of pixels
#     (caffe-segnet, src/caffe/layers/softmax_loss_layer.cpp), ours by the sum of their weights.
_CAMVID = Recipe(
    epochs=659,
    batch_size=4,
    height=360,
    width=480,
    optimizer=SGD,
    learning_rate=0.001,
    momentum=0.9,
    schedule=CONSTANT,
    weight_decay=5e-4,
    weight_decay_kind=COUPLED,
    class_weighting=MEDIAN_FREQUENCY,
    scale_min=1.0,
    scale_max=1.0,
    flip=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    init="imagenet",
)

# Command: python train/train.py --model bayesian_segnet --dataset camvid --data-dir DIR --recipe adapted
# Source: SegNet (arXiv 1511.00561, section 4): SGD, momentum 0.9, rate 0.1, batch 12, median frequency; a polynomial
#     schedule and augmentation, which are ours.
# Time: not measured; 4,500 steps.
# Score: not measured. A training of 8 epochs at 120x160, batch 4 and rate 0.05, by the loop of before, gave val mIoU
#     23.74 % (docs/results.md).
# Deviations: random weights, so that no download is needed; --init imagenet has VGG16's, as the paper.
_CAMVID_ADAPTED = Recipe(
    epochs=150,
    batch_size=12,
    height=360,
    width=480,
    optimizer=SGD,
    learning_rate=0.1,
    momentum=0.9,
    schedule=POLYNOMIAL,
    power=0.9,
    weight_decay=5e-4,
    weight_decay_kind=COUPLED,
    class_weighting=MEDIAN_FREQUENCY,
)

# Command: python train/train.py --model bayesian_segnet --dataset cityscapes --recipe adapted
# Source: our own, after SegNet as on CamVid.
# Time: not measured; 74,200 steps.
# Score: not measured. The paper does not report Cityscapes.
# Deviations: half of Cityscapes' size, at which 8 crops are as many pixels as 12 frames of CamVid.
_CITYSCAPES = Recipe(
    epochs=200,
    batch_size=8,
    height=512,
    width=1024,
    optimizer=SGD,
    learning_rate=0.05,
    momentum=0.9,
    schedule=POLYNOMIAL,
    power=0.9,
    weight_decay=5e-4,
    weight_decay_kind=COUPLED,
    class_weighting=MEDIAN_FREQUENCY,
    crop_height=512,
    crop_width=512,
    init="imagenet",
)

# Command: python train/train.py --model bayesian_segnet --dataset synthetic --recipe trial
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
    crop_height=128,
    crop_width=256,
    scale_min=0.25,
    scale_max=1.0,
)

RECIPES: dict[str, dict[str, Recipe]] = {
    "cityscapes": {"adapted": _CITYSCAPES},
    "camvid": {"paper": _CAMVID, "adapted": _CAMVID_ADAPTED},
    "synthetic": {"trial": _SYNTHETIC},
}
"""Dataset -> name of a recipe -> recipe."""
