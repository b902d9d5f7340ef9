"""Runs of elsewhere enter a runs database: of another database, of a bundle, of a record.json."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Sequence

from edge.artifacts import sha256_json
from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.records import record_to_json
from edge.run_store.bundle import Bundle
from edge.run_store.recording import COMPLETE, PARTIAL, RUNNING, utc_now
from edge.run_store.rows import (
    frame_columns,
    frames_sha256,
    insert_samples,
    samples_sha256,
    shifted_samples,
)
from edge.run_store.run_columns import insert_run, record_columns
from edge.run_store.store import RunStore
from edge.run_store.stored_run import RecordFileRun
from edge.run_store.tables import add_stage_columns, copied_columns
from edge.telemetry.base import PowerSample


def insert_measured_run(
    store: RunStore,
    run_id: str,
    status: str,
    record: BenchRecord,
    frames: FrameSamples,
    samples: Sequence[PowerSample],
    window_start_ns: int = 0,
    events: Sequence[tuple[int, str, str]] = (),
) -> bool:
    """Add a run with its frames and samples, unless the database has one of its id.

    Args:
        store: Database.
        run_id: Name of the run.
        status: State of the run.
        record: Record of the run, with or without its lists.
        frames: Frames, in ns since the start of the measured window.
        samples: Samples, also in ns since the start of the measured window.
        window_start_ns: Start of the measured window on the clock of the machine that measured, in ns.
        events: Events of the run, each with its time on that clock in ns, its kind and its text.

    Returns:
        Whether the run is new.

    Raises:
        StorageError: The database cannot be written.
    """
    if store.has(run_id):
        return False
    absolute = shifted_samples(samples, window_start_ns)
    with store.transaction() as connection:
        run = insert_run(
            connection,
            {
                **_place_of_nobody(),
                "run_id": run_id,
                "status": status,
                "description": "{}",
                "stages": tuple(frames.stages_ns),
                "window_start_ns": window_start_ns,
                "frames_sha256": frames_sha256(frames, window_start_ns),
                "telemetry_sha256": samples_sha256(absolute),
                **record_columns(record, frames, samples),
            },
        )
        add_stage_columns(connection, tuple(frames.stages_ns))
        columns = frame_columns(frames, window_start_ns)
        places = ", ".join("?" * (len(columns) + 2))
        connection.executemany(
            f"INSERT INTO frames (run, frame, {', '.join(columns)}) VALUES ({places})",
            (
                (run, number, *values)
                for number, values in enumerate(zip(*(column.tolist() for column in columns.values())))
            ),
        )
        insert_samples(connection, run, absolute)
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [(run, *event) for event in events])
    return True


def insert_record_file(store: RunStore, path: Path) -> tuple[str, bool]:
    """Add the run of a record.json; one without a run id gets one that follows from its content.

    Returns:
        The id of the run, and whether it is new.

    Raises:
        InputError: There is no such file.
        ContractError: The record is damaged.
        StorageError: The database cannot be written.
    """
    run = RecordFileRun(path)
    run_id = run.run_id or f"record-{sha256_json(record_to_json(run.record))[:16]}"
    status = PARTIAL if run.record.is_partial else COMPLETE
    return run_id, insert_measured_run(store, run_id, status, run.record, run.frames, run.samples)


def insert_bundle(store: RunStore, bundle: Bundle) -> tuple[str, bool]:
    """Add the run of a bundle, and return its id and whether it is new.

    Raises:
        StorageError: The database cannot be written.
    """
    manifest = bundle.manifest
    is_new = insert_measured_run(
        store,
        manifest.run_id,
        manifest.status,
        bundle.record,
        bundle.frames,
        bundle.samples,
        manifest.window_start_ns,
        bundle.events,
    )
    return manifest.run_id, is_new


def insert_database(store: RunStore, source: RunStore) -> list[tuple[str, bool]]:
    """Add all runs of another database that are not there yet; those that are being measured are left out.

    Returns:
        Pairs of the id of a run, and whether it is new.

    Raises:
        StorageError: A database cannot be read or written.
    """
    found = []
    for run in source.runs():
        is_new = run.status != RUNNING and not store.has(run.run_id)
        found.append((run.run_id, is_new))
        if not is_new:
            continue
        with store.transaction() as connection:
            row = {name: run.row[name] for name in copied_columns(connection, "runs", run.row.keys()) if name != "run"}
            number = insert_run(connection, row)
            for table in ("frames", "telemetry", "events"):
                rows = source.read(
                    lambda other, table=table, run=run: other.execute(
                        f"SELECT * FROM {table} WHERE run = ? ORDER BY {'frame' if table == 'frames' else 'rowid'}",
                        (run.row["run"],),
                    )
                )
                names = [column[0] for column in rows.description]
                copied_columns(connection, table, names)
                places = ", ".join("?" * len(names))
                connection.executemany(
                    f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})",
                    ((number, *tuple(each)[1:]) for each in rows),
                )
    return found


def _place_of_nobody() -> dict[str, Any]:
    """Return the columns that say which process writes a run, for one that nobody writes any more."""
    return {
        "written_utc": utc_now(),
        "host": platform.node(),
        "boot_id": "",
        "process_place": "",
        "process_id": 0,
        "process_start": 0,
    }
