"""An engine whose labels are known in advance, and frames to go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Sequence

import cv2
import numpy as np
import pytest

from edge.artifacts import sha256_file
from edge.card import EngineCard
from edge.contract import UNCERTAINTY, Contract, OutputTensor
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.records import write_record

NAMES = ("reddish", "greenish", "bluish")
HEIGHT, WIDTH, STRIDE = 32, 64, 8


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """Return an engine folder: the label of a pixel is its strongest colour channel."""
    return _write_engine(tmp_path / "engine", ())


@pytest.fixture
def make_unsure_engine(tmp_path: Path) -> Callable[[float | None], Path]:
    """Return a maker of such engines that also give uncertainty: 2 nats without any green, 0 at full green."""

    def make(maximum: float | None = 2.0) -> Path:
        return _write_engine(tmp_path / "unsure", (OutputTensor("doubt", 1, UNCERTAINTY, "nats", maximum),))

    return make


def _write_engine(folder: Path, extra_outputs: tuple[OutputTensor, ...]) -> Path:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    node, kinds = onnx.helper.make_node, onnx.TensorProto
    nodes = [
        node("Cast", ["frame"], ["numbers"], to=kinds.FLOAT),
        node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["logits"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]),
    ]
    constants = []
    for output in extra_outputs:
        constants += [
            onnx.numpy_helper.from_array(np.array([1], np.int64), "green_channel"),
            onnx.numpy_helper.from_array(np.array(-2.0 / 255.0, np.float32), "slope"),
            onnx.numpy_helper.from_array(np.array(2.0, np.float32), "most"),
        ]
        nodes += [
            node("Gather", ["logits", "green_channel"], ["green"], axis=1),
            node("Mul", ["green", "slope"], ["less"]),
            node("Add", ["less", "most"], [output.name]),
        ]
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    shapes = {
        "logits": (1, len(NAMES), rows, columns),
        **{output.name: (1, 1, rows, columns) for output in extra_outputs},
    }
    graph = onnx.helper.make_graph(
        nodes,
        "strongest_channel",
        [onnx.helper.make_tensor_value_info("frame", kinds.UINT8, (1, HEIGHT, WIDTH, 3))],
        [onnx.helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name, shape in shapes.items()],
        constants,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)
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
        extra_outputs=extra_outputs,
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
def write_timed_video() -> Callable[..., Path]:
    """Return a writer of Matroska videos whose frames have times of their own; frame n is of the grey 20 * n."""

    def element(number: int, content: bytes) -> bytes:
        name = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return name + (len(content) | 1 << 56).to_bytes(8, "big") + content

    def integer(number: int, value: int) -> bytes:
        return element(number, value.to_bytes(4, "big"))

    def write(path: Path, times_ms: Sequence[int], height: int = 48, width: int = 64) -> Path:
        head = element(0x1A45DFA3, element(0x4282, b"matroska") + integer(0x4287, 4) + integer(0x4285, 2))
        size = integer(0xB0, width) + integer(0xBA, height)
        track = integer(0xD7, 1) + integer(0x73C5, 1) + integer(0x83, 1) + element(0x86, b"V_MJPEG")
        blocks = b""
        for number, time_ms in enumerate(times_ms):
            picture = cv2.imencode(".jpg", np.full((height, width, 3), 20 * number % 256, np.uint8))[1].tobytes()
            blocks += element(0xA3, b"\x81" + time_ms.to_bytes(2, "big") + b"\x80" + picture)
        segment = element(0x1549A966, integer(0x2AD7B1, 1_000_000)) + element(
            0x1654AE6B, element(0xAE, track + element(0xE0, size))
        )
        path.write_bytes(head + element(0x18538067, segment + element(0x1F43B675, integer(0xE7, 0) + blocks)))
        return path

    return write


@pytest.fixture
def halves_rgb() -> Callable[[int, int], np.ndarray]:
    """Return a drawer of pictures of a height and width, red on the left and blue on the right."""

    def draw(height: int = 64, width: int = 128) -> np.ndarray:
        frame_rgb = np.zeros((height, width, 3), np.uint8)
        frame_rgb[:, : width // 2] = (200, 30, 30)
        frame_rgb[:, width // 2 :] = (30, 30, 200)
        return frame_rgb

    return draw
