"""The runs of a leaderboard: of the database of runs, of records, and of folders with records in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.console import print_note
from edge.errors import InputError
from edge.run_store.recording import RUNNING
from edge.run_store.store import RunStore, runs_path
from edge.run_store.stored_run import RecordFileRun, StoredRun


@dataclass(frozen=True)
class MeasuredRun:
    """One run of edge-bench, and where it is kept.

    Attributes:
        record: Record of the run.
        reference: Id of the run; the path of its record where it has none.
    """

    record: BenchRecord
    reference: str


def read_runs(references: Sequence[str], database: Path | None = None) -> list[MeasuredRun]:
    """Read the runs that references stand for, each once, in the order of their start.

    Args:
        references: Run ids or beginnings of ids, records, and folders, of which every record in them or below them is
            read; none of these for all runs of the database.
        database: Database that run ids are looked for in; None for the usual one.

    Raises:
        InputError: There is no such run, file or folder, or a folder holds no record.
        ContractError: A record is damaged.
        StorageError: The database cannot be read.
    """
    runs: dict[str, MeasuredRun] = {}
    paths = [reference for reference in references if Path(reference).exists()]
    for reference in paths:
        for path in _records_at(Path(reference)):
            _add(runs, RecordFileRun(path), os.path.realpath(path))
    ids = [reference for reference in references if reference not in paths]
    if ids or not references:
        with RunStore(runs_path(database), must_exist=True) as store:
            for run in map(store.find, ids) if ids else _finished(store):
                _add(runs, run, run.run_id)
    return sorted(runs.values(), key=lambda run: run.record.started_utc)


def _add(runs: dict[str, MeasuredRun], run: StoredRun, place: str) -> None:
    """Add a run that is not there yet: a record.json and the row of a database may be of one run."""
    summary = run.summary
    # Temperatures are in the lists of the whole record, which cost a second for a million frames.
    record = summary if summary.power is None or summary.power.times_s else run.record
    runs.setdefault(run.run_id or place, MeasuredRun(record, run.run_id or os.fspath(run.origin)))


def _finished(store: RunStore) -> Iterator[StoredRun]:
    for run in store.runs():
        if run.status == RUNNING:
            print_note(f"run {run.run_id} is being measured, and left out")
            continue
        try:
            _ = run.summary
        except InputError as error:  # it was killed before its first frame
            print_note(f"run {run.run_id} is left out: {error}")
            continue
        yield run


def _records_at(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(RECORD_FILE))
    if not found:
        raise InputError(
            f"{path} holds no benchmark record ({RECORD_FILE}), which edge-bench run --output leaves. "
            "Next: edge-bench run ENGINE --output FOLDER"
        )
    return found
