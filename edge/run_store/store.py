"""The runs database as a whole: runs begin in it, are found, and are deleted."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import secrets
import sqlite3
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, TypeVar

from edge.console import print_warning, storage_error
from edge.errors import InputError, StorageError
from edge.process_identity import boot_id, is_alive, start_time, where_processes_live
from edge.run_store.connection import connect, database_error, is_damage
from edge.run_store.recording import INTERRUPTED, RUNNING, RunRecording, utc_now
from edge.run_store.repair import rebuild
from edge.run_store.run_columns import description_columns, insert_run, update_run
from edge.run_store.stored_run import LATEST, DatabaseRun
from edge.run_store.tables import migrate

Result = TypeVar("Result")

RUNS_FILE = "runs.db"
RUNS_VARIABLE = "SEGEDGE_RUNS"

FOREIGN_AGE_S = 600.0
"""Time in s without a commit after which a run of another machine or container counts as interrupted: 60 heartbeats."""


def runs_path(given: Path | None) -> Path:
    """Return the path of the runs database: what was given, else SEGEDGE_RUNS, else runs.db in the working folder."""
    return given or Path(os.environ.get(RUNS_VARIABLE) or RUNS_FILE)


class RunStore:
    """A runs database that is open; a `with` block closes it.

    Runs whose process died are marked as interrupted when a database is opened.

    Args:
        path: Path of the database, which is made where there is none.
        must_exist: True to refuse a database that is not there.

    Attributes:
        path: Path of the database.
        connection: Connection of the thread that opened it.

    Raises:
        InputError: The database has to exist, and does not.
        ContractError: The file is a database of something else, or of a later version.
        StorageError: The file cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike, must_exist: bool = False) -> None:
        self.path = Path(path)
        if must_exist and not self.path.is_file():
            raise InputError(
                f"runs database not found: {self.path}. Next: edge-bench run ENGINE, which makes it, or --runs FILE"
            )
        self.connection = self._open()

    def __enter__(self) -> RunStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; a call on a closed one does nothing."""
        self.connection.close()

    def begin(self, description: Mapping[str, Any]) -> RunRecording:
        """Add a run that is about to be measured.

        Args:
            description: Fields of a benchmark record that are known before it, in their JSON form: `engine` and
                `machine` at least, so that a run whose process dies still has a record; "power_source" has name,
                version, covers, interval_s and gap_limit_s of the source.

        Raises:
            StorageError: The database cannot be written.
        """
        now = datetime.datetime.now(datetime.timezone.utc)
        run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        columns = {
            "run_id": run_id,
            "status": RUNNING,
            "started_utc": description.get("started_utc") or now.isoformat(timespec="seconds"),
            "written_utc": utc_now(),
            "host": platform.node(),
            "boot_id": boot_id(),
            "process_place": where_processes_live(),
            "process_id": os.getpid(),
            "process_start": start_time(os.getpid()) or 0,
            **description_columns(description),
        }

        def begin_again() -> int:
            with RunStore(self.path) as again:
                return again.insert_run(columns)

        return RunRecording(self.path, self.insert_run(columns), run_id, begin_again)

    def insert_run(self, columns: Mapping[str, Any]) -> int:
        """Add a row to `runs`, in the place of one of the same run_id; return its number.

        Args:
            columns: Column -> value.

        Raises:
            StorageError: The database cannot be written.
        """
        with self.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE run_id = ?", (columns["run_id"],))
            return insert_run(connection, columns)

    def has(self, run_id: str) -> bool:
        """Return whether there is a run of this id.

        Raises:
            StorageError: The database cannot be read.
        """
        return bool(self._rows("SELECT run FROM runs WHERE run_id = ?", run_id))

    def runs(self) -> list[DatabaseRun]:
        """Return all runs, the oldest first.

        Raises:
            StorageError: The database cannot be read.
        """
        return [DatabaseRun(self, row) for row in self._rows("SELECT * FROM runs ORDER BY started_utc, run")]

    def find(self, reference: str) -> DatabaseRun:
        """Return the run of an id, of the beginning of one, or the one that was started last ("latest").

        Raises:
            InputError: There is no such run, or several begin so.
            StorageError: The database cannot be read.
        """
        if reference == LATEST:
            rows = self._rows("SELECT * FROM runs ORDER BY started_utc DESC, run DESC LIMIT 1")
        else:
            # Not LIKE, whose wildcards and upper case a reference might have by chance.
            rows = self._rows("SELECT * FROM runs WHERE substr(run_id, 1, ?) = ?", len(reference), reference)
            rows = [row for row in rows if row["run_id"] == reference] or rows
        if not reference or not rows:
            raise InputError(f"run {reference or chr(39) * 2} not found in {self.path}. Next: edge-bench list")
        if len(rows) > 1:
            named = ", ".join(row["run_id"] for row in rows[:3])
            raise InputError(f"{len(rows)} runs begin with {reference}: {named}. Next: more of the id")
        return DatabaseRun(self, rows[0])

    def delete(self, run: DatabaseRun) -> None:
        """Remove a run with its frames and samples, and give the space back.

        Raises:
            InputError: The run is being measured.
            StorageError: The database cannot be written.
        """
        self.require_ended(run)
        with self.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE run = ?", (run.row["run"],))
        with contextlib.suppress(sqlite3.Error):  # the space is used again in any case
            self.connection.execute("PRAGMA incremental_vacuum").fetchall()

    def require_ended(self, run: DatabaseRun) -> None:
        """Refuse a run that is being measured.

        Raises:
            InputError: The run is being measured.
        """
        if run.status == RUNNING:
            raise InputError(f"run {run.run_id} is being measured. Next: end it, or wait for its end")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection with a transaction that is kept if the block ends, and undone if it raises.

        Raises:
            StorageError: The database cannot be written.
        """
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise database_error(error, self.path) from error

    def check(self) -> None:
        """Look at every page of the file, and rebuild it where one is damaged; a gigabyte takes some seconds.

        Raises:
            StorageError: The file cannot be read or rebuilt.
        """
        try:
            found = self.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            if not is_damage(error):
                raise database_error(error, self.path, "read") from error
            found = str(error)
        if found != "ok":
            self.rebuild()

    def rebuild(self) -> None:
        """Put the damaged file aside, go on with what can be read of it, and say so in a line.

        Raises:
            StorageError: The new file cannot be written.
        """
        self.connection.close()
        self.connection = _rebuilt(self.path)

    def _open(self) -> sqlite3.Connection:
        if self.path.is_dir() or not self.path.parent.is_dir():
            what = "is a folder, expected a file" if self.path.is_dir() else "lies in a folder that does not exist"
            raise StorageError(f"runs database {self.path} {what}. Next: --runs FILE")
        try:
            return _opened(self.path)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise database_error(error, self.path) from error
        return _rebuilt(self.path)

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self.read(lambda connection: connection.execute(query, values).fetchall())

    def read(self, read: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what a function reads; a file that turns out to be damaged is rebuilt first.

        Raises:
            StorageError: The database cannot be read.
        """
        try:
            try:
                return read(self.connection)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                self.rebuild()
                return read(self.connection)
        except sqlite3.Error as error:
            raise database_error(error, self.path, "read") from error


def _opened(path: Path) -> sqlite3.Connection:
    """Return a connection to a database with the present tables, in which dead runs are marked.

    Raises:
        ContractError: The file is a database of something else, or of a later version.
        sqlite3.Error: The file cannot be opened, read or written.
    """
    connection = connect(path)
    try:
        connection.row_factory = sqlite3.Row
        migrate(connection, path)
        query = "SELECT * FROM runs WHERE status = ?"
        for row in [row for row in connection.execute(query, (RUNNING,)) if not _is_running(row)]:
            update_run(connection, row["run"], {"status": INTERRUPTED})
            print_warning(f"run {row['run_id']} was interrupted: its process ended without a word; its frames are kept")
    except BaseException:
        connection.close()
        raise
    return connection


def _rebuilt(path: Path) -> sqlite3.Connection:
    """Return a connection to a database that was damaged and is rebuilt.

    Raises:
        StorageError: The new file cannot be written.
    """
    try:
        print_warning(rebuild(path).sentence(path))
        return _opened(path)
    except OSError as error:
        raise storage_error(error, path) from error
    except sqlite3.Error as error:
        raise database_error(error, path) from error


def _is_running(row: sqlite3.Row) -> bool:
    if row["process_place"] == where_processes_live():
        return is_alive(row["process_id"], row["process_start"])
    if row["host"] == platform.node() and row["boot_id"] != boot_id():
        return False  # this machine was restarted since
    written = datetime.datetime.fromisoformat(row["written_utc"])
    return (datetime.datetime.now(datetime.timezone.utc) - written).total_seconds() < FOREIGN_AGE_S
