"""Logs for TensorBoard: `tensorboard --logdir runs` shows every run, though TensorBoard is not needed to write them.

Events are written as records of their own, and not by tf.summary: that has no event for a new start, by which
TensorBoard drops what a killed process had written beyond the state that the run went on from; and its scalars need
TensorBoard itself, which TensorFlow no longer installs.

Source: tensorflow/core/util/event.proto (Event, SessionLog); TensorBoard 2.21, _CheckForRestartAndMaybePurge in
tensorboard/backend/event_processing/plugin_event_accumulator.py.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Mapping, Sequence

from edge.console import storage_error
from edge.errors import StorageError
from train.journal.entries import EpochEntry, RunFacts, StepEntry
from train.journal.journal import JournalWriter
from train.journal.scalars import scalars_of_epoch, scalars_of_steps, step_of

EVENTS_FOLDER = "tensorboard"

_VERSION = "brain.Event:2"


class EventLog(JournalWriter):
    """Writes one file of events for each process of a run; each entry is on the disk before the next step begins."""

    name = "the log for TensorBoard"

    def open(self, run: RunFacts, epochs: Sequence[EpochEntry]) -> None:
        """Begin a file behind those of earlier processes.

        Raises:
            StorageError: the file cannot be written.
        """
        import tensorflow as tf

        self._protos = tf.compat.v1
        folder = run.folder / EVENTS_FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder) from error
        path = _next_file(folder)
        try:
            self._file = tf.io.TFRecordWriter(str(path))
        except tf.errors.OpError as error:
            raise StorageError(
                f"cannot write {path}: {error.message}. Next: choose a folder you may write to"
            ) from error
        self._write(0, file_version=_VERSION)
        # In the first file too: TensorBoard takes the first start of a run for no restart, whatever its step is.
        session = self._protos.SessionLog(status=self._protos.SessionLog.START)
        self._write(run.done_steps + 1, session_log=session)
        self._file.flush()
        if epochs and not self._has_epoch(path, step_of(epochs[-1])):
            # The process was killed between the state of the epoch's end and this log.
            self.on_epoch(epochs)

    def on_steps(self, entry: StepEntry) -> None:
        """Write the scalars of a few steps."""
        self._write_scalars(entry.step, scalars_of_steps(entry))

    def on_epoch(self, epochs: Sequence[EpochEntry]) -> None:
        """Write the scalars of an epoch."""
        self._write_scalars(step_of(epochs[-1]), scalars_of_epoch(epochs[-1]))

    def on_end(self, status: str) -> None:
        """Close the file."""
        self._file.close()

    def _has_epoch(self, path: Path, step: int) -> bool:
        """Return whether the file of the process before has the values of the epoch that ended with a step."""
        import tensorflow as tf

        before = path.with_suffix(f".{int(path.suffix[1:]) - 1:06d}")
        try:
            for record in tf.data.TFRecordDataset([str(before)]):
                event = self._protos.Event.FromString(record.numpy())
                if event.step == step and any(value.tag == "epoch/loss" for value in event.summary.value):
                    return True
        except tf.errors.OpError:  # no such file, or its end is torn
            return False
        return False

    def _write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        values = [self._protos.Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
        self._write(step, summary=self._protos.Summary(value=values))
        self._file.flush()

    def _write(self, step: int, **content: Any) -> None:
        event = self._protos.Event(wall_time=time.time(), step=step, **content)
        self._file.write(event.SerializeToString())


def _next_file(folder: Path) -> Path:
    """Return the path of a file that TensorBoard, which reads by name, reads behind those that are there."""
    numbers = [int(path.suffix[1:]) for path in folder.glob("events.out.tfevents.*") if path.suffix[1:].isdigit()]
    return folder / f"events.out.tfevents.{max(numbers, default=0) + 1:06d}"
