"""INT8 of a build: the quantisation config that holds the budget, and the Q/DQ graph that it gives."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.budget.limits import drop_words
from calibration.images.selection import MANIFEST_FILE
from calibration.lint_rules.linter import require_clean
from calibration.onnx_graph.file import load_graph, parse_graph
from calibration.onnx_graph.node import WEIGHTED
from calibration.qdq.channel_equalization import equalize
from calibration.qdq.insert import QDQ_GRAPH_FILE
from calibration.qdq.quantization_config import QuantizationConfig, counted
from calibration.qdq.weight_reconstruction import second_moments
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.ranges.checkpoint import discard_state
from calibration.ranges.collector import collect_ranges
from calibration.ranges.record import RANGES_FILE, Ranges, current_ranges
from calibration.ranges.rescaling import rescaled_ranges
from calibration.results import EXCEEDED, HELD, NOT_SHOWN
from calibration.search.accuracy import AccuracySet
from calibration.search.config_search import ConfigSearch
from calibration.search.graph_sources import GraphSources
from calibration.search.judged_search import JudgedConfig, find_config, judge
from calibration.search.sensitivity import Sensitivity
from edge.artifacts import sha256_json, write_bytes
from edge.code_digest import code_digest, other_code
from edge.console import Say
from edge.contract import CONTRACT_FILE, GRAPH_FILE, Contract
from edge.errors import ContractError, GraphError, InputError
from edge.records import read_record, record, record_to_json, write_record
from edge.runtime.onnxruntime import import_onnxruntime
from export.pipeline.accuracy_target import AccuracyTarget
from export.pipeline.calibrate import CalibratedGraph
from export.pipeline.float_graph import FloatGraph
from export.pipeline.request import Int8Request

_BALANCER = "calibration.qdq.channel_equalization"  # handed to the search as a function

_EVALUATION = ("calibration.qdq.insert", "calibration.search.accuracy", _BALANCER)
"""Modules that make a quantised graph and measure it: the figures of a kept quantisation depend on them."""

_SEARCH = ("calibration.search.config_search", _BALANCER)
"""Modules that the steps of a search depend on."""

RECIPE_FILE = "int8-recipe.json"
EQUALISED_FOLDER = "equalised"

EQUALISED_IMAGES = 16
"""Most images that ranges of equalised channels are counted on; their largest magnitudes are those of all images."""


@record(schema=2, what="kept recipe", made_by="python export/build_engine.py --int8")
class KeptConfig:
    """A quantisation config that held its budget on real images, for machines that have none.

    `find_int8` writes it as int8-recipe.json, and a later build reads it by `kept_config`.

    Attributes:
        graph_sha256: SHA-256 of the float graph.
        ranges_sha256: SHA-256 of ranges.json.
        code_sha256: digest of the code that made the quantised graph and measured it.
        form: form of the Q/DQ graph that was evaluated, one of calibration.qdq.insert.FORMS.
        recipe: quantisation config; the field keeps its earlier name on disk.
        drop_points: points of mIoU that the simulation lost; None without labels.
        label_agreement: share of pixels with the label of the float graph, 0 to 1.
        images_from: dataset and split of the accuracy images.
        image_count: number of accuracy images.
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
    """A calibrated graph with the quantisation config that was found for it.

    `find_int8` makes it. The engine is built from its graph, or from its scales, and the report of INT8 tells how
    it was found.

    Attributes:
        calibrated: float graph and its ranges.
        judged: quantisation config, quantised graph, and the accuracy that they cost on the judging images.
        form: form of the Q/DQ graph, one of calibration.qdq.insert.FORMS.
        source_ranges: ranges of the graph that was quantised, which may be the one with equalised channels.
        sensitivities: name of a node -> its sensitivity; empty if none was measured.
        notes: sentences for the card.
    """

    calibrated: CalibratedGraph
    judged: JudgedConfig
    form: str
    source_ranges: Ranges
    sensitivities: dict[str, Sensitivity]
    notes: tuple[str, ...]


def find_int8(
    calibrated: CalibratedGraph,
    target: AccuracyTarget,
    kept: KeptConfig | None,
    form: str,
    settings: Int8Request,
    say: Say,
) -> Int8Graph:
    """Find the quantisation config that holds the budget, and write the portable Q/DQ graph.

    Args:
        calibrated: float graph and its ranges.
        target: images that a quantised graph is judged on, those of the search, and the budget that it has to hold.
        kept: config that held its budget elsewhere; the search starts from it where nothing is judged here.
        form: form of the Q/DQ graph that the backend takes.
        settings: settings of INT8.
        say: function that is called with a line of text for each step.

    Raises:
        GraphError: no layer of the network would be in INT8, or the linter refuses the graph.
    """
    graph, budget = calibrated.graph, target.budget
    start, notes = _first_config(settings, None if budget.is_enforced else kept, say)
    if start.weight_rounding == "reconstructed" and calibrated.frames is None:
        start = dataclasses.replace(start, weight_rounding="nearest")
        notes += (
            "weights are rounded to the nearest: reconstruction takes the calibration images, which are not here",
        )
    searches = _Searches(calibrated, target, settings, say)
    search, sources = searches.of(form)
    judged = find_config(search, start, target.images, budget, graph.contract, say)
    _require_int8(judged, graph.contract, form)
    sensitivities = judged.search.sensitivities if judged.search is not None else {}
    if settings.measure_layers and not sensitivities:
        sensitivities = search.sensitivities(judged.config)
    portable, is_judged = judged, budget.is_enforced and not judged.is_over_budget
    if form != "tensorrt":
        require_clean(
            parse_graph(judged.quantized.data, "checking a quantised graph"), form, "the graph for ONNX Runtime"
        )
        if is_judged:
            # What one backend computes in float costs the other nothing: the cures are tried again, the layers are not.
            say(f"{QDQ_GRAPH_FILE}, which is for TensorRT:")
            cures = dataclasses.replace(judged.config, float_layers=start.float_layers)
            other, _ = searches.of("tensorrt")
            portable = find_config(other, cures, target.images, budget, graph.contract, say, "cures of the other form")
            notes += (_portable_note(portable, target),)
    quantized = portable.quantized
    if form != "tensorrt" and not is_judged:
        quantized = searches.of("tensorrt")[0].quantized(judged.config)
    findings = require_clean(parse_graph(quantized.data, "checking a quantised graph"), "tensorrt", QDQ_GRAPH_FILE)
    say(f"linter: 0 errors and {len(findings)} warnings in {QDQ_GRAPH_FILE}")
    if not portable.is_over_budget:  # one over the budget is no graph to hand out
        write_bytes(graph.folder / QDQ_GRAPH_FILE, quantized.data)
    if is_judged and not portable.is_over_budget:
        _keep_config(calibrated, portable, target, searches.of("tensorrt")[0], say)
    return Int8Graph(calibrated, judged, form, sources.of(judged.config)[1], sensitivities, notes)


def _keep_config(
    calibrated: CalibratedGraph, portable: JudgedConfig, target: AccuracyTarget, search: ConfigSearch, say: Say
) -> None:
    """Write the config that held its budget, for machines without the images.

    Reconstruction takes the images, so what is kept rounds weights to the nearest, if that holds the budget too.
    """
    if portable.config.weight_rounding != "nearest":
        plain = dataclasses.replace(portable.config, weight_rounding="nearest")
        contract, what = calibrated.graph.contract, "with weights rounded to the nearest, for machines without images"
        portable = judge(search, plain, target.images, target.budget, contract, say, what, portable.looks)
        if portable.is_over_budget:
            say(f"{RECIPE_FILE} is not written: without the images its weights would be over the budget")
            with contextlib.suppress(FileNotFoundError):
                (calibrated.graph.folder / RECIPE_FILE).unlink()
            return
    held = KeptConfig(
        calibrated.graph.contract.graph_sha256,
        calibrated.ranges_sha256,
        code_digest(*_EVALUATION),
        "tensorrt",
        portable.config,
        portable.cost.drop_points,
        portable.cost.label_agreement,
        target.images.frames.description,
        len(target.images.frames),
    )
    write_record(calibrated.graph.folder / RECIPE_FILE, held)


class _Searches:
    """Makes the searches of a build, one for each form, which share images, time and the equalised graph."""

    def __init__(self, calibrated: CalibratedGraph, target: AccuracyTarget, settings: Int8Request, say: Say) -> None:
        self._calibrated, self._say = calibrated, say
        self._model = load_graph(calibrated.graph.path)
        self._images = target.search_images or target.images
        self._results_of = _results_sha256(calibrated.graph.contract, calibrated.ranges_sha256, self._images)
        self._deadline_s = time.monotonic() + 60.0 * settings.search_minutes
        self._balanced: tuple[Any, Ranges] | None = None
        self._has_balanced = False
        self._known_moments: tuple[Any, dict[str, np.ndarray]] | None = None

    def of(self, form: str) -> tuple[ConfigSearch, GraphSources]:
        """Return the search for one form of the quantised graph, and the float graphs that it quantises."""
        levels = unsigned_levels() if form == "onnxruntime" else 255
        graph = self._calibrated.graph
        moments = self._moments if self._calibrated.frames is not None else None
        sources = GraphSources(self._model, self._calibrated.ranges, self._equalised, form, levels, moments)
        search = ConfigSearch(
            sources,
            graph.contract,
            self._images,
            sha256_json([self._results_of, form, levels]),
            graph.folder / f"int8-search-{form}.json",
            max(self._deadline_s - time.monotonic(), 0.0),
            self._say,
        )
        return search, sources

    def _moments(self, model: Any) -> dict[str, np.ndarray]:
        """Return the second moments of a graph, which serve both forms; those of the last one are kept."""
        if self._known_moments is None or self._known_moments[0] is not model:
            self._known_moments = None  # those of a large network take hundreds of megabytes
            names = [node.name for node in model.graph.node if node.op_type in WEIGHTED]
            contract = self._calibrated.graph.contract
            self._known_moments = (model, second_moments(model, self._calibrated.frames, contract, names))
        return self._known_moments[1]

    def _equalised(self) -> tuple[Any, Ranges] | None:
        if not self._has_balanced:
            self._has_balanced = True
            self._balanced = _equalised(self._calibrated, self._model, self._say)
        return self._balanced


def _require_int8(judged: JudgedConfig, contract: Contract, form: str) -> None:
    """Refuse a network of which no layer is in INT8.

    Raises:
        GraphError: no layer is in INT8; the message names the first layers and why they are in float.
    """
    layers = judged.quantized.layers
    if judged.quantized.int8_mac_share:
        return
    why = "; ".join(f"{layer.name}: {layer.reason}" for layer in layers[:3]) or "it has no layer with multiply-adds"
    raise GraphError(f"nothing of {contract.model} would be in INT8 in the {form} form ({why}). Next: --fp16")


def _portable_note(portable: JudgedConfig, target: AccuracyTarget) -> str:
    budget, drop = target.budget, portable.cost.drop_points
    cost = (
        drop_words(drop) if drop is not None else f"{100 * (1 - portable.cost.label_agreement):.2f} % of labels changed"
    )
    verdicts = {
        HELD: "holds the budget",
        NOT_SHOWN: "is within the budget, which the images are too few to show,",
        EXCEEDED: f"is over the budget of {budget.sentence()} and was not written:",
    }
    return (
        f"{QDQ_GRAPH_FILE}, the form for TensorRT, {verdicts[portable.verdict.state]} when simulated exactly: {cost}, "
        f"{100 * portable.quantized.int8_mac_share:.1f} % of multiply-adds in INT8; {portable.config.sentence()}"
    )


def kept_config(calibrated: CalibratedGraph, settings: Int8Request, say: Say) -> KeptConfig | None:
    """Return the config that held its budget elsewhere, if it is of this graph and these ranges.

    A build uses it on a machine without the images to measure it anew, where drawn scenes would be a worse judge. So a
    config that other code measured is used too, and a line says so.

    Args:
        calibrated: float graph and its ranges.
        settings: settings of INT8.
        say: function that is called with a line of text where a config is not used, or was measured by other code.

    Returns:
        The config. None where there is none, where the user asks for another config, with TensorRT's own calibrator,
        and with random weights, whose labels held no budget.
    """
    if (
        calibrated.ranges is None
        or calibrated.graph.has_random_weights
        or settings.first_config() != QuantizationConfig()
    ):
        return None
    try:
        kept = read_record(KeptConfig, calibrated.graph.folder / RECIPE_FILE)
    except ContractError as error:
        say(f"the recipe that came with the artefact is not used: {error}")
        return None
    except InputError:
        return None
    for what, got, expected in (
        ("another graph", kept.graph_sha256, calibrated.graph.contract.graph_sha256),
        ("other ranges", kept.ranges_sha256, calibrated.ranges_sha256),
    ):
        if got != expected:
            say(f"{RECIPE_FILE} is not used: it is of {what}: got {got[:12]}, expected {expected[:12]}")
            return None
    return kept


def _config_of_other_code(kept: KeptConfig) -> str | None:
    code = code_digest(*_EVALUATION)
    return other_code(RECIPE_FILE, kept.code_sha256, code) if kept.code_sha256 != code else None


def _first_config(
    settings: Int8Request, kept: KeptConfig | None, say: Say
) -> tuple[QuantizationConfig, tuple[str, ...]]:
    """Return the config that the search starts from: the requested one, or one that held its budget; and notes."""
    if kept is None:
        return settings.first_config(), ()
    other = _config_of_other_code(kept)
    if other is not None:
        say(f"no images here: use the artefact's recipe, although {other}")
    drop = f"a drop of {kept.drop_points:+.2f} points" if kept.drop_points is not None else ""
    figures = drop or f"labels equal on {100 * kept.label_agreement:.2f} % of pixels"
    return kept.recipe, (
        f"quantised by the recipe that came with the artefact: {figures} in the {kept.form} form on "
        f"{kept.image_count} images of {kept.images_from}"
        + (f"; {other}, so this code's figures may differ" if other else ""),
    )


def _results_sha256(contract: Contract, ranges_sha256: str, accuracy: AccuracySet) -> str:
    """Return the digest of all inputs of an evaluation, except form and quantisation config."""
    # Neither where a graph was given, nor how classes are painted, changes what is measured.
    described = record_to_json(dataclasses.replace(contract, adopted_from=None, classes=(), described=None))
    onnxruntime = import_onnxruntime().__version__
    return sha256_json([described, ranges_sha256, accuracy.digests(), code_digest(*_SEARCH), onnxruntime])


def _equalised(calibrated: CalibratedGraph, model: Any, say: Say) -> tuple[Any, Ranges] | None:
    """Write the graph with balanced channels as an artefact of its own, with its ranges on the same images."""
    balanced, factors = equalize(model, calibrated.ranges)
    if not factors:
        return None
    folder = calibrated.graph.folder / EQUALISED_FOLDER
    data = balanced.SerializeToString(deterministic=True)
    own = dataclasses.replace(calibrated.graph.contract, graph_sha256=hashlib.sha256(data).hexdigest())
    has_images = calibrated.frames is not None
    there = current_ranges(folder, own.graph_sha256, calibrated.ranges.manifest_sha256, any_code=not has_images)
    if there is None and not has_images:
        say("equalised channels: their ranges cannot be collected, the calibration images are not here")
        return None
    write_bytes(folder / GRAPH_FILE, data)
    write_record(folder / CONTRACT_FILE, own)
    say(f"equalised the channels of {counted(len(factors), 'tensor')}")
    return balanced, there[0] if there is not None else _equalised_ranges(calibrated, FloatGraph(folder, own), factors)


def _equalised_ranges(calibrated: CalibratedGraph, graph: FloatGraph, factors: dict[str, np.ndarray]) -> Ranges:
    """Write the ranges of the graph with balanced channels: those of the float graph, divided.

    What cannot be divided (see calibration.ranges.rescaling) is counted on some of the images, spread evenly.
    """
    chosen = calibrated.frames.spread(EQUALISED_IMAGES)
    counted_anew = collect_ranges(graph.folder, chosen, calibrated.ranges.manifest_sha256, only=factors)
    ranges = rescaled_ranges(calibrated.ranges, factors, counted_anew, graph.contract.graph_sha256)
    write_record(graph.folder / MANIFEST_FILE, calibrated.manifest)
    write_record(graph.folder / RANGES_FILE, ranges)
    discard_state(graph.folder)
    return ranges
