"""Run folders, which a training writes and which can be read without TensorFlow.

runs/<model>-<dataset>-<UTC time>/
    best.weights.h5   weights of the epoch with the highest validation mIoU: the moving average where there is one
    last.weights.h5   weights of the last epoch, as the optimiser left them
    ema.weights.h5    their moving average, where the recipe has one
    run.json          RunRecord: what was run, on what, and how it went, after every epoch
    state.npz         what a training goes on from after a kill: train/run_folder/
    run.lock          who trains here now
"""

from __future__ import annotations

import datetime
from dataclasses import field
from pathlib import Path
from typing import Any, Iterable

from edge.artifacts import sha256_file, sha256_json
from edge.errors import InputError, WeightsError
from edge.network_class import NetworkClass
from edge.provenance import TRAINED, DescribedData, WeightsProvenance
from edge.records import read_record, record
from train.weights_pair import settled_path

RUNS_ROOT = Path("runs")
BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS = "best.weights.h5", "last.weights.h5", "ema.weights.h5"
RUN_WEIGHTS = (BEST_WEIGHTS, LAST_WEIGHTS, EMA_WEIGHTS)
RUN_RECORD, RUN_STATE = "run.json", "state.npz"

INITIAL = 0
"""Number of an epoch that stands for the weights before the first."""

RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
"""Values of a run's status. A process that was killed leaves "running" behind, see train.run_folder.lock."""


@record(schema=1, what="measurements of a training")
class TrainingMeasurements:
    """What was measured while a training ran, over all its parts if it was resumed.

    Attributes:
        training_s: time in s of all steps, without validation; None where it was not measured.
        validation_s: time in s of all validations; None where it was not measured.
        processor_s: time in s that the processor spent on the training, all threads together; None in records of
            before.
        step_p50_s: median time in s of a step.
        step_p90_s: time in s that 90 % of the steps do not exceed.
        images_per_s: number of crops per second of training, without validation.
        input_wait_share: share of the training time that steps waited for their crops, 0 to 1.
        time_to_best_s: time in s from the start to the epoch with the best score, validation included.
        peak_host_bytes: largest resident memory of the process, in bytes.
        peak_device_bytes: largest memory in use on one device, in bytes; None without a GPU.
        energy_j: energy of training and validation in J; None where no sensor tells it.
    """

    training_s: float | None = None
    validation_s: float | None = None
    processor_s: float | None = None
    step_p50_s: float | None = None
    step_p90_s: float | None = None
    images_per_s: float | None = None
    input_wait_share: float | None = None
    time_to_best_s: float | None = None
    peak_host_bytes: int | None = None
    peak_device_bytes: int | None = None
    energy_j: float | None = None

    @property
    def whole_s(self) -> float | None:
        """Time in s of training and validation together; None where the steps were not timed."""
        return None if self.training_s is None else self.training_s + (self.validation_s or 0.0)


@record(schema=1, what="resumption of a training")
class Resumption:
    """A time at which a training went on after it had been stopped or killed.

    Attributes:
        step: number of steps that were done before.
        utc: time when it went on, ISO 8601.
    """

    step: int
    utc: str


@record(schema=1, what="training run", made_by="python train/train.py")
class RunRecord:
    """The record of one training run.

    Attributes:
        model: key in train.models.MODELS.
        dataset: name of the dataset, a key in edge.datasets.LAYOUTS or the name in a dataset description.
        data_dir: folder of the dataset at the time of the training.
        class_count: number of classes of the classifier.
        height: rows that validation ran at.
        width: columns that validation ran at.
        options: every option of the architecture, as its build function took it.
        recipe: settings of the training, train.recipe.Recipe as JSON.
        init: weights that the training started from, "random" or a description of a weights file.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        started_utc: time when the training started, ISO 8601.
        status: "running" (and still so where its process was killed), "finished", "interrupted" or "failed".
        history: record of each epoch: its loss, learning rate, mIoU (0 to 1), class IoU and seconds; mIoU and class IoU
            are None where the epoch was not validated.
        best_epoch: number of the epoch, from 1, whose weights best.weights.h5 holds; 0 for the initial weights.
        best_miou: mIoU of the best epoch on the validation split, 0 to 1.
        weights_sha256: SHA-256 of best.weights.h5.
        versions: package -> its version at the training.
        validation_frames: number of frames that mIoU was measured on; None in records of before.
        skipped_frames: frames that were left out, since they or their label maps cannot be read, as "train/NAME" or
            "val/NAME".
        training_frames: number of frames that were learnt from; None in records of before.
        frames_sha256: split -> SHA-256 of the names of its frames in their order, by `frames_digest`.
        other_weights_sha256: name of each further weights file in the folder -> its SHA-256.
        steps_done: number of optimiser steps that the state of the training has behind it.
        steps_planned: number of optimiser steps of the whole schedule; None in records of before.
        end_reason: words on why the training ended before its last epoch, such as "SIGTERM" or "no better score in 20
            validations"; "" where it did not.
        resumptions: times at which the training went on after it had been stopped or killed.
        strategy: how the work is spread: "one" device, "mirrored" over several, or "multiworker" over machines.
        replicas: number of devices over all machines.
        workers: number of processes.
        devices: description of each kind of device.
        measurements: what was measured while the training ran; None in records of before.
        classes: name, painted colour, category and groups of each class, in the order of the train ids; empty in
            records of before.
        described: dataset description that was trained on; None for a dataset that the project knows by name.
        split_source: words on whose split of the frames it is, where the dataset is passed on without one; "" for the
            dataset's own, and in records of before.
        recipe_origin: words on where the recipe comes from, such as "adapted", or a file; "" in records of before.
        initial_miou: mIoU of the initial weights on the validation split, 0 to 1; None where they were not validated.
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
    training_frames: int | None = None
    frames_sha256: dict[str, str] = field(default_factory=dict)
    other_weights_sha256: dict[str, str] = field(default_factory=dict)
    steps_done: int = 0
    steps_planned: int | None = None
    end_reason: str = ""
    resumptions: tuple[Resumption, ...] = ()
    strategy: str = "one"
    replicas: int = 1
    workers: int = 1
    devices: tuple[str, ...] = ()
    measurements: TrainingMeasurements | None = None
    classes: tuple[NetworkClass, ...] = ()
    described: DescribedData | None = None
    split_source: str = ""
    recipe_origin: str = ""
    initial_miou: float | None = None

    def digest_of(self, name: str) -> str | None:
        """Return the SHA-256 of a weights file in the run folder; None where the run has left none of this name."""
        return self.weights_sha256 if name == BEST_WEIGHTS else self.other_weights_sha256.get(name)

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every weights file in the run folder by its name."""
        best = {} if self.weights_sha256 is None else {BEST_WEIGHTS: self.weights_sha256}
        return {**best, **self.other_weights_sha256}


def frames_digest(names: Iterable[str]) -> str:
    """Return the SHA-256 of the names of frames in their order, 64 hex digits."""
    return sha256_json(list(names))


def new_run_folder(model: str, dataset: str, root: Path = RUNS_ROOT) -> Path:
    """Return a folder name that sorts by time; it does not exist yet."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
    return root / f"{model}-{dataset}-{stamp}"


def score_words(run: RunRecord) -> str:
    """Return the score of a run in words."""
    return f"mIoU {100 * run.best_miou:.2f} %" if run.best_miou is not None else "no mIoU"


def weights_in_run(folder: Path, name: str = BEST_WEIGHTS) -> Path:
    """Return the path of weights in a run folder, and finish their writing where a kill broke it off.

    Args:
        folder: run folder, which may be read-only: the weights are then read where they are.
        name: name of the weights file: BEST_WEIGHTS, LAST_WEIGHTS or EMA_WEIGHTS.

    Returns:
        The path of the weights, which need not exist.
    """
    try:
        run = read_record(RunRecord, folder / RUN_RECORD)
    except InputError:
        return folder / name
    return settled_path(folder, name, run.digest_of(name))


def read_run(weights_path: Path, model: str) -> tuple[RunRecord, WeightsProvenance]:
    """Read the record beside a weights file, and check that the two belong together.

    Args:
        weights_path: a .weights.h5 file in a run folder, such as `weights_in_run` gives.
        model: the model that the weights are wanted for.

    Raises:
        InputError: the weights or their run.json are missing.
        WeightsError: the weights belong to another model, or are not a file that run.json describes.
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
    names = [name for name, sha256 in run.digests().items() if sha256 == digest]
    if not names and read_record(RunRecord, record_path) != run:
        return read_run(weights_path, model)  # a training has written both while they were read
    if not names:
        expected = run.digest_of(weights_path.name)
        raise WeightsError(
            f"{weights_path} is not the file that {RUN_RECORD} describes "
            f"(sha256 {digest[:12]}, expected {str(expected)[:12]}): it is damaged or was replaced"
        )
    provenance = WeightsProvenance(
        kind=TRAINED,
        source=weights_path.parent.name,
        sha256=digest,
        miou=_miou_of(run, names[0]),
        trained_size=(run.height, run.width),
        described=run.described,
        training_s=run.measurements.whole_s if run.measurements is not None else None,
        trained_on="; ".join(run.devices),
    )
    return run, provenance


def _miou_of(run: RunRecord, name: str) -> float | None:
    """Return the mIoU that weights of a run were validated with; None where they were not validated."""
    if name == BEST_WEIGHTS:
        return run.best_miou
    validated = EMA_WEIGHTS if run.recipe.get("ema") else LAST_WEIGHTS
    return run.history[-1].get("miou") if name == validated and run.history else None
