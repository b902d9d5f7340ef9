"""Whether a model and a dataset fit together: a network that cannot learn a few images by heart learns no others."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from edge.datasets import Dataset
from edge.errors import DatasetError
from edge.labels import IGNORE_ID
from train.journal.entries import EpochEntry
from train.journal.scalars import step_of
from train.recipe import ADAM, CONSTANT, NO_WEIGHTING, Recipe

MOST_IN_A_BATCH = 8
"""Crops in a step; of more images an epoch has several steps."""

STEPS_BETWEEN_LOOKS = 20
"""Steps of an epoch, after which the score is looked at: a state is written then, which takes as long as some steps."""

LEARNT = 0.5
"""Share of the first epoch's loss that a network which learns has left at the end, at most."""

NEVER_RIGHT = 0.01
"""IoU below which a class counts as never labelled right."""


@dataclass(frozen=True)
class FitVerdict:
    """What a training on a few images says of a model and a dataset.

    Attributes:
        fits: whether the mIoU on the images themselves passed the bound.
        miou: best mIoU over the classes that the images have, 0 to 1; None where it was never measured.
        step: number of steps until the best mIoU.
        class_iou: class -> IoU in that epoch, of the classes that the images have.
        never_right: class -> share of the labelled pixels, of those that are never labelled right.
        sentences: the verdict in words, the first of which stands alone; the last may name a next step.
    """

    fits: bool
    miou: float | None
    step: int | None
    class_iou: dict[str, float]
    never_right: dict[str, float]
    sentences: tuple[str, ...]


def repeated(images: Dataset) -> Dataset:
    """Return images so often, one after the other, that an epoch of `overfitting_recipe` is as long as it should be."""
    wanted = STEPS_BETWEEN_LOOKS * min(len(images), MOST_IN_A_BATCH)
    return dataclasses.replace(images, samples=images.samples * math.ceil(wanted / len(images)))


def overfitting_recipe(
    recipe: Recipe, images: Dataset, size: tuple[int, int] | None, steps: int, learning_rate: float
) -> Recipe:
    """Return the recipe of a check: whole frames as they are, Adam at a constant rate, and nothing that holds back.

    The rate and the optimiser of the model's own recipe are made for its own batch and length; the check is about the
    network, its losses and the labels.

    Args:
        recipe: recipe of the model on the dataset, whose options of the architecture and weights of outputs stay.
        images: images that are learnt, not repeated.
        size: height and width of frames; None for those of the recipe's crops.
        steps: most steps, rounded up to whole epochs.
        learning_rate: learning rate of every step.
    """
    height, width = size or recipe.crop_size
    batch_size = min(len(images), MOST_IN_A_BATCH)
    return dataclasses.replace(
        recipe,
        epochs=math.ceil(steps / (len(repeated(images)) // batch_size)),
        batch_size=batch_size,
        height=height,
        width=width,
        optimizer=ADAM,
        learning_rate=learning_rate,
        schedule=CONSTANT,
        warmup_steps=0,
        backbone_rate=1.0,
        weight_decay=0.0,
        clip_norm=None,
        class_weighting=NO_WEIGHTING,
        hardest_share=1.0,
        crop_height=height,
        crop_width=width,
        scale_min=1.0,
        scale_max=1.0,
        flip=0.0,
        brightness=0.0,
        contrast=0.0,
        saturation=0.0,
        blur=0.0,
        accumulation=1,
        ema=0.0,
        validate_every=1,
        patience=None,
    )


def class_shares_of(dataset: Dataset) -> dict[str, float]:
    """Return class -> share of the labelled pixels, of the classes that frames have.

    Raises:
        DatasetError: a label map cannot be read, or no pixel is labelled.
    """
    counts = np.sum([dataset.count_labels(index) for index in range(len(dataset))], axis=0)[:IGNORE_ID]
    total = int(counts.sum())
    if not total:
        raise DatasetError(
            f"{len(dataset)} frames of {dataset.name} {dataset.split} have no labelled pixel. Next: more --images"
        )
    return {name: count / total for name, count in zip(dataset.table.class_names, counts.tolist()) if count}


def score_of(entry: EpochEntry, shares: dict[str, float]) -> float | None:
    """Return the mIoU of an epoch over the classes that the images have, 0 to 1; None where it was not validated."""
    if entry.miou is None:
        return None
    return float(np.mean([entry.class_iou.get(name) or 0.0 for name in shares]))


def judge_fit(epochs: Sequence[EpochEntry], shares: dict[str, float], bound: float, what: str) -> FitVerdict:
    """Return what a training on a few images says.

    Args:
        epochs: entries of its epochs, at least one.
        shares: class -> share of the labelled pixels, of the classes that the images have.
        bound: mIoU that has to be passed, 0 to 1.
        what: model and dataset in words, such as "unet and camvid".
    """
    scored = [(score_of(entry, shares), entry) for entry in epochs if entry.miou is not None]
    if not scored:
        return FitVerdict(False, None, None, {}, {}, (f"{what} were not judged: no epoch was validated",))
    miou, best = max(scored, key=lambda pair: pair[0])
    step = step_of(best)
    class_iou = {name: best.class_iou.get(name) or 0.0 for name in shares}
    never = {name: shares[name] for name, iou in class_iou.items() if iou < NEVER_RIGHT}
    score = f"mIoU {100 * miou:.1f} % on the images that were learnt, after {step} steps"
    if miou >= bound:
        return FitVerdict(True, miou, step, class_iou, never, (f"{what} fit together: {score}",))
    sentences = [f"{what} do not fit together yet: {score}, expected {100 * bound:.1f} %"]
    first, last = epochs[0].loss, epochs[-1].loss
    losses = f"the loss went from {first:.4f} to {last:.4f}"
    if last > LEARNT * first:
        sentences.append(f"{losses}: next to nothing was learnt. Next: another --learning-rate, or look at the labels")
    elif never:
        named = ", ".join(f"{name} ({100 * share:.2g} % of the pixels)" for name, share in never.items())
        sentences.append(f"{losses}, and {len(never)} of {len(shares)} classes are never right: {named}. {_of(never)}")
    elif best is scored[-1][1]:
        sentences.append(f"{losses}, and the score is still rising. Next: more --steps or --minutes")
    else:
        worst = min(class_iou, key=class_iou.get)
        sentences.append(
            f"{losses}, and every class is learnt in part, {worst} least with {100 * class_iou[worst]:.1f} %. "
            "Next: a larger --size, at which thin things have pixels"
        )
    return FitVerdict(False, miou, step, class_iou, never, tuple(sentences))


def _of(never: dict[str, float]) -> str:
    """Return the next step for classes that are never right."""
    if min(never.values()) < 0.005:
        return "Next: a larger --size or more --steps; they are small"
    return "Next: check that these classes mean the same in the label maps and in the class table"
