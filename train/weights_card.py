"""The card of weights that come with the product: what they learnt from, on which terms, how, and how good they are.

weights/<name>.weights.h5     float16, written by train/pack_weights.py
weights/<name>.card.json      WeightsCard

Nothing here needs TensorFlow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.provenance import SHIPPED, WeightsProvenance
from edge.records import record

CARD_SUFFIX = ".card.json"

MOST_BYTES = 3_000_000
"""Largest size of a file of shipped weights, in bytes: whoever clones the repository downloads them."""

ANY_USE, RESEARCH = "any", "research"
"""Values of `use`: whether the terms of the data let everybody use the weights, or research alone."""


@record(schema=1, what="card of shipped weights", made_by="python train/pack_weights.py")
class WeightsCard:
    """The card of weights that come with the product.

    Attributes:
        model: key in train.models.MODELS.
        dataset: dataset whose classes the classifier has, and which the weights were trained on.
        class_count: number of classes of the classifier.
        options: every option of the architecture, with its value.
        height: rows that the score was measured at.
        width: columns that the score was measured at.
        data: text that says what the weights were trained on, and where it can be had.
        licence: terms of the data, which hold for the weights too.
        use: "any", or "research" where the terms of the data allow no other.
        command: commands that made the data and the weights.
        commit: commit of this project that trained them.
        trained_utc: time when the training started, ISO 8601.
        hours: time in h that training and validation took; None where it was not measured.
        epochs: number of epochs.
        seed: seed of the training.
        training_frames: number of frames that were learnt from; None where the run does not say it.
        machine: kind of the machine that trained them.
        split: name of the split that the score was measured on; it chose the epoch too.
        frames: number of frames in it.
        miou: mIoU of these weights on the split, 0 to 1.
        class_iou: class name -> IoU, 0 to 1; None where a class is neither in the labels nor predicted.
        run_miou: mIoU of the run's float32 weights on the same frames, 0 to 1.
        size_bytes: size of the weights file, in bytes.
        weights_sha256: SHA-256 of the weights file.
        versions: package -> its version at the training.
    """

    model: str
    dataset: str
    class_count: int
    options: dict[str, Any]
    height: int
    width: int
    data: str
    licence: str
    use: str
    command: str
    commit: str
    trained_utc: str
    hours: float | None
    epochs: int
    seed: int
    training_frames: int | None
    machine: str
    split: str
    frames: int
    miou: float
    class_iou: dict[str, float | None]
    run_miou: float
    size_bytes: int
    weights_sha256: str
    versions: dict[str, str]

    @property
    def is_for_research(self) -> bool:
        """Return whether the weights may be used for research alone."""
        return self.use == RESEARCH

    @property
    def terms(self) -> str:
        """Return what the use of the weights is limited to, with the reason; "" where it is not."""
        return f"for research alone: {self.licence}" if self.is_for_research else ""

    def provenance(self, name: str) -> WeightsProvenance:
        """Return the origin of the weights, for an engine's card.

        Args:
            name: name of the weights file.
        """
        return WeightsProvenance(
            kind=SHIPPED,
            source=name,
            sha256=self.weights_sha256,
            miou=self.miou,
            trained_size=(self.height, self.width),
            terms=self.terms,
            training_s=3600 * self.hours if self.hours is not None else None,
            trained_on=self.machine,
        )


def weights_card_path(path: Path) -> Path:
    """Return the path of the card of shipped weights, *.weights.h5, beside which it lies."""
    return path.with_name(path.name[: -len(".weights.h5")] + CARD_SUFFIX)
