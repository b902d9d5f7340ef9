"""Building one engine, from whatever is there to a checked engine with its card.

    weights -> model.onnx -> calibration images -> ranges -> recipe within the budget -> Q/DQ graph -> engine -> check -> card

Each step is skipped where its result is there and nothing that it was made from has changed. An engine is kept when
it has been measured: one that costs more accuracy than allowed never reaches its folder.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from calibration.accuracy import AccuracySet, Budget, SetLabels
from calibration.image_manifest import CalibrationManifest, manifest_note, manifest_warnings
from calibration.ranges import range_warnings
from calibration.recipe import INT8
from calibration.report_record import PAGE_FILE, REPORT_FILE, Int8Report
from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, write_bytes
from edge.card import CARD_FILE, CalibrationNote, EngineCard, engine_folder
from edge.contract import GRAPH_FILE, Contract
from edge.frames import SyntheticFrames
from edge.machine import this_machine
from edge.provenance import RANDOM
from edge.records import write_record
from export.backends import BuiltEngine, build_engine, choose_backend
from export.build_request import BuildRequest, Int8Request, Plan, Say
from export.defaults import choose_sources, held_out_frames
from export.engine_check import (
    budget_of,
    check_engine,
    layer_precisions,
    open_accuracy_set,
    require_budget,
    write_int8_report,
)
from export.graph_step import export_parity, float_graph, is_of_other_sources, parity_frames
from export.int8_steps import Int8Graph, calibrate, find_int8
from export.parity import ParityReport
from train.options import resolve_options

__all__ = ["BuildRequest", "BuildResult", "Int8Request", "Plan", "build", "plan_build"]


@dataclass(frozen=True)
class BuildResult:
    """A finished build.

    Attributes:
        plan: what was decided.
        card: of the engine.
        parity: how the graph was compared when it was exported; None if nobody knows.
        report: what INT8 cost; None for a float engine.
    """

    plan: Plan
    card: EngineCard
    parity: ParityReport | None
    report: Int8Report | None = None


def plan_build(request: BuildRequest) -> Plan:
    """Decide everything that can be decided without work.

    Raises:
        BackendError: TensorRT was asked for and cannot build here.
        InputError: weights or dataset are not there.
    """
    resolve_options(request.model, request.options)
    backend, reason = choose_backend(request.backend)
    size = (request.height, request.width)
    sources = choose_sources(
        request.model, request.dataset, request.data_dir, request.weights_path, size, request.options
    )
    artifact = artifact_folder(request.model, sources.dataset, *size, ARTIFACTS_ROOT, sources.options)
    output = request.output or engine_folder(artifact, backend, request.precision)
    return Plan(backend, reason, sources, artifact, output)


def build(request: BuildRequest, say: Say = lambda line: print(line, file=sys.stderr)) -> BuildResult:
    """Build, measure and keep one engine.

    Args:
        request: what the user asked for.
        say: takes a line for each step.

    Returns:
        What was built; its card and engine are in plan.output.

    Raises:
        AccuracyBudgetError: INT8 costs more than the budget; nothing but the report was kept.
    """
    plan = plan_build(request)
    say(f"backend: {plan.backend} ({plan.reason})")
    sources = plan.sources
    held_out = held_out_frames(
        sources.dataset, sources.data_dir, request.height, request.width, request.accuracy_images
    )
    contract = float_graph(request, plan)
    say(contract.weights.sentence())
    parity = export_parity(plan.artifact, contract)
    if parity is not None:
        say(parity.sentence())
    if contract.weights.kind == RANDOM:
        # Labels of random weights mean nothing: a few frames show that the engine runs.
        held_out = parity_frames(request, plan)
    warnings: tuple[str, ...] = ()
    ranges, manifest = None, None
    if request.precision == INT8:
        ranges, ranges_sha256, manifest = calibrate(request, plan, contract, say)
        warnings = (*range_warnings(ranges), *(manifest_warnings(manifest) if manifest is not None else ()))
        for warning in warnings:
            say(f"warning: {warning}")
    calibrated = frozenset(manifest.sha256) if manifest is not None else frozenset()
    accuracy = open_accuracy_set(plan, contract, held_out, calibrated)
    budget = budget_of(request, contract, accuracy)
    found = None
    if ranges is not None:
        found = find_int8(request, plan, contract, (ranges, ranges_sha256), accuracy, budget, say)
        if not found.outcome.is_met:
            report = _report(plan.output, plan, contract, accuracy, found, budget, None, warnings)
            require_budget(report, budget, found, plan.output, say)
    return _build_and_keep(request, plan, contract, accuracy, budget, found, manifest, warnings, parity, say)


def _build_and_keep(
    request: BuildRequest,
    plan: Plan,
    contract: Contract,
    accuracy: AccuracySet,
    budget: Budget,
    found: Int8Graph | None,
    manifest: CalibrationManifest | None,
    warnings: tuple[str, ...],
    parity: ParityReport | None,
    say: Say,
) -> BuildResult:
    say(f"build {request.precision} engine with {plan.backend}")
    graph = found.outcome.quantized.data if found is not None else (plan.artifact / GRAPH_FILE).read_bytes()
    engine = build_engine(plan.backend, graph, request.precision, plan.artifact.parent / "tensorrt-timing.cache")
    card = _card(request, plan, contract, engine, graph, budget, found, manifest)
    with _staging(plan.artifact) as staging:
        write_bytes(staging / card.engine_file, engine.data)
        write_record(staging / CARD_FILE, card)
        card, labels = check_engine(staging, plan, card, accuracy, found)
        report = None
        if found is not None:
            report = _report(staging, plan, contract, accuracy, found, budget, labels, warnings)
            if report.is_met is False:
                _move_report(staging, plan.output)
                require_budget(report, budget, found, plan.output, say)
            _move_report(staging, plan.output)
    write_bytes(plan.output / card.engine_file, engine.data)
    _write_card(plan.output, card)
    return BuildResult(plan, card, parity, report)


def _report(
    folder: Path,
    plan: Plan,
    contract: Contract,
    accuracy: AccuracySet,
    found: Int8Graph,
    budget: Budget,
    engine: SetLabels | None,
    warnings: tuple[str, ...],
) -> Int8Report:
    return write_int8_report(folder, plan, contract, accuracy, found, budget, engine, warnings, {})


@contextlib.contextmanager
def _staging(artifact: Path) -> Iterator[Path]:
    """Give a folder for an engine that has not been measured yet; it is gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=".unmeasured-", dir=artifact))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move_report(staging: Path, folder: Path) -> None:
    for name in (PAGE_FILE, REPORT_FILE):
        write_bytes(folder / name, (staging / name).read_bytes())


def _card(
    request: BuildRequest,
    plan: Plan,
    contract: Contract,
    engine: BuiltEngine,
    graph: bytes,
    budget: Budget,
    found: Int8Graph | None,
    manifest: CalibrationManifest | None,
) -> EngineCard:
    digest = hashlib.sha256(engine.data).hexdigest()
    return EngineCard(
        contract=contract,
        backend=plan.backend,
        backend_version=engine.version,
        precision=request.precision,
        engine_file=f"engine-{digest[:12]}{engine.suffix}",
        engine_sha256=digest,
        engine_bytes=len(engine.data),
        built_from_sha256=hashlib.sha256(graph).hexdigest(),
        machine=this_machine(),
        built_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        build_seconds=round(engine.seconds, 3),
        int8_mac_share=found.outcome.quantized.int8_mac_share if found is not None else None,
        calibration=_calibration_note(found, budget) if found is not None else None,
        notes=_notes(contract, engine, found, manifest),
        layers=layer_precisions(found) if found is not None else (),
    )


def _calibration_note(found: Int8Graph, budget: Budget) -> CalibrationNote:
    recipe, ranges = found.outcome.recipe, found.ranges
    return CalibrationNote(
        recipe.method,
        ranges.image_count,
        ranges.images_from,
        found.ranges_sha256,
        recipe.sentence(),
        budget.sentence(),
    )


def _notes(
    contract: Contract, engine: BuiltEngine, found: Int8Graph | None, manifest: CalibrationManifest | None
) -> tuple[str, ...]:
    notes = [*engine.notes, *(found.notes if found is not None else ())]
    if is_of_other_sources(contract):
        notes.append("the graph was exported by other sources than these; --weights FILE exports it again")
    if contract.weights.kind == RANDOM:
        notes.append(contract.weights.sentence())
    if found is not None and found.ranges.images_from == SyntheticFrames.DESCRIPTION:
        notes.append("ranges come from synthetic scenes, since no dataset was found")
    if manifest is not None and manifest_note(manifest):
        notes.append(manifest_note(manifest))
    return tuple(notes)


def _write_card(folder: Path, card: EngineCard) -> None:
    """Write the card after its engine, so that it never describes another file than it names."""
    write_record(folder / CARD_FILE, card)
    for old in folder.glob("engine-*"):
        if old.name != card.engine_file:
            old.unlink()
