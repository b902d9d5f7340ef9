"""A first convolution that reads the frame's own integers computes what it did; where it cannot, nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from calibration.onnx_graph.editable import EditableGraph
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.integer_input import take_integer_input
from tests.calibration import graph_drawing as drawing

HEIGHT, WIDTH, OUT = 10, 12, 4
STATISTICS = {
    "symmetric": ([127.5] * 3, [127.5] * 3),
    "unit": ([0.0] * 3, [255.0] * 3),
    "imagenet": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "caffe": ([123.68, 116.779, 103.939], [1.0] * 3),
}


def column(values, axis=3):
    shape = [1] * 4
    shape[axis] = len(values)
    return np.asarray(values, np.float32).reshape(shape)


def scaled_by(statistics):
    mean, std = (np.array(part) for part in STATISTICS[statistics])
    return {"scale": column(1 / std), "offset": column(-mean / std)}


SCALE_NODES = [
    drawing.node("Mul", ["cast", "scale"], "scaled"),
    drawing.node("Add", ["scaled", "offset"], "normalised"),
    drawing.node("Transpose", ["normalised"], "nchw", perm=[0, 3, 1, 2]),
]


def network(nodes=None, constants=None, pads=(1, 1, 1, 1), stride=2, bias=True, channels=3, read_twice=None):
    """Return frame -> Cast -> nodes -> "nchw" -> Conv -> Relu -> Conv -> logits, and the mean of one tensor."""
    generator = np.random.default_rng(5)
    nodes = SCALE_NODES if nodes is None else nodes
    constants = dict(scaled_by("imagenet") if constants is None else constants)
    constants["w"] = generator.normal(0, 0.3, (OUT, channels, 3, 3)).astype(np.float32)
    constants["head"] = generator.normal(0, 0.3, (2, OUT, 1, 1)).astype(np.float32)
    if bias:
        constants["b"] = generator.normal(0, 0.3, OUT).astype(np.float32)
    rows, columns = ((size + pads[i] + pads[i + 2] - 3) // stride + 1 for i, size in ((0, HEIGHT), (1, WIDTH)))
    layers = [
        drawing.node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        *nodes,
        drawing.node(
            "Conv", ["nchw", "w", *(["b"] if bias else [])], "stem", strides=[stride, stride], pads=list(pads)
        ),
        drawing.node("Relu", ["stem"], "relu"),
        drawing.node("Conv", ["relu", "head"], "logits"),
    ]
    outputs = {"logits": ((1, 2, rows, columns), TensorProto.FLOAT)}
    if read_twice:
        layers.append(drawing.node("ReduceMean", [read_twice], "mean"))
        outputs["mean"] = ((1, 1, 1, 1), TensorProto.FLOAT)
    frame = ((1, HEIGHT, WIDTH, channels), TensorProto.UINT8)
    return drawing.make_model(layers, constants, {"frame": frame}, outputs)


def frames(count=3, channels=3):
    generator = np.random.default_rng(6)
    return [{"frame": generator.integers(0, 256, (1, HEIGHT, WIDTH, channels)).astype(np.uint8)} for _ in range(count)]


def rewritten(model, runs_in_int8=lambda node: True):
    """Return a copy whose first convolution reads the frame's integers, and the ranges; None if it stays as it was."""
    ranges = drawing.ranges_of(model, frames(channels=model.graph.input[0].type.tensor_type.shape.dim[3].dim_value))
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensors = take_integer_input(EditableGraph(changed), ranges.tensors, runs_in_int8)
    if tensors is None:
        assert changed == model
        return None
    onnx.checker.check_model(changed, full_check=True)
    assert not {"Cast", "Mul", "Add", "Sub", "Div", "Gather"} & {node.op_type for node in changed.graph.node}
    return changed, tensors


def constant(model, name):
    return next(numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name == name)


def exposed(*models):
    """Return models that give the result of their first convolution too."""
    for model in models:
        model.graph.output.append(onnx.ValueInfoProto(name="stem"))
    return models


def border_error(model, scale):
    """Return the largest error of a stem output whose borders are off by half a grey level, (OUT, 1, 1)."""
    weight = np.abs(constant(model, "w")).sum((2, 3))  # (OUT, 3)
    return (0.51 * weight * np.abs(scale).reshape(1, -1)).sum(1).reshape(-1, 1, 1)


# The same function


WAYS = {
    "subtract, divide": (
        [
            drawing.node("Sub", ["cast", "mean"], "centred"),
            drawing.node("Div", ["centred", "std"], "normalised"),
            SCALE_NODES[2],
        ],
        {"mean": column([120.0, 110.0, 100.0]), "std": column([50.0, 60.0, 70.0])},
    ),
    "turned round": (
        [
            drawing.node("Sub", ["white", "cast"], "negative"),
            drawing.node("Mul", ["scale", "negative"], "normalised"),
            SCALE_NODES[2],
        ],
        {"white": np.float32(200), "scale": column([0.02, 0.03, 0.01])},
    ),
    "behind the transpose": (
        [
            drawing.node("Transpose", ["cast"], "planes", perm=[0, 3, 1, 2]),
            drawing.node("Mul", ["planes", "scale"], "scaled"),
            drawing.node("Add", ["scaled", "offset"], "nchw"),
        ],
        {
            "scale": column([0.02, 0.03, 0.01], 1)[0],
            "offset": column([-1.0, -2.0, -0.5], 1),
        },
    ),
    "channels swapped": (
        [
            *SCALE_NODES[:2],
            drawing.node("Transpose", ["normalised"], "planes", perm=[0, 3, 1, 2]),
            drawing.node("Gather", ["planes", "order"], "nchw", axis=1),
        ],
        {**scaled_by("imagenet"), "order": np.array([2, 1, 0], np.int64)},
    ),
    "channels turned, then scaled": (
        [
            drawing.node("Gather", ["cast", "order"], "turned", axis=-1),
            drawing.node("Mul", ["turned", "scale"], "scaled"),
            *SCALE_NODES[1:],
        ],
        {**scaled_by("imagenet"), "order": np.array([1, 2, 0], np.int64)},
    ),
    "nothing but a transpose": ([drawing.node("Transpose", ["cast"], "nchw", perm=[0, 3, 1, 2])], {}),
}


@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1, 1)])
@pytest.mark.parametrize("statistics", STATISTICS)
def test_stem_gives_the_same_inside_and_to_half_a_level_at_the_border(statistics, pads):
    model = network(constants=scaled_by(statistics), pads=pads)
    expected, found = (drawing.run(graph, frames()[0], ["stem"])[0] for graph in exposed(model, rewritten(model)[0]))
    error = np.abs(found - expected)
    top, left, bottom, right = pads
    inside = error[:, :, top : error.shape[2] - bottom, left : error.shape[3] - right]
    # Inside, only the order of float32 operations differs.
    assert inside.max() < 2e-5 * np.abs(expected).max()
    assert (error[0] <= border_error(model, constant(model, "scale")) + 2e-5 * np.abs(expected).max()).all()


def test_border_has_the_level_of_each_channel_where_channels_are_turned():
    nodes, constants = WAYS["channels turned, then scaled"]
    model = network(nodes, {**constants, "offset": column([-0.5, -2.0, -4.0])})
    expected, found = (drawing.run(graph, frames()[0], ["stem"])[0] for graph in exposed(model, rewritten(model)[0]))
    assert (np.abs(found - expected)[0] <= border_error(model, constants["scale"]) + 1e-4).all()


def test_statistics_that_share_a_zero_level_need_no_borders():
    for statistics, zero_point, joins in (("symmetric", 128, 0), ("unit", 0, 0), ("imagenet", 128, 2)):
        changed, _ = rewritten(network(constants=scaled_by(statistics)))
        kinds = [node.op_type for node in changed.graph.node]
        assert (constant(changed, "frame/zero_point"), kinds.count("Concat")) == (zero_point, joins)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_scaling_is_folded(way):
    nodes, constants = WAYS[way]
    model = network(nodes, constants, pads=(0, 0, 0, 0), bias=way != "turned round")
    changed, _ = rewritten(model)
    for feeds in frames():
        expected = drawing.run(model, feeds)[0]
        # The order of float32 operations differs, nothing else.
        np.testing.assert_allclose(drawing.run(changed, feeds)[0], expected, atol=2e-5 * np.abs(expected).max())


def test_one_grey_channel_is_a_frame_too():
    model = network(constants={"scale": column([0.02]), "offset": column([-2.0])}, channels=1, pads=(0, 0, 0, 0))
    changed, _ = rewritten(model)
    feeds = frames(channels=1)[0]
    np.testing.assert_allclose(drawing.run(changed, feeds)[0], drawing.run(model, feeds)[0], atol=1e-4)


def test_means_of_the_channels_are_those_of_the_dequantised_frame():
    nodes, constants = WAYS["channels turned, then scaled"]
    changed, tensors = rewritten(network(nodes, constants))
    levels = np.concatenate([feeds["frame"] for feeds in frames()]).astype(np.float64).mean((0, 1, 2))
    scale, zero_point = (constant(changed, f"frame/{name}") for name in ("scale", "zero_point"))
    seen = tensors["frame/dequantized"]
    # Means are kept to six digits of the scaled channel.
    np.testing.assert_allclose(seen.channel_means, scale * (levels - zero_point), atol=1e-4)
    assert (seen.minimum, seen.maximum) == pytest.approx((-scale * 128.0, scale * 127.0))
    assert "nchw" not in tensors


# Where it is not done


MAP = [SCALE_NODES[0], drawing.node("Add", ["scaled", "map"], "normalised"), SCALE_NODES[2]]
SQUASHED = [
    *SCALE_NODES[:2],
    drawing.node("Sigmoid", ["normalised"], "squashed"),
    drawing.node("Transpose", ["squashed"], "nchw", perm=[0, 3, 1, 2]),
]
RECIPROCAL = [
    drawing.node("Add", ["cast", "one"], "more"),
    drawing.node("Div", ["one", "more"], "normalised"),
    SCALE_NODES[2],
]


@pytest.mark.parametrize(
    "model",
    [
        network(read_twice="nchw"),
        network(read_twice="cast"),
        network(MAP, {**scaled_by("imagenet"), "map": np.zeros((1, HEIGHT, WIDTH, 3), np.float32)}),
        network(SQUASHED),
        network(RECIPROCAL, {"one": np.float32(1)}),
        network(constants={"scale": column([1.0, 0.0, 1.0]), "offset": column([0.0, 0.0, 0.0])}),
    ],
    ids=[
        "planes read twice",
        "cast read twice",
        "another offset for each pixel",
        "squashed",
        "reciprocal",
        "a channel of nothing",
    ],
)
def test_anything_else_that_happens_to_a_frame_keeps_the_graph(model):
    assert rewritten(model) is None


def test_padding_that_no_grey_level_stands_for_keeps_the_graph():
    constants = {"scale": column([0.01] * 3), "offset": column([0.5, 0.5, 0.5])}  # 0 is level -50
    assert rewritten(network(constants=constants)) is None
    assert rewritten(network(constants=constants, pads=(0, 0, 0, 0))) is not None


def test_convolution_that_stays_float_keeps_the_graph():
    assert rewritten(network(), runs_in_int8=lambda node: node.name != "stem") is None


@pytest.mark.parametrize(
    ("form", "levels", "recipe", "reads_frame"),
    [
        ("onnxruntime", 255, QuantizationConfig("min-max"), True),
        ("onnxruntime", 127, QuantizationConfig("min-max"), True),  # weights give way where sums saturate
        ("onnxruntime", 255, QuantizationConfig("min-max", float_layers={"stem": "asked for"}), False),
        ("tensorrt", 255, QuantizationConfig("min-max"), False),
    ],
)
def test_only_a_quantised_first_layer_reads_the_frame(form, levels, recipe, reads_frame):
    model = network()
    data = quantize(model, drawing.ranges_of(model, frames()), recipe, form, levels).data
    graph = onnx.load_model_from_string(data).graph
    assert ("Cast" not in {node.op_type for node in graph.node}) == reads_frame
    assert ("frame/planes" in {name for node in graph.node for name in node.input}) == reads_frame


def test_integers_of_the_frame_are_not_rounded():
    """With weights that are integers already, what a layer gives in front of its rounding is exact."""
    model = network(constants=scaled_by("caffe"), pads=(0, 0, 0, 0), stride=1, bias=False)
    exact = np.random.default_rng(1).integers(-127, 128, (OUT, 3, 3, 3)).astype(np.float32)
    exact[:, 0, 0, 0] = 127  # so that a step is 1
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    weight.CopyFrom(numpy_helper.from_array(exact, "w"))
    data = quantize(model, drawing.ranges_of(model, frames()), QuantizationConfig("min-max"), "onnxruntime").data
    results = []
    for graph in (model, onnx.load_model_from_string(data)):
        graph.graph.output.append(onnx.ValueInfoProto(name="stem"))
        results.append(drawing.run(graph, frames()[0], ["stem"])[0])
    # The bias alone is rounded, to steps of 1, where values are some 1e4.
    assert np.abs(results[0]).max() > 1e4
    assert np.abs(results[1] - results[0]).max() <= 0.51
