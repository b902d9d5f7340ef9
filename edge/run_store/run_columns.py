"""What a row of `runs` says: the figures that people sort by, beside the whole record as JSON."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Mapping, Sequence

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.records import record_to_json
from edge.run_store.record_series import without_series
from edge.telemetry.base import PowerSample


def description_columns(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that are known before a run.

    Args:
        description: Fields of a benchmark record that are known by then, in their JSON form.
    """
    engine = description.get("engine") or {}
    contract, machine = engine.get("contract") or {}, description.get("machine") or {}
    scenario = description.get("scenario")
    return {
        "model": contract.get("model"),
        "dataset": contract.get("dataset"),
        "precision": engine.get("precision"),
        "height": contract.get("height"),
        "width": contract.get("width"),
        "backend": engine.get("backend"),
        "input": description.get("input"),
        "scenario": scenario.get("name") if isinstance(scenario, dict) else scenario,
        "machine": machine.get("board") or machine.get("gpu") or machine.get("cpu"),
        "description": json.dumps(description, ensure_ascii=False),
    }


def record_columns(record: BenchRecord, frames: FrameSamples | None, samples: Sequence[PowerSample]) -> dict[str, Any]:
    """Return the columns that follow from the record of a run.

    Args:
        record: Record of the run.
        frames: Frames of the run; None where there are none beside the record.
        samples: Samples of the machine.
    """
    validity, power = getattr(record, "validity", None), record.power
    facts = record_to_json(record if frames is None else without_series(record, frames, samples))
    described = description_columns(facts)
    described.pop("description")
    return {
        **described,
        "is_valid": None if validity is None else int(validity.is_valid),
        "started_utc": record.started_utc,
        "frame_count": record.end_to_end.sample_count,
        "latency_p50_ms": record.end_to_end.p50_ms,
        "latency_p99_ms": record.end_to_end.p99_ms,
        "fps": record.fps,
        "power_mw": None if power is None else power.total.mean_mw,
        "energy_per_frame_mj": None if power is None else power.energy_per_frame_mj,
        "miou": None if record.accuracy is None else record.accuracy.miou,
        "record": json.dumps(facts, ensure_ascii=False),
    }


def insert_run(connection: sqlite3.Connection, columns: Mapping[str, Any]) -> int:
    """Add a row to `runs` and return its number; lists and tuples are written as JSON."""
    places = ", ".join("?" * len(columns))
    cursor = connection.execute(f"INSERT INTO runs ({', '.join(columns)}) VALUES ({places})", _values(columns))
    return int(cursor.lastrowid or 0)


def update_run(connection: sqlite3.Connection, run: int, columns: Mapping[str, Any]) -> None:
    """Write columns of a run; lists and tuples are written as JSON."""
    names = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(f"UPDATE runs SET {names} WHERE run = ?", [*_values(columns), run])


def _values(columns: Mapping[str, Any]) -> list[Any]:
    return [json.dumps(value) if isinstance(value, (list, tuple)) else value for value in columns.values()]
