"""A damaged runs database is put aside, and what can be read of it goes into a new one.

SQLite reads a file page by page, so damage in one page leaves the rows of the others readable. Rows are read in the
order of their keys; where a page cannot be read, the next key that can be is looked for in growing steps.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

from edge.run_store.connection import connect
from edge.run_store.tables import copied_columns, migrate

_FURTHEST = 1 << 40
"""Largest step over keys that cannot be read; no run has more frames, and no database more rows."""


_NUMBERS = "SELECT run FROM runs WHERE run >= ? ORDER BY run"


@dataclass(frozen=True)
class Rebuilt:
    """What became of a damaged database.

    Attributes:
        aside: Path that the damaged file has now.
        runs: Number of runs that were read.
        frames: Number of frames that were read.
        frames_lost: Number of frames of these runs that could not be read.
    """

    aside: Path
    runs: int
    frames: int
    frames_lost: int

    def sentence(self, path: Path) -> str:
        """Return what was done as a line."""
        lost = f", {self.frames_lost} frames of them could not be read" if self.frames_lost else ""
        return (
            f"runs database {path} was damaged: it is kept as {self.aside}, and the new one has the {self.runs} runs "
            f"with {self.frames} frames that could be read{lost}"
        )


def rebuild(path: Path) -> Rebuilt:
    """Put a damaged database aside and make a new one of what can be read of it.

    Raises:
        OSError: The file cannot be renamed.
        sqlite3.Error: The new file cannot be written.
    """
    aside = _put_aside(path)
    with contextlib.closing(connect(path)) as target:
        migrate(target, path)
        with contextlib.ExitStack() as opened:
            try:
                source = opened.enter_context(contextlib.closing(_source(aside)))
                runs = [_run_row(source, row["run"]) for row in list(_readable(source, _NUMBERS, "run"))]
            except sqlite3.Error:  # the head of the file, or its list of tables, is damaged
                return Rebuilt(aside, 0, 0, 0)
            target.execute("BEGIN IMMEDIATE")
            counts = [_copy_run(source, target, run) for run in runs]
            target.execute("COMMIT")
    read = sum(count for count, _ in counts)
    return Rebuilt(aside, len(runs), read, sum(max(expected - count, 0) for count, expected in counts))


def _source(path: Path) -> sqlite3.Connection:
    """Return a connection that reads a damaged database, also one that is shorter than its head says."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    # SQLite refuses a truncated file as a whole, unless its tables may be mended by hand (lockBtree of its btree.c).
    connection.execute("PRAGMA writable_schema = ON")
    return connection


def _run_row(source: sqlite3.Connection, run: int) -> dict[str, Any]:
    """Return the row of a run, as far as it can be read.

    Description and record are long, and lie in pages of their own behind the rest of the row.
    """
    try:
        return dict(source.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone())
    except sqlite3.Error:
        names = [row[1] for row in source.execute("PRAGMA table_info (runs)")]
        short = ", ".join(name for name in names if name not in ("description", "record"))
        row = source.execute(f"SELECT {short} FROM runs WHERE run = ?", (run,)).fetchone()
        return {**dict(row), "description": "{}"}


def _put_aside(path: Path) -> Path:
    """Rename a database with its log, which needs no space; return its new path."""
    stem = f"{path.name}.damaged-{datetime.datetime.now(datetime.timezone.utc):%Y%m%d-%H%M%S}"
    aside, number = path.with_name(stem), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}")
    os.replace(path, aside)
    with contextlib.suppress(FileNotFoundError):  # commits that are not in the file itself yet
        os.replace(f"{path}-wal", f"{aside}-wal")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    return aside


def _copy_run(source: sqlite3.Connection, target: sqlite3.Connection, run: dict[str, Any]) -> tuple[int, int]:
    """Copy what can be read of a run; return the frames that were, and how many there should have been."""
    _insert(target, "runs", run, copied_columns(target, "runs", run))
    counts = {}
    for table, key in (("frames", "frame"), ("telemetry", "rowid"), ("events", "rowid")):
        query = f"SELECT {table}.{key} AS {key}, * FROM {table} WHERE run = {run['run']} AND {key} >= ? ORDER BY {key}"
        counts[table] = 0
        columns: list[str] = []
        for row in _readable(source, query, key):
            columns = columns or copied_columns(target, table, row.keys())
            _insert(target, table, row, columns)
            counts[table] += 1
    return counts["frames"], run["frame_count"] or counts["frames"]


def _insert(target: sqlite3.Connection, table: str, row: Mapping[str, Any], columns: list[str]) -> None:
    places = ", ".join("?" * len(columns))
    with contextlib.suppress(sqlite3.IntegrityError):  # a damaged value, such as an id that is there twice
        target.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", [row[name] for name in columns])


def _readable(source: sqlite3.Connection, query: str, key: str) -> Iterator[sqlite3.Row]:
    """Return the rows of a query that can be read, which takes the first key and gives rows in rising order of it."""
    position, step = 0, 1
    while step < _FURTHEST:
        try:
            for row in source.execute(query, (position,)):
                yield row
                position, step = row[key] + 1, 1
            return
        except sqlite3.Error:
            position += step
            step *= 2
