"""Epochs, records and run folders that no training made, for the tests of this folder and of the comparison."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edge.records import write_record
from train.journal.entries import EpochEntry, RunFacts, StepEntry
from train.runs import FINISHED, RUN_RECORD, RunRecord


def epoch_entry(number: int, miou: float | None = None, **changes) -> EpochEntry:
    """An epoch of ten steps; its loss falls from epoch to epoch."""
    entry = EpochEntry(
        epoch=number,
        loss=2.0 / number,
        learning_rate=0.1 / number,
        seconds=60.0,
        step=10 * number,
        head_losses={"logits": 1.5 / number, "auxiliary": 0.5 / number},
        miou=miou,
        class_iou={} if miou is None else {"sky": miou, "road": miou, "pole": None},
        validation_s=None if miou is None else 6.0,
        images_per_s=12.5,
    )
    return dataclasses.replace(entry, **changes)


def step_entry(step: int, **changes) -> StepEntry:
    entry = StepEntry(step, 1.0 / step, {"logits": 0.75 / step, "auxiliary": 0.25 / step}, 0.1, 12.5)
    return dataclasses.replace(entry, **changes)


def run_facts(folder: Path, done_steps: int = 0, **settings) -> RunFacts:
    return RunFacts(folder, "unet", "camvid", {"recipe": {"epochs": 3, "scale_min": 0.5}, **settings}, done_steps)


def write_run(folder: Path, scores=(0.3, 0.5, 0.4), **changes) -> RunRecord:
    """Write a finished run with an epoch for each score."""
    epochs = [epoch_entry(index + 1, score) for index, score in enumerate(scores)]
    measured = [(entry.miou, entry.epoch) for entry in epochs if entry.miou is not None]
    best_miou, best_epoch = max(measured, default=(None, None))
    record = RunRecord(
        model="unet",
        dataset="camvid",
        data_dir="data/camvid",
        class_count=11,
        height=64,
        width=96,
        options={},
        recipe={"epochs": len(epochs), "batch_size": 4, "learning_rate": 0.1, "auxiliary_weights": {"auxiliary": 0.4}},
        init="random",
        seed=0,
        started_utc="2026-12-01T10:00:00+00:00",
        status=FINISHED,
        history=tuple(entry.to_history() for entry in epochs),
        best_epoch=best_epoch,
        best_miou=best_miou,
        weights_sha256="0" * 64,
        validation_frames=20,
    )
    record = dataclasses.replace(record, **changes)
    write_record(folder / RUN_RECORD, record)
    return record
