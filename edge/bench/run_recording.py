"""The place of a run in the runs database, from before its first frame to its record."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

from edge.bench.bench_record import BenchRecord
from edge.bench.scenarios.choice import open_scenario
from edge.bench.settings import BenchSettings
from edge.bench.validity import RunConditions
from edge.card import EngineCard
from edge.console import print_warning
from edge.errors import InputError, StorageError
from edge.frames import FrameSet
from edge.machine import this_machine
from edge.records import record_to_json
from edge.run_store.recording import COMPLETE, PARTIAL, RunRecording
from edge.run_store.store import RunStore, runs_path
from edge.telemetry.base import PowerSource
from edge.telemetry.sampler import gap_limit_s


@contextlib.contextmanager
def opened_store(given: Path | None, is_wanted: bool = True) -> Iterator[RunStore | None]:
    """Give the runs database; a `with` block closes it.

    Args:
        given: Path that the user named; None for the default.
        is_wanted: False to give None.

    Yields:
        The database; None where none is wanted, and where the default one cannot be used, which a warning says: a
        measurement is worth more than its row.

    Raises:
        StorageError: The database that the user named cannot be used.
        ContractError: It is a database of something else.
    """
    if not is_wanted:
        yield None
        return
    try:
        store = RunStore(runs_path(given))
    except (InputError, StorageError) as error:
        if given is not None:
            raise
        print_warning(f"the run is written to no database: {error}")
        yield None
        return
    with store:
        yield store


def begun_recording(store: RunStore | None, description: dict[str, Any]) -> RunRecording | None:
    """Return the recording of a run that is about to be measured; None without a database, or where it cannot begin.

    Args:
        store: Runs database; None for none.
        description: Fields of the record that are known before the run, as `run_description` gives them.
    """
    if store is None:
        return None
    try:
        return store.begin(description)
    except StorageError as error:
        print_warning(f"the run is written to no database: {error}")
        return None


def finish_recording(recording: RunRecording | None, record: BenchRecord) -> BenchRecord:
    """Write the record of a run into the database, as complete or partial, and return it with the run's name there.

    Args:
        recording: Recording of the run; None where there is none, and the record stays as it is.
        record: Record of the run.
    """
    if recording is None:
        return record
    record = replace(record, run_id=recording.run_id)
    for jump in record.scenario.clock_jumps if record.scenario is not None else ():
        recording.note("clock jump", f"the wall clock went on by {jump.by_s:+.3f} s at {jump.at_s:.1f} s of the run")
    recording.finish(record, PARTIAL if record.is_partial else COMPLETE)
    return record


def run_description(
    card: EngineCard, frames: FrameSet, settings: BenchSettings, power: PowerSource | None, asked: RunConditions
) -> dict[str, Any]:
    """Return the fields of a benchmark record that are known before its run, in their JSON form.

    Args:
        card: Card of the engine.
        frames: Frames that will be measured.
        settings: Rules of the measurement.
        power: Open power source; None without.
        asked: Power mode and clocks that the run is to have.
    """
    scenario = open_scenario(settings)
    known = {
        "engine": card,
        "machine": this_machine(),
        "input": frames.description,
        "warmup_frames": settings.warmup_frames,
        "frame_format": settings.frame_format,
        "frames_asked": settings.frames,
        "frames_in_flight": scenario.in_flight,
        "skipped_pictures": frames.skipped,
        "scenario": scenario.record(),
        "conditions": asked,
    }
    if power is not None:
        known["power_source"] = {
            "source": power.name,
            "version": power.version,
            "covers": power.covers,
            "interval_s": power.interval_s,
            "gap_limit_s": gap_limit_s(power),
            "resolution_mw": power.resolution_mw,
        }
    return {name: record_to_json(value) for name, value in known.items()}
