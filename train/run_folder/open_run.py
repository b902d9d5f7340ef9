"""A run folder that this process trains in: its lock, and the order of its writes.

A checkpoint is written in this order, each file whole and on the disk before the next:

1. new weights, beside those that there are (train.weights_pair);
2. state.npz, which holds the record of this moment: from here on, the training goes on from this checkpoint;
3. run.json: from here on, a build takes the new weights;
4. the new weights are renamed to their names.

So the state is never behind the weights, and what a kill leaves is one of two: a run that goes on from the checkpoint
before with the weights of before, or one that goes on from this one and whose weights are found by their hash.
"""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np

from edge.artifacts import sha256_file, sync_folder
from edge.console import print_warning
from edge.errors import InputError, StorageError
from edge.records import record_to_json, write_record
from train.run_folder.lock import RunLock
from train.run_folder.resume import RECORD_FACT, RunToResume, can_go_on, resume_command
from train.run_folder.state_file import write_state
from train.runs import BEST_WEIGHTS, INITIAL, RUN_RECORD, RUN_STATE, RUNNING, Resumption, RunRecord, score_words
from train.weights_pair import described_path, put_in_place, remove_unnamed, stage_weights


class OpenRun:
    """A run folder that this process trains in, for a `with` block; nobody else can train there meanwhile.

    Args:
        folder: run folder, which is made if it is not there.

    Attributes:
        folder: run folder.
        record: record of the run as it was last written; None until `begin` or `go_on`.

    Raises:
        InputError: another training holds the folder (on entering the block).
        StorageError: the folder cannot be written to (on entering the block).

    Example:
        >>> with OpenRun(folder) as run:
        ...     run.begin(record, arrays, facts)
        ...     run.checkpoint(record, arrays, facts, {BEST_WEIGHTS: model.save_weights})
        ...     run.end(FINISHED)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: RunRecord | None = None
        self._named: list[dict[str, str]] = []  # hashes of weights in run.json, and in the state, which is not older
        self._lock = RunLock(folder)

    def __enter__(self) -> OpenRun:
        self._lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.__exit__(*exception)

    def begin(self, record: RunRecord, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> RunRecord:
        """Write the first checkpoint of a run, before its first step, and return the record.

        Until it is whole, the folder holds no run; from then on, a training goes on with it. So there is no moment at
        which a kill leaves a folder that is neither.

        Args:
            record: record of the run.
            arrays: see `checkpoint`.
            facts: see `checkpoint`.

        Raises:
            InputError: the folder holds a run already.
            StorageError: the checkpoint cannot be written.
        """
        for name in (RUN_RECORD, RUN_STATE):
            if (self.folder / name).exists():
                way_on = f", or {resume_command(self.folder)}" if can_go_on(self.folder) else ", or remove it"
                raise InputError(f"run folder {self.folder} holds a run already. Next: another --output{way_on}")
        return self.checkpoint(record, arrays, facts)

    def go_on(self, start: RunToResume) -> RunRecord:
        """Bring the folder to the checkpoint of a state, note the resumption, and return the record.

        Weights of before the checkpoint are put in place; what was written after it goes. Weights that are gone or
        damaged cost no run: a line says so, and the record names them no longer.

        Args:
            start: run as `read_run_to_resume` read it under the lock of this object.

        Raises:
            StorageError: the folder cannot be written to.
        """
        record = dataclasses.replace(start.record, status=RUNNING, end_reason="")
        record = _without_lost_weights(record, self.folder)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        resumption = Resumption(record.steps_done, now)
        record = dataclasses.replace(record, resumptions=(*record.resumptions, resumption))
        self._write(record)
        self._named = [record.digests()]
        for name, sha256 in record.digests().items():
            put_in_place(self.folder, name, sha256)
        remove_unnamed(self.folder, *self._named)
        return record

    def checkpoint(
        self,
        record: RunRecord,
        arrays: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
        weights: Mapping[str, Callable[[Path], object]] | None = None,
    ) -> RunRecord:
        """Write what a training goes on from, and weights with it, so that a kill at any moment loses nothing.

        Args:
            record: record of the run at this step; the hashes of new weights are set here.
            arrays: name -> value of everything that the next step depends on.
            facts: everything else that the training needs to go on, as JSON; "record" is taken.
            weights: name of a weights file, such as BEST_WEIGHTS -> function that writes it to the path it is given;
                those that are not named stay as they are.

        Returns:
            The record as it was written, with the hashes of the weights.

        Raises:
            StorageError: the disk is full, or the folder may not be written to; the checkpoint before is still there.
        """
        self._check_space(arrays, weights or {})
        digests = {name: stage_weights(self.folder, name, write) for name, write in (weights or {}).items()}
        record = _with_digests(record, digests)
        try:
            write_state(self.folder / RUN_STATE, arrays, {**facts, RECORD_FACT: record_to_json(record)})
        except StorageError:  # the space is needed
            remove_unnamed(self.folder, *self._named)
            raise
        self._named = [*self._named[-1:], record.digests()]
        self._write(record)
        for name, sha256 in digests.items():
            put_in_place(self.folder, name, sha256)
        return record

    def end(self, status: str, reason: str = "") -> RunRecord:
        """Write how the training ended, and return the record; all else in it stays that of the last checkpoint.

        So a record whose checkpoint failed, with a better score than that of the weights, reaches no build.

        Args:
            status: FINISHED, INTERRUPTED or FAILED.
            reason: words on why it ended before its last epoch; "" where it did not.

        Raises:
            StorageError: the record cannot be written; the one before is still there.
        """
        record = dataclasses.replace(self.record, status=status, end_reason=reason)
        self._write(record)
        return record

    def _check_space(self, arrays: Mapping[str, np.ndarray], weights: Mapping[str, object]) -> None:
        """Refuse a checkpoint that the disk has no room for, before HDF5 fails in the middle and prints why at length.

        Raises:
            StorageError: less is free than the state and weights of the size of those before.
        """
        before = (self.folder / name for name in weights)
        needed_bytes = sum(np.asarray(array).nbytes for array in arrays.values())
        needed_bytes += sum(path.stat().st_size for path in before if path.is_file())
        disk = shutil.disk_usage(self.folder)
        if disk.total and disk.free < needed_bytes:
            way_on = resume_command(self.folder) if can_go_on(self.folder) else "run the command again"
            raise StorageError(
                f"cannot write a checkpoint into {self.folder}: {disk.free / 1e6:.1f} MB are free on its disk, "
                f"expected {needed_bytes / 1e6:.1f} MB. Next: free some space, then {way_on}"
            )

    def _write(self, record: RunRecord) -> None:
        write_record(self.folder / RUN_RECORD, record)
        sync_folder(self.folder)
        self.record = record


def _without_lost_weights(record: RunRecord, folder: Path) -> RunRecord:
    """Return a record without the weights that are not in the folder any more."""
    for name, sha256 in record.digests().items():
        path = described_path(folder, name, sha256)
        if path.is_file() and sha256_file(path) == sha256:
            continue
        if name != BEST_WEIGHTS:  # the next epoch writes it anew
            others = {key: value for key, value in record.other_weights_sha256.items() if key != name}
            record = dataclasses.replace(record, other_weights_sha256=others)
            continue
        best = "initial weights" if record.best_epoch == INITIAL else f"weights of epoch {record.best_epoch}"
        print_warning(
            f"{path} is {'not as the run left it' if path.is_file() else 'gone'}: the {best}, "
            f"with {score_words(record)}, are lost, and the best from now on are kept"
        )
        record = dataclasses.replace(record, best_epoch=None, best_miou=None, weights_sha256=None)
    return record


def _with_digests(record: RunRecord, digests: Mapping[str, str]) -> RunRecord:
    others = {name: sha256 for name, sha256 in digests.items() if name != BEST_WEIGHTS}
    return dataclasses.replace(
        record,
        weights_sha256=digests.get(BEST_WEIGHTS, record.weights_sha256),
        other_weights_sha256={**record.other_weights_sha256, **others},
    )
