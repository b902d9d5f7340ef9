"""What several rooms' tests need: a tiny engine that ONNX Runtime really runs, and tiny datasets."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import math
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge.card import CARD_FILE, EngineCard, engine_folder
from edge.contract import CONTRACT_FILE, GRAPH_FILE, UNCERTAINTY, Contract
from edge.imaging import write_image
from edge.labels import CAMVID
from edge.machine import Machine
from edge.provenance import WeightsProvenance
from edge.records import write_record

REPOSITORY = Path(__file__).resolve().parents[1]


LONGEST_FIRST = ("tests/export/from_keras", "tests/train", "tests/export", "tests/benchmarks")
"""Folders whose files take longest; they are begun first, so that several workers end at about the same time."""


def pytest_addoption(parser):
    parser.addoption("--leave-out", metavar="MARKER", help="leave out the tests with this marker, beside those of -m")
    parser.addoption("--forms", type=int, metavar="N", help="of each test, run the first N of its parameters alone")


def pytest_collection_modifyitems(config, items):
    def place(item):
        path = Path(str(item.fspath)).relative_to(REPOSITORY).as_posix()
        return next((i for i, folder in enumerate(LONGEST_FIRST) if path.startswith(folder)), len(LONGEST_FIRST))

    items.sort(key=place)
    marker, forms = config.getoption("--leave-out"), config.getoption("--forms")
    counts: dict[str, int] = {}
    left_out = set()
    for item in items:
        name = item.nodeid.split("[")[0]
        counts[name] = counts.get(name, 0) + 1
        if (marker and item.get_closest_marker(marker)) or (forms and counts[name] > forms):
            left_out.add(item)
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish():
    # What is imported by now stays to the end. Without it a collection is short, and networks of tests go soon.
    gc.collect()
    gc.freeze()


def _tiny_graph(contract: Contract) -> bytes:
    """Averages the colours of each stride x stride block, and scores every class by a colour of its own.

    An output of uncertainty is the entropy of softmax(logits), any other one scores of its own.
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    classes, stride = len(contract.class_names), contract.stride
    tensors = {
        "weight": rng.normal(0.0, 1.0, (classes, 3, 1, 1)).astype(np.float32),
        "bias": rng.normal(0.0, 1.0, classes).astype(np.float32),
        "middle": np.full((1, 3, 1, 1), 127.5, np.float32),
    }
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["frame"], ["float"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["blocks"], kernel_shape=[stride, stride], strides=[stride, stride]),
        node("Sub", ["blocks", "middle"], ["centred"]),
        node("Conv", ["centred", "weight", "bias"], ["logits"]),
    ]
    for output in contract.extra_outputs:
        name = output.name
        if output.kind == UNCERTAINTY:
            tensors.setdefault("class_axis", np.array([1], np.int64))
            nodes += [
                node("LogSoftmax", ["logits"], [f"{name}_log"], axis=1),
                node("Exp", [f"{name}_log"], [f"{name}_share"]),
                node("Mul", [f"{name}_log", f"{name}_share"], [f"{name}_terms"]),
                node("ReduceSum", [f"{name}_terms", "class_axis"], [f"{name}_sum"], keepdims=1),
                node("Neg", [f"{name}_sum"], [name]),
            ]
        else:
            tensors[f"{name}_weight"] = rng.normal(0.0, 1.0, (output.channels, 3, 1, 1)).astype(np.float32)
            nodes.append(node("Conv", ["centred", f"{name}_weight"], [name]))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [value("frame", onnx.TensorProto.UINT8, contract.input_shape)],
        [value(name, onnx.TensorProto.FLOAT, shape) for name, shape in contract.output_shapes.items()],
        [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", contract.opset)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def quick_weights():
    """Give Keras' kernels their initial weights from one table of random numbers.

    Drawing them anew is half of the time in which a network is built. A kernel keeps the mean 0 and the variance that
    its initialiser asks for, and an equal seed gives equal numbers.
    """
    keras = pytest.importorskip("keras")
    table = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)

    def look_up(initializer, shape, dtype=None):
        fan_in, fan_out = keras.src.initializers.random_initializers.compute_fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out}.get(initializer.mode, (fan_in + fan_out) / 2)
        deviation = np.float32(math.sqrt(initializer.scale / max(1.0, fan)))
        drawn, done = np.empty(math.prod(shape), np.float32), 0
        start = zlib.crc32(str(initializer.seed).encode()) % len(table)
        while done < len(drawn):
            piece = table[start : start + len(drawn) - done]
            np.multiply(piece, deviation, out=drawn[done : done + len(piece)])
            done, start = done + len(piece), 0
        return keras.ops.convert_to_tensor(drawn.reshape(shape), dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", look_up)
        yield


@pytest.fixture
def contract():
    """A contract of 11 CamVid classes at 16x32, stride 4; no file belongs to it."""
    return Contract(
        model="tiny",
        dataset="camvid",
        class_names=CAMVID.class_names,
        height=16,
        width=32,
        stride=4,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256="0" * 64,
        weights=WeightsProvenance("trained", "runs/tiny", "1" * 64, miou=0.5, trained_size=(16, 32)),
        source_sha256="2" * 64,
        opset=17,
        versions={"onnx": "1"},
    )


@pytest.fixture
def card(contract):
    """A card of an engine that no file belongs to."""
    return EngineCard(
        contract=contract,
        backend="onnxruntime",
        backend_version="1",
        precision="float32",
        engine_file="engine.onnx",
        engine_sha256="3" * 64,
        engine_bytes=1,
        built_from_sha256="0" * 64,
        machine=Machine("Linux", "x86_64", "cpu", 2),
        built_utc="2026-01-01T00:00:00+00:00",
        build_seconds=0.5,
    )


@pytest.fixture(scope="session", autouse=True)
def runs_database(tmp_path_factory):
    """Let runs go to a database of the tests, and to none in the folder that they are started in."""
    before = os.environ.get("SEGEDGE_RUNS")
    path = tmp_path_factory.mktemp("runs") / "runs.db"
    os.environ["SEGEDGE_RUNS"] = str(path)
    yield path
    os.environ.pop("SEGEDGE_RUNS") if before is None else os.environ.update(SEGEDGE_RUNS=before)


@pytest.fixture
def make_engine(tmp_path, contract, card):
    """Return a function that writes an artefact folder with graph, contract and an engine, and gives the engine's.

    The graph follows the contract: `batch` and `extra_outputs` too.
    """

    def make(
        name: str = "artefact", precision: str = "float32", backend: str = "onnxruntime", **contract_changes: object
    ) -> Path:
        made = dataclasses.replace(contract, **contract_changes)
        data = _tiny_graph(made)
        digest = hashlib.sha256(data).hexdigest()
        made = dataclasses.replace(made, graph_sha256=digest)
        artefact = tmp_path / name
        folder = engine_folder(artefact, backend, precision)
        folder.mkdir(parents=True)
        (artefact / GRAPH_FILE).write_bytes(data)
        write_record(artefact / CONTRACT_FILE, made)
        (folder / card.engine_file).write_bytes(data)
        made_card = dataclasses.replace(
            card,
            contract=made,
            backend=backend,
            precision=precision,
            engine_sha256=digest,
            engine_bytes=len(data),
            built_from_sha256=digest,
        )
        write_record(folder / CARD_FILE, made_card)
        return folder

    return make


@pytest.fixture
def frame_rgb():
    """(20, 44, 3) uint8: blocks of colour with noise on them."""
    rng = np.random.default_rng(5)
    blocks = rng.integers(0, 256, (5, 11, 3)).repeat(4, 0).repeat(4, 1)
    return np.clip(blocks + rng.integers(-20, 20, blocks.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def make_camvid(tmp_path):
    """Return a function that writes a CamVid folder with `count` frames of 20x44 in each of train and val."""

    def make(name: str = "camvid", count: int = 3) -> Path:
        root = tmp_path / name
        rng = np.random.default_rng(7)
        for split in ("train", "val"):
            for index in range(count):
                frame = rng.integers(0, 256, (5, 11, 3), np.uint8).repeat(4, 0).repeat(4, 1)
                labels = rng.integers(0, 12, (5, 11), np.uint8).repeat(4, 0).repeat(4, 1)
                write_image(root / split / f"{split[0]}{index % 2}_{index:03d}.png", frame)
                write_image(root / f"{split}annot" / f"{split[0]}{index % 2}_{index:03d}.png", labels)
        return root

    return make


@pytest.fixture
def run_python():
    """Return a function that runs Python in a process of its own, as `run_python("-m", "edge.bench.cli", ...)`."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        environment.pop("PYTHONUNBUFFERED", None)  # output is buffered, as for a user
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            **{
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "universal_newlines": True,
                "env": environment,
                "timeout": 120,
                **options,
            },
        )

    return run


@pytest.fixture
def one_line():
    """Return a function that checks that stderr holds one line, an error, and gives it."""

    def check(stderr: str) -> str:
        lines = stderr.strip().splitlines()
        assert len(lines) == 1, stderr
        assert lines[0].startswith("error: "), stderr
        return lines[0]

    return check
