"""A run that is read back, whether from a runs database, a record.json or an output folder."""

from __future__ import annotations

import functools
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Sequence, TypeVar

import numpy as np

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.bench.output_folder import latest_folder
from edge.console import print_warning_once
from edge.errors import InputError
from edge.json_text import JsonTextError, parse_json
from edge.records import read_record, record_from_json
from edge.run_store.recomputation import interrupted_record
from edge.run_store.record_series import with_series
from edge.run_store.recording import COMPLETE, INTERRUPTED, PARTIAL
from edge.run_store.rows import frames_sha256, read_columns, read_frames, read_samples, samples_sha256, shifted_samples
from edge.telemetry.base import PowerSample

if TYPE_CHECKING:
    from edge.run_store.store import RunStore

Result = TypeVar("Result")

LATEST = "latest"
"""Reference of the run that was started last."""


class StoredRun:
    """One run, whose parts are read when they are first asked for.

    Args:
        run_id: Name of the run; "" where it comes from a record.json of an older version.
        status: State of the run, a constant of edge.run_store.recording.
        origin: Place that the run was read from, for messages.

    Attributes:
        run_id: Name of the run; "" where it comes from a record.json of an older version.
        status: State of the run, a constant of edge.run_store.recording.
        origin: Place that the run was read from, for messages.
    """

    def __init__(self, run_id: str, status: str, origin: str) -> None:
        self.run_id, self.status, self.origin = run_id, status, origin

    @property
    def is_interrupted(self) -> bool:
        """Whether the process of the run died while it measured: its figures are those of the frames until then."""
        return self.status == INTERRUPTED

    @property
    def summary(self) -> BenchRecord:
        """The record without the lists that have a value for each frame or sample: quick, also for a million frames."""
        raise NotImplementedError

    @property
    def record(self) -> BenchRecord:
        """The whole record, with those lists."""
        raise NotImplementedError

    @property
    def frames(self) -> FrameSamples:
        """Times of the frames, in ns since the start of the measured window."""
        raise NotImplementedError

    @property
    def latency_ns(self) -> np.ndarray:
        """Latency of each frame in ns, shape (frames,) and int64: quicker than all times of the frames."""
        return self.frames.latency_ns

    @property
    def samples(self) -> list[PowerSample]:
        """Samples of the machine, in ns since the start of the measured window; none where power was not measured."""
        raise NotImplementedError

    @property
    def events(self) -> list[tuple[int, str, str]]:
        """Events of the run, each with its time on the clock of the machine in ns, its kind and its text."""
        return []

    def changed_parts(self) -> list[str]:
        """Return which of "frames" and "telemetry" are not as they were when the run ended, by their hashes."""
        return []

    @property
    def window_start_ns(self) -> int:
        """Start of the measured window on the clock of the machine that measured, in ns; 0 where it is not known."""
        return 0


class DatabaseRun(StoredRun):
    """A run of a runs database.

    Args:
        store: Database that holds the run.
        row: Row of `runs`.
    """

    def __init__(self, store: RunStore, row: sqlite3.Row) -> None:
        super().__init__(row["run_id"], row["status"], f"{store.path}: {row['run_id']}")
        self._store, self.row = store, row

    @property
    def window_start_ns(self) -> int:
        """Start of the measured window on the clock of the machine that measured, in ns; 0 where it is not known."""
        return self.row["window_start_ns"] or 0

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """What was known before the run: fields of a benchmark record in their JSON form."""
        return json.loads(self.row["description"])

    @functools.cached_property
    def summary(self) -> BenchRecord:
        """The record without the lists that have a value for each frame or sample: quick, also for a million frames."""
        if self.row["record"] is None:
            if "engine" not in self.description:
                raise InputError(f"record of run {self.run_id} was lost with a damaged file. Next: edge-bench delete")
            known = {"started_utc": self.row["started_utc"], **self.description}
            return interrupted_record(known, self.run_id, self.frames, self.samples)
        try:
            value = parse_json(self.row["record"].encode())
        except JsonTextError as error:
            raise InputError(f"record of run {self.run_id} is damaged: {error}. Next: edge-bench delete") from None
        return record_from_json(BenchRecord, value, f"of run {self.run_id}")

    @functools.cached_property
    def record(self) -> BenchRecord:
        """The whole record, with those lists."""
        if self.row["record"] is None:
            return self.summary
        return with_series(self.summary, self.frames, self.samples)

    @functools.cached_property
    def frames(self) -> FrameSamples:
        """Times of the frames, in ns since the start of the measured window."""
        stages = tuple(json.loads(self.row["stages"]))
        frames = self._read(lambda connection, run: read_frames(connection, run, self.window_start_ns, stages))
        digest = self.row["frames_sha256"]
        if digest is not None and digest != frames_sha256(frames, self.window_start_ns):
            print_warning_once(f"frames of run {self.run_id} are not those that were measured: their hash has changed")
        return frames

    @functools.cached_property
    def latency_ns(self) -> np.ndarray:
        """Latency of each frame in ns, shape (frames,) and int64: quicker than all times of the frames."""
        if "frames" in self.__dict__:
            return self.frames.latency_ns
        return self._read(lambda connection, run: read_columns(connection, run, ("latency_ns",)))[0]

    @functools.cached_property
    def samples(self) -> list[PowerSample]:
        """Samples of the machine, in ns since the start of the measured window; none where power was not measured."""
        return shifted_samples(self._read(read_samples), -self.window_start_ns)

    @functools.cached_property
    def events(self) -> list[tuple[int, str, str]]:
        """Events of the run, each with its time on the clock of the machine in ns, its kind and its text."""
        query = "SELECT time_ns, kind, text FROM events WHERE run = ? ORDER BY rowid"
        return self._read(lambda connection, run: [tuple(row) for row in connection.execute(query, (run,))])

    def changed_parts(self) -> list[str]:
        """Return which of "frames" and "telemetry" are not as they were when the run ended, by their hashes."""
        samples = shifted_samples(self.samples, self.window_start_ns)
        hashes = {
            "frames": (self.row["frames_sha256"], frames_sha256(self.frames, self.window_start_ns)),
            "telemetry": (self.row["telemetry_sha256"], samples_sha256(samples)),
        }
        return [part for part, (kept, found) in hashes.items() if kept is not None and kept != found]

    def _read(self, read: Callable[[sqlite3.Connection, int], Result]) -> Result:
        def again(connection: sqlite3.Connection) -> Result:
            # A database that was rebuilt meanwhile keeps the numbers of its runs.
            return read(connection, self.row["run"])

        return self._store.read(again)


class RecordFileRun(StoredRun):
    """A run of a record.json, whose frames have the times that the record keeps: without ends, where it has none.

    Args:
        path: Path of the record.
    """

    def __init__(self, path: Path) -> None:
        self._record = read_record(BenchRecord, path)
        status = PARTIAL if self._record.is_partial else COMPLETE
        super().__init__(getattr(self._record, "run_id", ""), status, str(path))

    @property
    def summary(self) -> BenchRecord:
        """The record as the file has it."""
        return self._record

    @property
    def record(self) -> BenchRecord:
        """The record as the file has it."""
        return self._record

    @functools.cached_property
    def frames(self) -> FrameSamples:
        """Times of the frames, each of which began where the one before ended, unless the record of power says when."""
        record = self._record
        latency_ns = np.rint(np.array(record.latencies_ms(), np.float64) * 1e6).astype(np.int64)
        begun_s = record.power.frame_start_s if record.power is not None else ()
        if len(begun_s) == len(latency_ns):
            start_ns = np.rint(np.array(begun_s, np.float64) * 1e9).astype(np.int64)
        else:
            start_ns = np.cumsum(latency_ns) - latency_ns
        stages = {
            name: np.rint(np.array(values, np.float64) * 1e6).astype(np.int64)
            for name, values in record.samples_ms.items()
        }
        return FrameSamples(start_ns, start_ns, start_ns + latency_ns, latency_ns, stages)

    @functools.cached_property
    def samples(self) -> list[PowerSample]:
        """Samples of the machine, in ns since the start of the measured window, as far as the record keeps them."""
        power = self._record.power
        if power is None:
            return []

        def at(column: Sequence[Any], index: int) -> Any:
            return column[index] if index < len(column) else None

        return [
            PowerSample(
                time_ns=round(time_s * 1e9),
                rails_mw={name: at(values, index) for name, values in power.rails_mw.items()},
                total_mw=at(power.total_mw, index),
                temperatures_c={name: at(values, index) for name, values in power.temperatures_c.items()},
                gpu_load_percent=at(power.gpu_load_percent, index),
                gpu_clock_mhz=at(power.gpu_clock_mhz, index),
                fan_percent=at(power.fan_percent, index),
                power_mode=at(power.power_mode, index),
            )
            for index, time_s in enumerate(power.times_s)
        ]


def load_run(reference: str | Path, store: RunStore | None = None) -> StoredRun:
    """Return the run that a reference stands for.

    Args:
        reference: Path of a record.json or of an output folder of edge-bench run, whose latest run is meant; a run id
            or the beginning of one; or "latest" for the run of the database that was started last. A path that exists
            is taken as one.
        store: Database that run ids are looked for in; None to take paths alone.

    Raises:
        InputError: There is no such run, several begin so, or it holds nothing.
        ContractError: The record is damaged.
        StorageError: The database cannot be read.
    """
    path, is_given = Path(reference), bool(str(reference))
    try:
        if is_given and path.is_file():
            return RecordFileRun(path)
        if is_given and path.is_dir():
            folder, _ = latest_folder(path, RECORD_FILE)
            if (folder / RECORD_FILE).is_file():
                return RecordFileRun(folder / RECORD_FILE)
            raise InputError(
                f"{path} holds no benchmark record ({RECORD_FILE}), which edge-bench run --output leaves. "
                "Next: edge-bench run ENGINE --output FOLDER"
            )
    except OSError:  # too long for a path
        pass
    if store is None:
        raise InputError(f"run {reference} is no {RECORD_FILE} and no folder with one")
    return store.find(str(reference))
