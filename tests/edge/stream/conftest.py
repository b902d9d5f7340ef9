"""An engine whose labels are known in advance, and frames to go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from edge.artifacts import sha256_file
from edge.card import EngineCard
from edge.contract import Contract
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.records import write_record

NAMES = ("reddish", "greenish", "bluish")
HEIGHT, WIDTH, STRIDE = 32, 64, 8


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Return an engine folder: the label of a pixel is its strongest colour channel."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    node, kinds = onnx.helper.make_node, onnx.TensorProto
    nodes = [
        node("Cast", ["frame"], ["numbers"], to=kinds.FLOAT),
        node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["logits"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]),
    ]
    logits_shape = (1, len(NAMES), HEIGHT // STRIDE, WIDTH // STRIDE)
    graph = onnx.helper.make_graph(
        nodes,
        "strongest_channel",
        [onnx.helper.make_tensor_value_info("frame", kinds.UINT8, (1, HEIGHT, WIDTH, 3))],
        [onnx.helper.make_tensor_value_info("logits", kinds.FLOAT, logits_shape)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
    folder = tmp_path / "engine"
    folder.mkdir()
    path = folder / "engine.onnx"
    path.write_bytes(model.SerializeToString())
    digest = sha256_file(path)
    contract = Contract(
        model="strongest_channel",
        dataset="paint",
        class_names=NAMES,
        height=HEIGHT,
        width=WIDTH,
        stride=STRIDE,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256=digest,
        weights=WeightsProvenance("random", "seed 0", "0" * 64),
        source_sha256="0" * 64,
        opset=13,
        versions={"onnx": onnx.__version__},
    )
    card = EngineCard(
        contract=contract,
        backend="onnxruntime",
        backend_version=onnxruntime.__version__,
        precision="float32",
        engine_file=path.name,
        engine_sha256=digest,
        engine_bytes=path.stat().st_size,
        built_from_sha256=digest,
        machine=Machine("Linux", "x86_64", "cpu", 1),
        built_utc="2025-01-01T00:00:00Z",
        build_seconds=0.0,
    )
    write_record(folder / "card.json", card)
    return folder


@pytest.fixture
def halves_rgb() -> Callable[[int, int], np.ndarray]:
    """Return a drawer of pictures of a height and width, red on the left and blue on the right."""

    def draw(height: int = 64, width: int = 128) -> np.ndarray:
        frame_rgb = np.zeros((height, width, 3), np.uint8)
        frame_rgb[:, : width // 2] = (200, 30, 30)
        frame_rgb[:, width // 2 :] = (30, 30, 200)
        return frame_rgb

    return draw
