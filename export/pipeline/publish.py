"""From a graph to an engine that is kept: built, measured beside its folder, and moved there with its card."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from calibration.images.manifest import CalibrationManifest, manifest_note
from calibration.qdq.quantization_config import INT8
from calibration.ranges.record import ranges_of_other_code
from calibration.results import PAGE_FILE, REPORT_FILE, Int8Report
from calibration.search.accuracy import AccuracySet, Budget, drop_points
from calibration.trt.calibrator import TENSORRT_ENTROPY, Calibration
from edge.artifacts import write_bytes, write_text
from edge.card import CARD_FILE, CalibrationNote, EngineCard
from edge.contract import GRAPH_FILE, Contract
from edge.errors import AccuracyBudgetError
from edge.frames import SyntheticFrames
from edge.machine import this_machine
from edge.provenance import RANDOM
from edge.records import write_record
from export.backends import build_engine
from export.backends.engine import BuiltEngine
from export.backends.trt_layer_info import LAYERS_FILE
from export.pipeline.float_graph import is_of_other_sources
from export.pipeline.implicit_int8 import QDQ, scale_calibration
from export.pipeline.int8 import EQUALISED_FOLDER, Int8Graph
from export.pipeline.layer_times import RUNS, layer_times, total_times
from export.pipeline.request import BuildPlan, BuildRequest, Say
from export.pipeline.verify import check_engine, layer_precisions, require_agreement, require_budget, write_int8_report

_HEAVY_MULTIPLY_ADDS = 50_000_000_000
"""Of a network that takes seconds for a frame on a CPU: fewer runs time it well enough."""


@dataclass(frozen=True)
class Job:
    """Everything that is known when an engine is built.

    Attributes:
        request: what the user asked for.
        plan: what was decided.
        contract: of the float graph.
        accuracy: images that the engine is measured on.
        budget: what INT8 may cost.
        found: the quantised graph; None for a float engine, and where TensorRT calibrates.
        manifest: of the calibration images; None for a float engine, or where it is not here.
        warnings: about ranges and images.
        calibration: TensorRT's own; None for all others.
    """

    request: BuildRequest
    plan: BuildPlan
    contract: Contract
    accuracy: AccuracySet
    budget: Budget
    found: Int8Graph | None = None
    manifest: CalibrationManifest | None = None
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None


def refused_folder(plan: BuildPlan) -> Path:
    """Return where the report of INT8 over its budget goes: not to an earlier engine, which has its own."""
    output = plan.output if plan.output.name not in ("", "..") else plan.output.resolve()
    return output.with_name(f"{output.name}-refused")


def build_and_keep(job: Job, say: Say) -> tuple[EngineCard, Int8Report | None]:
    """Build an engine, measure it, and keep it if it holds the budget.

    Returns:
        Its card, and the INT8 report; None where nothing was simulated.

    Raises:
        ParityError: it computes something else than its graph.
        AccuracyBudgetError: it does not; its report lies beside the engine folder, which stays as it was.
    """
    plan, found = job.plan, job.found
    say(f"build {job.request.precision} engine with {plan.backend}")
    graph, engine = _build(job)
    card = _card(job, engine, graph)
    report = None
    with _staging(plan.artifact) as staging:
        write_bytes(staging / card.engine_file, engine.data)
        write_record(staging / CARD_FILE, card)
        card, labels = check_engine(staging, plan, card, job.accuracy, found)
        require_agreement(card, job.budget)
        if found is not None:
            job, layer_ms = _timed(job, graph)
            report = write_int8_report(
                staging, plan, job.contract, job.accuracy, job.found, job.budget, labels, job.warnings, layer_ms
            )
            folder = refused_folder(plan) if report.is_met is False else plan.output
            for name in (PAGE_FILE, REPORT_FILE):
                write_bytes(folder / name, (staging / name).read_bytes())
            require_budget(report, job.budget, found, folder, say)
        elif not job.budget.holds(drop_points(job.accuracy.float_labels, labels), labels.agreement):
            raise AccuracyBudgetError(
                f"INT8 by {TENSORRT_ENTROPY} gives labels equal to the float graph's on {100 * labels.agreement:.2f} % "
                f"of pixels, the budget is {job.budget.sentence()}; no engine was kept. "
                "Next: --calibrator percentile, which searches for a way into the budget"
            )
    write_bytes(plan.output / card.engine_file, engine.data)
    _write_card(plan.output, card)
    if engine.layers is not None:
        write_text(plan.output / LAYERS_FILE, engine.layers)
    else:
        with contextlib.suppress(FileNotFoundError):
            (plan.output / LAYERS_FILE).unlink()
    _remove_refusal(refused_folder(plan))
    return card, report


def _remove_refusal(folder: Path) -> None:
    """Remove an earlier refusal's report, and its folder if nothing else is in it."""
    with contextlib.suppress(OSError):
        for name in (PAGE_FILE, REPORT_FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _timed(job: Job, graph: bytes) -> tuple[Job, dict[str, tuple[float, float]]]:
    """Time every layer in INT8 and in float where ONNX Runtime runs both; the sum goes into the notes."""
    if job.plan.backend != "onnxruntime":
        return job, {}
    float_graph = (job.plan.artifact / GRAPH_FILE).read_bytes()
    work = sum(layer.multiply_adds for layer in job.found.outcome.quantized.layers)
    runs = RUNS if work < _HEAVY_MULTIPLY_ADDS else 2
    layer_ms = layer_times(graph, float_graph, job.contract, job.accuracy.frames, runs)
    int8_ms, float_ms = total_times(graph, float_graph, job.contract, job.accuracy.frames, runs)
    comparison = f"{float_ms / int8_ms:.2f} times faster" if int8_ms < float_ms else "slower"
    note = (
        f"the network takes {int8_ms:.1f} ms in INT8 and {float_ms:.1f} ms in float32 on this CPU "
        f"({this_machine().cpu}, ONNX Runtime): {comparison}"
    )
    return dataclasses.replace(job, found=dataclasses.replace(job.found, notes=(*job.found.notes, note))), layer_ms


def _build(job: Job) -> tuple[bytes, BuiltEngine]:
    """Return the graph that was built, and the engine."""
    plan, found, source = job.plan, job.found, job.request.scale_source(job.plan.backend)
    is_implicit = source not in (None, QDQ)
    calibration, float_layers = job.calibration, ()
    path = plan.artifact / GRAPH_FILE
    if found is not None and is_implicit:
        # Implicit INT8 takes the float graph and a scale for each tensor.
        recipe = found.outcome.config
        path = plan.artifact / EQUALISED_FOLDER / GRAPH_FILE if recipe.equalised else path
        calibration = scale_calibration(source, path, found.source_ranges, recipe)
        float_layers = tuple(recipe.float_layers)
    is_quantized = found is not None and not is_implicit
    graph = found.outcome.quantized.data if is_quantized else path.read_bytes()
    options = job.request.engine_options()
    return graph, build_engine(plan.backend, graph, job.request.precision, options, calibration, float_layers)


@contextlib.contextmanager
def _staging(artifact: Path) -> Iterator[Path]:
    """Give a folder for an engine that has not been measured yet; it is gone afterwards, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix=".unmeasured-", dir=artifact))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _card(job: Job, engine: BuiltEngine, graph: bytes) -> EngineCard:
    digest, found = hashlib.sha256(engine.data).hexdigest(), job.found
    options = job.request.engine_options()
    return EngineCard(
        contract=dataclasses.replace(job.contract, batch=options.batch),
        backend=job.plan.backend,
        backend_version=engine.version,
        precision=job.request.precision,
        engine_file=f"engine-{digest[:12]}{engine.suffix}",
        engine_sha256=digest,
        engine_bytes=len(engine.data),
        built_from_sha256=hashlib.sha256(graph).hexdigest(),
        machine=this_machine(),
        built_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        build_seconds=round(engine.seconds, 3),
        int8_mac_share=found.outcome.quantized.int8_mac_share if found is not None else None,
        calibration=_calibration_note(job) if job.request.precision == INT8 else None,
        notes=_notes(job, engine),
        layers=layer_precisions(found) if found is not None else (),
        dla_core=options.dla_core,
        is_version_compatible=options.is_version_compatible,
        is_hardware_compatible=options.is_hardware_compatible,
        batch_profile=options.batch_profile,
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
        has_layer_details=options.has_layer_details,
        allows_tf32=options.allows_tf32,
        scale_source=job.request.scale_source(job.plan.backend),
    )


def _calibration_note(job: Job) -> CalibrationNote:
    found, budget = job.found, job.budget.sentence()
    if found is None:
        count, source = len(job.manifest.names), job.manifest.images_from
        return CalibrationNote(TENSORRT_ENTROPY, count, source, "", TENSORRT_ENTROPY, budget)
    recipe, ranges = found.outcome.config, found.ranges
    return CalibrationNote(
        recipe.method, ranges.image_count, ranges.images_from, found.ranges_sha256, recipe.sentence(), budget
    )


def _notes(job: Job, engine: BuiltEngine) -> tuple[str, ...]:
    found, manifest = job.found, job.manifest
    notes = [*engine.notes, *(found.notes if found is not None else ())]
    if is_of_other_sources(job.plan, job.contract):
        notes.append("the graph was exported by other sources than these; --weights FILE exports it again")
    if job.contract.weights.kind == RANDOM:
        notes.append(job.contract.weights.sentence())
    images_from = found.ranges.images_from if found is not None else manifest.images_from if manifest else ""
    other = ranges_of_other_code(found.ranges) if found is not None else None
    if other is not None:
        notes.append(f"{other}; the images to collect them anew are not here")
    if images_from == SyntheticFrames.DESCRIPTION:
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
