"""The graph that an engine is built from in any precision, with the facts about it that the card holds."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.budget.intervals import CONFIDENCE
from calibration.budget.limits import Budget
from calibration.budget.set_labels import SetLabels
from calibration.images.manifest import CalibrationManifest, manifest_note
from calibration.ranges.record import ranges_of_other_code
from calibration.trt.calibrator import TENSORRT_ENTROPY, Calibration
from edge.card import CalibrationNote, LayerPrecision
from edge.contract import GRAPH_FILE
from edge.frames import SyntheticFrames
from export.pipeline.calibrate import CalibratedGraph
from export.pipeline.float_graph import FloatGraph
from export.pipeline.implicit_int8 import scale_calibration
from export.pipeline.int8 import EQUALISED_FOLDER, Int8Graph
from export.pipeline.tensorrt_options import QDQ


@dataclass(frozen=True)
class EngineGraph:
    """The graph that an engine is built from, with the scales that are not part of it.

    `engine_graph` makes it: from a float graph, from a quantised one, or from one that TensorRT calibrates by itself.
    The backend builds an engine from it, the card describes it, and the engine is measured against `graph`.

    Attributes:
        graph: float graph that the engine is measured against.
        data: content of the ONNX file that the backend gets.
        calibration: source of scales that TensorRT gets beside the file; None where they are part of it, and for float
            engines.
        float_layers: names of the nodes that an engine with a calibration does not compute in INT8.
        scale_source: source of the scales of an int8 engine on TensorRT, one of edge.card.SCALE_SOURCES; None for all
            others.
        calibration_note: record for the card of how the ranges were found; None for float engines.
        int8_mac_share: share of the multiply-adds that are in INT8, 0 to 1; None where it is not known.
        layers: precision of every layer with multiply-adds; empty where it is not known.
        simulated: labels that an exact simulation gave on the accuracy images; None where there was none.
        confidence: share of intervals that hold the true figure, 0 to 1, by which the engine is judged.
        notes: sentences for the card.
    """

    graph: FloatGraph
    data: bytes
    calibration: Calibration | None = None
    float_layers: tuple[str, ...] = ()
    scale_source: str | None = None
    calibration_note: CalibrationNote | None = None
    int8_mac_share: float | None = None
    layers: tuple[LayerPrecision, ...] = ()
    simulated: SetLabels | None = None
    confidence: float = CONFIDENCE
    notes: tuple[str, ...] = ()


def engine_graph(
    graph: FloatGraph,
    calibrated: CalibratedGraph | None,
    int8: Int8Graph | None,
    budget: Budget,
    scale_source: str | None,
) -> EngineGraph:
    """Return the graph that an engine is built from.

    Args:
        graph: float graph of the build.
        calibrated: calibrated graph; None for an engine in float32 or float16.
        int8: quantised graph; None for a float engine, and where TensorRT calibrates by itself.
        budget: accuracy that INT8 may cost, for the card.
        scale_source: form in which the backend gets our scales, one of edge.card.SCALE_SOURCES; None for Q/DQ pairs.
    """
    if int8 is not None:
        return _of_int8(int8, budget, scale_source)
    data = graph.path.read_bytes()
    if calibrated is None:
        return EngineGraph(graph, data, notes=_notes(graph, "", None))
    manifest, method = calibrated.manifest, TENSORRT_ENTROPY
    images_from = manifest.images_from
    note = CalibrationNote(method, len(manifest.names), images_from, "", method, budget.sentence())
    notes = _notes(graph, images_from, manifest)
    return EngineGraph(graph, data, calibrated.calibrator, calibration_note=note, notes=notes)


def _of_int8(int8: Int8Graph, budget: Budget, scale_source: str | None) -> EngineGraph:
    """Return the graph of an INT8 engine whose scales come from our ranges."""
    calibrated, judged, config = int8.calibrated, int8.judged, int8.judged.config
    graph, ranges = calibrated.graph, calibrated.ranges
    data, calibration, float_layers = judged.quantized.data, None, ()
    if scale_source not in (None, QDQ):
        # Implicit INT8 takes the float graph and a scale for each tensor.
        path = graph.folder / EQUALISED_FOLDER / GRAPH_FILE if config.equalised else graph.path
        calibration = scale_calibration(scale_source, path, int8.source_ranges, config)
        data, float_layers = path.read_bytes(), tuple(config.float_layers)
    return EngineGraph(
        graph,
        data,
        calibration,
        float_layers,
        scale_source,
        CalibrationNote(
            config.method,
            ranges.image_count,
            ranges.images_from,
            calibrated.ranges_sha256,
            config.sentence(),
            budget.sentence(),
        ),
        judged.quantized.int8_mac_share,
        tuple(
            LayerPrecision(layer.name, layer.operator, layer.multiply_adds, layer.precision, layer.reason)
            for layer in judged.quantized.layers
        ),
        judged.labels,
        judged.cost.confidence,
        (*int8.notes, *_notes(graph, ranges.images_from, calibrated.manifest, ranges_of_other_code(ranges))),
    )


def _notes(
    graph: FloatGraph, images_from: str, manifest: CalibrationManifest | None, other_code: str | None = None
) -> tuple[str, ...]:
    """Return sentences that the user has to know about the graph and the images that calibrated it."""
    notes = []
    if graph.is_of_other_code:
        notes.append("the graph was exported by other sources than these; --weights FILE exports it again")
    if graph.has_random_weights:
        notes.append(graph.contract.weights.sentence())
    if other_code is not None:
        notes.append(f"{other_code}; the images to collect them anew are not here")
    if images_from == SyntheticFrames.DESCRIPTION:
        notes.append("ranges come from synthetic scenes, since no dataset was found")
    if manifest is not None and manifest_note(manifest):
        notes.append(manifest_note(manifest))
    return tuple(notes)
