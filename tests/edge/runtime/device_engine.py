"""An engine of the TensorRT stand-in, its card, and a runner of it."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from edge.card import EngineCard
from edge.contract import Contract
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.runtime.tensorrt import TensorRtRunner
from tests.edge.runtime import tensorrt_stand_in as stand_in

# Fields of one colour, large enough that labels differ after the resize; noise over them.
_FIELDS = np.random.default_rng(7).choice(np.array([0, 30, 220, 255], np.uint8), (5, 2, 4, 3))
_NOISE = np.random.default_rng(8).integers(0, 30, (5, 20, 44, 3), np.uint8)
FRAMES = np.ascontiguousarray(_FIELDS.repeat(10, axis=1).repeat(11, axis=2) ^ _NOISE)
HERE = Machine("Linux 5.10", "aarch64", "Cortex", 8, gpu="Orin", compute_capability="8.7")


def make_card(version: str, engine: bytes, **contract_changes: object) -> EngineCard:
    contract = Contract(
        model="tiny",
        dataset="camvid",
        class_names=("road", "sky", "car"),
        height=8,
        width=16,
        stride=4,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256="0" * 64,
        weights=WeightsProvenance("random", "seed 0", "0" * 64),
        source_sha256="0" * 64,
        opset=17,
        versions={},
    )
    return EngineCard(
        contract=dataclasses.replace(contract, **contract_changes),
        backend="tensorrt",
        backend_version=version,
        precision="int8",
        engine_file="engine.engine",
        engine_sha256=hashlib.sha256(engine).hexdigest(),
        engine_bytes=len(engine),
        built_from_sha256="0" * 64,
        machine=HERE,
        built_utc="2026-01-01T00:00:00Z",
        build_seconds=1.0,
    )


def write_runner(folder, version, contract_changes=None, graph=None, **graph_options):
    """Return a runner of an engine of tiny_graph, or of a given graph, written into a folder."""
    graph = stand_in.tiny_graph(**graph_options) if graph is None else graph
    engine = stand_in.MAGIC + version.encode() + b"\n" + graph
    folder.mkdir(exist_ok=True)
    path = folder / "engine.engine"
    path.write_bytes(engine)
    return TensorRtRunner(path, make_card(version, engine, **(contract_changes or {})))
