"""Which reads get a Q/DQ pair, whose range it takes, and why a layer stays in float."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto

from calibration.onnx_graph.graph import OnnxGraph
from calibration.qdq.placement import HOSTILE_RATIO, Placement
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.record import Ranges, TensorRange
from tests.calibration import graph_drawing as drawing

FORMS = ("tensorrt", "onnxruntime")
SHAPE = (1, 4, 8, 8)
FLOAT = TensorProto.FLOAT
HALF_PIXEL = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def weights(out=4, channels=4, size=1):
    return np.full((out, channels, size, size), 0.5, np.float32)


def ranges(**thresholds):
    """Return Ranges of tensors, by the largest magnitude of each, the same for every method."""
    tensors = {
        name: TensorRange(0.0, value, dict.fromkeys(drawing.CALIBRATION_METHODS, value))
        for name, value in thresholds.items()
    }
    return Ranges("0" * 64, "1" * 64, 1, "test frames", "none", "2" * 64, tensors)


def placed(nodes, constants, outputs, thresholds, form, **choices):
    """Return the placement of a graph whose inputs and outputs have one shape, or those that outputs says."""
    outputs = outputs if isinstance(outputs, dict) else dict.fromkeys(outputs, SHAPE)
    model = drawing.make_model(
        nodes,
        constants,
        {"x": (SHAPE, FLOAT)},
        {name: (shape, FLOAT) for name, shape in outputs.items()},
    )
    return Placement(OnnxGraph(model), ranges(**thresholds), QuantizationConfig("min-max", **choices), form)


def three_layers(form, second_kernel=3, **choices):
    """Return the placement of x -> a -> relu -> b -> c, the network's output; b has a kernel of its own."""
    pads = [second_kernel // 2] * 4
    nodes = [
        drawing.node("Conv", ["x", "w"], "a"),
        drawing.node("Relu", ["a"], "a_relu"),
        drawing.node("Conv", ["a_relu", "v"], "b", pads=pads),
        drawing.node("Conv", ["b", "w"], "c"),
    ]
    constants = {"w": weights(), "v": weights(size=second_kernel)}
    return placed(nodes, constants, ["c"], {"x": 1.0, "a_relu": 2.0, "b": 3.0, "c": 4.0}, form, **choices)


# Why a layer stays in float


@pytest.mark.parametrize("form", FORMS)
def test_plain_network_has_no_float_layer(form):
    assert three_layers(form).float_reasons == {}


@pytest.mark.parametrize("form", FORMS)
def test_layer_that_is_asked_for_stays_float_with_its_reason_and_reads_no_pair(form):
    placement = three_layers(form, float_layers={"b": "too sensitive"})
    assert placement.float_reasons["b"] == "too sensitive"
    assert ("b", 0) not in placement.reads and ("c", 0) in placement.reads


def test_convolution_before_a_float_layer_stays_float_on_onnxruntime_unless_it_is_pointwise():
    choices = {"float_layers": {"c": "asked for"}}
    assert three_layers("tensorrt", **choices).float_reasons == {"c": "asked for"}
    assert three_layers("onnxruntime", second_kernel=1, **choices).float_reasons == {"c": "asked for"}
    assert three_layers("onnxruntime", second_kernel=3, **choices).float_reasons == {
        "b": "its output is read in float by c",
        "c": "asked for",
    }


@pytest.mark.parametrize("form", FORMS)
def test_classifier_in_float_is_the_last_weighted_layer(form):
    placement = three_layers(form, second_kernel=1, classifier="float")
    assert placement.float_reasons == {"c": "classifier: asked for"}


def test_output_of_a_wide_kernel_is_float_on_onnxruntime():
    nodes = [drawing.node("Conv", ["x", "w"], "a", pads=[1, 1, 1, 1])]
    arguments = nodes, {"w": weights(size=3)}, ["a"], {"x": 1.0, "a": 1.0}
    assert placed(*arguments, "onnxruntime").float_reasons == {"a": "its output is the network's, which is float"}
    assert placed(*arguments, "tensorrt").float_reasons == {}


@pytest.mark.parametrize("form", FORMS)
def test_layer_without_a_range_or_a_constant_weight_says_so(form):
    nodes = [drawing.node("Conv", ["x", "w"], "a"), drawing.node("MatMul", ["a", "x"], "b")]
    placement = placed(nodes, {"w": weights()}, ["b"], {"a": 1.0}, form)
    assert placement.float_reasons == {"a": "its input has no range", "b": "its weight is computed, not constant"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shape", "result"), [((8,), (1, 4, 8)), ((1, 4, 8, 8), SHAPE), ((1, 8, 8), SHAPE)])
def test_matrix_product_with_a_weight_that_is_no_matrix_stays_float(form, shape, result):
    nodes = [drawing.node("MatMul", ["x", "w"], "y")]
    placement = placed(nodes, {"w": np.ones(shape, np.float32)}, {"y": result}, {"x": 1.0}, form)
    assert placement.float_reasons == {"y": f"its weight has shape {shape}, expected (in, out)"}
    assert placement.reads == set()


def test_operators_without_an_integer_kernel_say_so():
    nodes = [drawing.node("ConvTranspose", ["x", "w"], "a")]
    arguments = nodes, {"w": weights()}, ["a"], {"x": 1.0}
    assert placed(*arguments, "tensorrt").float_reasons == {}
    assert placed(*arguments, "onnxruntime").float_reasons == {"a": "ONNX Runtime has no INT8 kernel for ConvTranspose"}


def test_convtranspose_in_groups_stays_float_in_tensorrt_form():
    nodes = [drawing.node("ConvTranspose", ["x", "w"], "a", group=4)]
    placement = placed(nodes, {"w": weights(4, 1)}, ["a"], {"x": 1.0}, "tensorrt")
    assert placement.float_reasons == {"a": "a ConvTranspose in groups has no channel of its own per scale"}


# Shared scales


def joined(form, left, right, **choices):
    """Return the placement of two branches, of given ranges, that a Concat joins in front of a layer."""
    nodes = [
        drawing.node("Conv", ["x", "w"], "a"),
        drawing.node("Conv", ["x", "w"], "b"),
        drawing.node("Concat", ["a", "b"], "ab", axis=1),
        drawing.node("Conv", ["ab", "v"], "c"),
        drawing.node("Conv", ["a", "w"], "d"),
        drawing.node("Conv", ["b", "w"], "e"),
    ]
    thresholds = {"x": 1.0, "a": left, "b": right, "ab": max(left, right)}
    return placed(nodes, {"w": weights(), "v": weights(4, 8)}, ["c", "d", "e"], thresholds, form, **choices)


def test_branches_of_a_concat_share_the_largest_range_in_tensorrt_form():
    placement = joined("tensorrt", 2.0, 3.0)
    assert [placement.threshold(name) for name in ("a", "b", "ab", "x")] == [3.0, 3.0, 3.0, 1.0]


def test_branches_that_differ_by_more_than_the_hostile_ratio_keep_their_own_scales():
    at_ratio = joined("tensorrt", 1.0, HOSTILE_RATIO)
    assert [at_ratio.threshold(name) for name in ("a", "b", "ab")] == [HOSTILE_RATIO] * 3
    above = joined("tensorrt", 1.0, 1.01 * HOSTILE_RATIO)
    assert [above.threshold(name) for name in ("a", "b", "ab")] == [1.0, 1.01 * HOSTILE_RATIO, 1.01 * HOSTILE_RATIO]


def test_branches_keep_their_own_scales_on_onnxruntime():
    placement = joined("onnxruntime", 2.0, 3.0)
    assert [placement.threshold(name) for name in ("a", "b", "ab")] == [2.0, 3.0, 3.0]


def resized(form, kernel=1, **choices):
    """Return the placement of a layer that reads the interpolation of another's output."""
    nodes = [
        drawing.node("Conv", ["x", "v"], "a", pads=[kernel // 2] * 4),
        drawing.node("Resize", ["a", "", "", "sizes"], "large", **HALF_PIXEL),
        drawing.node("Conv", ["large", "w"], "b"),
    ]
    constants = {"w": weights(), "v": weights(size=kernel), "sizes": np.array([1, 4, 16, 16], np.int64)}
    thresholds = {"x": 1.0, "a": 3.0, "large": 2.5}
    return placed(nodes, constants, {"b": (1, 4, 16, 16)}, thresholds, form, **choices)


@pytest.mark.parametrize("form", FORMS)
def test_resize_in_int8_has_one_scale_on_both_sides(form):
    placement = resized(form)
    assert {("large", 0), ("b", 0)} <= placement.reads
    assert placement.threshold("large") == placement.threshold("a") == 3.0


def test_resize_in_float_reads_no_pair_and_gives_its_own_range_in_tensorrt_form():
    placement = resized("tensorrt", resize="float")
    assert ("large", 0) not in placement.reads and ("b", 0) in placement.reads
    assert placement.threshold("large") == 2.5


def test_resize_in_float_reads_what_was_not_rounded_and_gives_its_own_range_on_onnxruntime():
    placement = resized("onnxruntime", resize="float")
    assert placement.reads == {("a", 0), ("b", 0)}
    assert placement.threshold("large") == 2.5
    assert placement.float_reasons == {}  # a product of integers gives float


def test_wide_convolution_in_front_of_a_resize_in_float_stays_float_on_onnxruntime():
    reason = "its output is read in float by large"
    assert resized("onnxruntime", kernel=3, resize="float").float_reasons == {"a": reason}
    assert resized("onnxruntime", kernel=3).float_reasons == {}
    assert resized("tensorrt", kernel=3, resize="float").float_reasons == {}


def test_resize_of_what_something_else_reads_in_float_too_stays_float():
    nodes = [
        drawing.node("Resize", ["x", "", "", "sizes"], "large", **HALF_PIXEL),
        drawing.node("Conv", ["large", "w"], "a"),
        drawing.node("Sigmoid", ["large"], "b"),
    ]
    constants = {"w": weights(), "sizes": np.array([1, 4, 16, 16], np.int64)}
    outputs = {"a": (1, 4, 16, 16), "b": (1, 4, 16, 16)}
    placement = placed(nodes, constants, outputs, {"x": 1.0, "large": 1.0}, "tensorrt")
    assert placement.reads == {("a", 0)}


# Concats that ONNX Runtime stores


def means_joined(reader_of_means="Conv"):
    """Return a placement of four means of a layer's output, joined twice, as pooling in bins by slices does it."""
    constants = {"w": weights(), "axis": np.array([2], np.int64)}
    nodes = [drawing.node("Conv", ["x", "w"], "a"), drawing.node("Relu", ["a"], "relu")]
    for index, (start, stop) in enumerate(((0, 4), (4, 8))):
        constants.update({f"start{index}": np.array([start], np.int64), f"stop{index}": np.array([stop], np.int64)})
        names = ["relu", f"start{index}", f"stop{index}", "axis"]
        nodes.append(drawing.node("Slice", names, f"part{index}"))
        nodes.append(drawing.node("ReduceMean", [f"part{index}"], f"mean{index}", axes=[2]))
    nodes.append(drawing.node("Concat", ["mean0", "mean1"], "bins", axis=2))
    nodes.append(drawing.node("Conv", ["bins", "w"], "y"))
    tensors = ("x", "relu", "part0", "part1", "mean0", "mean1", "bins")
    return placed(nodes, constants, {"y": (1, 4, 2, 8)}, dict.fromkeys(tensors, 1.0), "onnxruntime")


def test_concat_of_what_no_integer_kernel_makes_is_rounded_once_behind_it():
    reads = means_joined().reads
    assert ("y", 0) in reads
    assert not {("bins", 0), ("bins", 1), ("mean0", 0), ("mean1", 0)} & reads
    assert {("part0", 0), ("part1", 0)} <= reads  # of the convolution, which gives integers


@pytest.mark.parametrize("part", ["conv", "relu", "same", "relu_same"])
def test_concat_with_a_part_that_an_integer_kernel_makes_is_stored(part):
    sizes = ["", "", "sizes"]
    nodes = [
        drawing.node("Conv", ["x", "w"], "conv"),
        drawing.node("Relu", ["conv"], "relu"),
        drawing.node("Resize", ["conv", *sizes], "same", **HALF_PIXEL),
        drawing.node("Resize", ["relu", *sizes], "relu_same", **HALF_PIXEL),
        drawing.node("Sigmoid", ["x"], "other"),
        drawing.node("Concat", [part, "other"], "joined", axis=1),
        drawing.node("Conv", ["joined", "v"], "y"),
    ]
    constants = {"w": weights(), "v": weights(4, 8), "sizes": np.array(SHAPE, np.int64)}
    # As they are collected: a convolution that a Relu alone reads has no range of its own.
    known = ["x", "relu", "same", "relu_same", "other", "joined", *(["conv"] if part == "conv" else [])]
    reads = placed(nodes, constants, ["y"], dict.fromkeys(known, 1.0), "onnxruntime").reads
    assert {("joined", 0), ("joined", 1), ("y", 0)} <= reads


def test_deconvolution_whose_result_is_stored_is_float_all_the_same():
    nodes = [
        drawing.node("Conv", ["x", "w"], "a"),
        drawing.node("ConvTranspose", ["a", "w"], "b"),
        drawing.node("Concat", ["a", "b"], "ab", axis=1),
        drawing.node("Conv", ["ab", "v"], "c"),
    ]
    constants = {"w": weights(), "v": weights(4, 8)}
    placement = placed(nodes, constants, ["c"], dict.fromkeys(("x", "a", "b", "ab"), 1.0), "onnxruntime")
    assert placement.float_reasons == {"b": "ONNX Runtime has no INT8 kernel for ConvTranspose"}
