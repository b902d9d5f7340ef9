"""Logs for TensorBoard, read back as TensorBoard reads them."""

from __future__ import annotations

import contextlib

import pytest
import tensorflow as tf

from edge.errors import StorageError
from tests.train.journal.runs_made_up import epoch_entry, run_facts, step_entry
from train.journal.event_log import EVENTS_FOLDER, EventLog

START = tf.compat.v1.SessionLog.START


def events_of(folder):
    """All events of a run in the order of TensorBoard: file by file, by their names."""
    paths = sorted(str(path) for path in (folder / EVENTS_FOLDER).iterdir())
    events = []
    for path in paths:
        with contextlib.suppress(tf.errors.DataLossError):  # the end of a file whose process was killed
            events += map(tf.compat.v1.Event.FromString, tf.data.TFRecordDataset([path]).as_numpy_iterator())
    return events


def scalars_of(folder) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value); a start, but the first, drops what was written at its step and later, as TensorBoard does.

    Source: _CheckForRestartAndMaybePurge in tensorboard/backend/event_processing/plugin_event_accumulator.py.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    starts = 0
    for event in events_of(folder):
        if event.HasField("session_log") and event.session_log.status == START:
            starts += 1
            if starts > 1:
                found = {name: [pair for pair in pairs if pair[0] < event.step] for name, pairs in found.items()}
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, pytest.approx(value.simple_value)))
    return found


def test_scalars_of_steps_and_epochs_are_written(tmp_path):
    log = EventLog()
    log.open(run_facts(tmp_path), ())
    log.on_steps(step_entry(5))
    log.on_epoch([epoch_entry(1, 0.5)])
    log.on_end("finished")
    scalars = scalars_of(tmp_path)
    assert scalars["train/loss"] == [(5, 0.2)]
    assert scalars["train/loss/auxiliary"] == [(5, 0.05)]
    assert (scalars["train/learning_rate"], scalars["train/images_per_s"]) == ([(5, 0.1)], [(5, 12.5)])
    assert (scalars["epoch/loss"], scalars["val/miou"], scalars["val/iou/sky"]) == (
        [(10, 2.0)],
        [(10, 0.5)],
        [(10, 0.5)],
    )
    assert "val/iou/pole" not in scalars  # neither in the labels nor predicted


def test_entry_is_on_the_disk_before_the_next_step(tmp_path):
    log = EventLog()
    log.open(run_facts(tmp_path), ())
    log.on_steps(step_entry(5))
    assert scalars_of(tmp_path)["train/loss"] == [(5, 0.2)]  # without an end: the process may be killed now


def test_resumed_run_takes_the_place_of_what_was_written_beyond_its_state(tmp_path):
    log = EventLog()
    log.open(run_facts(tmp_path), ())
    for step in (5, 10, 15):
        log.on_steps(step_entry(step, loss=1.0))
    log = EventLog()
    log.open(run_facts(tmp_path, done_steps=10), ())
    for step in (15, 20):
        log.on_steps(step_entry(step, loss=2.0))
    assert scalars_of(tmp_path)["train/loss"] == [(5, 1.0), (10, 1.0), (15, 2.0), (20, 2.0)]


@pytest.mark.parametrize("is_torn", [False, True])
def test_epoch_whose_process_was_killed_before_it_was_told_is_written_by_the_next(tmp_path, is_torn):
    entries = [epoch_entry(1, 0.5), epoch_entry(2, 0.6)]
    log = EventLog()
    log.open(run_facts(tmp_path), ())
    log.on_epoch(entries[:1])
    if is_torn:
        (path,) = (tmp_path / EVENTS_FOLDER).iterdir()
        path.write_bytes(path.read_bytes() + b"torn")
    for _ in range(2):
        EventLog().open(run_facts(tmp_path, done_steps=20), entries)
    assert [
        (event.step, value.simple_value)
        for event in events_of(tmp_path)
        for value in event.summary.value
        if value.tag == "val/miou"
    ] == [(10, 0.5), (20, pytest.approx(0.6))]


def test_file_names_are_what_tensorboard_looks_for_and_sort_by_time(tmp_path):
    for index in range(11):
        log = EventLog()
        log.open(run_facts(tmp_path, done_steps=index), ())
        log.on_end("finished")
    names = sorted(path.name for path in (tmp_path / EVENTS_FOLDER).iterdir())
    assert len(names) == 11 and all("tfevents" in name for name in names)
    assert [event.step for event in events_of(tmp_path) if event.HasField("session_log")] == list(range(1, 12))


def test_file_begins_with_the_version_that_readers_ask_for(tmp_path):
    log = EventLog()
    log.open(run_facts(tmp_path), ())
    log.on_end("finished")
    assert events_of(tmp_path)[0].file_version == "brain.Event:2"


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / EVENTS_FOLDER).write_text("in the way")
    with pytest.raises(StorageError, match=f"{EVENTS_FOLDER}"):
        EventLog().open(run_facts(tmp_path), ())
