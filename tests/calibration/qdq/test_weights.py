"""Weights as int8: scales per channel, clipping that pays, and channels that have nothing to scale."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from calibration.qdq import weights
from calibration.qdq.weights import CLIPPING_RATIOS, quantize_weight, weight_scales
from edge.errors import GraphError, InputError

GENERATOR = np.random.default_rng(3)
KINDS = {"conv": ((6, 4, 3, 3), 0), "transposed": ((4, 6, 2, 2), 1), "gemm": ((5, 7), 0), "gemm as it is": ((7, 5), 1)}
TINY = np.finfo(np.float32).tiny


def normal(*shape):
    return GENERATOR.normal(0, 0.1, shape).astype(np.float32)


def with_outliers():
    """(8, 4096) float32 whose channels have tails of different length."""
    return np.stack([GENERATOR.standard_t(2 + index, 4096) for index in range(8)]).astype(np.float32)


def rows(weight, axis):
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)


def squared_error(weight, axis, scales):
    steps = scales.astype(np.float64)[:, np.newaxis]
    values = rows(weight, axis)
    return ((values - np.clip(np.rint(values / steps), -127, 127) * steps) ** 2).sum(1)


@pytest.mark.parametrize("method", ["max", "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_scale_for_each_channel_of_the_axis(kind, method):
    shape, axis = KINDS[kind]
    scales = weight_scales(normal(*shape), axis, method)
    assert (scales.shape, scales.dtype) == ((shape[axis],), np.float32)
    assert len(set(scales)) == shape[axis]


@pytest.mark.parametrize("kind", KINDS)
def test_unclipped_channel_reaches_127_and_rounds_to_half_a_step(kind):
    shape, axis = KINDS[kind]
    weight = normal(*shape)
    scales = weight_scales(weight, axis, "max")
    np.testing.assert_allclose(scales, np.abs(rows(weight, axis)).max(1) / 127, rtol=1e-6)
    integers = quantize_weight(weight, axis, scales)
    assert (integers.shape, integers.dtype) == (shape, np.int8)
    assert np.abs(rows(integers, axis)).max(1).tolist() == [127] * shape[axis]
    errors = np.abs(rows(integers, axis) * scales[:, np.newaxis] - rows(weight, axis))
    # Half a step, and the rounding of a float32 division at 127 steps.
    assert (errors <= 0.5001 * scales[:, np.newaxis]).all()


def test_integers_stay_symmetric_where_weights_are_clipped():
    weight = np.array([[-9.0, 9.0, 0.5, 1.5]], np.float32)
    assert quantize_weight(weight, 0, np.array([1.0], np.float32) / 127).tolist() == [[-127, 127, 64, 127]]
    # Halves go to the even step, as in QuantizeLinear.
    assert quantize_weight(weight, 0, np.array([1.0], np.float32)).tolist() == [[-9, 9, 0, 2]]


@pytest.mark.parametrize("axis", [0, 1])
def test_clipping_is_the_best_of_all_ratios_for_each_channel(axis):
    weight = np.ascontiguousarray(np.moveaxis(with_outliers(), 0, axis))
    largest = np.abs(rows(weight, axis)).max(1)
    tried = [squared_error(weight, axis, (largest * ratio / 127).astype(np.float32)) for ratio in CLIPPING_RATIOS]
    scales = weight_scales(weight, axis, "mse")
    # The search sums in float32: of ratios whose errors differ by less than 1e-4, either may win.
    assert (squared_error(weight, axis, scales) <= np.min(tried, axis=0) * (1 + 1e-4)).all()
    assert len(set(np.round(scales / (largest / 127), 3))) > 1
    assert CLIPPING_RATIOS[0] == 1.0
    assert CLIPPING_RATIOS[-1] == 0.5


def test_clipping_one_outlier_lowers_the_error_of_all_others():
    weight = np.random.default_rng(6).uniform(-1, 1, (2, 65536)).astype(np.float32)
    weight[1, 7] = 2.0
    unclipped, clipped = (squared_error(weight, 0, weight_scales(weight, 0, method)) for method in ("max", "mse"))
    # Rounding costs 65536 (2 r / 127)^2 / 12 and clipping (2 - 2 r)^2: 1.35 at r = 1, 1.02 at the best r of 0.75.
    assert clipped[1] < 0.8 * unclipped[1]
    assert clipped[0] == pytest.approx(unclipped[0], rel=0.01)


def test_channel_of_equal_magnitudes_is_not_clipped():
    weight = np.array([[1, -1, 1, -1], [3, 3, 3, -3]], np.float32)
    np.testing.assert_array_equal(weight_scales(weight, 0, "mse"), weight_scales(weight, 0, "max"))


@pytest.mark.parametrize("axis", [0, 1])
def test_result_does_not_depend_on_how_the_work_is_cut(axis, monkeypatch):
    weight = normal(12, 8, 3, 3)
    expected = weight_scales(weight, axis, "mse")
    integers = quantize_weight(weight, axis, expected)
    monkeypatch.setattr(weights, "_BLOCK_VALUES", 100)
    np.testing.assert_array_equal(weight_scales(weight, axis, "mse"), expected)
    np.testing.assert_array_equal(quantize_weight(weight, axis, expected), integers)


@pytest.mark.parametrize("axis", [0, 1])
def test_search_needs_a_fraction_of_the_memory_of_a_large_weight(axis):
    weight = np.random.default_rng(1).standard_normal((512, 512, 3, 3), dtype=np.float32)
    tracemalloc.start()
    try:
        weight_scales(weight, axis, "mse")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A copy of the weight, or errors of all ratios side by side, would be at least its size.
    assert peak < 0.5 * weight.nbytes


@pytest.mark.parametrize("method", ["max", "mse"])
def test_channels_with_nothing_to_scale_get_harmless_scales(method):
    weight = normal(5, 16)
    weight[0] = 0.0
    weight[1] = np.float32(1e-42)  # subnormal itself
    weight[2] *= np.float32(1e-37)  # normal, but its scale is not
    weight[3] = 0.0
    weight[3, 5] = TINY
    scales = weight_scales(weight, 0, method)
    assert scales[0] == 1.0
    assert (scales >= TINY).all()
    integers = quantize_weight(weight, 0, scales)
    assert not integers[[0, 1]].any()
    assert np.abs(integers[4].astype(int)).max() == 127


def test_empty_channels_get_harmless_scales():
    assert weight_scales(np.zeros((3, 0, 3, 3), np.float32), 0, "mse").tolist() == [1.0] * 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(value):
    weight = normal(4, 3, 3, 3)
    weight[2, 1, 0, 0] = value
    with pytest.raises(GraphError, match=r"shape \(4, 3, 3, 3\) is NaN or infinite in 1 of its 4 channels"):
        weight_scales(weight, 0, "mse")


def test_unknown_method_and_wrong_number_of_scales_are_refused():
    weight = normal(4, 3)
    with pytest.raises(InputError, match="weight method is 'best', expected one of: max, mse"):
        weight_scales(weight, 0, "best")
    with pytest.raises(InputError, match=r"scales of shape \(3,\), expected \(4,\)"):
        quantize_weight(weight, 0, np.ones(3, np.float32))


def test_weight_is_left_as_it_is():
    weight = normal(4, 3, 3, 3)
    before = weight.copy()
    quantize_weight(weight, 1, weight_scales(weight, 1, "mse"))
    np.testing.assert_array_equal(weight, before)


def test_scales_of_a_grouped_transposed_convolution_are_as_many_as_onnx_wants():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tests.calibration import graph_drawing as drawing

    weight, group = normal(4, 3, 2, 2), 2
    scales = weight_scales(weight, 1, "max")
    integers = quantize_weight(weight, 1, scales)
    nodes = [
        drawing.node("DequantizeLinear", ["integers", "scales"], "w", axis=1),
        drawing.node("ConvTranspose", ["x", "w"], "y", group=group, strides=[2, 2]),
    ]
    shapes = {"x": ((1, 4, 5, 5), onnx.TensorProto.FLOAT)}, {"y": ((1, 6, 10, 10), onnx.TensorProto.FLOAT)}
    model = drawing.make_model(nodes, {"integers": integers, "scales": scales}, *shapes)
    frame = normal(1, 4, 5, 5)
    expected = np.zeros((1, 6, 10, 10))
    values = integers * scales.reshape(1, -1, 1, 1).astype(np.float64)
    for channel in range(4):
        first = 3 * (channel // 2)  # of the group's three output channels
        expected[0, first : first + 3] += np.einsum("hw,okl->ohkwl", frame[0, channel], values[channel]).reshape(
            3, 10, 10
        )
    # float32 sums of two products.
    np.testing.assert_allclose(drawing.run(model, {"x": frame})[0], expected, rtol=0, atol=1e-6)
