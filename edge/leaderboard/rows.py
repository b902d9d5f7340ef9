"""The rows of a leaderboard: runs of the same engine under the same conditions together, the latest valid one shown."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Sequence

from edge.artifacts import spell_option
from edge.bench.bench_record import BenchRecord
from edge.bench.settings import PIPELINED, SINGLE_STREAM
from edge.bench.validity import validity
from edge.leaderboard.figures import kind_of, read_figure
from edge.leaderboard.leaderboard_record import BoardFigure, BoardRow, RunLeftOut
from edge.leaderboard.need import Demand, answer, joint_confidence, verdict_of
from edge.leaderboard.runs import MeasuredRun

AFTER_THE_NETWORK, IN_THE_NETWORK = "after the network", "in the network"


@dataclass(frozen=True)
class _Sources:
    """The runs that the figures of one row are of.

    Attributes:
        run: Run that speed, power and temperatures are of.
        scored: Run of the same engine file that measured accuracy; None where none did.
        sized: Run of an engine of the same float graph whose card has the graph's size; None where none has.
    """

    run: MeasuredRun
    scored: MeasuredRun | None
    sized: MeasuredRun | None

    def of(self, column: str) -> MeasuredRun:
        """Return the run that the figure of a column is read from."""
        kind = kind_of(column.partition("(")[0])
        other = self.scored if kind.is_accuracy else self.sized if kind.is_of_graph else None
        return other or self.run


def objections(record: BenchRecord) -> tuple[str, ...]:
    """Return the reasons why a run is not valid, each with its remedy; empty for a valid one."""
    judged = record.validity or validity(record)  # records of before are judged by what they have
    return tuple(judged.sentences())


def board_rows(
    runs: Sequence[MeasuredRun], columns: Sequence[str], need: Sequence[Demand] = (), with_invalid: bool = False
) -> tuple[list[BoardRow], list[RunLeftOut]]:
    """Return a row for each engine and condition, and the runs that no row shows since they are not valid.

    Speed, power and temperatures of a row are all of one run, the latest valid one. Accuracy is the engine's, whatever
    run measured it, so it is that of the latest run of the same engine file that did.

    Args:
        runs: Runs in the order of their start.
        columns: Names of the columns.
        need: Demands that each row is asked for.
        with_invalid: Whether a run that is not valid is shown where there is no valid one; its row says so.
    """
    together: dict[tuple, list[MeasuredRun]] = {}
    for run in runs:
        together.setdefault(_identity(run.record), []).append(run)
    scored = {run.record.engine.engine_sha256: run for run in runs if run.record.accuracy is not None}
    sized = {
        run.record.engine.contract.graph_sha256: run for run in runs if run.record.engine.multiply_adds is not None
    }
    rows, left_out = [], []
    for group in together.values():
        valid = [run for run in group if not objections(run.record)]
        shown = (valid or (group if with_invalid else []))[-1:]
        for run in group:
            if objections(run.record) and run not in shown:
                left_out.append(RunLeftOut(_name(run.record), run.reference, objections(run.record)))
        for run in shown:
            card = run.record.engine
            sources = _Sources(run, scored.get(card.engine_sha256), sized.get(card.contract.graph_sha256))
            rows.append(_row(sources, len(group), columns, need))
    return _named_apart(rows), left_out


def _identity(record: BenchRecord) -> tuple:
    """Return what two runs have in common that are of one row."""
    card, contract = record.engine, record.engine.contract
    return (
        *(_model(record), contract.dataset, contract.height, contract.width, contract.weights.sha256),
        *(card.precision, card.backend, card.dla_core, card.batch_profile, _labels(record)),
        *(_machine(record), _scenario(record)),
    )


def _row(sources: _Sources, count: int, columns: Sequence[str], need: Sequence[Demand]) -> BoardRow:
    run, scored, record = sources.run, sources.scored, sources.run.record
    contract, card = record.engine.contract, record.engine
    figures: dict[str, BoardFigure] = {}
    for column in columns:
        source = sources.of(column)
        figure = read_figure(column, source.record)
        figures[column] = figure if figure.value is None else dataclasses.replace(figure, run=source.reference)
    accuracy = scored.record.accuracy if scored is not None else None
    answers = tuple(answer(demand, figures[demand.name]) for demand in need)
    return BoardRow(
        name=_name(record),
        model=_model(record),
        precision=card.precision,
        backend=f"{card.backend} {record.runner.get('version', card.backend_version)}",
        dataset=contract.dataset,
        height=contract.height,
        width=contract.width,
        weights=contract.weights.sentence(),
        has_random_weights=contract.weights.is_random,
        labels=_labels(record),
        machine=_machine(record),
        scenario=_scenario(record),
        scored_on=f"{accuracy.frame_count} frames of {accuracy.dataset} {accuracy.split}" if accuracy else "",
        run=run.reference,
        started_utc=record.started_utc,
        run_count=count,
        invalid=objections(record),
        figures=figures,
        answers=answers,
        verdict=verdict_of(answers),
        confidence=joint_confidence(answers),
    )


def _named_apart(rows: list[BoardRow]) -> list[BoardRow]:
    """Return the rows with what tells two of the same name apart behind it."""
    for part in ("dataset", "backend", "labels", "machine", "scenario", "weights"):
        names = [row.name for row in rows]
        of_name: dict[str, set[str]] = {}
        for row in rows:
            of_name.setdefault(row.name, set()).add(getattr(row, part))
        rows = [
            dataclasses.replace(row, name=f"{row.name}, {getattr(row, part)}")
            if names.count(row.name) > 1 and len(of_name[row.name]) > 1
            else row
            for row in rows
        ]
    names = [row.name for row in rows]
    return [
        dataclasses.replace(row, name=f"{row.name} #{names[: index + 1].count(row.name)}")
        if names.count(row.name) > 1
        else row
        for index, row in enumerate(rows)
    ]


def _name(record: BenchRecord) -> str:
    contract = record.engine.contract
    return f"{_model(record)} {record.engine.precision} {contract.height}x{contract.width}"


def _model(record: BenchRecord) -> str:
    contract = record.engine.contract
    options = [f"{name}={spell_option(value)}" for name, value in sorted(contract.options.items())]
    return " ".join([contract.model, *options])


def _labels(record: BenchRecord) -> str:
    return IN_THE_NETWORK if record.engine.contract.gives_labels else AFTER_THE_NETWORK


def _machine(record: BenchRecord) -> str:
    machine = record.machine
    place = machine.board or machine.gpu
    if place:
        return place
    return f"{machine.cpu}, {record.runner.get('threads') or machine.cpu_count} threads"


def _scenario(record: BenchRecord) -> str:
    rules = record.scenario
    name = rules.name if rules is not None else PIPELINED if record.frames_in_flight > 1 else SINGLE_STREAM
    parts = [name, f"frames of {record.frame_height}x{record.frame_width}"]
    if record.frames_in_flight > 1:
        parts.append(f"{record.frames_in_flight} in flight")
    if rules is not None and rules.camera is not None:
        parts.append(f"{rules.camera.fps:g} fps, deadline {rules.camera.deadline_ms:g} ms")
    if rules is not None and rules.includes_decode:
        parts.append("decoding included")
    return ", ".join(parts)
