"""The mean error that rounded weights leave, and the bias that takes it back."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto

from calibration.qdq.bias_correction import bias_shift
from calibration.qdq.weights import quantize_weight, weight_scales
from edge.errors import InputError
from tests.calibration import graph_drawing as drawing

FLOAT = TensorProto.FLOAT
INPUTS = 8
MEANS = np.linspace(-1, 3, INPUTS)

# name -> (operator, weight shape, axis of output channels, group, attributes)
LAYERS = {
    "conv": ("Conv", (6, 8, 3, 3), 0, 1, {}),
    "strided and dilated conv": ("Conv", (6, 8, 3, 3), 0, 1, {"strides": [2, 2], "dilations": [2, 2]}),
    "grouped conv": ("Conv", (6, 4, 3, 3), 0, 2, {}),
    "depthwise conv": ("Conv", (16, 1, 3, 3), 0, 8, {}),
    "transposed conv": ("ConvTranspose", (8, 6, 2, 2), 1, 1, {"strides": [2, 2]}),
    "overlapping transposed conv": ("ConvTranspose", (8, 6, 4, 4), 1, 1, {"strides": [2, 2], "pads": [2, 2, 2, 2]}),
    "grouped transposed conv": ("ConvTranspose", (8, 3, 2, 2), 1, 2, {"strides": [2, 2]}),
    "gemm": ("Gemm", (6, 8), 0, 1, {"transB": 1}),
    "gemm as it is": ("Gemm", (8, 6), 1, 1, {"transB": 0}),
}


class Layer:
    """A layer with rounded weights. Few levels of int8 are used, so that the errors are large."""

    def __init__(self, name, method="max", scale_axis=None):
        self.kind, shape, self.axis, self.group, self.attributes = LAYERS[name]
        # The same few weights in every run, whatever else was drawn before.
        self.weight = np.random.default_rng(8).normal(0, 0.1, shape).astype(np.float32)
        self.scale_axis = self.axis if scale_axis is None else scale_axis
        self.scales = weight_scales(self.weight, self.scale_axis, method) * np.float32(8)
        self.integers = quantize_weight(self.weight, self.scale_axis, self.scales)
        self.outputs = shape[0] if self.axis == 0 else shape[1] * self.group

    def shift(self, means):
        return bias_shift(
            self.weight,
            self.integers,
            self.scales,
            self.scale_axis,
            means,
            self.group,
            output_axis=self.axis,
            strides=self.attributes.get("strides", ()),
        )

    def rounded(self):
        shape = [1] * self.weight.ndim
        shape[self.scale_axis] = -1
        return self.integers * self.scales.reshape(shape)

    def run(self, weight, bias, values, **attributes):
        kernel = {"kernel_shape": self.weight.shape[2:]} if self.weight.ndim > 2 else {}
        groups = {"group": self.group} if self.weight.ndim > 2 else {}
        made = drawing.node(self.kind, ["x", "w", "b"], "y", **kernel, **groups, **self.attributes, **attributes)
        output = [None] * values.ndim
        constants = {"w": weight.astype(np.float32), "b": bias.astype(np.float32)}
        model = drawing.make_model([made], constants, {"x": (values.shape, FLOAT)}, {"y": (output, FLOAT)})
        return drawing.run(model, {"x": values.astype(np.float32)})[0].astype(np.float64)

    def errors(self, values, means, **attributes):
        """Return (error as it is, error with the correction), each like the output."""
        nothing = np.zeros(self.outputs)
        expected = self.run(self.weight, nothing, values, **attributes)
        plain = self.run(self.rounded(), nothing, values, **attributes) - expected
        return plain, self.run(self.rounded(), self.shift(means), values, **attributes) - expected


def constant_input(name, size=12):
    if LAYERS[name][0] == "Gemm":
        return np.tile(MEANS, (5, 1))
    return np.tile(MEANS.reshape(1, -1, 1, 1), (1, 1, size, size))


def mean_of_channels(error):
    return error.mean(axis=tuple(index for index in range(error.ndim) if index != 1))


@pytest.mark.parametrize("name", LAYERS)
def test_mean_is_exact_where_channels_are_constant(name):
    plain, corrected = Layer(name).errors(constant_input(name), MEANS)
    assert np.abs(mean_of_channels(plain)).max() > 1e-2
    # Rounding of float32 sums of at most 72 products.
    assert np.abs(mean_of_channels(corrected)).max() < 1e-5


@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name][0] != "ConvTranspose"])
def test_every_value_is_exact_where_channels_are_constant(name):
    corrected = Layer(name).errors(constant_input(name), MEANS)[1]
    assert np.abs(corrected).max() < 1e-5


@pytest.mark.parametrize("method", ["max", "mse"])
@pytest.mark.parametrize("name", LAYERS)
def test_mean_error_shrinks_on_random_inputs(name, method):
    shape = (4000, INPUTS) if LAYERS[name][0] == "Gemm" else (2, INPUTS, 64, 64)
    around = MEANS.reshape((1, -1) + (1,) * (len(shape) - 2))
    values = np.random.default_rng(5).normal(around, 0.5, shape)
    plain, corrected = Layer(name, method).errors(values, mean_of_channels(values))
    # What is left is that pixels at the border meet fewer taps than others.
    assert np.linalg.norm(mean_of_channels(corrected)) < 0.02 * np.linalg.norm(mean_of_channels(plain))


def test_padding_is_not_looked_at():
    layer = Layer("conv")
    corrected = layer.errors(constant_input("conv"), MEANS, pads=[1, 1, 1, 1])[1]
    assert np.abs(corrected[..., 1:-1, 1:-1]).max() < 1e-5
    assert np.abs(corrected[..., 0, :]).max() > 1e-3


def test_scales_may_lie_on_the_other_axis():
    layer = Layer("transposed conv", scale_axis=0)
    plain, corrected = layer.errors(constant_input("transposed conv"), MEANS)
    assert np.abs(mean_of_channels(plain)).max() > 1e-2
    assert np.abs(mean_of_channels(corrected)).max() < 1e-5


def test_output_axis_is_that_of_the_scales_unless_said_otherwise():
    for name in LAYERS:
        layer = Layer(name)
        strides = layer.attributes.get("strides", ())
        arguments = (layer.weight, layer.integers, layer.scales, layer.axis, MEANS, layer.group)
        np.testing.assert_array_equal(bias_shift(*arguments, strides=strides), layer.shift(MEANS))


def test_exact_weights_need_no_correction():
    integers = np.arange(-8, 8, dtype=np.int8).reshape(2, 8)
    shift = bias_shift(integers.astype(np.float32) / 4, integers, np.full(2, 0.25, np.float32), 0, MEANS, 1)
    assert shift.dtype == np.float64
    assert shift.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": MEANS[:4]}, r"means of shape \(4,\), expected .* \(8,\) means"),
        ({"integers": np.zeros((6, 8, 1, 1), np.int8)}, r"integers of shape \(6, 8, 1, 1\)"),
        ({"scales": np.ones(8, np.float32)}, r"scales of shape \(8,\), expected \(6,\)"),
        ({"group": 4, "means": np.tile(MEANS, 4)}, r"shape \(6, 8, 3, 3\) with 4 groups"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    layer = Layer("conv")
    given = {
        "weight": layer.weight,
        "integers": layer.integers,
        "scales": layer.scales,
        "axis": 0,
        "means": MEANS,
        "group": 1,
        **changes,
    }
    with pytest.raises(InputError, match=message):
        bias_shift(*given.values())
