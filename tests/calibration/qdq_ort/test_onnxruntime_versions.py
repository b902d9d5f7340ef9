"""One engine gives the same labels in the oldest ONNX Runtime that is served and in this one, and in the simulation.

The oldest is in an environment of its own: old_onnxruntime.sh makes it (.venv-onnxruntime-1.19.2, once), or
SEGEDGE_OLD_ONNXRUNTIME_PYTHON names an interpreter that has it. On Python 3.8 it is this one, and is held to the
simulation alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.qdq_ort.exact_sums import with_exact_sums
from edge.runtime.onnxruntime import import_onnxruntime, open_session
from tests.calibration import graph_drawing as drawing

OLD = "1.19.2"
"""Last version for Python 3.8, the one of JetPack 5."""

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = Path(__file__).with_name("run_sessions.py")
SIZE, CLASSES = 96, 5
SAME = {"pads": [1, 1, 1, 1]}
HALF_PIXEL = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
ALIGNED = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}


def old_python():
    if import_onnxruntime().__version__ == OLD:
        return sys.executable
    named = os.environ.get("SEGEDGE_OLD_ONNXRUNTIME_PYTHON")
    made = [folder.parent / "bin" / "python" for folder in REPOSITORY.glob(".venv-onnxruntime-*/installed")]
    return named or next(map(str, sorted(made)), None)


def network():
    """Return a network with every operator that a uint8 kernel exists for, and with a deconvolution, which is float."""
    generator = np.random.default_rng(5)
    constants = {
        "scale": np.float32([1 / 60, 1 / 58, 1 / 57]),
        "offset": np.float32([-2.1, -2.0, -1.8]),
        "eighth": np.array([1, 24, SIZE // 8, SIZE // 8], np.int64),
        "quarter": np.array([1, 24, SIZE // 4, SIZE // 4], np.int64),
    }

    def conv(source, output, channels, kernel=3, relu=True, **attributes):
        group = attributes.get("group", 1)
        inside = widths[source] // group
        spread = 1.4 / np.sqrt(inside * kernel * kernel)
        constants[f"{output}_w"] = generator.normal(0, spread, (channels, inside, kernel, kernel)).astype(np.float32)
        constants[f"{output}_b"] = generator.normal(0, 0.2, channels).astype(np.float32)
        names = [source, f"{output}_w", f"{output}_b"]
        widths[output] = widths[f"{output}_relu"] = channels
        made = [drawing.node("Conv", names, output, **(SAME if kernel == 3 else {}), **attributes)]
        return [*made, drawing.node("Relu", [output], f"{output}_relu")] if relu else made

    def op(kind, sources, output, channels=None, **attributes):
        widths[output] = channels or widths[sources[0]]
        return [drawing.node(kind, sources, output, **attributes)]

    widths = {"nchw": 3}
    nodes = [
        drawing.node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        drawing.node("Mul", ["cast", "scale"], "scaled"),
        drawing.node("Add", ["scaled", "offset"], "normalised"),
        drawing.node("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2]),
        *conv("nchw", "stem", 12, strides=[2, 2]),
        *conv("stem_relu", "depth", 12, group=12, relu=False, strides=[2, 2]),
        *conv("depth", "quarter_map", 24, kernel=1),
        *op("MaxPool", ["quarter_map_relu"], "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        *conv("pooled", "expand", 48, kernel=1),
        *conv("expand_relu", "project", 24, relu=False),
        *op("Add", ["project", "pooled"], "residual"),
        *op("GlobalAveragePool", ["residual"], "mean"),
        *conv("mean", "mean_point", 24, kernel=1),
        *op("Resize", ["mean_point_relu", "", "", "eighth"], "mean_wide", **HALF_PIXEL),
        *op("AveragePool", ["residual"], "blocks", kernel_shape=[3, 3], strides=[3, 3]),
        *conv("blocks", "blocks_point", 24, kernel=1),
        *op("Resize", ["blocks_point_relu", "", "", "eighth"], "blocks_wide", **HALF_PIXEL),
        *op("Concat", ["residual", "mean_wide", "blocks_wide"], "joined", channels=72, axis=1),
        *conv("joined", "merged", 24, kernel=1),
        *op("Resize", ["merged_relu", "", "", "quarter"], "wide", **ALIGNED),
        *conv("wide", "wide_depth", 24, group=24),
        *conv("wide_depth_relu", "wide_point", 24, kernel=1, relu=False),
        *conv("quarter_map_relu", "skip", 24, kernel=1, relu=False),
        *op("Add", ["wide_point", "skip"], "fused"),
        *op("Relu", ["fused"], "fused_relu"),
        *conv("fused_relu", "refined", 24, kernel=1),
        *op("ConvTranspose", ["refined_relu", "up"], "half", channels=12, strides=[2, 2]),
        *conv("half", "last", 16),
        *conv("last_relu", "logits", CLASSES, kernel=1, relu=False),
    ]
    constants["up"] = generator.normal(0, 0.2, (24, 12, 2, 2)).astype(np.float32)
    constants["up"][5] *= 300.0  # of a channel that is always 0
    constants["refined_w"][5], constants["refined_b"][5] = 0.0, 0.0
    return drawing.make_model(
        nodes,
        constants,
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {"logits": ((1, CLASSES, SIZE // 2, SIZE // 2), TensorProto.FLOAT)},
    )


def smooth_frames(count, seed):
    """Return frames with edges and areas, (count, 1, SIZE, SIZE, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, 1, SIZE // 8, SIZE // 8, 3))
    noise = generator.integers(-12, 13, (count, 1, SIZE, SIZE, 3))
    return np.clip(np.kron(coarse, np.ones((1, 1, 8, 8, 1), int)) + noise, 0, 255).astype(np.uint8)


def with_one_scale_around_interpolations(data):
    """Return an engine as it was before interpolations had scales of their own."""
    model = onnx.load_model_from_string(data)
    nodes = {node.output[0]: node for node in model.graph.node}
    before = {name: nodes[node.input[0]].input[1] for name, node in nodes.items() if node.op_type == "Resize"}
    for node in model.graph.node:
        source = nodes[node.input[0]].input[0] if node.op_type == "DequantizeLinear" and node.input[0] in nodes else ""
        if node.op_type == "QuantizeLinear":
            source = node.input[0]
        if source in before:
            node.input[1] = before[source]
    return model.SerializeToString()


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Return what each version and the simulation says: name -> labels, (frames, rows, columns)."""
    python = old_python()
    if python is None:
        pytest.skip("no environment with an old ONNX Runtime: tests/calibration/qdq_ort/old_onnxruntime.sh makes one")
    folder = tmp_path_factory.mktemp("engine")
    model = network()
    ranges = drawing.ranges_of(model, [{"frame": frame} for frame in smooth_frames(4, 1)])
    data = quantize(model, ranges, QuantizationConfig("min-max"), "onnxruntime", unsigned_levels()).data
    frames = smooth_frames(24, 2)
    for name, content in (("engine", data), ("one_scale", with_one_scale_around_interpolations(data))):
        (folder / f"{name}.onnx").write_bytes(content)
        np.save(folder / f"{name}.npy", frames)
    found = {}
    for interpreter in {python, sys.executable}:
        run = subprocess.run([interpreter, SCRIPT, folder], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        version = run.stdout.strip()
        for name in ("engine", "one_scale"):
            found[name, version] = np.load(folder / f"{name}-{version}.npy")[:, 0].argmax(1)
    session = open_session(with_exact_sums(data), threads=1, exact=True)
    found["simulation", ""] = np.stack([session.run(None, {"frame": frame})[0][0].argmax(0) for frame in frames])
    return found


def versions(labels):
    return {version for _, version in labels if version}


def test_the_oldest_version_and_this_one_are_run(labels):
    assert versions(labels) == {OLD, import_onnxruntime().__version__}


def test_labels_are_of_several_classes(labels):
    shares = np.bincount(labels["simulation", ""].ravel(), minlength=CLASSES) / labels["simulation", ""].size
    assert (shares > 0.05).sum() >= 3  # else equal labels would say little


def test_one_engine_gives_the_same_labels_in_both_versions(labels):
    assert np.mean(labels["engine", OLD] == labels["engine", import_onnxruntime().__version__]) >= 0.9999


def test_the_simulation_gives_the_labels_of_both_versions(labels):
    for version in versions(labels):
        assert np.mean(labels["engine", version] == labels["simulation", ""]) >= 0.999, version


def test_one_scale_around_an_interpolation_would_give_other_labels_in_the_oldest(labels):
    assert np.mean(labels["one_scale", OLD] == labels["engine", OLD]) < 0.999
