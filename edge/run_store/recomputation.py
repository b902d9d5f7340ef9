"""The figures of a benchmark record, computed anew from frames and samples by the rooms that define them."""

from __future__ import annotations

import dataclasses
from typing import Any, Mapping, Sequence

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.bench.record_figures import frame_figures, judged_record
from edge.bench.scenarios.scenario_record import ScenarioRecord
from edge.errors import InputError
from edge.records import record_from_json, record_to_json
from edge.run_store.replayed_power import power_of
from edge.telemetry.base import PowerSample
from edge.telemetry.power_record import PowerRecord, RailPower

POWER_SOURCE = "power_source"
"""Name in a description of what is known of the power source before a run: name, version, covers, interval_s,
gap_limit_s."""

_UNKNOWN = "not known"


def recomputed_record(record: BenchRecord, frames: FrameSamples, samples: Sequence[PowerSample]) -> BenchRecord:
    """Return a record whose figures are those of the frames and samples; what does not follow from them stays.

    Args:
        record: Record with the parameters of the run.
        frames: Frames of the run, in ns since the start of the measured window.
        samples: Samples of the machine, also in ns since the start of the measured window.

    Raises:
        InputError: There are no frames.
    """
    changed = frame_figures(frames, record.frames_in_flight, record.scenario)
    if record.power is not None:
        changed["power"] = power_of(record.power, frames, samples)
    made = dataclasses.replace(record, **changed)
    return made if record.validity is None else judged_record(made, frames)


def interrupted_record(
    description: Mapping[str, Any], run_id: str, frames: FrameSamples, samples: Sequence[PowerSample]
) -> BenchRecord:
    """Return the record of a run whose process died, from what was known before it and what was measured until then.

    Args:
        description: Fields of a benchmark record in their JSON form, and POWER_SOURCE.
        run_id: Name of the run, for messages.
        frames: Frames that were written, in ns since the start of the measured window.
        samples: Samples that were written, also in ns since the start of the measured window.

    Raises:
        InputError: No frame was written.
        ContractError: The description is none of a run of edge-bench.
    """
    if not len(frames):
        raise InputError(f"run {run_id} has no frames: its process ended before the first. Next: edge-bench delete")
    names = {field.name for field in dataclasses.fields(BenchRecord)}
    known = {name: value for name, value in description.items() if name in names}
    rules = known.get("scenario")
    scenario = record_from_json(ScenarioRecord, rules, f"of run {run_id}") if rules is not None else None
    figures = record_to_json(frame_figures(frames, int(known.get("frames_in_flight", 1)), scenario))
    assumed = {
        "runner": {"device": _UNKNOWN, "version": _UNKNOWN},
        "postprocess": _UNKNOWN,
        "opencv_threads": 0,
        "input": _UNKNOWN,
        "frame_height": 0,
        "frame_width": 0,
        "distinct_frames": 0,
        "warmup_frames": 0,
        "accuracy": None,
        "started_utc": "",
    }
    facts = {"schema": BenchRecord.record_schema, **assumed, **known, **figures, "is_partial": True}  # type: ignore[attr-defined]
    record = record_from_json(BenchRecord, facts, f"of run {run_id}")
    source = description.get(POWER_SOURCE)
    if source and samples:
        record = dataclasses.replace(record, power=power_of(_power_before(source), frames, samples))
    return judged_record(record, frames)


def _power_before(source: Mapping[str, Any]) -> PowerRecord:
    """Return a power record that has the source alone."""
    empty: dict[str, Any] = {
        field.name: () if str(field.type).startswith("tuple") else {} if str(field.type).startswith("dict") else None
        for field in dataclasses.fields(PowerRecord)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return PowerRecord(
        **{**empty, "window_s": 0.0, "frame_count": 0, "total": RailPower(None, None, None, None), **source}
    )
