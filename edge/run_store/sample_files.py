"""Frames and samples of a run as files for other programs: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np

from edge.artifacts import atomic_path, write_text
from edge.bench.frame_samples import FrameSamples
from edge.errors import ContractError, MissingDependencyError
from edge.run_store.rows import frame_columns, telemetry_rows
from edge.run_store.tables import FRAME_TIMES
from edge.telemetry.base import PowerSample
from edge.telemetry.telemetry_samples import TelemetryValue, power_samples

TELEMETRY_COLUMNS = TelemetryValue._fields
EVENT_COLUMNS = ("time_ns", "kind", "text")


def frames_csv(frames: FrameSamples, window_start_ns: int) -> str:
    """Return frames as CSV: the columns of the table `frames`, times on the clock of the machine that measured."""
    columns = frame_columns(frames, window_start_ns)
    rows = zip(range(len(frames)), *(column.tolist() for column in columns.values()))
    return _csv(("frame", *columns), rows)


def telemetry_csv(samples: Iterable[PowerSample], window_start_ns: int) -> str:
    """Return samples as CSV: the columns of the table `telemetry`; a value that could not be read is empty."""
    rows = telemetry_rows(samples)
    return _csv(TELEMETRY_COLUMNS, ((row.time_ns + window_start_ns, *row[1:]) for row in rows))


def read_frames_csv(text: str, window_start_ns: int, where: str) -> FrameSamples:
    """Return the frames of a CSV text, in ns since the start of the measured window.

    Raises:
        ContractError: It has other columns or values, or frames are missing.
    """
    names, rows = _rows(text, where)
    if tuple(names[:5]) != ("frame", *FRAME_TIMES) or not all(name.endswith("_ns") for name in names[1:]):
        raise ContractError(
            f"{where} has the columns {', '.join(names)}, expected frame, {', '.join(FRAME_TIMES)} and stages in ns"
        )
    try:
        table = np.array([[int(value) for value in row] for row in rows], np.int64).reshape(-1, len(names))
    except (ValueError, OverflowError):
        raise ContractError(f"{where} has a value that is no whole number, expected times in ns") from None
    if not np.array_equal(table[:, 0], np.arange(len(table))):
        raise ContractError(f"{where} has frames that are not numbered 0, 1, 2 and so on: some are missing or moved")
    due_ns, start_ns, end_ns = (table[:, 1:4] - np.int64(window_start_ns)).T
    stages = {name[:-3]: table[:, index] for index, name in enumerate(names) if index >= 5}
    return FrameSamples(due_ns, start_ns, end_ns, table[:, 4], stages)


def read_telemetry_csv(text: str, window_start_ns: int, where: str) -> list[PowerSample]:
    """Return the samples of a CSV text, in ns since the start of the measured window.

    Raises:
        ContractError: It has other columns or values.
    """
    names, rows = _rows(text, where)
    if tuple(names) != TELEMETRY_COLUMNS:
        raise ContractError(f"{where} has the columns {', '.join(names)}, expected {', '.join(TELEMETRY_COLUMNS)}")
    try:
        values = [TelemetryValue(int(row[0]) - window_start_ns, row[1], row[2], _value(row[1], row[3])) for row in rows]
        return power_samples(values)
    except (ValueError, TypeError, AttributeError) as error:
        raise ContractError(f"{where} has a row that is no sample: {error}") from None


def events_csv(events: Iterable[tuple[int, str, str]]) -> str:
    """Return events as CSV: the columns of the table `events`."""
    return _csv(EVENT_COLUMNS, events)


def read_events_csv(text: str, where: str) -> list[tuple[int, str, str]]:
    """Return the events of a CSV text.

    Raises:
        ContractError: It has other columns or values.
    """
    names, rows = _rows(text, where)
    if tuple(names) != EVENT_COLUMNS:
        raise ContractError(f"{where} has the columns {', '.join(names)}, expected {', '.join(EVENT_COLUMNS)}")
    try:
        return [(int(row[0]), row[1], row[2]) for row in rows]
    except ValueError:
        raise ContractError(f"{where} has a time that is no whole number, expected times in ns") from None


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    """Write columns as a Parquet file.

    Args:
        path: Path of the file.
        columns: Column -> its values, all of one length.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        StorageError: The file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingDependencyError("pyarrow", "--format parquet", "pip install pyarrow, or --format csv") from None
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)


def write_samples(
    folder: Path,
    frames: FrameSamples,
    samples: Sequence[PowerSample],
    window_start_ns: int,
    is_parquet: bool,
) -> list[Path]:
    """Write the frames and samples of a run into a folder and return the paths of the files.

    Args:
        folder: Folder, which is made where there is none.
        frames: Frames, in ns since the start of the measured window.
        samples: Samples, also in ns since the start of the measured window.
        window_start_ns: Start of the measured window on the clock of the machine that measured, in ns.
        is_parquet: True for Parquet, False for CSV. Parquet keeps numbers and texts of telemetry in columns apart.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        StorageError: A file cannot be written.
    """
    paths = [folder / f"{name}.{'parquet' if is_parquet else 'csv'}" for name in ("frames", "telemetry")]
    if not is_parquet:
        write_text(paths[0], frames_csv(frames, window_start_ns))
        write_text(paths[1], telemetry_csv(samples, window_start_ns))
        return paths
    write_parquet(paths[0], {"frame": np.arange(len(frames)), **frame_columns(frames, window_start_ns)})
    rows = [row._replace(time_ns=row.time_ns + window_start_ns) for row in telemetry_rows(samples)]
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in TELEMETRY_COLUMNS[:3]}
    columns["value"] = [None if isinstance(row.value, str) or row.value is None else float(row.value) for row in rows]
    columns["text"] = [row.value if isinstance(row.value, str) else None for row in rows]
    write_parquet(paths[1], columns)
    return paths


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    # Python writes the shortest digits that give a float again, so nothing is rounded.
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()


def _rows(text: str, where: str) -> tuple[list[str], list[list[str]]]:
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ContractError(f"{where} has rows of different lengths, expected a table with names in its first row")
    return rows[0], rows[1:]


_TEXTS = ("power_mode",)
"""Quantities whose values are texts."""


def _value(quantity: str, text: str) -> float | int | str | None:
    if text == "":
        return None
    if quantity in _TEXTS:
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)
