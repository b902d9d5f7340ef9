"""A first convolution that makes two columns at once gives the same integers, and is left alone where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

import calibration.qdq.insert
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from edge.runtime.onnxruntime import import_onnxruntime, open_session
from tests.calibration import graph_drawing as drawing

OUT = 5
SYMMETRIC = (1 / 127.5, -1.0), (1 / 127.5, -1.0), (1 / 127.5, -1.0), (1 / 127.5, -1.0)
IMAGENET = (1 / 58.395, -123.675 / 58.395), (1 / 57.12, -116.28 / 57.12), (1 / 57.375, -103.53 / 57.375)


def network(kernel=3, pads=(1, 1, 1, 1), strides=(2, 2), statistics=IMAGENET, size=(12, 16), channels=3, **changes):
    """Return frame -> scaled -> Conv -> Relu -> Conv -> Relu -> Conv -> logits.

    Args:
        changes: relu=False, bias=False, dilation=2, read_twice=True (the first convolution, by an Add).
    """
    generator = np.random.default_rng(8)
    dilation = changes.get("dilation", 1)
    scale, offset = (np.array([pair[i] for pair in statistics[:channels]], np.float32) for i in (0, 1))
    constants = {
        "scale": scale,
        "offset": offset,
        "w": generator.normal(0, 0.3, (OUT, channels, kernel, kernel)).astype(np.float32),
        "deep_w": generator.normal(0, 0.3, (OUT, OUT, 3, 3)).astype(np.float32),
        "head": generator.normal(0, 0.3, (2, OUT, 1, 1)).astype(np.float32),
    }
    if changes.get("bias", True):
        constants["b"] = generator.normal(0, 0.3, OUT).astype(np.float32)
    reach = dilation * (kernel - 1) + 1
    rows, columns = ((size[i] + pads[i] + pads[i + 2] - reach) // strides[i] + 1 for i in (0, 1))
    stem = ["nchw", "w", *(["b"] if "b" in constants else [])]
    first = "relu" if changes.get("relu", True) else "stem"
    nodes = [
        drawing.node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        drawing.node("Mul", ["cast", "scale"], "scaled"),
        drawing.node("Add", ["scaled", "offset"], "normalised"),
        drawing.node("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2]),
        drawing.node("Conv", stem, "stem", strides=list(strides), pads=list(pads), dilations=[dilation] * 2),
        *([drawing.node("Relu", ["stem"], "relu")] if first == "relu" else []),
        drawing.node("Conv", [first, "deep_w"], "deep", pads=[1, 1, 1, 1]),
        drawing.node("Relu", ["deep"], "deep_relu"),
        drawing.node("Add", ["deep_relu", first], "sum"),
        drawing.node("Conv", ["sum", "head"], "logits"),
    ]
    outputs = {"logits": ((1, 2, rows, columns), TensorProto.FLOAT)}
    if changes.get("gives_stem"):
        outputs["stem"] = ((1, OUT, rows, columns), TensorProto.FLOAT)
    frame = ((1, *size, channels), TensorProto.UINT8)
    return drawing.make_model(nodes, constants, {"frame": frame}, outputs)


def frames_for(model, count=3):
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    generator = np.random.default_rng(9)
    return [{"frame": generator.integers(0, 256, shape).astype(np.uint8)} for _ in range(count)]


def both_forms(model, monkeypatch, recipe=None):
    """Return the quantised graph with and without the rewrite."""
    recipe = recipe or QuantizationConfig("min-max")
    ranges = drawing.ranges_of(model, frames_for(model))
    levels = unsigned_levels()  # where sums saturate, they do so in another order in each form
    paired = quantize(model, ranges, recipe, "onnxruntime", levels).data
    with monkeypatch.context() as patch:
        patch.setattr(calibration.qdq.insert, "pack_stem_columns", lambda *_: False)
        plain = quantize(model, ranges, recipe, "onnxruntime", levels).data
    return paired, plain


def stem_shape(data):
    graph = onnx.load_model_from_string(data).graph
    stem = next(node for node in graph.node if node.name == "stem")
    producer = next(node for node in graph.node if node.output[0] == stem.input[1])
    return next(numpy_helper.to_array(t).shape for t in graph.initializer if t.name == producer.input[0])


@pytest.mark.parametrize("statistics", [SYMMETRIC, IMAGENET], ids=["padded", "joined"])
@pytest.mark.parametrize(
    ("kernel", "pads", "blocks"),
    [
        (3, (0, 0, 1, 1), 2),
        (3, (1, 1, 1, 1), 2),
        (3, (1, 1, 0, 0), 2),
        (2, (0, 0, 0, 0), 1),
        (5, (2, 2, 2, 2), 3),
        (5, (1, 1, 2, 2), 3),
        (7, (3, 3, 3, 3), 3),
        (1, (0, 0, 0, 0), 1),
    ],
)
def test_result_is_the_same_bit_for_bit(kernel, pads, blocks, statistics, monkeypatch):
    model = network(kernel, pads, statistics=statistics)
    paired, plain = both_forms(model, monkeypatch)
    assert stem_shape(plain) == (OUT, 3, kernel, kernel)
    assert stem_shape(paired) == (2 * OUT, 12, kernel, blocks)
    onnx.checker.check_model(onnx.load_model_from_string(paired), full_check=True)
    sessions = [open_session(data, threads=1) for data in (paired, plain)]
    for feeds in frames_for(model):
        found, expected = (session.run(None, feeds)[0] for session in sessions)
        assert np.ptp(expected) > 0.1
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "model",
    [
        network(relu=False),
        network(bias=False, statistics=SYMMETRIC),
        network(strides=(1, 2)),
        network(strides=(3, 2), pads=(0, 1, 2, 1)),
        network(channels=1),
        network(channels=4, statistics=SYMMETRIC),
        network(size=(9, 4)),
    ],
    ids=["no Relu", "no bias", "every row", "every third row", "grey", "four channels", "one block"],
)
def test_other_first_layers_are_paired_too(model, monkeypatch):
    paired, plain = both_forms(model, monkeypatch)
    assert paired != plain
    for feeds in frames_for(model):
        found, expected = (open_session(data, threads=1).run(None, feeds)[0] for data in (paired, plain))
        np.testing.assert_array_equal(found, expected)


def test_exact_simulation_gives_the_same_too(monkeypatch):
    model = network()
    sessions = [open_session(data, exact=True) for data in both_forms(model, monkeypatch)]
    for feeds in frames_for(model):
        found, expected = (session.run(None, feeds)[0] for session in sessions)
        # In float the order of sums matters, by 1e-7; no value of these frames lies so close to the middle of a step.
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_result_moves_no_byte_in_the_optimised_graph(tmp_path):
    """All transposes around the first convolution cancel: what is left reads and writes pixels as they lie."""
    model = network()
    data = quantize(model, drawing.ranges_of(model, frames_for(model)), QuantizationConfig(), "onnxruntime").data
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 3, str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert kinds[:6] == ["Concat", "Concat", "Reshape", "QLinearConv", "Reshape", "QLinearConv"]


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (network(size=(12, 18)), {}),
        (network(strides=(2, 1)), {}),
        (network(pads=(1, 1, 1, 3)), {}),  # a column more than half the width
        (network(dilation=2, pads=(2, 2, 2, 2)), {}),
        (network(gives_stem=True), {}),
        (network(), {"recipe": QuantizationConfig("min-max", float_layers={"stem": "asked for"})}),
    ],
    ids=["width", "stride", "outputs", "dilation", "network's output", "float"],
)
def test_other_convolutions_are_left_as_they_are(model, changes, monkeypatch):
    paired, plain = both_forms(model, monkeypatch, **changes)
    assert paired == plain
