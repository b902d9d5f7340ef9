"""A bundle: one run in one file, with everything that somebody needs who does not believe it.

A zip file of

    bundle.json      what this is, versions, and the SHA-256 of every other file
    record.json      the record, with every parameter and figure, without the lists that the samples give again
    card.json        the card of the engine
    frames.csv       times of every frame, in ns on the clock of the machine that measured
    telemetry.csv    every value of every sample, on the same clock
    events.csv       what happened meanwhile

The digest of a bundle is the SHA-256 of its bundle.json, and so stands for all of it: whoever publishes a figure
publishes its digest beside it, and a bundle that was changed in any way, hashes included, has another one.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import sqlite3
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge import __version__
from edge.artifacts import atomic_path
from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.card import CARD_FILE, EngineCard
from edge.errors import ContractError, InputError
from edge.json_text import JsonTextError, parse_json
from edge.records import record, record_from_json, record_to_json
from edge.run_store.record_series import without_series
from edge.run_store.recording import RUNNING, utc_now
from edge.run_store.sample_files import (
    events_csv,
    frames_csv,
    read_events_csv,
    read_frames_csv,
    read_telemetry_csv,
    telemetry_csv,
)
from edge.run_store.stored_run import StoredRun
from edge.telemetry.base import PowerSample

MANIFEST_FILE, FRAMES_FILE, TELEMETRY_FILE, EVENTS_FILE = "bundle.json", "frames.csv", "telemetry.csv", "events.csv"
FILES = (RECORD_FILE, CARD_FILE, FRAMES_FILE, TELEMETRY_FILE, EVENTS_FILE)

_MOST_BYTES = 4 << 30
"""Most bytes of one file in a bundle; a zip file of a few bytes could unpack to fill the memory."""

_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every file in a bundle, so that equal runs give equal bundles."""


@record(schema=1, what="bundle of a run", made_by="edge-bench export RUN --bundle FILE")
class BundleManifest:
    """Contents of a bundle.

    Attributes:
        run_id: Name of the run.
        status: State of the run: "complete", "partial" or "interrupted".
        window_start_ns: Start of the measured window on the clock of the frames and samples, in ns.
        made_utc: Moment at which the bundle was made, in UTC, ISO 8601.
        versions: Program -> version that made the bundle.
        files: File -> SHA-256 of its content.
    """

    run_id: str
    status: str
    window_start_ns: int
    made_utc: str
    versions: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read.

    Attributes:
        manifest: Contents as bundle.json lists them.
        digest: SHA-256 of bundle.json.
        contents: File -> its bytes, without bundle.json.
        record: Record of the run.
        card: Card of the engine.
        frames: Frames, in ns since the start of the measured window.
        samples: Samples, also in ns since the start of the measured window.
        events: Events, each with its time on the clock of the machine in ns, its kind and its text.
    """

    manifest: BundleManifest
    digest: str
    contents: dict[str, bytes]
    record: BenchRecord
    card: EngineCard
    frames: FrameSamples
    samples: list[PowerSample]
    events: list[tuple[int, str, str]]


def write_bundle(path: Path, run: StoredRun) -> str:
    """Write the bundle of a run and return its digest.

    Raises:
        InputError: The run is being measured, has no frames, or was changed since it ended.
        StorageError: The file cannot be written.
    """
    if run.status == RUNNING:
        raise InputError(f"run {run.run_id} is being measured. Next: end it, or wait for its end")
    changed = run.changed_parts()
    if changed:
        raise InputError(
            f"run {run.run_id} is no proof: its {' and '.join(changed)} are not those that were measured, by their "
            "hash. Next: --format csv writes what is there"
        )
    record_alone = without_series(run.record, run.frames, run.samples)
    contents = {
        RECORD_FILE: _json_bytes(record_to_json(record_alone)),
        CARD_FILE: _json_bytes(record_to_json(record_alone.engine)),
        FRAMES_FILE: frames_csv(run.frames, run.window_start_ns).encode(),
        TELEMETRY_FILE: telemetry_csv(run.samples, run.window_start_ns).encode(),
        EVENTS_FILE: events_csv(run.events).encode(),
    }
    manifest = BundleManifest(
        run_id=run.run_id,
        status=run.status,
        window_start_ns=run.window_start_ns,
        made_utc=utc_now(),
        versions={
            "segedge": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "sqlite": sqlite3.sqlite_version,
        },
        files={name: hashlib.sha256(data).hexdigest() for name, data in contents.items()},
    )
    contents = {MANIFEST_FILE: _json_bytes(record_to_json(manifest)), **contents}
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in contents.items():
            file.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_DEFLATED)
    return hashlib.sha256(contents[MANIFEST_FILE]).hexdigest()


def read_bundle(path: Path) -> Bundle:
    """Read a bundle, without any judgement of it.

    Raises:
        InputError: There is no such file, or it is no bundle.
        ContractError: A file in it is missing or damaged.
    """
    contents = _unpacked(path)
    if MANIFEST_FILE not in contents:
        raise InputError(f"{path} is no bundle: it has no {MANIFEST_FILE}. Next: edge-bench export RUN --bundle FILE")
    data = contents.pop(MANIFEST_FILE)
    manifest = record_from_json(BundleManifest, _parsed(data, path, MANIFEST_FILE), f"{path}: {MANIFEST_FILE}")
    lacking = [name for name in FILES if name not in contents]
    if lacking:
        raise ContractError(f"bundle {path} lacks {', '.join(lacking)}, expected {', '.join(FILES)}")
    zero_ns = manifest.window_start_ns
    return Bundle(
        manifest=manifest,
        digest=hashlib.sha256(data).hexdigest(),
        contents=contents,
        record=record_from_json(
            BenchRecord, _parsed(contents[RECORD_FILE], path, RECORD_FILE), f"{path}: {RECORD_FILE}"
        ),
        card=record_from_json(EngineCard, _parsed(contents[CARD_FILE], path, CARD_FILE), f"{path}: {CARD_FILE}"),
        frames=read_frames_csv(_text(contents, FRAMES_FILE, path), zero_ns, f"{path}: {FRAMES_FILE}"),
        samples=read_telemetry_csv(_text(contents, TELEMETRY_FILE, path), zero_ns, f"{path}: {TELEMETRY_FILE}"),
        events=read_events_csv(_text(contents, EVENTS_FILE, path), f"{path}: {EVENTS_FILE}"),
    )


def is_bundle(path: Path) -> bool:
    """Return whether a file is a zip file, as a bundle is."""
    return path.is_file() and zipfile.is_zipfile(path)


def _unpacked(path: Path) -> dict[str, bytes]:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise InputError(f"bundle not found: {path}. Next: edge-bench export RUN --bundle FILE") from None
    except OSError as error:
        raise InputError(f"bundle {path} cannot be read: {error.strerror or error}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            large = [each.filename for each in file.infolist() if each.file_size > _MOST_BYTES]
            if large:
                raise InputError(f"bundle {path} has files of more than 4 GiB: {', '.join(large[:3])}")
            return {each.filename: file.read(each) for each in file.infolist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OSError, zlib.error) as error:
        raise ContractError(f"bundle {path} is damaged, or no zip file: {error}. Next: export it again") from None


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _parsed(data: bytes, path: Path, name: str) -> object:
    try:
        return parse_json(data)
    except JsonTextError as error:
        raise ContractError(f"{name} of bundle {path} is damaged: {error}. Next: export it again") from None


def _text(contents: dict[str, bytes], name: str, path: Path) -> str:
    try:
        return contents[name].decode("utf-8")
    except UnicodeDecodeError:
        raise ContractError(
            f"{name} of bundle {path} is damaged: it is no text in UTF-8. Next: export it again"
        ) from None
