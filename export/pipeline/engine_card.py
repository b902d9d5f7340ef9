"""The card of an engine that was built and not measured yet."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib

from calibration.onnx_graph.file import load_graph
from calibration.onnx_graph.graph_size import GraphSize, graph_size
from calibration.qdq_ort.cpu_saturation import relied_cpu_features
from edge.card import EngineCard
from edge.errors import MissingDependencyError
from edge.machine import this_machine
from export.backends.engine import BuiltEngine
from export.backends.options import EngineOptions
from export.graph.label_ending import label_contract
from export.pipeline.engine_graph import EngineGraph
from export.pipeline.float_graph import FloatGraph


def engine_card(
    source: EngineGraph,
    engine: BuiltEngine,
    backend: str,
    precision: str,
    options: EngineOptions,
    warnings: tuple[str, ...] = (),
) -> EngineCard:
    """Return the card of an engine; measuring adds the figures.

    Args:
        source: graph that the engine was built from.
        engine: engine in memory.
        backend: name of the backend that built it.
        precision: precision of the engine: "float32", "float16" or "int8".
        options: batch, limits and compatibility of the engine.
        warnings: sentences about the float network that come first among the notes.
    """
    digest = hashlib.sha256(engine.data).hexdigest()
    size = _size_of(source.graph)
    contract = source.graph.contract
    return EngineCard(
        contract=dataclasses.replace(
            label_contract(contract) if options.gives_labels else contract, batch=options.batch
        ),
        backend=backend,
        backend_version=engine.version,
        precision=precision,
        engine_file=f"engine-{digest[:12]}{engine.suffix}",
        engine_sha256=digest,
        engine_bytes=len(engine.data),
        built_from_sha256=hashlib.sha256(source.data).hexdigest(),
        machine=this_machine(),
        built_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        build_seconds=round(engine.seconds, 3),
        int8_mac_share=source.int8_mac_share,
        calibration=source.calibration_note,
        notes=(*warnings, *engine.notes, *source.notes),
        layers=source.layers,
        dla_core=options.dla_core,
        is_version_compatible=options.is_version_compatible,
        is_hardware_compatible=options.is_hardware_compatible,
        batch_profile=options.batch_profile,
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
        has_layer_details=options.has_layer_details,
        allows_tf32=options.allows_tf32,
        scale_source=source.scale_source,
        cpu_features=relied_cpu_features(engine.data) if (backend, precision) == ("onnxruntime", "int8") else (),
        parameter_count=size.parameter_count if size is not None else None,
        multiply_adds=size.multiply_adds if size is not None else None,
    )


def _size_of(graph: FloatGraph) -> GraphSize | None:
    """Return the size of the float graph; None on a device without onnx, where TensorRT alone reads it."""
    try:
        return graph_size(load_graph(graph.path))
    except MissingDependencyError:
        return None
