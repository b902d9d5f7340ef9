"""Frames and samples of a machine as rows of a runs database, and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
import warnings
from typing import Iterable, Iterator, Sequence

import numpy as np

from edge.bench.frame_samples import FrameSamples, FrameTimes
from edge.errors import InputError
from edge.run_store.tables import FRAME_TIMES, stage_column
from edge.telemetry.base import PowerSample
from edge.telemetry.telemetry_samples import WITHOUT_SENSOR, TelemetryValue, power_samples, telemetry_values

_MOST_VARIABLES = 999
"""Most values in one statement of SQLite before 3.32. Source: https://www.sqlite.org/limits.html."""


_ROWS_AT_ONCE = 1 << 16
"""Frames that are joined to one text, which so has at most some megabytes."""


def insert_frames(
    connection: sqlite3.Connection, run: int, first: int, frames: Sequence[FrameTimes], stages: Sequence[str]
) -> None:
    """Write frames as rows, many in one statement: a statement lets go of Python's lock once, not once a row.

    Args:
        connection: Connection that has begun a transaction.
        run: Number of the run.
        first: Number of the first of these frames in its run.
        frames: Frames in their order.
        stages: Stages of a frame, which have columns already.
    """
    names = ("run", "frame", *FRAME_TIMES, *map(stage_column, stages))
    place = f"({','.join('?' * len(names))})"
    most = _MOST_VARIABLES // len(names)
    for start in range(0, len(frames), most):
        part = frames[start : start + most]
        values = [
            value
            for number, frame in enumerate(part, first + start)
            for value in (run, number, *frame[:4], *(frame.stages_ns.get(stage) for stage in stages))
        ]
        connection.execute(f"INSERT INTO frames ({','.join(names)}) VALUES {','.join([place] * len(part))}", values)


def insert_samples(connection: sqlite3.Connection, run: int, samples: Iterable[PowerSample]) -> None:
    """Write samples of a machine as rows of `telemetry`."""
    rows = [(run, *value) for value in telemetry_rows(samples)]
    connection.executemany("INSERT INTO telemetry VALUES (?, ?, ?, ?, ?)", rows)


def read_frames(connection: sqlite3.Connection, run: int, window_start_ns: int, stages: Sequence[str]) -> FrameSamples:
    """Return the frames of a run, with times in ns since the start of its measured window.

    Raises:
        InputError: A time is missing or no number, as damage of the file may leave it.
    """
    zero = int(window_start_ns)
    names = [f"{name} - {zero}" for name in FRAME_TIMES[:3]] + [FRAME_TIMES[3], *map(stage_column, stages)]
    due_ns, start_ns, end_ns, latency_ns, *columns = read_columns(connection, run, names)
    return FrameSamples(due_ns, start_ns, end_ns, latency_ns, dict(zip(stages, columns)))


def read_columns(connection: sqlite3.Connection, run: int, names: Sequence[str]) -> list[np.ndarray]:
    """Return columns of the frames of a run, each of shape (frames,) and int64.

    SQLite joins the numbers of a column to one text, which NumPy reads: no object of Python is made for a number, which
    takes a quarter of the time.

    Raises:
        InputError: A number is missing or none, as damage of the file may leave it.
    """
    last = connection.execute("SELECT max(frame) FROM frames WHERE run = ?", (run,)).fetchone()[0]
    columns: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in names]
    joined = ", ".join(f"group_concat({name})" for name in names)
    # Rows are joined in the order in which they are read, which is that of the primary key: there is no other index.
    query = f"SELECT count(*), {joined} FROM frames WHERE run = ? AND frame >= ? AND frame < ?"
    for first in range(0, -1 if last is None else last + 1, _ROWS_AT_ONCE):
        count, *texts = connection.execute(query, (run, first, first + _ROWS_AT_ONCE)).fetchone()
        for column, text in zip(columns, texts):
            column.append(_whole_numbers(text, count))
    return [np.concatenate(column) for column in columns]


def _whole_numbers(text: str | None, count: int) -> np.ndarray:
    if text is None and not count:
        return np.zeros(0, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy 1 warns of what NumPy 3 will refuse
        try:
            values = np.fromstring(text or "", np.int64, sep=",")
        except (DeprecationWarning, ValueError):
            values = np.zeros(0, np.int64)
    if len(values) != count:
        raise InputError("a time of a frame is missing or no number: its file is damaged. Next: edge-bench delete RUN")
    return values


def read_samples(connection: sqlite3.Connection, run: int) -> list[PowerSample]:
    """Return the samples of a run, on the clock of time.perf_counter_ns of its machine."""
    rows = connection.execute(
        "SELECT time_ns, quantity, sensor, value FROM telemetry WHERE run = ? ORDER BY rowid", (run,)
    )
    return power_samples(map(TelemetryValue._make, rows))


def frames_sha256(frames: FrameSamples, window_start_ns: int) -> str:
    """Return the SHA-256 of the frames of a run: of every column as little-endian int64 on its machine's clock."""
    digest = hashlib.sha256()
    for column in frame_columns(frames, window_start_ns).values():
        digest.update(np.ascontiguousarray(column, "<i8"))
    return digest.hexdigest()


def samples_sha256(samples: Iterable[PowerSample]) -> str:
    """Return the SHA-256 of the samples of a run: of its rows in `telemetry`, as JSON, one a line."""
    digest = hashlib.sha256()
    for value in telemetry_rows(samples):
        digest.update(json.dumps(value).encode() + b"\n")
    return digest.hexdigest()


def shifted_samples(samples: Iterable[PowerSample], by_ns: int) -> list[PowerSample]:
    """Return samples with other times, such as those since the start of a window."""
    return [dataclasses.replace(sample, time_ns=sample.time_ns + by_ns) for sample in samples]


def frame_columns(frames: FrameSamples, window_start_ns: int) -> dict[str, np.ndarray]:
    """Return the columns of `frames` in the database, on the clock of the machine that measured them."""
    zero = np.int64(window_start_ns)
    times = (frames.due_ns + zero, frames.start_ns + zero, frames.end_ns + zero, frames.latency_ns)
    return {
        **dict(zip(FRAME_TIMES, times)),
        **{stage_column(stage): values for stage, values in frames.stages_ns.items()},
    }


def telemetry_rows(samples: Iterable[PowerSample]) -> Iterator[TelemetryValue]:
    """Return the values of samples in their order; a sample without any keeps its time, with a total that is None."""
    for sample in samples:
        values = list(telemetry_values([sample]))
        yield from values or [TelemetryValue(sample.time_ns, "total_mw", WITHOUT_SENSOR, None)]
