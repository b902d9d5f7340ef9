"""Building one engine, from whatever is there to a checked engine with its card.

    weights -> model.onnx -> calibration images -> ranges -> Q/DQ graph -> engine -> check -> card

Each step is skipped where its result is there and nothing that it was made from has changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import numpy as np

from calibration.collect import collect_ranges
from calibration.quantize import QDQ_GRAPH_FILE, QuantizedGraph, load_graph, quantize
from calibration.ranges import RANGES_FILE, Ranges, current_ranges
from calibration.select_images import (
    DEFAULT_IMAGE_COUNT,
    MANIFEST_FILE,
    RANDOM_WEIGHTS_IMAGE_COUNT,
    calibration_frames,
)
from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, sha256_file, write_bytes
from edge.card import CARD_FILE, BuildCheck, CalibrationNote, EngineCard, build_command, engine_folder
from edge.console import Progress
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract, read_contract
from edge.datasets import Dataset
from edge.errors import ContractError, DatasetError, InputError
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.machine import this_machine
from edge.metrics import ConfusionMatrix, label_agreement
from edge.provenance import RANDOM
from edge.records import read_record, write_record
from edge.runtime import open_engine
from edge.runtime.onnxruntime import OnnxRuntimeRunner
from edge.segmenter import Segmenter, uncertainty_output
from export.backends import BuiltEngine, build_engine, choose_backend, unsigned_levels
from export.defaults import PARITY_IMAGES, Sources, choose_sources, held_out_frames
from export.parity import PARITY_FILE, ParityReport
from train.options import resolve_options


@dataclass(frozen=True)
class BuildRequest:
    """What the user asked for.

    Attributes:
        model: architecture.
        height: input rows.
        width: input columns.
        precision: "float32", "float16" or "int8".
        backend: "auto", "tensorrt" or "onnxruntime".
        dataset: key in edge.datasets.LAYOUTS; None to follow the weights.
        data_dir: the dataset's folder; None for the default one.
        weights_path: a run's weights; None for the newest, else random ones.
        calibration_images: how many; None for 64, or 8 with random weights, whose ranges mean nothing.
        calibration_method: "min-max", "percentile" or "entropy".
        check_images: held-out frames that the engine is checked on.
        options: of the architecture, those that the user set, as values or text.
        output: engine folder; None for the artefact's.
    """

    model: str
    height: int
    width: int
    precision: str
    backend: str
    dataset: str | None
    data_dir: Path | None
    weights_path: Path | None
    calibration_images: int | None
    calibration_method: str
    check_images: int
    options: dict[str, Any] = field(default_factory=dict)
    output: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What a build will do, known before any work.

    Attributes:
        backend: "tensorrt" or "onnxruntime".
        reason: why that one.
        sources: weights, dataset and its folder.
        artifact: artefact folder.
        output: engine folder.
    """

    backend: str
    reason: str
    sources: Sources
    artifact: Path
    output: Path


@dataclass(frozen=True)
class BuildResult:
    """A finished build: the plan, the engine's card and the export's parity report."""

    plan: Plan
    card: EngineCard
    parity: ParityReport | None


Say = Callable[[str], None]


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
    """Build, check and keep one engine.

    Args:
        request: what the user asked for.
        say: takes a line for each step.

    Returns:
        What was built; its card and engine are in plan.output.
    """
    plan = plan_build(request)
    say(f"backend: {plan.backend} ({plan.reason})")
    sources = plan.sources
    held_out = held_out_frames(sources.dataset, sources.data_dir, request.height, request.width, request.check_images)
    contract = _graph(request, plan)
    say(contract.weights.sentence())
    parity = _parity(plan.artifact, contract)
    if parity is not None:
        say(parity.sentence())
    calibration, int8_mac_share = None, None
    graph = (plan.artifact / GRAPH_FILE).read_bytes()
    if request.precision == "int8":
        ranges, ranges_sha256 = _ranges(request, plan, contract, say)
        quantized = _quantized_graph(request, plan, ranges)
        graph, int8_mac_share = quantized.data, quantized.int8_mac_share
        calibration = CalibrationNote(request.calibration_method, ranges.image_count, ranges.images_from, ranges_sha256)
    say(f"build {request.precision} engine with {plan.backend}")
    engine = build_engine(plan.backend, graph, request.precision, plan.artifact.parent / "tensorrt-timing.cache")
    card = _keep(plan, request.precision, contract, engine, graph, calibration, int8_mac_share)
    if contract.weights.kind == RANDOM:
        # Labels of random weights mean nothing: a few frames show that the engine runs.
        held_out = _parity_frames(request, plan)
    card = _check(plan, card, held_out)
    return BuildResult(plan, card, parity)


def _graph(request: BuildRequest, plan: Plan) -> Contract:
    if plan.sources.weights_path is None:
        # No weights here: an artefact that was made elsewhere, on the workstation say, is used as it is.
        try:
            contract = read_contract(plan.artifact)
        except InputError:
            if (plan.artifact / GRAPH_FILE).exists() and not (_can_export() and _is_worthless(plan.artifact)):
                raise
            if not _can_export():
                _name_others(request)
        else:
            if contract.weights.kind != RANDOM or not _can_export():
                _check_artifact(contract, request, plan)
                return contract
    from export.to_onnx import ExportRequest, export_model

    sources = plan.sources
    export_request = ExportRequest(
        request.model, sources.dataset, request.height, request.width, sources.weights_path, sources.options
    )
    return export_model(export_request, plan.artifact, _parity_frames(request, plan))


def _check_artifact(contract: Contract, request: BuildRequest, plan: Plan) -> None:
    """Refuse an artefact that is not what is asked for: its folder was renamed or copied.

    Raises:
        ContractError: the message names the command for what it is.
    """
    sources = plan.sources
    wanted = (request.model, sources.dataset, request.height, request.width, 1, sources.options)
    here = (contract.model, contract.dataset, contract.height, contract.width, contract.batch, contract.options)
    if here != wanted:
        raise ContractError(f"{plan.artifact} holds another network than asked for. Next: {build_command(contract)}")


def _is_of_other_sources(contract: Contract) -> bool:
    """Say whether this checkout would export another graph; where nothing can be exported, nobody can tell."""
    from export.to_onnx import source_digest

    return _can_export() and contract.source_sha256 != source_digest()


def _name_others(request: BuildRequest) -> None:
    """Say which artefacts of this model and size are here, where the one asked for is not.

    Raises:
        InputError: there are some, under other options or datasets.
    """
    others = []
    for path in sorted(ARTIFACTS_ROOT.glob(f"{request.model}[+-]*-{request.height}x{request.width}/{CONTRACT_FILE}")):
        with contextlib.suppress(InputError):
            others.append(build_command(read_record(Contract, path)))
    if others:
        raise InputError(
            f"no artefact of {request.model} with these options and size is here, and none can be exported without "
            f"TensorFlow. Next: {' or: '.join(others)}"
        )


def _parity_frames(request: BuildRequest, plan: Plan) -> FrameSet:
    sources = plan.sources
    return held_out_frames(sources.dataset, sources.data_dir, request.height, request.width, PARITY_IMAGES)


def _is_worthless(artifact: Path) -> bool:
    """Say whether a damaged artefact may be exported anew: trained weights must not make way for random ones."""
    try:
        return read_record(Contract, artifact / CONTRACT_FILE).weights.kind == RANDOM
    except ContractError:
        return False
    except InputError:  # an export that was interrupted leaves a graph without a contract
        return True


def _can_export() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _parity(artifact: Path, contract: Contract) -> ParityReport | None:
    try:
        report = read_record(ParityReport, artifact / PARITY_FILE)
    except InputError:
        return None
    return report if report.graph_sha256 == contract.graph_sha256 else None


def _ranges(request: BuildRequest, plan: Plan, contract: Contract, say: Say) -> tuple[Ranges, str]:
    if plan.sources.data_dir is None:
        # Perhaps collected where the dataset is, and brought here with the artefact.
        moved = current_ranges(plan.artifact, contract.graph_sha256, None)
        if moved is not None and moved[0].images_from != SyntheticFrames.DESCRIPTION:
            images = f"{moved[0].image_count} images of {moved[0].images_from}"
            say(f"no dataset here: use the artefact's ranges of {images}")
            return moved
    is_random = contract.weights.kind == RANDOM
    count = request.calibration_images or (RANDOM_WEIGHTS_IMAGE_COUNT if is_random else DEFAULT_IMAGE_COUNT)
    frames, manifest = calibration_frames(
        plan.sources.dataset, plan.sources.data_dir, count, request.height, request.width
    )
    existing = current_ranges(plan.artifact, contract.graph_sha256, manifest.digest())
    if existing is not None:
        say(f"ranges of {existing[0].image_count} images of {existing[0].images_from} are there and current")
        return existing
    ranges = collect_ranges(plan.artifact, frames, manifest.digest())
    write_record(plan.artifact / MANIFEST_FILE, manifest)
    write_record(plan.artifact / RANGES_FILE, ranges)
    return ranges, sha256_file(plan.artifact / RANGES_FILE)


def _quantized_graph(request: BuildRequest, plan: Plan, ranges: Ranges) -> QuantizedGraph:
    model = load_graph(plan.artifact / GRAPH_FILE)
    portable = quantize(model, ranges, request.calibration_method, "tensorrt")
    write_bytes(plan.artifact / QDQ_GRAPH_FILE, portable.data)
    if plan.backend == "tensorrt":
        return portable
    return quantize(model, ranges, request.calibration_method, "onnxruntime", unsigned_levels())


def _keep(
    plan: Plan,
    precision: str,
    contract: Contract,
    engine: BuiltEngine,
    graph: bytes,
    calibration: CalibrationNote | None,
    int8_mac_share: float | None,
) -> EngineCard:
    """Write engine and card, so that the card never describes another file than it names."""
    digest = hashlib.sha256(engine.data).hexdigest()
    name = f"engine-{digest[:12]}{engine.suffix}"
    notes = list(engine.notes)
    if _is_of_other_sources(contract):
        notes.append("the graph was exported by other sources than these; --weights FILE exports it again")
    if contract.weights.kind == RANDOM:
        notes.append(contract.weights.sentence())
    if calibration is not None and calibration.images_from == SyntheticFrames.DESCRIPTION:
        notes.append("ranges come from synthetic scenes, since no dataset was found")
    card = EngineCard(
        contract=contract,
        backend=plan.backend,
        backend_version=engine.version,
        precision=precision,
        engine_file=name,
        engine_sha256=digest,
        engine_bytes=len(engine.data),
        built_from_sha256=hashlib.sha256(graph).hexdigest(),
        machine=this_machine(),
        built_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        build_seconds=round(engine.seconds, 3),
        int8_mac_share=int8_mac_share,
        calibration=calibration,
        notes=tuple(notes),
    )
    write_bytes(plan.output / name, engine.data)
    _write_card(plan.output, card)
    return card


def _write_card(folder: Path, card: EngineCard) -> None:
    write_record(folder / CARD_FILE, card)
    for old in folder.glob("engine-*"):
        if old.name != card.engine_file:
            old.unlink()


def _check(plan: Plan, card: EngineCard, held_out: FrameSet) -> EngineCard:
    """Run the engine beside the float graph on held-out frames, and put the figures on its card."""
    contract = card.contract
    labelled = _labelled(held_out, contract)
    truth_float, truth_engine = (ConfusionMatrix(len(contract.class_names)) for _ in range(2))
    agreements, repeated = [], []
    is_sampled = uncertainty_output(contract) is not None
    runner, _ = open_engine(plan.output)
    reference = OnnxRuntimeRunner(plan.artifact / GRAPH_FILE, contract)
    with runner, reference, Progress("check the engine", len(held_out), "frame") as progress:
        engine_segmenter, float_segmenter = Segmenter(runner, "rgb"), Segmenter(reference, "rgb")
        for index in range(len(held_out)):
            frame_rgb = held_out.read(index)
            truth = labelled.read_labels(index) if labelled is not None else None
            size = truth.shape if truth is not None else (contract.height, contract.width)
            expected = float_segmenter(frame_rgb, *size).labels
            if is_sampled:  # the label map lies in the segmenter's buffer
                expected = expected.copy()
                repeated.append(label_agreement(expected, float_segmenter(frame_rgb, *size).labels))
            actual = engine_segmenter(frame_rgb, *size).labels
            agreements.append(label_agreement(expected, actual))
            if truth is not None:
                truth_float.update(truth, expected)
                truth_engine.update(truth, actual)
            progress.step()
    check = BuildCheck(
        image_count=len(held_out),
        images_from=held_out.description,
        label_agreement=float(np.mean(agreements)),
        miou_float=truth_float.miou() if labelled is not None else None,
        miou_engine=truth_engine.miou() if labelled is not None else None,
    )
    notes = card.notes
    if is_sampled:
        notes += (
            "samples are drawn anew in every call: the float graph agrees with itself on "
            f"{100 * float(np.mean(repeated)):.2f} % of pixels",
        )
    card = dataclasses.replace(card, check=check, notes=notes)
    _write_card(plan.output, card)
    return card


def _labelled(frames: FrameSet, contract: Contract) -> Dataset | None:
    """Return the dataset behind frames if its labels say something about the network."""
    if not isinstance(frames, DatasetFrames) or contract.weights.kind == RANDOM:
        return None
    if any(sample.label_path is None for sample in frames.dataset.samples):
        return None
    if frames.dataset.table.class_names != contract.class_names:
        raise DatasetError(
            f"{frames.dataset.name} has {frames.dataset.table.class_count} classes, the network has "
            f"{len(contract.class_names)} of {contract.dataset}, expected the same"
        )
    return frames.dataset
