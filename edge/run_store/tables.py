"""The tables of a runs database, with the schema number and the changes from older ones.

SQLite writes the schema number into the head of the file (PRAGMA user_version). The tables are plain, so that a program
that knows nothing of this project reads them; docs/runs-database.md describes them. Their SQL keeps to SQLite 3.31,
which Ubuntu 20.04 and so JetPack 5 have.

Source: https://www.sqlite.org/pragma.html#pragma_user_version and #pragma_application_id.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Iterable

from edge.errors import ContractError
from edge.run_store.connection import roll_back

APPLICATION_ID = 0x53456467
"""Number in the head of the file that tells a runs database from other SQLite files: "SEdg" as ASCII."""

FRAME_TIMES = ("due_ns", "start_ns", "end_ns", "latency_ns")
"""Columns of `frames` that every frame has; behind them is one for each stage that any run had."""

_FIRST_TABLES = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    is_valid INTEGER,
    started_utc TEXT NOT NULL,
    written_utc TEXT NOT NULL,
    model TEXT, dataset TEXT, precision TEXT, height INTEGER, width INTEGER, backend TEXT,
    input TEXT, scenario TEXT, machine TEXT, host TEXT,
    frame_count INTEGER, latency_p50_ms REAL, latency_p99_ms REAL, fps REAL,
    power_mw REAL, energy_per_frame_mj REAL, miou REAL,
    window_start_ns INTEGER,
    stages TEXT NOT NULL DEFAULT '[]',
    frames_sha256 TEXT, telemetry_sha256 TEXT,
    boot_id TEXT NOT NULL, process_place TEXT NOT NULL, process_id INTEGER NOT NULL, process_start INTEGER NOT NULL,
    description TEXT NOT NULL,
    record TEXT
);
CREATE TABLE frames (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    frame INTEGER NOT NULL,
    due_ns INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, latency_ns INTEGER NOT NULL,
    preprocess_ns INTEGER, inference_ns INTEGER, postprocess_ns INTEGER,
    PRIMARY KEY (run, frame)
) WITHOUT ROWID;
CREATE TABLE telemetry (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    time_ns INTEGER NOT NULL, quantity TEXT NOT NULL, sensor TEXT NOT NULL, value
);
CREATE INDEX telemetry_of_run ON telemetry (run);
CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    time_ns INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX events_of_run ON events (run);
CREATE VIEW frame_latencies AS
    SELECT run_id, frame, (start_ns - window_start_ns) / 1e9 AS start_s, latency_ns / 1e6 AS latency_ms,
           (end_ns - due_ns) / 1e6 AS age_ms
    FROM frames JOIN runs USING (run);
CREATE VIEW telemetry_values AS
    SELECT run_id, (time_ns - window_start_ns) / 1e9 AS time_s, quantity, sensor, value
    FROM telemetry JOIN runs USING (run);
"""

MIGRATIONS = (_FIRST_TABLES,)
"""SQL that leads from schema N to schema N + 1, at position N; an empty file has schema 0."""

SCHEMA = len(MIGRATIONS)
"""Schema number of the tables that this version reads and writes."""


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables of a database to the present schema; a new file gets all of them.

    Raises:
        ContractError: The file is a SQLite database of something else, or of a later version of segedge.
        sqlite3.Error: The file cannot be read or written.
    """
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not is_ours and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise ContractError(f"{path} is a SQLite database of another program, expected runs. Next: --runs FILE")
    if schema > SCHEMA:
        raise ContractError(
            f"runs database {path} has schema {schema}, this version of segedge reads up to {SCHEMA}. "
            "Next: a later version, or --runs FILE with another name"
        )
    if schema == SCHEMA:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited.
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        for script in MIGRATIONS[schema:]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def copied_columns(target: sqlite3.Connection, table: str, names: Iterable[str]) -> list[str]:
    """Return the columns of a row of another database that a table is given; stages that are new to it get a column.

    Args:
        target: Database that rows are copied to.
        table: Name of the table.
        names: Columns of the row.
    """
    there = [row[1] for row in target.execute(f"PRAGMA table_info ({table})")]
    given = list(dict.fromkeys(names))
    if table == "frames":
        add_stage_columns(target, tuple(name[:-3] for name in given if name.endswith("_ns") and name not in there))
        return [name for name in given if name in there or name.endswith("_ns")]
    return [name for name in given if name in there]


def stage_column(stage: str) -> str:
    """Return the name of a stage's column in `frames`, such as "inference_ns".

    Raises:
        ContractError: The name cannot be that of a column.
    """
    if not stage.replace("_", "").isalnum() or not stage.isascii():
        raise ContractError(f"stage is called '{stage}', expected letters, digits and underscores")
    return f"{stage}_ns"


def add_stage_columns(connection: sqlite3.Connection, stages: tuple[str, ...]) -> None:
    """Give `frames` a column for every stage that it has none for yet; rows that are there have NULL in it."""
    there = {row[1] for row in connection.execute("PRAGMA table_info (frames)")}
    for stage in stages:
        if stage_column(stage) not in there:
            connection.execute(f"ALTER TABLE frames ADD COLUMN {stage_column(stage)} INTEGER")
