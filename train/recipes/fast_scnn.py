"""Recipes of Fast-SCNN (Poudel, Liwicki, Cipolla; arXiv 1902.04502)."""

from __future__ import annotations

from train.recipe import ADAMW, COUPLED, DECOUPLED, ENET, POLYNOMIAL, SGD, Recipe

# Command: python train/train.py --model fast_scnn --dataset cityscapes --recipe paper
# Source: the paper, section 4.1: SGD, momentum 0.9, batch 12, rate 0.045 falling with power 0.9, L2 of 4e-5 but not on
#     depthwise convolutions, zoom 0.5 to 2, crops, mirroring, noise of colours and brightness, cross entropy, auxiliary
#     losses of weight 0.4 behind both branches (the architecture has them), 1,000 epochs from random weights. Its
#     authors published no code;
#     github.com/Tramac/Fast-SCNN-pytorch, train.py, is another training: crops of 768x768, rate 0.01, L2 1e-4 on all,
#     online hard examples, 160 epochs.
# Time: not measured; 247,000 steps.
# Score: not measured. The paper's: val mIoU 68.6 %, test 68.0 %. Tramac's training: 54.84 %.
# Deviations: the paper gives no size of the crops and no strength of the colours; both are ours. Dropout is 0.1
#     (train/models/fast_scnn.py); --option dropout=0.3 has the paper's.
_CITYSCAPES = Recipe(
    epochs=1000,
    batch_size=12,
    height=1024,
    width=2048,
    optimizer=SGD,
    learning_rate=0.045,
    momentum=0.9,
    schedule=POLYNOMIAL,
    power=0.9,
    weight_decay=4e-5,
    weight_decay_kind=COUPLED,
    crop_height=768,
    crop_width=1536,
    scale_min=0.5,
    scale_max=2.0,
)

# Command: python train/train.py --model fast_scnn --dataset camvid --data-dir DIR --recipe adapted
# Source: our own. 384x512 is CamVid's 360x480 brought to multiples of 32 with its aspect ratio kept. AdamW and ENet's
#     class weights, since 367 frames give too few steps for the paper's schedule.
# Time: 62 minutes for 70 epochs beside other work, by the training loop of before (docs/results.md).
# Score: val mIoU 64.01 % and 64.78 % in two such runs of 70 epochs; 120 epochs were not measured.
# Deviations: the paper does not report CamVid.
_CAMVID = Recipe(
    epochs=120,
    batch_size=8,
    height=384,
    width=512,
    optimizer=ADAMW,
    learning_rate=2e-3,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    class_weighting=ENET,
    scale_min=0.75,
    scale_max=2.0,
)

# Command: python train/train.py --model fast_scnn --dataset synthetic --recipe adapted
# Source: our own, for a few hundred steps on a CPU; the weights in weights/ come of two such trainings on 1,000 scenes
#     of 512x1024 (`make weights`), the second on crops of 320x640.
# Time: 480 steps take about 10 minutes on 2 cores without AVX-512, by the training loop of before (docs/results.md).
# Score: val mIoU 26.71 % on 16 drawn scenes after these 480, most of whose 19 classes are small; that of `make weights`
#     is in weights/fast_scnn-synthetic.card.json.
# Deviations: the paper does not know these scenes.
_SYNTHETIC = Recipe(
    epochs=24,
    batch_size=8,
    height=512,
    width=1024,
    optimizer=ADAMW,
    learning_rate=3e-3,
    weight_decay=1e-2,
    weight_decay_kind=DECOUPLED,
    class_weighting=ENET,
    crop_height=256,
    crop_width=512,
    scale_min=0.5,
    scale_max=1.5,
)

RECIPES: dict[str, dict[str, Recipe]] = {
    "cityscapes": {"paper": _CITYSCAPES},
    "camvid": {"adapted": _CAMVID},
    "synthetic": {"adapted": _SYNTHETIC},
}
"""Dataset -> name of a recipe -> recipe."""
