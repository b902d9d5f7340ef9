"""Building one engine, from whatever is there to a checked engine with its card.

    weights -> model.onnx -> calibration images -> ranges -> recipe within the budget -> Q/DQ graph
            -> engine -> check -> card and report

Each step is skipped where its result is there and nothing that it was made from has changed. An engine is kept when
it has been measured: one that costs more accuracy than allowed never reaches its folder.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from calibration.images.manifest import CalibrationManifest, manifest_warnings
from calibration.qdq.quantization_config import INT8
from calibration.ranges.record import Ranges, range_warnings
from calibration.results import Int8Report
from calibration.trt.calibrator import TENSORRT_ENTROPY
from edge.artifacts import ARTIFACTS_ROOT, artifact_folder
from edge.card import EngineCard, engine_folder
from edge.contract import GRAPH_FILE, Contract
from edge.datasets import LAYOUTS, default_data_dir
from edge.errors import GraphError
from edge.frames import FrameSet, SyntheticFrames
from edge.provenance import RANDOM
from edge.records import read_record
from export.adopt.adoption import adopt
from export.backends import choose_backend
from export.build_inputs import BuildInputs, choose_inputs, held_out_frames
from export.graph.batching import with_batch
from export.graph.parity import ParityReport
from export.pipeline.float_graph import export_parity, float_graph, parity_frames
from export.pipeline.implicit_int8 import check_implicit, entropy_calibration
from export.pipeline.int8 import KeptConfig, calibrate, calibration_images, find_int8, kept_config
from export.pipeline.publish import Job, build_and_keep, refused_folder
from export.pipeline.request import BuildPlan, BuildRequest, Int8Request, Say
from export.pipeline.user_images import split_pictures
from export.pipeline.verify import budget_of, open_accuracy_set, require_budget, write_int8_report
from train.options import resolve_options

_SHOWN_WARNINGS = 3

__all__ = ["BuildPlan", "BuildRequest", "BuildResult", "Int8Request", "build", "plan_build"]


@dataclass(frozen=True)
class BuildResult:
    """A finished build.

    Attributes:
        plan: what was decided.
        card: of the engine.
        parity: how the graph was compared when it was exported; None if nobody knows.
        report: what INT8 cost; None for a float engine.
    """

    plan: BuildPlan
    card: EngineCard
    parity: ParityReport | None
    report: Int8Report | None = None


def plan_build(request: BuildRequest, say: Say = lambda line: None) -> BuildPlan:
    """Decide everything that can be decided without work; a given graph is adopted, since its contract names all else.

    Raises:
        BackendError: TensorRT was asked for and cannot build here.
        InputError: weights, dataset, pictures or manifest are not there.
    """
    backend, reason = choose_backend(request.backend)
    check_implicit(request, backend)
    if request.images_path is not None:
        split_pictures(request.images_path, request.accuracy_images)
    if request.precision == INT8 and request.int8.manifest_path is not None:
        read_record(CalibrationManifest, request.int8.manifest_path)
    if request.onnx_path is not None:
        return _plan_adoption(request, backend, reason, say)
    resolve_options(request.model, request.options)
    size = (request.height, request.width)
    sources = choose_inputs(
        request.model, request.dataset, request.data_dir, request.weights_path, size, request.options
    )
    artifact = artifact_folder(request.model, sources.dataset, *size, ARTIFACTS_ROOT, sources.options)
    output = request.output or _engine_folder(artifact, backend, request)
    return BuildPlan(backend, reason, sources, artifact, output)


def _engine_folder(artifact: Path, backend: str, request: BuildRequest) -> Path:
    """Return the engine's folder; engines for batches lie beside the one for single frames."""
    folder = engine_folder(artifact, backend, request.precision)
    return folder.with_name(folder.name + request.engine.folder_suffix())


def _plan_adoption(request: BuildRequest, backend: str, reason: str, say: Say) -> BuildPlan:
    size = (request.height, request.width) if request.is_size_given else None
    adoption = adopt(request.onnx_path, request.contract_path, ARTIFACTS_ROOT, size, request.data_dir, say)
    contract, findings = adoption.contract, adoption.report.tensorrt_findings
    if findings and backend == "tensorrt":
        raise GraphError(f"TensorRT 8.5 does not run {request.onnx_path}: {'; '.join(findings[:3])}")
    for finding in findings:
        say(f"note: TensorRT would not run this graph: {finding}")
    dataset = request.dataset or contract.dataset
    data_dir = request.data_dir
    if data_dir is None and dataset in LAYOUTS and default_data_dir(dataset).is_dir():
        data_dir = default_data_dir(dataset)
    sources = BuildInputs(dataset, data_dir if dataset in LAYOUTS else None, None, {})
    output = request.output or _engine_folder(adoption.folder, backend, request)
    return BuildPlan(backend, reason, sources, adoption.folder, output)


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
    plan = plan_build(request, say)
    say(f"backend: {plan.backend} ({plan.reason})")
    contract = float_graph(request, plan, say)
    request = dataclasses.replace(request, height=contract.height, width=contract.width)
    say(contract.weights.sentence())
    _require_batches(request, plan)
    parity = export_parity(plan.artifact, contract)
    if parity is not None:
        say(parity.sentence())
    job, ranges, kept = _measured_job(request, plan, contract, say)
    if ranges is not None:
        found = find_int8(request, plan, contract, ranges, job.accuracy, job.budget, kept, say)
        job = dataclasses.replace(job, found=found)
        if not found.outcome.is_met:
            folder = refused_folder(plan)
            report = write_int8_report(folder, plan, contract, job.accuracy, found, job.budget, None, job.warnings, {})
            require_budget(report, job.budget, found, folder, say)
    card, report = build_and_keep(job, say)
    return BuildResult(plan, card, parity, report)


def _require_batches(request: BuildRequest, plan: BuildPlan) -> None:
    """Refuse a network that cannot take several frames before its ranges are collected.

    Raises:
        GraphError: a node works across frames.
    """
    options = request.engine
    if options.batch != 1 or options.batch_profile is not None:
        batch = None if options.batch_profile is not None else options.batch
        with_batch((plan.artifact / GRAPH_FILE).read_bytes(), batch)


def _measured_job(
    request: BuildRequest, plan: BuildPlan, contract: Contract, say: Say
) -> tuple[Job, tuple[Ranges, str] | None, KeptConfig | None]:
    """Calibrate, and open the images that accuracy is measured on.

    Returns:
        The job as far as it is known; the ranges with the hash of their file, None without ranges of ours; and the
        recipe that was found elsewhere, None where there are real images to judge by.
    """
    is_random = contract.weights.kind == RANDOM
    # Labels of random weights mean nothing: a few frames show that the engine runs.
    held_out = parity_frames(request, plan) if is_random else _held_out(request, plan.sources)
    warnings: tuple[str, ...] = ()
    manifest, ranges, calibration = None, None, None
    if request.precision == INT8 and request.int8.calibrator == TENSORRT_ENTROPY:
        frames, manifest = calibration_images(request, plan, contract)
        calibration = entropy_calibration(plan, contract, frames, manifest, request.engine.batch)
    elif request.precision == INT8:
        collected, ranges_sha256, manifest = calibrate(request, plan, contract, say)
        ranges = (collected, ranges_sha256)
        if not is_random:
            warnings = range_warnings(collected)
    if manifest is not None and not is_random:
        warnings = (*warnings, *manifest_warnings(manifest))
    for warning in warnings[:_SHOWN_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > _SHOWN_WARNINGS:
        say(f"{len(warnings) - _SHOWN_WARNINGS} more warnings are in the report")
    calibrated = frozenset(manifest.sha256) if manifest is not None else frozenset()
    accuracy = open_accuracy_set(plan, contract, held_out, calibrated)
    kept = None
    if ranges is not None and not is_random and isinstance(held_out, SyntheticFrames):
        kept = kept_config(request, plan, contract, ranges[1], say)
    budget = budget_of(request, contract, accuracy, kept is not None)
    job = Job(request, plan, contract, accuracy, budget, None, manifest, warnings, calibration)
    return job, ranges, None if budget.is_enforced else kept


def _held_out(request: BuildRequest, sources: BuildInputs) -> FrameSet:
    if request.images_path is not None:
        return split_pictures(request.images_path, request.accuracy_images)[1]
    return held_out_frames(sources.dataset, sources.data_dir, request.height, request.width, request.accuracy_images)
