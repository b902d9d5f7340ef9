"""Channels that have to share a factor have one number; those that nothing may scale are pinned."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from calibration.onnx_graph.channel_flow import PINNED, ChannelFlow
from calibration.onnx_graph.graph import OnnxGraph
from tests.calibration import graph_drawing as drawing
from tests.calibration.graph_drawing import TensorProto, node

SIZE, CHANNELS = 4, 8
FILTER = np.ones((CHANNELS, 3, 1, 1), np.float32)


def flow_of(nodes, constants=None, outputs=()):
    """Return the flow of x -> first and second (8 channels each) -> the nodes -> y, whose values nobody reads."""
    before = [node("Conv", ["x", "filter"], name) for name in ("first", "second")]
    made = drawing.make_model(
        [*before, *nodes, node("Shape", ["y"], "sizes")],
        {"filter": FILTER, **(constants or {})},
        {"x": ((1, 3, SIZE, SIZE), TensorProto.FLOAT)},
        {"sizes": ([None], TensorProto.INT64), **dict.fromkeys(outputs, ([None] * 4, TensorProto.FLOAT))},
    )
    return ChannelFlow(OnnxGraph(made))


def integers(*values):
    return np.array(values, np.int64)


FILLED = {
    "axes": integers(1),
    "half": integers(4),
    "all": integers(99),
    "groups": integers(1, 2, 4, SIZE, SIZE),
    "whole": integers(1, 8, SIZE, SIZE),
    "order": integers(7, 0, 0),
    "pads": integers(0, 0, 1, 1, 0, 0, 1, 1),
    "thicker": integers(0, 1, 0, 0, 0, 0, 0, 0),
    "seven": np.float32(7),
    "empty": np.zeros(0, np.float32),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "each": np.arange(1, 9, dtype=np.float32).reshape(8, 1, 1),
    "shared": np.full((1, 1, 1), 2, np.float32),
}

CARRIED = {
    "Relu": [node("Relu", ["first"], "y")],
    "PRelu": [node("PRelu", ["first", "each"], "y")],
    "MaxPool": [node("MaxPool", ["first"], "y", kernel_shape=[2, 2])],
    "GlobalAveragePool": [node("GlobalAveragePool", ["first"], "y")],
    "ReduceMean": [node("ReduceMean", ["first"], "y", axes=[2, 3])],
    "Resize": [node("Resize", ["first", "empty", "twice"], "y", mode="linear")],
    "Pad": [node("Pad", ["first", "pads"], "y")],
    "Pad that mirrors": [node("Pad", ["first", "pads"], "y", mode="reflect")],
    "factor for all": [node("Mul", ["shared", "first"], "y")],
    "offset": [node("Add", ["first", "each"], "y")],
    "there and back": [
        node("Transpose", ["first"], "t", perm=[0, 2, 3, 1]),
        node("Transpose", ["t"], "y", perm=[0, 3, 1, 2]),
    ],
    "gate": [node("Sigmoid", ["second"], "gate"), node("Mul", ["gate", "first"], "y")],
}


@pytest.mark.parametrize("kind", CARRIED)
def test_operator_hands_factors_on(kind):
    flow = flow_of(CARRIED[kind], FILLED)
    np.testing.assert_array_equal(flow.planes_of("y"), flow.planes_of("first"))
    assert len(set(flow.planes_of("y")) - {PINNED}) == CHANNELS


BLOCKED = {
    "Sigmoid": [node("Sigmoid", ["first"], "y")],
    "Clip": [node("Clip", ["first", "", "seven"], "y")],
    "Pad of ones": [node("Pad", ["first", "pads", "seven"], "y")],
    "Pad of channels": [node("Pad", ["first", "thicker"], "y")],
    "mean of channels": [node("ReduceMean", ["first"], "y", axes=[1])],
    "product of two": [node("Mul", ["first", "second"], "y")],
    "square": [node("Mul", ["first", "first"], "y")],
    "reciprocal": [node("Div", ["shared", "first"], "y")],
    "divisor": [node("Div", ["second", "first"], "y")],
    "Softmax": [node("Softmax", ["first"], "y", axis=1)],
}


@pytest.mark.parametrize("kind", BLOCKED)
def test_operator_that_is_not_homogeneous_pins_what_it_reads(kind):
    flow = flow_of(BLOCKED[kind], FILLED)
    assert flow.numbers_of("first") is None
    assert flow.numbers_of("y") is None


def test_operator_of_another_domain_pins_what_it_reads():
    model = drawing.make_model(
        [node("Conv", ["x", "filter"], "first"), node("Conv", ["first", "other"], "y")],
        {"filter": FILTER, "other": np.ones((2, 8, 1, 1), np.float32)},
        {"x": ((1, 3, SIZE, SIZE), TensorProto.FLOAT)},
        {"y": ([None] * 4, TensorProto.FLOAT)},
    )
    assert ChannelFlow(OnnxGraph(model)).numbers_of("first") is not None
    foreign = drawing.with_operator(model, "Relu", "com.example", behind="first")
    assert ChannelFlow(OnnxGraph(foreign, lenient=True)).numbers_of("first") is None


def test_sum_joins_channel_by_channel():
    flow = flow_of([node("Add", ["first", "second"], "y")])
    first, second = flow.planes_of("first"), flow.planes_of("second")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(flow.planes_of("y"), first)
    assert len(set(first)) == CHANNELS


def test_concat_keeps_channels_apart_and_those_of_the_image_pinned():
    flow = flow_of([node("Concat", ["first", "x", "second"], "y", axis=1)])
    numbers = flow.planes_of("y")
    assert numbers.tolist() == [*flow.planes_of("first"), *[PINNED] * 3, *flow.planes_of("second")]
    assert len(set(numbers)) == 2 * CHANNELS + 1


def test_concat_of_rows_joins_channels():
    flow = flow_of([node("Concat", ["first", "second"], "y", axis=2)])
    np.testing.assert_array_equal(flow.planes_of("first"), flow.planes_of("second"))
    assert len(set(flow.planes_of("y"))) == CHANNELS


def test_shuffle_is_followed():
    nodes = [
        node("Reshape", ["first", "groups"], "apart"),
        node("Transpose", ["apart"], "turned", perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["turned", "whole"], "y"),
    ]
    flow = flow_of(nodes, FILLED)
    np.testing.assert_array_equal(flow.planes_of("y"), flow.planes_of("first").reshape(2, 4).T.reshape(-1))


def test_slices_split_and_chosen_channels_are_followed():
    nodes = [
        node("Slice", ["first", "half", "all", "axes"], "later"),
        node("Gather", ["first", "order"], "chosen", axis=1),
        drawing.helper.make_node("Split", ["second"], ["left", "right"], axis=1),
        node("Concat", ["later", "chosen", "right"], "y", axis=1),
    ]
    flow = flow_of(nodes, FILLED)
    first, second = flow.planes_of("first"), flow.planes_of("second")
    assert flow.planes_of("y").tolist() == [*first[4:], *first[[7, 0, 0]], *second[4:]]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_that_become_places_of_one_channel_share_a_factor(mode):
    flow = flow_of([node("DepthToSpace", ["first"], "y", blocksize=2, mode=mode)])
    first = flow.planes_of("first")
    pairs = first.reshape(4, 2) if mode == "DCR" else first.reshape(2, 4).T
    np.testing.assert_array_equal(pairs, np.broadcast_to(flow.planes_of("y"), (4, 2)))
    assert len(set(first)) == 2


def test_flat_values_have_the_number_of_their_channel():
    flow = flow_of([node("Flatten", ["first"], "y")])
    np.testing.assert_array_equal(flow.numbers_of("y"), flow.planes_of("first").repeat(SIZE * SIZE).reshape(1, -1))


def test_layer_with_weights_separates_what_it_reads_from_what_it_gives():
    constants = {
        "deep": np.ones((8, 1, 1, 1), np.float32),
        "up": np.ones((8, 4, 2, 2), np.float32),
        **{name: np.ones(4, np.float32) for name in ("g", "b", "m", "v")},
    }
    nodes = [
        node("Conv", ["first", "deep"], "depthwise", group=8),
        node("ConvTranspose", ["depthwise", "up"], "larger", strides=[2, 2]),
        node("BatchNormalization", ["larger", "g", "b", "m", "v"], "normal"),
        node("Relu", ["normal"], "y"),
    ]
    flow = flow_of(nodes, constants)
    numbers = [set(flow.planes_of(name)) for name in ("first", "depthwise", "larger", "y")]
    assert [len(some) for some in numbers] == [8, 8, 4, 4]
    assert len(set.union(*numbers)) == 24
    assert [end.node.name for end in flow.ends] == ["first", "second", "depthwise", "larger", "normal"]


def test_weight_that_is_computed_pins_both_sides():
    nodes = [node("Neg", ["raw"], "weight"), node("Conv", ["first", "weight"], "y")]
    flow = flow_of(nodes, {"raw": np.ones((2, 8, 1, 1), np.float32)})
    assert flow.numbers_of("first") is None and flow.numbers_of("y") is None


def test_output_of_the_graph_is_pinned():
    flow = flow_of([node("Relu", ["first"], "y"), node("Relu", ["second"], "z")], outputs=["z"])
    assert flow.numbers_of("second") is None
    assert flow.numbers_of("first") is not None
