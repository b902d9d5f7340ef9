"""What has to be alike in two runs, so that a difference of their figures is one of the engines."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from edge.bench.bench_record import BenchRecord
from edge.run_store.stored_run import StoredRun


class Mismatch(NamedTuple):
    """One condition that two runs do not share.

    Attributes:
        condition: Name of the condition, a key of CONDITIONS or VALIDITY.
        sentence: Sentence that says what it is in either run.
    """

    condition: str
    sentence: str


VALIDITY = "validity"
"""Condition that both runs are valid, whole and undisturbed."""


def _machine(run: StoredRun) -> str:
    machine = run.summary.machine
    return ", ".join(filter(None, (machine.board, machine.gpu, machine.cpu, f"{machine.cpu_count} cores")))


def _scenario(run: StoredRun) -> str:
    scenario = run.summary.scenario
    if scenario is None:
        return ""
    decode = " with decoding" if scenario.includes_decode else ""
    camera = f" of {scenario.camera.fps:g} fps" if scenario.camera is not None else ""
    return f"{scenario.name}{camera}{decode}"


def _frame_size(run: StoredRun) -> str:
    return f"{run.summary.frame_height}x{run.summary.frame_width}"


def _power_mode(run: StoredRun) -> str:
    return " then ".join(dict.fromkeys(sample.power_mode for sample in run.samples if sample.power_mode))


CONDITIONS: dict[str, tuple[str, Callable[[StoredRun], Any]]] = {
    "machine": ("they ran on different machines", _machine),
    "scenario": ("they are of different scenarios", _scenario),
    "frame-size": ("their frames differ in size", _frame_size),
    "frame-format": ("their frames differ in format", lambda run: run.summary.frame_format),
    "in-flight": ("they have different numbers of frames in flight", lambda run: run.summary.frames_in_flight),
    "threads": ("they used different numbers of threads", lambda run: run.summary.runner.get("threads", "")),
    "power-mode": ("they ran in different power modes", _power_mode),
}
"""Condition -> what is wrong where it is not shared, and the value of a run: "" where a run does not know it."""


def condition_names() -> tuple[str, ...]:
    """Return the names of all conditions, which a user may let differ."""
    return (*CONDITIONS, VALIDITY)


def mismatches(first: StoredRun, second: StoredRun) -> list[Mismatch]:
    """Return the conditions that two runs do not share, and what speaks against either run."""
    found = []
    for name, (wrong, value_of) in CONDITIONS.items():
        values = (value_of(first), value_of(second))
        if values[0] != values[1] and "" not in values:
            found.append(Mismatch(name, f"{wrong}: {values[0]} and {values[1]}"))
    for which, run in (("first", first), ("second", second)):
        found += [Mismatch(VALIDITY, f"the {which} run {sentence}") for sentence in _faults(run.summary)]
    return found


def _faults(record: BenchRecord) -> list[str]:
    """Return what speaks against one run, as ends of a sentence that begins with "the run"."""
    validity = record.validity
    if validity is not None:
        # What makes it invalid holds the rest: a partial measurement, a busy machine.
        return [f"is invalid: {reason.what}" for reason in validity.reasons]
    found = [f"is {record.partial_sentence()}"] if record.is_partial else []
    disturbance = record.load.disturbance() if record.load is not None else ""
    return [*found, *([f"was disturbed: {disturbance}"] if disturbance else [])]
