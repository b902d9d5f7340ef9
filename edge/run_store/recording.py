"""A run that is written to the database while it is measured, by a thread of its own."""

from __future__ import annotations

import datetime
import sqlite3
import threading
import time
from pathlib import Path
from typing import Callable, Sequence

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameLog, frame_samples
from edge.console import print_warning
from edge.errors import SegEdgeError
from edge.run_store.connection import connect, database_error, is_damage, roll_back
from edge.run_store.rows import frames_sha256, insert_frames, insert_samples, samples_sha256, shifted_samples
from edge.run_store.run_columns import record_columns, update_run
from edge.run_store.tables import add_stage_columns
from edge.telemetry.base import PowerSample

COMMIT_EVERY_S = 0.25
"""Time in s between two commits: a quarter of what a kill may cost, since a busy machine makes the writer wait too."""

HEARTBEAT_S = 10.0
"""Longest time in s without a commit, so that others see that the run still goes on."""

RUNNING, COMPLETE, PARTIAL, INTERRUPTED = "running", "complete", "partial", "interrupted"
"""States of a run: it is measured; it came to its end; a person ended it early; its process died meanwhile."""

Samples = Callable[[], Sequence[PowerSample]]
"""Function that returns all samples of the machine until now, the oldest first."""


class RunRecording:
    """One run of a database while it is measured; made by edge.run_store.store.RunStore.begin.

    The measuring thread adds frames to its log and does not wait for the disk. A thread of the recording commits what
    is new four times a second. What cannot be written (no space, a locked file) stays in memory and is tried again, at
    the latest by `finish`. A `with` block that ends without `finish` leaves an interrupted run.

    Args:
        path: Path of the database.
        run: Number of the run in the database.
        run_id: Name of the run, which no other run of any machine has.
        begin_again: Function that gives the run a new row, without frames, in a database that was damaged or taken
            away, and returns its number there.

    Attributes:
        run_id: Name of the run, which no other run of any machine has.
        failure: Line that says why the last commit failed; "" where it did not.
    """

    def __init__(self, path: Path, run: int, run_id: str, begin_again: Callable[[], int]) -> None:
        self.run_id = run_id
        self.failure = ""
        self._path, self._run, self._begin_again = path, run, begin_again
        self._needs_new_row = False
        self._log: FrameLog = FrameLog()
        self._samples: Samples = tuple
        self._events: list[tuple[int, str, str]] = []
        self._window_start_ns: int | None = None
        self._stages: tuple[str, ...] = ()
        self._written_frames = self._written_samples = self._written_events = 0
        self._committed_s = time.monotonic()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._committing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_finished = False

    def __enter__(self) -> RunRecording:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, log: FrameLog, samples: Samples | None = None, window_start_ns: int | None = None) -> None:
        """Start to write what is added to a log and to the samples from now on.

        Args:
            log: Frames, to which the measuring thread adds.
            samples: Function that returns all samples until now; None where power is not measured.
            window_start_ns: Start of the measured window on the clock of time.perf_counter_ns, in ns; None for the
                start of the first frame.
        """
        self._log, self._samples, self._window_start_ns = log, samples or tuple, window_start_ns
        self._thread = threading.Thread(target=self._write_until_stopped, name="run recording", daemon=True)
        self._thread.start()

    def note(self, kind: str, text: str, time_ns: int | None = None) -> None:
        """Write down something that happened, such as a jump of the clock.

        Args:
            kind: Kind of the event in a word or two, such as "clock jump".
            text: Sentence that says what happened.
            time_ns: Moment on the clock of time.perf_counter_ns, in ns; None for now.
        """
        self._events.append((time.perf_counter_ns() if time_ns is None else time_ns, kind, text))

    def finish(self, record: BenchRecord, status: str = COMPLETE, window_start_ns: int | None = None) -> bool:
        """Write what is left, and the record; a failure is a warning, since the caller still has the record.

        Args:
            record: Record of the run.
            status: COMPLETE, or PARTIAL where the run was ended early.
            window_start_ns: Start of the measured window in ns, where it was not known to `start`.

        Returns:
            Whether the run is whole in the database.
        """
        if window_start_ns is not None:
            self._window_start_ns = window_start_ns
        self._end_thread()
        self._is_finished = True

        def last(connection: sqlite3.Connection) -> None:
            frames = frame_samples(self._log, self._start_ns())
            samples = list(self._samples())
            columns = record_columns(record, frames, shifted_samples(samples, -self._start_ns()))
            columns["frames_sha256"] = frames_sha256(frames, self._start_ns())
            columns["telemetry_sha256"] = samples_sha256(samples)
            update_run(connection, self._run, {**columns, "status": status, "window_start_ns": self._start_ns()})

        is_whole = self._commit(last) or (self._needs_new_row and self._write_anew(last))
        self._disconnect()
        if not is_whole:
            print_warning(f"run {self.run_id} is not whole in its database: {self.failure}")
        return is_whole

    def close(self) -> None:
        """End the recording of a run that is not finished: it is marked as interrupted, or taken out if it is empty."""
        if self._is_finished:
            return
        self._is_finished = True
        self._end_thread()

        def last(connection: sqlite3.Connection) -> None:
            if len(self._log):
                update_run(connection, self._run, {"status": INTERRUPTED})
            else:
                connection.execute("DELETE FROM runs WHERE run = ?", (self._run,))

        self._commit(last)
        self._disconnect()

    def _write_anew(self, last: Callable[[sqlite3.Connection], None]) -> bool:
        """Write the whole run from memory into a database that lost it; return whether that worked."""
        try:
            self._run = self._begin_again()
        except SegEdgeError as error:
            self.failure = str(error)
            return False
        self._written_frames = self._written_samples = self._written_events = 0
        self._file = None
        return self._commit(last)

    def _start_ns(self) -> int:
        """Return the start of the measured window in ns: what was said, or the start of the first frame."""
        if self._window_start_ns is None:
            first = self._log.since(0)[:1]
            return first[0].start_ns if first else 0
        return self._window_start_ns

    def _end_thread(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _write_until_stopped(self) -> None:
        wait_s = COMMIT_EVERY_S
        while not self._stop.wait(wait_s):
            # What cannot be written grows, and so do the pauses between attempts.
            wait_s = COMMIT_EVERY_S if self._commit() else min(2 * wait_s, HEARTBEAT_S)

    def _commit(self, last: Callable[[sqlite3.Connection], None] | None = None) -> bool:
        """Write what is new in one transaction, and the last words of a run behind it; return whether that worked."""
        with self._committing:
            return self._commit_alone(last)

    def _commit_alone(self, last: Callable[[sqlite3.Connection], None] | None) -> bool:
        frames = self._log.since(self._written_frames)
        samples = list(self._samples())[self._written_samples :]
        events = self._events[self._written_events :]
        is_due = bool(frames or samples or events or last) or time.monotonic() - self._committed_s > HEARTBEAT_S
        if not is_due:
            return True
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._insert(connection, frames, samples, events)
                if last is not None:
                    last(connection)
                connection.execute("COMMIT")
            except BaseException:
                roll_back(connection)
                raise
        except sqlite3.Error as error:
            self._disconnect()
            self.failure = str(database_error(error, self._path))
            self._needs_new_row = (
                is_damage(error) or isinstance(error, sqlite3.IntegrityError) or not self._path.exists()
            )
            return False
        self.failure = ""
        self._written_frames += len(frames)
        self._written_samples += len(samples)
        self._written_events += len(events)
        self._committed_s = time.monotonic()
        return True

    def _insert(
        self,
        connection: sqlite3.Connection,
        frames: Sequence,
        samples: Sequence[PowerSample],
        events: Sequence[tuple[int, str, str]],
    ) -> None:
        changed = {"written_utc": utc_now()}
        if frames and not self._written_frames:
            self._stages = tuple(frames[0].stages_ns)
            add_stage_columns(connection, self._stages)
            changed.update(stages=self._stages, window_start_ns=self._start_ns())
        insert_frames(connection, self._run, self._written_frames, frames, self._stages)
        insert_samples(connection, self._run, samples)
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", [(self._run, *event) for event in events])
        update_run(connection, self._run, changed)

    def _connected(self) -> sqlite3.Connection:
        try:
            place = self._path.stat()
        except OSError:
            raise sqlite3.OperationalError("unable to open: it was taken away") from None
        if self._connection is None:
            # Not made anew: a database that somebody took away does not come back as one with half a run.
            self._connection = connect(self._path, must_exist=True)
            self._file = self._file or (place.st_dev, place.st_ino)
        if self._file != (place.st_dev, place.st_ino):
            # What is committed now would go into a file that was put aside.
            raise sqlite3.IntegrityError("another file has taken its place")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def utc_now() -> str:
    """Return the present time in UTC as ISO 8601, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
