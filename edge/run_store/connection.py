"""Connections to a runs database, and what SQLite's errors mean, each as one line.

Write-ahead logging lets others read while a run is written. Every commit waits for the disk (synchronous = FULL), so
that a power cut loses no more than a kill does; at four commits a second that costs a writer's thread little.

Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from edge.errors import SegEdgeError, StorageError

WAIT_S = 5.0
"""Longest time in s that a statement waits for another process that writes: longer than any commit of ours takes."""


def connect(path: Path, must_exist: bool = False, wait_s: float = WAIT_S) -> sqlite3.Connection:
    """Return a connection in autocommit mode: whoever writes several rows says BEGIN and COMMIT itself.

    Args:
        path: Path of the database.
        must_exist: True to raise instead of making a file that is not there.
        wait_s: Longest time in s that a statement waits for another writer.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    mode = "rw" if must_exist else "rwc"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(address, wait_s, isolation_level=None, check_same_thread=False, uri=True)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what a transaction has done; SQLite has done so by itself where the disk was full."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def is_database(path: Path) -> bool:
    """Return whether a file begins as every SQLite database does."""
    try:
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is no database, or a damaged one."""
    text = str(error)
    return "malformed" in text or "not a database" in text or "corrupt" in text


def database_error(error: sqlite3.Error, path: Path, what: str = "write") -> SegEdgeError:
    """Return the error that says in one line what could not be done with a runs database, and why.

    Args:
        error: Error of SQLite.
        path: Path of the database.
        what: Verb of what was tried, "write" or "read".
    """
    text = str(error)
    if "locked" in text or "busy" in text:
        return StorageError(
            f"cannot {what} runs database {path}: another program keeps it locked. Next: end it, or --runs FILE"
        )
    if "full" in text:
        return StorageError(f"cannot {what} runs database {path}: the disk is full. Next: free some space")
    if "readonly" in text or "unable to open" in text:
        reason = "it may not be written to here" if "readonly" in text else "it cannot be opened"
        return StorageError(f"cannot {what} runs database {path}: {reason}. Next: --runs FILE in a folder of yours")
    if is_damage(error):
        return StorageError(
            f"runs database {path} is damaged: {text}. Next: edge-bench list --check, which rebuilds it"
        )
    return StorageError(f"cannot {what} runs database {path}: {text}. Next: --runs FILE on another disk")
