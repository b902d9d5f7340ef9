"""Names under which programs that draw curves get the values of a training, the same for all of them."""

from __future__ import annotations

from train.journal.entries import EpochEntry, StepEntry


def scalars_of_steps(entry: StepEntry) -> dict[str, float]:
    """Return name -> value of what a few steps came to: `train/...`."""
    scalars = {"train/loss": entry.loss, "train/learning_rate": entry.learning_rate}
    if len(entry.head_losses) > 1:  # a single output's is the loss
        scalars.update({f"train/loss/{name}": value for name, value in entry.head_losses.items()})
    if entry.images_per_s is not None:
        scalars["train/images_per_s"] = entry.images_per_s
    return scalars


def scalars_of_epoch(entry: EpochEntry) -> dict[str, float]:
    """Return name -> value of what an epoch came to: `epoch/...`, and `val/...` where it was validated."""
    scalars = {"epoch/number": float(entry.epoch), "epoch/loss": entry.loss, "epoch/seconds": entry.seconds}
    if entry.images_per_s is not None:
        scalars["epoch/images_per_s"] = entry.images_per_s
    if entry.miou is not None:
        scalars["val/miou"] = entry.miou
        scalars.update({f"val/iou/{name}": value for name, value in entry.class_iou.items() if value is not None})
    if entry.validation_s is not None:
        scalars["val/seconds"] = entry.validation_s
    return scalars


def step_of(entry: EpochEntry) -> int:
    """Return the step at which an epoch's values are drawn: the number of steps done, or of the epoch without it."""
    return entry.step if entry.step is not None else entry.epoch
