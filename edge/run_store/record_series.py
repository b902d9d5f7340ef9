"""The lists of a record that its frames and samples give again, so that a database need not keep them twice."""

from __future__ import annotations

import dataclasses
from typing import Any, Sequence

from edge.bench.bench_record import BenchRecord
from edge.bench.frame_samples import FrameSamples
from edge.bench.record_figures import milliseconds
from edge.run_store.replayed_power import power_of
from edge.telemetry.base import PowerSample

POWER_SERIES = (
    "times_s",
    "total_mw",
    "rails_mw",
    "temperatures_c",
    "gpu_load_percent",
    "gpu_clock_mhz",
    "fan_percent",
    "power_mode",
    "frame_start_s",
    "gpu_clock_limit_mhz",
    "cpu_load_percent",
    "cpu_clock_mhz",
    "cpu_clock_limit_mhz",
)
"""Fields of a power record that have one value for each sample, or for each frame."""


_LISTS = ("samples_ms", "samples_end_to_end_ms")


def without_series(record: BenchRecord, frames: FrameSamples, samples: Sequence[PowerSample]) -> BenchRecord:
    """Return a record with those lists empty that `with_series` gives back exactly; others stay."""
    restored = with_series(_without_all(record), frames, samples)
    changed: dict[str, Any] = {}
    if _is_same(restored.samples_ms, record.samples_ms):
        changed["samples_ms"] = {}
    if restored.samples_end_to_end_ms == tuple(record.samples_end_to_end_ms):
        changed["samples_end_to_end_ms"] = ()
    if record.power is not None and restored.power is not None:
        empty = {
            name: type(getattr(record.power, name))()
            for name in POWER_SERIES
            if getattr(restored.power, name) == getattr(record.power, name)
        }
        changed["power"] = dataclasses.replace(record.power, **empty)
    return dataclasses.replace(record, **changed)


def with_series(record: BenchRecord, frames: FrameSamples, samples: Sequence[PowerSample]) -> BenchRecord:
    """Return a record with its empty lists filled from frames and samples."""
    changed: dict[str, Any] = {}
    if len(frames) != record.end_to_end.sample_count:
        return record  # of a damaged database some frames are lost
    if not record.samples_ms:
        changed["samples_ms"] = {stage: milliseconds(values) for stage, values in frames.stages_ns.items()}
    if not record.samples_end_to_end_ms:
        changed["samples_end_to_end_ms"] = tuple(milliseconds(frames.latency_ns))
    if record.power is not None and samples:
        again = power_of(record.power, frames, samples)
        filled = {name: getattr(again, name) for name in POWER_SERIES if not getattr(record.power, name)}
        changed["power"] = dataclasses.replace(record.power, **filled)
    return dataclasses.replace(record, **changed)


def emptied(record: BenchRecord, other: BenchRecord) -> BenchRecord:
    """Return a record with those lists empty that are empty in another one, so that both can be compared."""
    changed = {name: type(getattr(record, name))() for name in _LISTS if not getattr(other, name)}
    if record.power is not None and other.power is not None:
        empty = {n: type(getattr(record.power, n))() for n in POWER_SERIES if not getattr(other.power, n)}
        changed["power"] = dataclasses.replace(record.power, **empty)
    return dataclasses.replace(record, **changed)


def _without_all(record: BenchRecord) -> BenchRecord:
    power = record.power
    if power is not None:
        power = dataclasses.replace(power, **{name: type(getattr(power, name))() for name in POWER_SERIES})
    return dataclasses.replace(record, samples_ms={}, samples_end_to_end_ms=(), power=power)


def _is_same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return list(first) == list(second) and all(list(first[name]) == list(second[name]) for name in first)
