"""A graph for several frames gives each of them what it gives for it alone, or is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.errors import GraphError, MissingDependencyError
from edge.runtime.onnxruntime import import_onnxruntime, open_session
from export.graph.batching import with_batch
from export.graph.float16 import to_float16
from tests.edge.runtime import tensorrt_stand_in as stand_in

RANDOM = np.random.default_rng(4)
FRAMES = RANDOM.integers(0, 256, (3, 8, 16, 3), np.uint8)


def graph_of(*nodes, constants=None, output="y", shape=(1, 3, 8, 16)):
    """Return a graph that starts with `planes`, (1, 3, 8, 16) float32, of a frame; the nodes give its output."""
    start = (
        helper.make_node("Cast", ["frame"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
    )
    drawn = helper.make_graph(
        [*start, *nodes],
        "test",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, (1, 8, 16, 3))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(drawn, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def plain_session(graph):
    """Return a session that rewrites nothing: how ONNX Runtime fuses depends on shapes, and moves the last digits."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def require_equal(graph, batch):
    alone, together = plain_session(graph), plain_session(with_batch(graph, batch))
    assert [value.shape[0] for value in (*together.get_inputs(), *together.get_outputs())] == [batch or "batch"] * (
        1 + len(alone.get_outputs())
    )
    for count in (3,) if batch else (1, 2, 3):
        results = together.run(None, {"frame": FRAMES[:count]})
        for index in range(count):
            for result, expected in zip(results, alone.run(None, {"frame": FRAMES[index : index + 1]})):
                np.testing.assert_array_equal(result[index : index + 1], expected)


NODES = {
    "resize by sizes": (
        [helper.make_node("Resize", ["planes", "", "", "sizes"], ["y"], mode="linear")],
        {"sizes": np.array([1, 3, 5, 23], np.int64)},
        (1, 3, 5, 23),
    ),
    "resize by scales": (
        [helper.make_node("Resize", ["planes", "", "scales"], ["y"], mode="nearest")],
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        (1, 3, 16, 32),
    ),
    "reshape with 1 in front": (
        [helper.make_node("Reshape", ["planes", "to"], ["y"])],
        {"to": np.array([1, 6, -1], np.int64)},
        (1, 6, 64),
    ),
    "reshape with -1 in front, matrices and back": (
        [
            helper.make_node("Reshape", ["planes", "to"], ["rows"]),
            helper.make_node("MatMul", ["weights", "rows"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["shares"], axis=1),
            helper.make_node("Transpose", ["rows"], ["columns"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["shares", "columns"], ["y"]),
        ],
        {"to": np.array([-1, 3, 128], np.int64), "weights": RANDOM.normal(0, 0.01, (5, 3)).astype(np.float32)},
        (1, 5, 3),
    ),
    "pooling, slices, sums and constants": (
        [
            helper.make_node("Slice", ["planes", "from", "to", "axes"], ["part"]),
            helper.make_node("ReduceMean", ["part"], ["mean"], axes=[2], keepdims=1),
            helper.make_node("GlobalAveragePool", ["planes"], ["pooled"]),
            helper.make_node("Squeeze", ["pooled", "last"], ["flat"]),
            helper.make_node("Gemm", ["flat", "matrix"], ["mixed"]),
            helper.make_node("Unsqueeze", ["mixed", "last"], ["unflat"]),
            helper.make_node("Add", ["mean", "unflat"], ["sum"]),
            helper.make_node("Mul", ["sum", "constant"], ["product"]),
            helper.make_node("Concat", ["product", "mean"], ["y"], axis=1),
        ],
        {
            "from": np.array([0, 1], np.int64),
            "to": np.array([2**31 - 1, 6], np.int64),
            "axes": np.array([0, 2], np.int64),
            "last": np.array([2, 3], np.int64),
            "matrix": RANDOM.normal(0, 1, (3, 3)).astype(np.float32),
            "constant": np.full((1, 3, 1, 1), 0.3, np.float32),
        },
        (1, 6, 1, 16),
    ),
}


@pytest.mark.parametrize("batch", [3, None])
@pytest.mark.parametrize("case", list(NODES))
def test_each_frame_of_a_batch_gives_what_it_gives_alone(case, batch):
    nodes, constants, shape = NODES[case]
    require_equal(graph_of(*nodes, constants=constants, shape=shape), batch)


@pytest.mark.parametrize("batch", [3, None])
@pytest.mark.parametrize("quantized", [False, True])
def test_graph_of_a_contract_with_and_without_pairs(batch, quantized):
    require_equal(stand_in.tiny_graph(quantized=quantized, extra_outputs=(("centre", 1),)), batch)


def test_graph_for_a_batch_can_still_become_float16():
    nodes, constants, shape = NODES["resize by sizes"]
    graph = graph_of(*nodes, constants=constants, shape=shape)
    expected = open_session(graph, threads=1).run(None, {"frame": FRAMES[:1]})[0]
    halved = open_session(to_float16(with_batch(graph, None)), threads=1)
    # float16 keeps 11 binary digits; pixels are up to 255.
    np.testing.assert_allclose(halved.run(None, {"frame": FRAMES[:1]})[0], expected, rtol=0, atol=255 * 2**-10)


REFUSED = {
    "moves the first axis": (
        [helper.make_node("Transpose", ["planes"], ["y"], perm=[1, 0, 2, 3])],
        {},
        (3, 1, 8, 16),
    ),
    "works along the first axis": ([helper.make_node("ReduceMean", ["planes"], ["y"], axes=[0])], {}, (1, 3, 8, 16)),
    "draws noise for one frame": (
        [
            helper.make_node("RandomUniform", [], ["noise"], shape=[1, 3, 8, 16]),
            helper.make_node("Add", ["planes", "noise"], ["y"]),
        ],
        {},
        (1, 3, 8, 16),
    ),
    "gives the first axis another size": (
        [helper.make_node("Reshape", ["planes", "to"], ["y"])],
        {"to": np.array([3, 8, 16], np.int64)},
        (3, 8, 16),
    ),
    "cuts the first axis": (
        [helper.make_node("Slice", ["planes", "from", "to", "axes"], ["y"])],
        {"from": np.array([0], np.int64), "to": np.array([1], np.int64), "axes": np.array([0], np.int64)},
        (1, 3, 8, 16),
    ),
    "is of an operator that no rule": (
        [helper.make_node("CumSum", ["planes", "axis"], ["y"])],
        {"axis": np.array(0, np.int64)},
        (1, 3, 8, 16),
    ),
}


def border_graph():
    return graph_of(
        helper.make_node("Concat", ["planes", "border"], ["y"], axis=2),
        constants={"border": RANDOM.normal(0, 1, (1, 3, 1, 16)).astype(np.float32)},
        shape=(1, 3, 9, 16),
    )


def test_each_frame_is_joined_with_its_own_copy_of_a_constant():
    require_equal(border_graph(), 3)
    with pytest.raises(GraphError, match="joins frames with a constant"):
        with_batch(border_graph(), None)


@pytest.mark.parametrize("reason", list(REFUSED))
@pytest.mark.parametrize("batch", [2, None])
def test_node_that_works_across_frames_is_refused(reason, batch):
    nodes, constants, shape = REFUSED[reason]
    with pytest.raises(GraphError, match=f"cannot take several frames in a call: .*{reason}") as caught:
        with_batch(graph_of(*nodes, constants=constants, shape=shape), batch)
    assert "\n" not in str(caught.value)


def test_output_that_is_the_same_for_all_frames_is_refused():
    graph = graph_of(
        helper.make_node("Identity", ["c"], ["y"]), constants={"c": np.zeros((1, 2), np.float32)}, shape=(1, 2)
    )
    with pytest.raises(GraphError, match="output y does not depend on the input"):
        with_batch(graph, 2)


def test_graph_that_takes_several_frames_already_is_refused():
    with pytest.raises(GraphError, match=r"input frame has the shape \(2, 8, 16, 3\), expected a first size of 1"):
        with_batch(stand_in.tiny_graph(batch=2), 4)


def test_damaged_graph_and_missing_onnx_are_named(monkeypatch):
    with pytest.raises(GraphError, match="truncated or not ONNX"):
        with_batch(b"\xff\xff", 2)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        with_batch(b"", 2)
