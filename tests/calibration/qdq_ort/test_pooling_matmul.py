"""Means over bins are what they were when two products make them, and other chains stay as they are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto

from calibration.onnx_graph.editable import EditableGraph
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.pooling_matmul import MOST_BINS, pool_as_matmul
from tests.calibration import graph_drawing as drawing

SHAPE = (1, 3, 10, 14)
FLOAT = TensorProto.FLOAT


class Bins:
    """Draws the nodes of a pooling, one tensor after the other."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, *values):
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(values, np.int64)
        return name

    def add(self, kind, inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(drawing.node(kind, inputs, name, **attributes))
        return name

    def cut(self, tensor, axis, start, end):
        return self.add("Slice", [tensor, self.constant(start), self.constant(end), self.constant(axis)])

    def mean(self, tensor, *axes):
        return self.add("ReduceMean", [tensor], axes=list(axes))

    def pool(self, tensor, axis, edges):
        parts = [self.mean(self.cut(tensor, axis, *edge), axis) for edge in edges]
        return self.add("Concat", parts, axis=axis)

    def model(self, shape, result="y"):
        self.nodes[-1].output[0] = result
        return drawing.make_model(self.nodes, self.constants, {"x": (SHAPE, FLOAT)}, {result: (shape, FLOAT)})


ROWS, COLUMNS = [(0, 4), (3, 7), (6, 10)], [(0, 7), (7, 14)]


def pyramid():
    """Return x pooled to 3 x 2 bins that overlap: 2 * 3 + 1 + 2 * 2 + 1 nodes."""
    bins = Bins()
    bins.pool(bins.pool("x", 2, ROWS), 3, COLUMNS)
    return bins.model((1, 3, 3, 2))


def changed(model):
    """Return a copy after the rewrite, and the names of the tensors that products make."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = pool_as_matmul(EditableGraph(copy, lenient=True))
    onnx.checker.check_model(copy, full_check=True)
    return copy, names


def same(model, other):
    """Compare what two graphs make of random values."""
    x = np.random.default_rng(1).normal(0, 1, SHAPE).astype(np.float32)
    for expected, found in zip(drawing.run(model, {"x": x}), drawing.run(other, {"x": x})):
        # Sums of at most 140 float32 in another order.
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_pyramid_becomes_two_products():
    model = pyramid()
    result, names = changed(model)
    assert names == ("y",)
    assert [node.op_type for node in result.graph.node] == ["MatMul", "MatMul"]
    same(model, result)


def test_slices_that_are_only_joined_stay_although_there_are_means_elsewhere():
    bins = Bins()
    swapped = bins.add("Concat", [bins.cut("x", 2, 5, 10), bins.cut("x", 2, 0, 5)], axis=2)
    bins.mean(swapped, 1)  # over channels, which is no pooling
    model = bins.model((1, 1, 10, 14))
    result, names = changed(model)
    assert names == ()
    assert [node.op_type for node in result.graph.node] == [node.op_type for node in model.graph.node]


def test_columns_pooled_first_are_the_same():
    bins = Bins()
    bins.pool(bins.pool("x", 3, COLUMNS), 2, ROWS)
    model = bins.model((1, 3, 3, 2))
    result, names = changed(model)
    assert names == ("y",)
    same(model, result)


def test_mean_of_everything_and_of_one_axis():
    bins = Bins()
    bins.mean(bins.mean("x", 2), 3)
    model = bins.model((1, 3, 1, 1))
    result, names = changed(model)
    assert names == ("y",)
    same(model, result)
    bins = Bins()
    bins.pool("x", -1, COLUMNS)
    model = bins.model((1, 3, 10, 2))
    result, _ = changed(model)
    assert [node.op_type for node in result.graph.node] == ["MatMul"]
    same(model, result)


def test_slices_that_name_whole_axes_too_count():
    bins = Bins()
    parts = []
    for start, end in ROWS:
        inputs = ["x", bins.constant(0, start), bins.constant(2**31 - 1, end), bins.constant(0, 2)]
        parts.append(bins.mean(bins.add("Slice", inputs), 2))
    bins.add("Concat", parts, axis=2)
    model = bins.model((1, 3, 3, 14))
    result, names = changed(model)
    assert names == ("y",)
    same(model, result)


def test_part_that_something_else_reads_stays():
    model = pyramid()
    model.graph.node.append(drawing.node("Neg", ["t1"], "z"))  # the mean of the first bin of rows
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", FLOAT, (1, 3, 1, 14)))
    result, names = changed(model)
    assert set(names) == {"t1", "y"}
    assert not {"Slice", "Concat", "ReduceMean"} & {node.op_type for node in result.graph.node}
    same(model, result)


def other_channels():
    bins = Bins()
    bins.mean(bins.mean(bins.cut("x", 1, 0, 2), 2), 3)
    return bins.model((1, 2, 1, 1))


def channel_means():
    bins = Bins()
    bins.mean(bins.mean("x", 1), 2)
    return bins.model((1, 1, 1, 14))


def slices_alone():
    bins = Bins()
    bins.add("Concat", [bins.cut("x", 2, 0, 4), bins.cut("x", 2, 6, 10)], axis=2)
    return bins.model((1, 3, 8, 14))


def two_sources():
    bins = Bins()
    first = bins.mean(bins.cut("x", 2, 0, 4), 2)
    second = bins.mean(bins.cut(bins.add("Exp", ["x"]), 2, 4, 10), 2)
    bins.add("Concat", [first, second], axis=2)
    return bins.model((1, 3, 2, 14))


def unequal_columns():
    bins = Bins()
    left = bins.mean(bins.cut(bins.cut("x", 2, 0, 4), 3, 0, 7), 2)
    right = bins.mean(bins.cut(bins.cut("x", 2, 0, 4), 3, 7, 14), 2)
    bins.add("Concat", [left, right], axis=2)
    return bins.model((1, 3, 2, 7))


@pytest.mark.parametrize("drawn", [two_sources, unequal_columns])
def test_concat_of_what_does_not_belong_together_stays(drawn):
    model = drawn()
    result, names = changed(model)
    assert "y" not in names
    assert Counter(node.op_type for node in result.graph.node)["Concat"] == 1
    same(model, result)


@pytest.mark.parametrize("drawn", [channel_means, slices_alone])
def test_chains_that_are_no_pooling_stay(drawn):
    model = drawn()
    result, names = changed(model)
    assert names == ()
    assert [node.op_type for node in result.graph.node] == [node.op_type for node in model.graph.node]


def test_slice_of_channels_is_where_a_chain_starts():
    model = other_channels()
    result, names = changed(model)
    assert names == ("y",)
    assert [node.op_type for node in result.graph.node] == ["Slice", "MatMul", "MatMul"]
    same(model, result)


def test_more_bins_than_pay_off_stay():
    bins = Bins()
    bins.pool("x", 3, [(0, 1 + index % 14) for index in range(MOST_BINS + 1)])
    model = bins.model((1, 3, 10, MOST_BINS + 1))
    result, names = changed(model)
    assert "y" not in names
    same(model, result)


@pytest.mark.parametrize("activation", ["Relu", "Gelu"])
def test_onnxruntime_form_pools_by_products_and_tensorrt_form_by_means(activation):
    """Behind a convolution, with the pool read by a convolution, as in a network; Gelu is ONNX Runtime's own."""
    model = pyramid()
    weight = np.random.default_rng(2).normal(0, 1, (3, 3, 1, 1)).astype(np.float32)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = "relu" if name == "x" else name
    nodes = [
        drawing.node("Conv", ["x", "w"], "stem"),
        drawing.node("Relu", ["stem"], "relu"),
        *model.graph.node,
        drawing.node("Conv", ["y", "w"], "logits"),
    ]
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    network = drawing.make_model(
        nodes, {**constants, "w": weight}, {"x": (SHAPE, FLOAT)}, {"logits": ((1, 3, 3, 2), FLOAT)}
    )
    if activation == "Gelu":
        network = drawing.with_operator(network, "Gelu", "com.microsoft", behind="relu")
    generator = np.random.default_rng(3)
    feeds = [{"x": generator.normal(0, 1, SHAPE).astype(np.float32)} for _ in range(2)]
    ranges = drawing.ranges_of(network, feeds)
    expected = drawing.run(network, feeds[0])[0]
    for form, pools in (("onnxruntime", 0), ("tensorrt", 5)):
        result = quantize(network, ranges, QuantizationConfig("min-max"), form)
        counts = Counter(node.op_type for node in onnx.load_model_from_string(result.data).graph.node)
        assert counts["ReduceMean"] == pools
        assert [layer.name for layer in result.layers] == ["stem", "logits"]
        # Three roundings of 1/127 to 1/255 of a range.
        assert np.abs(drawing.run(result.data, feeds[0])[0] - expected).max() < 0.03 * np.ptp(expected)
