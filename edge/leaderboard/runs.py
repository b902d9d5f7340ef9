"""The runs of a leaderboard: records in files and folders, or of the database of runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.errors import InputError
from edge.records import read_record


@dataclass(frozen=True)
class MeasuredRun:
    """One run of edge-bench, and where it is kept.

    Attributes:
        record: Record of the run.
        reference: Id of the run, or the path of its record.
    """

    record: BenchRecord
    reference: str


def read_runs(references: Sequence[str | os.PathLike]) -> list[MeasuredRun]:
    """Read the runs that references stand for, each once, in the order of their start.

    Args:
        references: Records, and folders, of which every record in them or below them is read.

    Raises:
        InputError: There is no such file or folder, or a folder holds no record.
        ContractError: A record is damaged.
    """
    runs: dict[str, MeasuredRun] = {}
    for reference in references:
        for path in _records_at(Path(reference)):
            runs.setdefault(os.path.realpath(path), MeasuredRun(read_record(BenchRecord, path), os.fspath(path)))
    return sorted(runs.values(), key=lambda run: run.record.started_utc)


def _records_at(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(RECORD_FILE))
    if not found:
        raise InputError(
            f"{path} holds no benchmark record ({RECORD_FILE}), which edge-bench run --output leaves. "
            "Next: edge-bench run ENGINE --output FOLDER"
        )
    return found
