"""The noise behind each operator is as large as its rule says, for noise that differs from channel to channel."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.onnx_graph.editable import EditableGraph
from calibration.search.noise_gain import NoiseGains
from tests.calibration import graph_drawing as drawing

CHANNELS, SIZE = 8, 32
DRAWS = 24
SHAPE = (1, CHANNELS, SIZE, SIZE)
GENERATOR = np.random.default_rng(8)
DEVIATIONS = np.linspace(0.2, 2.0, CHANNELS).reshape(1, CHANNELS, 1, 1)
"""Noise of each channel, so that a rule that mixes channels up is seen."""


def weight(*shape):
    return (
        GENERATOR.normal(0, 1, shape) * np.linspace(0.3, 2, shape[1]).reshape(1, -1, *[1] * (len(shape) - 2))
    ).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def conv(**attributes):
    return [("Conv", ["x"], [weight(6, CHANNELS // attributes.get("group", 1), 3, 3)], attributes)]


def one(kind, *constants, **attributes):
    return [(kind, ["x"], list(constants), attributes)]


NETWORKS = {
    "convolution": conv(),
    "strided": conv(strides=[2, 2]),
    "in groups": [("Conv", ["x"], [weight(16, 2, 3, 3)], {"group": 4})],
    "depthwise": [("Conv", ["x"], [weight(CHANNELS, 1, 3, 3)], {"group": CHANNELS, "dilations": [2, 2]})],
    "deconvolution": one("ConvTranspose", weight(CHANNELS, 5, 2, 2), strides=[2, 2]),
    "deconvolution in groups": one("ConvTranspose", weight(CHANNELS, 5, 3, 3), group=2),
    "batch norm": one(
        "BatchNormalization",
        np.linspace(0.1, 3, CHANNELS, dtype=np.float32),
        np.zeros(CHANNELS, np.float32),
        np.zeros(CHANNELS, np.float32),
        np.linspace(4, 0.5, CHANNELS, dtype=np.float32),
    ),
    "factor": one("Mul", np.linspace(0.1, 3, CHANNELS, dtype=np.float32).reshape(1, -1, 1, 1)),
    "divisor": one("Div", np.linspace(0.5, 3, CHANNELS, dtype=np.float32).reshape(1, -1, 1, 1)),
    "relu": one("Relu"),
    "relu6": one("Clip", np.float32(0), np.float32(60)),
    "prelu": one("PRelu", np.linspace(0.1, 0.6, CHANNELS, dtype=np.float32).reshape(-1, 1, 1)),
    "leaky relu": one("LeakyRelu", alpha=0.3),
    "mean pooling": one("AveragePool", kernel_shape=[4, 4], strides=[2, 2]),
    "global pooling": one("GlobalAveragePool"),
    "maximum pooling": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "borders": one("Pad", ints(0, 0, 2, 1, 0, 0, 2, 1)),
    "means": one("ReduceMean", axes=[2, 3]),
    "sums": one("ReduceSum", ints(2, 3)),
    "linear upsampling": [("Resize", ["x", "empty", "empty"], [ints(1, CHANNELS, 80, 80)], {"mode": "linear"})],
    "linear downsampling": [("Resize", ["x", "empty", "empty"], [ints(1, CHANNELS, 20, 20)], {"mode": "linear"})],
    "nearest upsampling": [("Resize", ["x", "empty", "empty"], [ints(1, CHANNELS, 64, 64)], {"mode": "nearest"})],
    "slice of channels": one("Slice", ints(1), ints(6), ints(1), ints(2)),
    "slice of rows": one("Slice", ints(4), ints(20), ints(2)),
    "gathered channels": one("Gather", ints(3, 1, 7), axis=1),
    "blocks to pixels": one("DepthToSpace", blocksize=2),
    "columns to pixels": one("DepthToSpace", blocksize=2, mode="CRD"),
    "shuffle": [
        ("Reshape", ["x"], [ints(1, 2, CHANNELS // 2, SIZE, SIZE)], {}),
        ("Transpose", ["n0"], [], {"perm": [0, 2, 1, 3, 4]}),
        ("Reshape", ["n1"], [ints(*SHAPE)], {}),
    ],
    "split": [("Split", ["x"], [ints(3, 5)], {"axis": 1}), ("Mul", ["n0"], [np.float32(3)], {})],
    "product of matrices": [
        ("Transpose", ["x"], [], {"perm": [0, 2, 3, 1]}),
        ("MatMul", ["n0"], [weight(CHANNELS, 5)], {}),
    ],
    "fully connected": [
        ("GlobalAveragePool", ["x"], [], {}),
        ("Flatten", ["n0"], [], {}),
        ("Gemm", ["n1"], [weight(6, CHANNELS)], {"transB": 1, "alpha": 0.5}),
    ],
    "joined with itself": [("Identity", ["x"], [], {}), ("Concat", ["n0", "n0"], [], {"axis": 1})],
    "unknown operator": one("Sin"),
}
LATER = {name: nodes for name, nodes in NETWORKS.items() if name != "unknown operator"}


def build(name):
    """Return a network with a factor for each channel behind its operators, so that mixed channels are seen."""
    nodes, constants = [], {"empty": np.zeros(0, np.float32)}
    for place, (kind, inputs, values, attributes) in enumerate(NETWORKS[name]):
        names = [f"c{place}_{index}" for index in range(len(values))]
        constants.update(zip(names, values))
        nodes.append(drawing.node(kind, [*inputs, *names], f"n{place}", **attributes))
        if kind == "Split":
            nodes[-1].output.append("rest")
    last = nodes[-1].output[0]
    channels, rank = CHANNELS_BEHIND.get(name, (CHANNELS, 4))
    if rank == 4:
        # Without a mixture of channels: what an operator gives to several of them is no longer independent.
        constants["tail"] = np.linspace(0.2, 2, channels, dtype=np.float32).reshape(-1, 1, 1, 1)
        nodes.append(drawing.node("Conv", [last, "tail"], "y", group=channels))
    else:
        nodes.append(drawing.node("Identity", [last], "y"))
    graph = drawing.helper.make_graph(
        nodes,
        "operator",
        [drawing.helper.make_tensor_value_info("x", drawing.TensorProto.FLOAT, SHAPE)],
        [drawing.onnx.ValueInfoProto(name="y")],
        [drawing.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    graph.output[0].type.tensor_type.elem_type = drawing.TensorProto.FLOAT
    model = drawing.helper.make_model(graph, opset_imports=[drawing.helper.make_opsetid("", 17)])
    model.ir_version = drawing.IR_VERSION
    return drawing.onnx.shape_inference.infer_shapes(model)


CHANNELS_BEHIND = {
    "convolution": (6, 4),
    "strided": (6, 4),
    "in groups": (16, 4),
    "deconvolution": (5, 4),
    "deconvolution in groups": (10, 4),
    "slice of channels": (3, 4),
    "gathered channels": (3, 4),
    "blocks to pixels": (2, 4),
    "columns to pixels": (2, 4),
    "split": (3, 4),
    "joined with itself": (16, 4),
    "product of matrices": (5, 0),
    "fully connected": (6, 2),
}


def values(name):
    """Return an input whose channels have means of their own; one for all in front of what knows no channels."""
    lowest = 1 if "relu" in name and name != "relu" else -1
    means = np.linspace(lowest, 1, CHANNELS).reshape(1, CHANNELS, 1, 1)
    return (np.random.default_rng(5).normal(0, 1, SHAPE) * 10 + 10 * means).astype(np.float32)


@pytest.mark.parametrize("is_even", [False, True], ids=["white", "even"])
@pytest.mark.parametrize("name", sorted(LATER))
def test_noise_behind_an_operator_is_as_large_as_its_rule_says(name, is_even):
    model, x = build(name), values(name)
    ranges = drawing.ranges_of(model, [{"x": x}])
    gain = NoiseGains(EditableGraph(model), ranges, "y", is_even).of_tensor("x")
    predicted = np.broadcast_to(gain * np.square(DEVIATIONS), SHAPE).sum()
    (before,) = drawing.run(model, {"x": x})
    small = 1e-2
    noise = sum(noise_behind(model, x, before, small * added) for added in added_noise(is_even)) / small**2
    measured = noise / float(np.square(before, dtype=np.float64).mean())
    # Borders without padding, which the rules do not look at, and the draws.
    assert predicted == pytest.approx(measured, rel=0.2)


def added_noise(is_even):
    """Return noise whose powers behind a network add up to that of one draw: white, or of one channel after another."""
    if is_even:
        return [np.where(np.arange(CHANNELS).reshape(1, -1, 1, 1) == c, DEVIATIONS, 0.0) for c in range(CHANNELS)]
    generator = np.random.default_rng(6)
    return [generator.normal(0, 1, SHAPE) * DEVIATIONS / np.sqrt(DRAWS) for _ in range(DRAWS)]


def noise_behind(model, x, before, added):
    (after,) = drawing.run(model, {"x": (x + added).astype(np.float32)})
    return float(np.square(after.astype(np.float64) - before).mean())
