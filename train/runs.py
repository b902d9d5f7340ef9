"""Run folders, which a training writes and which can be read without TensorFlow.

runs/<model>-<dataset>-<UTC time>/
    best.weights.h5   weights of the epoch with the highest validation mIoU
    run.json          RunRecord: what was run, on what, and how it went, after every epoch
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from edge.artifacts import sha256_file
from edge.errors import InputError, WeightsError
from edge.provenance import TRAINED, WeightsProvenance
from edge.records import read_record, record

RUNS_ROOT = Path("runs")
BEST_WEIGHTS = "best.weights.h5"
RUN_RECORD = "run.json"

RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
"""Values of a run's status. A process that was killed leaves "running" behind."""


@record(schema=1, what="training run", made_by="python train/train.py")
class RunRecord:
    """The record of one training run.

    Attributes:
        model: key in train.models.MODELS.
        dataset: key in edge.datasets.LAYOUTS.
        data_dir: folder of the dataset at the time of the training.
        class_count: number of classes of the classifier.
        height: rows that validation ran at.
        width: columns that validation ran at.
        options: every option of the architecture, as its build function took it.
        recipe: settings of the training, train.recipes.Recipe as JSON.
        init: weights that the training started from, "random" or a description of a weights file.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        started_utc: time when the training started, ISO 8601.
        status: "running", "finished", "interrupted" or "failed".
        history: record of each epoch: its loss, learning rate, mIoU (0 to 1), class IoU and seconds.
        best_epoch: number of the epoch, from 1, whose weights best.weights.h5 holds.
        best_miou: mIoU of the best epoch on the validation split, 0 to 1.
        weights_sha256: SHA-256 of best.weights.h5.
        versions: package -> its version at the training.
        validation_frames: number of frames that mIoU was measured on; None in records of before.
        skipped_frames: frames that were left out, since they or their label maps cannot be read, as "train/NAME" or
            "val/NAME".
    """

    model: str
    dataset: str
    data_dir: str
    class_count: int
    height: int
    width: int
    options: dict[str, Any]
    recipe: dict[str, Any]
    init: str
    seed: int
    started_utc: str
    status: str
    history: tuple[Any, ...] = ()
    best_epoch: int | None = None
    best_miou: float | None = None
    weights_sha256: str | None = None
    versions: dict[str, str] | None = None
    validation_frames: int | None = None
    skipped_frames: tuple[str, ...] = ()


def new_run_folder(model: str, dataset: str, root: Path = RUNS_ROOT) -> Path:
    """Return a folder name that sorts by time; it does not exist yet."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    return root / f"{model}-{dataset}-{stamp}"


def read_run(weights_path: Path, model: str) -> tuple[RunRecord, WeightsProvenance]:
    """Read the record beside a weights file, and check that the two belong together.

    Args:
        weights_path: a .weights.h5 file in a run folder.
        model: the model that the weights are wanted for.

    Raises:
        InputError: the weights or their run.json are missing.
        WeightsError: the weights belong to another model, or are not the file that run.json describes.
    """
    if not weights_path.is_file():
        raise InputError(f"weights not found: {weights_path}")
    record_path = weights_path.parent / RUN_RECORD
    if not record_path.is_file():
        raise InputError(
            f"{weights_path} has no {RUN_RECORD} beside it, so its model and classes are unknown. "
            "Next: name the weights in the folder of their run"
        )
    run = read_record(RunRecord, record_path)
    if run.model != model:
        raise WeightsError(f"{weights_path} are weights of {run.model}, expected {model}. Next: --model {run.model}")
    digest = sha256_file(weights_path)
    if digest != run.weights_sha256:
        raise WeightsError(
            f"{weights_path} is not the file that {RUN_RECORD} describes "
            f"(sha256 {digest[:12]}, expected {str(run.weights_sha256)[:12]}): it is damaged or was replaced"
        )
    provenance = WeightsProvenance(
        kind=TRAINED,
        source=weights_path.parent.name,
        sha256=digest,
        miou=run.best_miou,
        trained_size=(run.height, run.width),
    )
    return run, provenance
