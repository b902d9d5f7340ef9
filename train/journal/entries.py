"""What a training tells its journal, in plain Python values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before its first step.

    Attributes:
        folder: folder of the run.
        model: key in train.models.MODELS.
        dataset: key in edge.datasets.LAYOUTS.
        settings: every setting of the run -> its value, which may be nested: recipe, options, seed, initial weights.
        done_steps: steps that are done already, where an earlier training goes on; 0 for a new one.
    """

    folder: Path
    model: str
    dataset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    done_steps: int = 0


@dataclass(frozen=True)
class StepEntry:
    """Means over a few steps.

    Attributes:
        step: number of steps done since the start of the run, those of this entry included.
        loss: mean loss of the steps.
        head_losses: name of an output -> its mean loss, before its weight in the sum.
        learning_rate: learning rate of the last of the steps.
        images_per_s: crops a second, waiting for input included; None where the steps were not timed.
    """

    step: int
    loss: float
    head_losses: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    images_per_s: float | None = None


@dataclass(frozen=True)
class EpochEntry:
    """What an epoch came to.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: mean loss of the epoch's steps.
        learning_rate: learning rate of its last step.
        seconds: time from the start of the epoch to the end of its validation, in s.
        step: number of steps done since the start of the run; None in records of before.
        head_losses: name of an output -> its mean loss, before its weight in the sum.
        miou: mIoU on the validation split, 0 to 1; None where the epoch was not validated.
        class_iou: class name -> IoU, 0 to 1; None where a class is neither in the labels nor predicted.
        validation_s: part of the time that validation took, in s; None where there was none.
        images_per_s: crops a second over the epoch's steps, waiting for input included; None where it is not known.
    """

    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    step: int | None = None
    head_losses: dict[str, float] = field(default_factory=dict)
    miou: float | None = None
    class_iou: dict[str, float | None] = field(default_factory=dict)
    validation_s: float | None = None
    images_per_s: float | None = None

    def to_history(self) -> dict[str, Any]:
        """Return the entry as an element of `train.runs.RunRecord.history`."""
        return dataclasses.asdict(self)


def epochs_of(history: Iterable[Mapping[str, Any]]) -> list[EpochEntry]:
    """Return the entries of a run's history.

    Args:
        history: elements of `train.runs.RunRecord.history`; fields that an entry does not have are passed over, and
            those that older records lack have their default.
    """
    names = {each.name for each in dataclasses.fields(EpochEntry)}
    entries = []
    for element in history:
        known = {name: value for name, value in element.items() if name in names}
        # Without a validation older programs may write null for both.
        known["class_iou"] = known.get("class_iou") or {}
        entries.append(EpochEntry(**known))
    return entries


def best_of(epochs: Iterable[EpochEntry]) -> EpochEntry | None:
    """Return the first of the entries with the highest mIoU; None where no epoch was validated."""
    measured = [entry for entry in epochs if entry.miou is not None]
    return max(measured, key=lambda entry: entry.miou, default=None)


def kept_before(epochs: Iterable[EpochEntry], epoch: int) -> list[EpochEntry]:
    """Return the entries of the epochs before a number, in order, of several of one epoch the last."""
    by_number = {entry.epoch: entry for entry in epochs if entry.epoch < epoch}
    return [by_number[number] for number in sorted(by_number)]
