"""All engines of folders, measured one after the other in an order that mixes them, with a rest in between.

A suite takes hours. Each run that is done is written down at once, so that the same command goes on after a stop.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.suite_record import SUITE_FILE, SuiteRecord, SuiteRun
from edge.card import CARD_FILE, EngineCard
from edge.console import Say, format_seconds
from edge.errors import InputError, SegEdgeError
from edge.records import read_record, record_to_json, write_record


class PlannedRun(NamedTuple):
    """One run of a suite.

    Attributes:
        folder: Folder of the engine.
        card: Card of the engine.
        round: Number of the round, 0 for the first.
    """

    folder: Path
    card: EngineCard
    round: int


Measure = Callable[[PlannedRun], BenchRecord]
"""Function that measures one engine; it raises KeyboardInterrupt where the run was interrupted."""


def find_engines(folders: Sequence[Path]) -> list[tuple[Path, EngineCard]]:
    """Return the engines for single frames in folders and below them, with their cards, by their paths.

    Raises:
        InputError: There is no such folder, or no engine in one.
        ContractError: A card is damaged.
    """
    found: dict[Path, EngineCard] = {}
    for folder in folders:
        cards = sorted(folder.rglob(CARD_FILE)) if folder.is_dir() else []
        if not cards:
            missing = "" if folder.exists() else ", which is not there"
            raise InputError(
                f"no engine in {folder}{missing}: expected a folder of artefacts with engines/ in them. "
                "Next: python export/build_engine.py --model MODEL --int8"
            )
        for path in cards:
            card = read_record(EngineCard, path)
            if card.contract.batch == 1:
                found[path.parent] = card
    return sorted(found.items())


def interleaved(engines: Sequence[tuple[Path, EngineCard]], rounds: int) -> list[PlannedRun]:
    """Return the runs of a suite in their order.

    Within a round, engines of different networks follow one another, so that a slow change of the machine is not a
    difference of one network to the next; every other round goes backwards, so that no engine is always late.

    Args:
        engines: Folders of the engines with their cards.
        rounds: Number of times that each engine is measured.
    """
    groups: dict[Path, list[tuple[Path, EngineCard]]] = {}
    for folder, card in engines:
        groups.setdefault(folder.parent, []).append((folder, card))
    longest = max(map(len, groups.values()), default=0)
    mixed = [group[place] for place in range(longest) for group in groups.values() if place < len(group)]
    return [
        PlannedRun(folder, card, number)
        for number in range(rounds)
        for folder, card in (mixed if number % 2 == 0 else reversed(mixed))
    ]


class Suite:
    """Runs that are planned and done, in a folder that keeps them.

    Args:
        folder: Folder for suite.json and the records.
        rules: Option -> value, of every option that a figure depends on.
        planned: Runs in their order.

    Raises:
        InputError: The folder holds a suite with other rules.
        ContractError: Its suite.json is damaged.
    """

    def __init__(self, folder: Path, rules: dict[str, Any], planned: Sequence[PlannedRun]) -> None:
        self._folder, self._planned = folder, planned
        self._path = folder / SUITE_FILE
        self._state = SuiteRecord(record_to_json(rules))
        if self._path.is_file():
            kept = read_record(SuiteRecord, self._path)
            changed = sorted(
                name for name in {*kept.rules, *rules} if kept.rules.get(name) != self._state.rules.get(name)
            )
            if changed:
                raise InputError(
                    f"{self._path} was begun with another {' and '.join(changed)}: was "
                    f"{kept.rules.get(changed[0])}, got {self._state.rules.get(changed[0])}. Next: the same options "
                    "again, or another --output"
                )
            self._state = kept
        hashes = {(_name(run.folder), run.round): run.card.engine_sha256 for run in planned}
        # What failed is tried again, and so is an engine that was built anew since.
        kept_runs = [
            run
            for run in self._state.runs
            if not run.failure and hashes.get((run.engine, run.round)) == run.engine_sha256
        ]
        self._state = dataclasses.replace(self._state, runs=tuple(kept_runs))

    @property
    def left(self) -> list[PlannedRun]:
        """Runs that are not done yet, in their order."""
        done = {(run.engine, run.round) for run in self._state.runs}
        return [run for run in self._planned if (_name(run.folder), run.round) not in done]

    @property
    def failures(self) -> list[SuiteRun]:
        """Runs that failed in this process."""
        return [run for run in self._state.runs if run.failure]

    def progress(self) -> str:
        """Return how many runs are done, such as "12 of 36 runs are kept in out"."""
        done = sum(not run.failure for run in self._state.runs)
        return f"{done} of {len(self._planned)} runs are kept in {self._folder}"

    def records(self) -> Iterator[Path]:
        """Return the paths of the records of all runs that are done."""
        for run in self._state.runs:
            if run.record:
                yield self._folder / run.record

    def run(self, measure: Measure, rest: Callable[[], object], say: Say) -> None:
        """Measure what is left; every run is written down when it is done.

        Args:
            measure: Function that measures one engine.
            rest: Function that waits between two runs.
            say: Function that takes a line on each run, with the time left.
        """
        start_s = time.monotonic()
        left = self.left
        self._folder.mkdir(parents=True, exist_ok=True)
        write_record(self._path, self._state)
        for position, run in enumerate(left):
            if position:
                rest()
            gone_s = time.monotonic() - start_s
            left_text = f", {format_seconds(gone_s / position * (len(left) - position))} left" if position else ""
            number = len(self._planned) - len(left) + position + 1
            contract = run.card.contract
            say(
                f"suite: run {number} of {len(self._planned)} ({format_seconds(gone_s)} gone{left_text}): "
                f"{contract.model} {run.card.precision} {contract.height}x{contract.width}, {run.card.backend}"
            )
            self._keep(run, measure, say)

    def _keep(self, run: PlannedRun, measure: Measure, say: Say) -> None:
        begin_s = time.monotonic()
        path, run_id, failure = "", "", ""
        try:
            record = measure(run)
        except SegEdgeError as error:  # one engine that cannot run here does not end a night's work
            failure = " ".join(str(error).split())
            say(f"suite: no figure of {run.folder}: {failure}")
        else:
            path = f"round-{run.round + 1}/{_place(run)}/{RECORD_FILE}"
            (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_record(self._folder / path, record)
            run_id = record.run_id
        taken_s = round(time.monotonic() - begin_s, 1)
        done = SuiteRun(_name(run.folder), run.card.engine_sha256, run.round, path, run_id, taken_s, failure)
        self._state = dataclasses.replace(self._state, runs=(*self._state.runs, done))
        write_record(self._path, self._state)


def _name(folder: Path) -> str:
    return str(folder.resolve())


def _place(run: PlannedRun) -> str:
    """Return a name for the folder of a run: of the artefact and of the engine."""
    artefact = run.folder.resolve().parents[1].name if len(run.folder.resolve().parents) > 1 else "engine"
    return f"{artefact}-{run.folder.name}"
