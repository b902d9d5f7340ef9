"""CONTRIBUTING says where a new backend, dataset, model, power source and lint rule goes: a toy of each goes there.

Every toy is added to a copy of the checkout as a contributor would add it, by new files and by entries in the tables
that the page names, and is then used by a command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.imaging import write_image

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("edge", "calibration", "export", "train")


class Checkout:
    """A copy of the checkout that toys are added to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for room in ROOMS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(str(REPOSITORY / room), str(folder / room), ignore=ignored)

    def new_file(self, path: str, text: str) -> None:
        """Write a file that is not there yet."""
        assert not (self.folder / path).exists()
        (self.folder / path).write_text(text, encoding="utf-8")

    def add(self, path: str, before: str, after: str) -> None:
        """Replace one text of a file."""
        text = (self.folder / path).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{path} has {before!r} {text.count(before)} times"
        (self.folder / path).write_text(text.replace(before, after), encoding="utf-8")

    def run(self, *command: object) -> str:
        """Run Python in the copy and return what it printed."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
        finished = subprocess.run(
            [sys.executable, *map(str, command)],
            cwd=str(self.folder),
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "checkout")


def test_places_are_those_that_the_page_names():
    page = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page[page.index("## Where something new goes") :]
    source = Path(__file__).read_text(encoding="utf-8")
    for path in re.findall(r'checkout\.add\(\s*"([^"]+)"', source):
        assert f"`{path}`" in table, f"CONTRIBUTING.md does not name {path}"


@pytest.mark.slow
def test_new_backend(checkout, tmp_path):
    onnx = pytest.importorskip("onnx")
    from tests.export.foreign_graphs import CONTRACT, street_network

    checkout.new_file(
        "edge/runtime/toy.py",
        "from edge.runtime.onnxruntime import OnnxRuntimeRunner\n\n\n"
        "class ToyRunner(OnnxRuntimeRunner):\n"
        '    backend = "toy"\n',
    )
    checkout.add(
        "edge/runtime/__init__.py",
        "def _onnxruntime(",
        "def _toy(engine_path, card, threads):\n"
        "    from edge.runtime.toy import ToyRunner\n\n"
        "    return ToyRunner(engine_path, card.contract, threads)\n\n\n"
        "def _onnxruntime(",
    )
    runners = '{"tensorrt": _tensorrt, "onnxruntime": _onnxruntime}'
    checkout.add("edge/runtime/__init__.py", runners, runners[:-1] + ', "toy": _toy}')
    checkout.add(
        "edge/card.py", 'BACKENDS = ("tensorrt", "onnxruntime")', 'BACKENDS = ("tensorrt", "onnxruntime", "toy")'
    )
    checkout.new_file(
        "export/backends/toy_builder.py",
        "from export.backends.engine import BuiltEngine, EngineBuilder\n\n\n"
        "class ToyBuilder(EngineBuilder):\n"
        '    title, reason, qdq_form = "Toy", "a toy is here", "onnxruntime"\n\n'
        "    def problem(self):\n"
        "        return None\n\n"
        "    def build(self, graph, precision, options, calibration=None, float_layers=()):\n"
        '        return BuiltEngine(graph, ".onnx", "1.0", 0.5, ("built by a toy",))\n',
    )
    checkout.add(
        "export/backends/choice.py",
        "from export.backends.trt_builder",
        "from export.backends.toy_builder import ToyBuilder\nfrom export.backends.trt_builder",
    )
    checkout.add(
        "export/backends/choice.py", '"onnxruntime": OrtBuilder()}', '"onnxruntime": OrtBuilder(), "toy": ToyBuilder()}'
    )
    onnx.save(street_network("logits"), str(tmp_path / "net.onnx"))
    (tmp_path / "net.json").write_text(json.dumps({**CONTRACT, "coordinates": "half_pixel"}))
    printed = checkout.run(
        "export/build_engine.py",
        "--onnx",
        tmp_path / "net.onnx",
        "--contract",
        tmp_path / "net.json",
        "--backend",
        "toy",
        "--accuracy-images",
        "2",
        "--json",
    )
    built = json.loads(printed)
    assert (built["card"]["backend"], built["card"]["notes"][0]) == ("toy", "built by a toy")
    assert built["card"]["check"]["label_agreement"] == 1.0
    measured = checkout.run("-m", "edge.bench", "run", built["output"], "--frames", "3", "--seconds", "0", "--json")
    assert json.loads(measured)["engine"]["backend"] == "toy"


def test_new_dataset(checkout, tmp_path):
    checkout.new_file(
        "edge/class_tables/rails.json",
        json.dumps(
            {
                "name": "rails",
                "classes": [{"name": "rail", "ids": [0]}, {"name": "other", "ids": [1]}],
                "ignored": [{"name": "void", "ids": [2]}],
            }
        ),
    )
    checkout.add(
        "edge/labels.py",
        '(CAMVID,) = _read_tables("camvid")\n',
        '(CAMVID,) = _read_tables("camvid")\n(RAILS,) = _read_tables("rails")\n',
    )
    checkout.new_file(
        "edge/datasets/layouts/rails.py",
        "from edge.datasets.sample import Sample\n\n\n"
        "def list_rails(root, split, name):\n"
        '    frames = sorted((root / split / "frames").glob("*.png"))\n'
        '    return [Sample(path.stem, "line", path, root / split / "labels" / path.name) for path in frames]\n',
    )
    checkout.add(
        "edge/datasets/registry.py",
        "from edge.datasets.layouts.cityscapes import list_cityscapes\n",
        "from edge.datasets.layouts.cityscapes import list_cityscapes\n"
        "from edge.datasets.layouts.rails import list_rails\n",
    )
    checkout.add(
        "edge/datasets/registry.py", "from edge.labels import CAMVID,", "from edge.labels import CAMVID, RAILS,"
    )
    checkout.add(
        "edge/datasets/registry.py",
        "LAYOUTS: dict[str, Layout] = {\n",
        'LAYOUTS: dict[str, Layout] = {\n    "rails": Layout(RAILS, list_rails, "drive along the line"),\n',
    )
    rng = np.random.default_rng(1)
    for index in range(3):
        frame, labels = rng.integers(0, 256, (8, 12, 3), np.uint8), rng.integers(0, 3, (8, 12), np.uint8)
        write_image(tmp_path / "rails" / "train" / "frames" / f"{index}.png", frame)
        write_image(tmp_path / "rails" / "train" / "labels" / f"{index}.png", labels)
    printed = checkout.run(
        "calibration/select_images.py",
        "--dataset",
        "rails",
        "--data-dir",
        tmp_path / "rails",
        "--images",
        "2",
        "--json",
    )
    manifest = json.loads(printed)
    assert len(manifest["names"]) == 2 and set(manifest["classes"]) == {"rail", "other"}


@pytest.mark.slow
def test_new_model(checkout):
    pytest.importorskip("tf2onnx")
    checkout.new_file(
        "train/models/toy_net.py",
        "import keras\n\n"
        "from train.models.base import FRAME, LOGITS, ModelSpec, normalize\n\n\n"
        "def build_toy_net(height, width, class_count):\n"
        "    frame = keras.Input((height, width, 3), name=FRAME)\n"
        '    logits = keras.layers.Conv2D(class_count, 3, strides=4, padding="same", name="head")(normalize(frame))\n'
        '    return keras.Model(frame, {LOGITS: logits}, name="toy_net")\n\n\n'
        'TOY_NET = ModelSpec("toy_net", "Toy net", "no paper", build_toy_net, 4, 4, {})\n',
    )
    checkout.add(
        "train/options.py",
        "OPTIONS: dict[str, dict[str, Option]] = {\n",
        'OPTIONS: dict[str, dict[str, Option]] = {\n    "toy_net": {},\n',
    )
    printed = checkout.run(
        "export/to_onnx.py",
        "--model",
        "toy_net",
        "--dataset",
        "camvid",
        "--size",
        "32x64",
        "--random-weights",
        "--json",
    )
    exported = json.loads(printed)
    assert (exported["contract"]["model"], exported["contract"]["stride"]) == ("toy_net", 4)
    assert exported["parity"]["label_agreement"] == 1.0


def test_new_power_source(checkout, make_engine):
    checkout.new_file(
        "edge/telemetry/toy.py",
        "import time\n\n"
        "from edge.telemetry.base import PowerSample, PowerSource\n\n\n"
        "class ToySource(PowerSource):\n"
        '    name = "toy"\n\n'
        "    def __init__(self):\n"
        "        super().__init__(0.01)\n\n"
        "    def open(self):\n"
        '        self.covers = "a toy"\n\n'
        "    def read(self):\n"
        '        return PowerSample(time.perf_counter_ns(), {"toy": 1500.0}, 1500.0)\n\n'
        "    def close(self):\n"
        "        pass\n",
    )
    checkout.add(
        "edge/telemetry/__init__.py",
        "from edge.telemetry.sysfs import SysfsSource\n",
        "from edge.telemetry.sysfs import SysfsSource\nfrom edge.telemetry.toy import ToySource\n",
    )
    checkout.add(
        "edge/telemetry/__init__.py",
        '    "sysfs": SysfsSource,\n',
        '    "sysfs": SysfsSource,\n    "toy": lambda root: ToySource(),\n',
    )
    printed = checkout.run(
        "-m", "edge.bench", "run", make_engine(), "--power", "toy", "--frames", "20", "--seconds", "0.3", "--json"
    )
    power = json.loads(printed)["power"]
    assert power["source"] == "toy" and power["covers"] == "a toy"
    assert set(power["rails"]) == {"toy"}


def test_new_lint_rule(checkout, tmp_path):
    onnx = pytest.importorskip("onnx")
    from tests.calibration import graph_drawing as drawing

    checkout.add(
        "calibration/lint_rules/qdq_nodes.py",
        "NODE_RULES = (\n",
        '@rule("warning", "Call the node something else.", BOTH)\n'
        "def name_is_no_toy(graph):\n"
        '    """No node is called toy.\n\n'
        "    Source: none, it is a toy.\n"
        '    """\n'
        "    for node in graph.nodes:\n"
        '        if "toy" in node.name:\n'
        '            yield node.name, "is called toy, expected another name"\n\n\n'
        "NODE_RULES = (\n    name_is_no_toy,\n",
    )
    assert "name-is-no-toy" in checkout.run("calibration/lint.py", "--rules")
    from calibration.qdq.insert import quantize
    from calibration.qdq.quantization_config import QuantizationConfig

    model = drawing.make_network()
    quantized = quantize(model, drawing.ranges_of(model, drawing.frames(2)), QuantizationConfig("min-max"), "tensorrt")
    graph = onnx.load_model_from_string(quantized.data)
    graph.graph.node[0].name = "toy"
    onnx.save(graph, str(tmp_path / "toy.onnx"))
    findings = json.loads(checkout.run("calibration/lint.py", tmp_path / "toy.onnx", "--json"))["findings"]
    assert [finding["node"] for finding in findings if finding["rule"] == "name-is-no-toy"] == ["toy"]
