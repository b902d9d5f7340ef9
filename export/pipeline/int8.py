"""INT8 of a build: images, ranges, the recipe that holds the budget, the graph that is built."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.images.selection import (
    DEFAULT_IMAGE_COUNT,
    MANIFEST_FILE,
    RANDOM_WEIGHTS_IMAGE_COUNT,
    CalibrationManifest,
    calibration_frames,
    read_manifest_frames,
)
from calibration.lint_rules.linter import require_clean
from calibration.onnx_graph.file import import_onnx, load_graph
from calibration.qdq.cross_layer_equalization import equalize_cross_layer
from calibration.qdq.insert import QDQ_GRAPH_FILE, quantize
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.ranges.checkpoint import discard_state
from calibration.ranges.collector import collect_ranges
from calibration.ranges.record import RANGES_FILE, Ranges, current_ranges, ranges_of_other_code, why_not_current
from calibration.search.accuracy import AccuracySet, Budget, drop_points
from calibration.search.config_search import ConfigSearch, SearchOutcome
from edge.artifacts import sha256_file, sha256_json, write_bytes
from edge.code_digest import code_digest, other_code
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract
from edge.errors import ContractError, GraphError, InputError
from edge.frames import FrameSet, SyntheticFrames
from edge.provenance import RANDOM
from edge.records import read_record, record, record_to_json, write_record
from edge.runtime.onnxruntime import import_onnxruntime
from export.pipeline.request import BuildPlan, BuildRequest, Say
from export.pipeline.user_images import picture_manifest, split_pictures

_BALANCER = "calibration.qdq.cross_layer_equalization"  # handed to the search as a function

_EVALUATION = ("calibration.qdq.insert", "calibration.search.accuracy", _BALANCER)
"""What makes a quantised graph and measures it: the figures of a kept recipe depend on it."""

_SEARCH = ("calibration.search.config_search", _BALANCER)
"""What the steps of a search depend on."""

RECIPE_FILE = "int8-recipe.json"
EQUALISED_FOLDER = "equalised"


@record(schema=2, what="kept recipe")
class KeptConfig:
    """A recipe that held its budget on real images, for machines that have none.

    Attributes:
        graph_sha256: of the float graph.
        ranges_sha256: of ranges.json.
        code_sha256: digest of the code that made the quantised graph and measured it.
        form: whose placement was evaluated.
        recipe: the quantisation config; the field keeps its earlier name on disk.
        drop_points: mIoU lost by simulation, in points; None without labels.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        images_from: where the images come from.
        image_count: how many there were.
    """

    graph_sha256: str
    ranges_sha256: str
    code_sha256: str
    form: str
    recipe: QuantizationConfig
    drop_points: float | None
    label_agreement: float
    images_from: str
    image_count: int


@dataclass(frozen=True)
class Int8Graph:
    """What a build goes on with.

    Attributes:
        outcome: of the search.
        form: of the graph that is built.
        ranges: of the plain graph.
        source_ranges: of the graph that was quantised, which may be the equalised one.
        ranges_sha256: of ranges.json.
        notes: sentences for the card.
    """

    outcome: SearchOutcome
    form: str
    ranges: Ranges
    source_ranges: Ranges
    ranges_sha256: str
    notes: tuple[str, ...]


def calibrate(
    request: BuildRequest, plan: BuildPlan, contract: Contract, say: Say
) -> tuple[Ranges, str, CalibrationManifest | None]:
    """Collect ranges, or take those of the artefact if they are of the same graph, images, preprocessing and methods.

    Returns:
        Ranges, the hash of their file, and the manifest; None for ranges that came from elsewhere.
    """
    if not _has_images(request, plan):
        # Perhaps collected where the dataset is, and brought here with the artefact.
        moved = current_ranges(plan.artifact, contract.graph_sha256, None, any_code=True)
        if moved is not None and moved[0].images_from != SyntheticFrames.DESCRIPTION:
            images = f"{moved[0].image_count} images of {moved[0].images_from}"
            other = ranges_of_other_code(moved[0])
            say(f"no dataset here: use the artefact's ranges of {images}" + (f", although {other}" if other else ""))
            return (*moved, _kept_manifest(plan.artifact, moved[0]))
    frames, manifest = calibration_images(request, plan, contract)
    ranges, digest = _ranges_of(plan.artifact, contract, frames, manifest, say)
    return ranges, digest, manifest


def calibration_images(
    request: BuildRequest, plan: BuildPlan, contract: Contract
) -> tuple[FrameSet, CalibrationManifest]:
    """Return the calibration images that the user named, or those that are selected."""
    sources, wanted = plan.sources, request.int8
    if wanted.manifest_path is not None:
        return read_manifest_frames(
            wanted.manifest_path, sources.dataset, sources.data_dir, allow_validation=wanted.force_validation_images
        )
    is_random = contract.weights.kind == RANDOM
    count = wanted.calibration_images or (RANDOM_WEIGHTS_IMAGE_COUNT if is_random else DEFAULT_IMAGE_COUNT)
    if request.images_path is not None:
        return picture_manifest(split_pictures(request.images_path, request.accuracy_images)[0], count)
    return calibration_frames(
        sources.dataset,
        sources.data_dir,
        count,
        contract.height,
        contract.width,
        method="even" if is_random else "cover",  # what ranges mean nothing for need not be looked at
        earlier=plan.artifact / MANIFEST_FILE,
    )


def find_int8(
    request: BuildRequest,
    plan: BuildPlan,
    contract: Contract,
    calibrated: tuple[Ranges, str],
    accuracy: AccuracySet,
    budget: Budget,
    kept: KeptConfig | None,
    say: Say,
) -> Int8Graph:
    """Find the recipe that holds the budget and write the portable Q/DQ graph.

    Args:
        request: what the user asked for.
        plan: what is built.
        contract: of the float graph.
        calibrated: ranges and the hash of their file.
        accuracy: images that the recipe is judged on.
        budget: what it is held to.
        kept: where it starts; None to start from what the user asked for.
        say: takes a line for each step.
    """
    ranges, ranges_sha256 = calibrated
    form = plan.backend
    model = load_graph(plan.artifact / GRAPH_FILE)
    start, notes = _first_recipe(request, kept)
    results_of = _results_sha256(contract, ranges_sha256, accuracy)
    deadline_s = time.monotonic() + 60.0 * request.int8.search_minutes

    def balanced() -> tuple[Any, Ranges] | None:
        return _equalised(request, plan, contract, model, ranges, say)

    def search_of(searched: str) -> ConfigSearch:
        levels = unsigned_levels() if searched == "onnxruntime" else 255
        return ConfigSearch(
            model,
            ranges,
            balanced,
            searched,
            levels,
            contract,
            accuracy,
            budget,
            sha256_json([results_of, searched, levels]),
            plan.artifact / f"int8-search-{searched}.json",
            max(deadline_s - time.monotonic(), 0.0),
            say,
        )

    search = search_of(form)
    outcome = search.run(start, request.int8.measure_layers)
    _require_int8(outcome, contract, form)
    portable, is_judged = outcome, budget.is_enforced and outcome.is_met
    if form != "tensorrt":
        require_clean(load_bytes(outcome.quantized.data), form, "the graph for ONNX Runtime")
        if is_judged:
            say(f"{QDQ_GRAPH_FILE}, which is for TensorRT:")
            portable = search_of("tensorrt").run(outcome.config, first="the same recipe")
            notes += (_portable_note(portable, accuracy, budget),)
    graph = portable.quantized
    if form != "tensorrt" and not is_judged:
        graph = quantize(*search.source(outcome.config), outcome.config, "tensorrt")
    findings = require_clean(load_bytes(graph.data), "tensorrt", QDQ_GRAPH_FILE)
    say(f"linter: 0 errors and {len(findings)} warnings in {QDQ_GRAPH_FILE}")
    if portable.is_met or not budget.is_enforced:  # one over the budget is no graph to hand out
        write_bytes(plan.artifact / QDQ_GRAPH_FILE, graph.data)
    if is_judged and portable.is_met:
        drop = drop_points(accuracy.float_labels, portable.labels)
        held = KeptConfig(
            contract.graph_sha256,
            ranges_sha256,
            code_digest(*_EVALUATION),
            "tensorrt",
            portable.config,
            drop,
            portable.labels.agreement,
            accuracy.frames.description,
            len(accuracy.frames),
        )
        write_record(plan.artifact / RECIPE_FILE, held)
    return Int8Graph(outcome, form, ranges, search.source(outcome.config)[1], ranges_sha256, notes)


def _require_int8(outcome: SearchOutcome, contract: Contract, form: str) -> None:
    """Refuse a network of which nothing is in INT8.

    Raises:
        GraphError: the message names the first layers and why they are in float.
    """
    layers = outcome.quantized.layers
    if outcome.quantized.int8_mac_share:
        return
    why = "; ".join(f"{layer.name}: {layer.reason}" for layer in layers[:3]) or "it has no layer with multiply-adds"
    raise GraphError(f"nothing of {contract.model} would be in INT8 in the {form} form ({why}). Next: --fp16")


def _portable_note(portable: SearchOutcome, accuracy: AccuracySet, budget: Budget) -> str:
    drop = drop_points(accuracy.float_labels, portable.labels)
    cost = (
        f"drop {drop:+.2f} points"
        if drop is not None
        else f"{100 * (1 - portable.labels.agreement):.2f} % of labels changed"
    )
    verdict = (
        "holds the budget" if portable.is_met else f"is over the budget of {budget.sentence()} and was not written:"
    )
    return (
        f"{QDQ_GRAPH_FILE}, the form for TensorRT, {verdict} when simulated exactly: {cost}, "
        f"{100 * portable.quantized.int8_mac_share:.1f} % of multiply-adds in INT8; {portable.config.sentence()}"
    )


def load_bytes(data: bytes) -> Any:
    """Return the ModelProto of an ONNX file in memory."""
    return import_onnx().load_from_string(data)


def kept_config(
    request: BuildRequest, plan: BuildPlan, contract: Contract, ranges_sha256: str, say: Say
) -> KeptConfig | None:
    """Return the recipe that held its budget elsewhere, if it is of this graph and these ranges.

    None where there is none, and where the user asks for another recipe. One that other code measured is used: it
    is asked for where the images to measure it anew are not, and drawn scenes would be a worse judge. A line says so.
    """
    if request.int8.recipe() != QuantizationConfig():
        return None
    try:
        kept = read_record(KeptConfig, plan.artifact / RECIPE_FILE)
    except ContractError as error:
        say(f"the recipe that came with the artefact is not used: {error}")
        return None
    except InputError:
        return None
    for what, got, expected in (
        ("another graph", kept.graph_sha256, contract.graph_sha256),
        ("other ranges", kept.ranges_sha256, ranges_sha256),
    ):
        if got != expected:
            say(f"{RECIPE_FILE} is not used: it is of {what}: got {got[:12]}, expected {expected[:12]}")
            return None
    other = _recipe_of_other_code(kept)
    if other is not None:
        say(f"no images here: use the artefact's recipe, although {other}")
    return kept


def _recipe_of_other_code(kept: KeptConfig) -> str | None:
    code = code_digest(*_EVALUATION)
    return other_code(RECIPE_FILE, kept.code_sha256, code) if kept.code_sha256 != code else None


def _first_recipe(request: BuildRequest, kept: KeptConfig | None) -> tuple[QuantizationConfig, tuple[str, ...]]:
    """Return where the search starts: what the user asked for, or what held the budget where there were images."""
    if kept is None:
        return request.int8.recipe(), ()
    other = _recipe_of_other_code(kept)
    drop = f"a drop of {kept.drop_points:+.2f} points" if kept.drop_points is not None else ""
    figures = drop or f"labels equal on {100 * kept.label_agreement:.2f} % of pixels"
    return kept.recipe, (
        f"quantised by the recipe that came with the artefact: {figures} in the {kept.form} form on "
        f"{kept.image_count} images of {kept.images_from}"
        + (f"; {other}, so this code's figures may differ" if other else ""),
    )


def _results_sha256(contract: Contract, ranges_sha256: str, accuracy: AccuracySet) -> str:
    """Return the digest of all that an evaluation depends on, but form and recipe."""
    described = record_to_json(dataclasses.replace(contract, adopted_from=None))
    onnxruntime = import_onnxruntime().__version__
    return sha256_json([described, ranges_sha256, accuracy.digests(), code_digest(*_SEARCH), onnxruntime])


def _ranges_of(
    artifact: Path, contract: Contract, frames: FrameSet, manifest: CalibrationManifest, say: Say
) -> tuple[Ranges, str]:
    existing = current_ranges(artifact, contract.graph_sha256, manifest.digest())
    if existing is not None:
        say(f"ranges of {existing[0].image_count} images of {existing[0].images_from} are there and current")
        return existing
    reason = why_not_current(artifact, contract.graph_sha256, manifest.digest())
    if reason is not None and (artifact / RANGES_FILE).exists():
        say(f"ranges are collected anew: {reason.split('. Next:')[0]}")
    ranges = collect_ranges(artifact, frames, manifest.digest())
    write_record(artifact / MANIFEST_FILE, manifest)
    write_record(artifact / RANGES_FILE, ranges)
    discard_state(artifact)
    return ranges, sha256_file(artifact / RANGES_FILE)


def _has_images(request: BuildRequest, plan: BuildPlan) -> bool:
    """Say whether real images to calibrate on are here; where they are not, ranges may have come with the artefact."""
    return any((plan.sources.data_dir, request.int8.manifest_path, request.images_path))


def _kept_manifest(artifact: Path, ranges: Ranges) -> CalibrationManifest | None:
    try:
        manifest = read_record(CalibrationManifest, artifact / MANIFEST_FILE)
    except (InputError, ContractError):
        return None
    return manifest if manifest.digest() == ranges.manifest_sha256 else None


def _equalised(
    request: BuildRequest, plan: BuildPlan, contract: Contract, model: Any, ranges: Ranges, say: Say
) -> tuple[Any, Ranges] | None:
    """Write the graph with balanced channels as an artefact of its own, and collect its ranges on the same images."""
    balanced, pairs = equalize_cross_layer(model, ranges)
    if not pairs:
        return None
    folder = plan.artifact / EQUALISED_FOLDER
    data = balanced.SerializeToString(deterministic=True)
    own = dataclasses.replace(contract, graph_sha256=hashlib.sha256(data).hexdigest())
    moved = None
    if not _has_images(request, plan) and ranges.images_from != SyntheticFrames.DESCRIPTION:
        moved = current_ranges(folder, own.graph_sha256, ranges.manifest_sha256, any_code=True)
        if moved is None:
            say("equalised channels: their ranges cannot be collected, the calibration images are not here")
            return None
    write_bytes(folder / GRAPH_FILE, data)
    write_record(folder / CONTRACT_FILE, own)
    say(f"equalised the channels of {counted(len(pairs), 'tensor')}")
    if moved is not None:
        return balanced, moved[0]
    frames, manifest = calibration_images(request, plan, contract)
    return balanced, _ranges_of(folder, own, frames, manifest, say)[0]
