"""The two ways into a training: a run that begins, and a run that goes on."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

import keras
import numpy as np
import tensorflow as tf

from edge.datasets import Dataset
from edge.network_class import network_classes
from edge.provenance import DescribedData
from train.devices import describe_devices
from train.engine.strategies import TrainingStrategy
from train.initial_weights import InitialWeights
from train.journal.curves import CurvesPicture
from train.journal.event_log import EventLog
from train.journal.history_table import HistoryTable
from train.journal.journal import Journal, JournalWriter
from train.journal.machine_use import open_energy_meter
from train.preparation import Preparation, prepare
from train.recipe import Recipe
from train.recipes.file import recipe_from_fields
from train.run_folder.following_run import FollowingRun
from train.run_folder.open_run import OpenRun
from train.run_folder.resume import RunToResume, read_run_to_resume
from train.runs import RUNNING, RunRecord, frames_digest
from train.training import Course, Training


@dataclass(frozen=True)
class Task:
    """What is trained, and where.

    Attributes:
        model_name: key in train.models.MODELS.
        training: labelled split to learn from.
        validation: labelled split that decides which epoch is best.
        folder: run folder.
        strategy: what the step is spread over.
        course: how the training is run.
        writers: places that it is written down in, beside those in the run folder.
        described: description of the dataset; None for a dataset that the project knows by name.
    """

    model_name: str
    training: Dataset
    validation: Dataset
    folder: Path
    strategy: TrainingStrategy
    course: Course = field(default_factory=Course)
    writers: tuple[JournalWriter, ...] = ()
    described: DescribedData | None = None


def begin_training(
    task: Task,
    recipe: Recipe,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    initial: InitialWeights | None = None,
    recipe_origin: str = "",
) -> RunRecord:
    """Train a model from its first step to its end.

    Args:
        task: what is trained, and where.
        recipe: settings of the training.
        seed: seed of the initial weights, of the order of frames and of the augmentation.
        options: options of the architecture that the user or the recipe set; ignored with `initial`, which has its
            own.
        initial: weights to start from; None for random ones.
        recipe_origin: words on where the recipe comes from, for the record.

    Returns:
        The record of the run, as it was written last.

    Raises:
        SizeError: the model cannot take the recipe's sizes.
        InputError: the folder holds a run already or is in use, or the recipe contradicts itself.
        DatasetError: a pair cannot be read.
        SegEdgeError: the training diverged, or ran out of memory.
        StorageError: the run folder cannot be written.
    """
    prepared = prepare(
        task.model_name,
        task.training,
        task.validation,
        recipe,
        task.strategy,
        seed=seed,
        options=options,
        initial=initial,
    )
    _check_memory(prepared)
    with _opened_folder(task) as run:
        return _train(task, prepared, run, None, recipe_origin)


def go_on_training(task: Task, wanted: Mapping[str, Any]) -> RunRecord:
    """Go on with a training from its last checkpoint.

    Args:
        task: what is trained, and where; the model and the frames have to be those of the run.
        wanted: field of RunRecord -> its value, for all fields that the user asked for; see
            `train.run_folder.resume.read_run_to_resume`.

    Returns:
        The record of the run, as it was written last.

    Raises:
        InputError: there is nothing to go on with, or the run has another configuration; or the folder is in use.
        WeightsError: the state is damaged.
        DatasetError: a pair cannot be read.
        SegEdgeError: the training diverged, or ran out of memory.
        StorageError: the run folder cannot be written.
    """
    with _opened_folder(task) as run:
        start = read_run_to_resume(
            task.folder, {**wanted, "frames_sha256": _frames_sha256(task), "data_dir": str(task.training.root)}
        )
        record = start.record
        recipe = recipe_from_fields(record.recipe, f"recipe of {task.folder}")
        prepared = prepare(
            task.model_name,
            task.training,
            task.validation,
            recipe,
            task.strategy,
            seed=record.seed,
            options=record.options,
            initial_origin=record.init,
        )
        _check_memory(prepared)
        return _train(task, prepared, run, start)


def _check_memory(prepared: Preparation) -> None:
    """Refuse a batch that takes more memory than there is, before anything is written.

    Raises:
        InputError: it does; the message names the largest batch that fits.
    """
    height, width = prepared.recipe.crop_size
    crops = prepared.recipe.batch_size // prepared.strategy.replicas
    frames = tf.TensorSpec((crops, height, width, 3), tf.uint8)
    prepared.step.check_memory((frames, tf.TensorSpec((crops, height, width), tf.uint8)))


def _opened_folder(task: Task) -> OpenRun | FollowingRun:
    return OpenRun(task.folder) if task.strategy.is_chief else FollowingRun(task.folder)


def _train(
    task: Task,
    prepared: Preparation,
    run: OpenRun | FollowingRun,
    start: RunToResume | None,
    recipe_origin: str = "",
) -> RunRecord:
    is_chief = task.strategy.is_chief
    writers = (HistoryTable(), CurvesPicture(), EventLog(), *task.writers) if is_chief else ()
    meter = open_energy_meter(len(tf.config.list_physical_devices("GPU"))) if is_chief else None
    with meter or contextlib.nullcontext():
        training = Training(prepared, run, Journal(writers), task.course, meter)
        if start is None:
            training.begin(_first_record(task, prepared, recipe_origin))
        else:
            training.go_on(start)
        return training.train()


def _first_record(task: Task, prepared: Preparation, recipe_origin: str) -> RunRecord:
    training, validation, recipe = task.training, task.validation, prepared.recipe
    return RunRecord(
        model=task.model_name,
        dataset=training.name,
        data_dir=str(training.root),
        class_count=training.table.class_count,
        height=recipe.height,
        width=recipe.width,
        options=prepared.options,
        recipe=recipe.to_json(),
        init=prepared.initial_origin,
        seed=prepared.seed,
        started_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        status=RUNNING,
        versions={"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__},
        validation_frames=len(validation),
        skipped_frames=tuple(f"{part.split}/{name}" for part in (training, validation) for name in part.skipped),
        training_frames=len(training),
        frames_sha256=_frames_sha256(task),
        steps_planned=recipe.epochs * prepared.steps_per_epoch,
        strategy=task.strategy.name,
        replicas=task.strategy.replicas,
        workers=task.strategy.workers,
        devices=(describe_devices(),),
        classes=network_classes(training.table),
        described=task.described,
        split_source=training.split_source,
        recipe_origin=recipe_origin,
    )


def _frames_sha256(task: Task) -> dict[str, str]:
    parts = (task.training, task.validation)
    return {part.split: frames_digest(sample.name for sample in part.samples) for part in parts}
