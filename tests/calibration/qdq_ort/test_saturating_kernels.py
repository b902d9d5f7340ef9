"""Where a CPU adds two products of uint8 and int8 in 16 bits, no sum of a quantised graph reaches their end."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import numpy_helper

from calibration.lint_rules.linter import lint
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from edge.runtime.onnxruntime import open_session
from tests.calibration import graph_drawing as drawing

NETWORK = drawing.make_network()
DARK = [{"frame": feeds["frame"] // 2 + 64} for feeds in drawing.frames(3)]
RANGES = drawing.ranges_of(NETWORK, DARK)
"""Of frames from 64 to 191: those below leave every range at both ends."""

CONTRASTS = [{"frame": np.full((1, 16, 16, 3), level, np.uint8)} for level in (0, 255)]
CONTRASTS += [{"frame": feeds["frame"] // 128 * 255} for feeds in drawing.frames(3)]
"""Black, white, and frames of both."""


def graph_for(levels, weight_method="max"):
    return quantize(NETWORK, RANGES, QuantizationConfig("min-max", weight_method=weight_method), "onnxruntime", levels)


def layers(data, feeds):
    """Yield (name, columns, weight) of each quantised layer: what its kernel multiplies.

    columns are (groups, positions, inputs) of uint8 values, weight (groups, inputs, outputs) of int8 ones, both int32.
    """
    model = onnx.load_model_from_string(data)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {node.output[0]: node for node in model.graph.node}
    found = []
    for node in model.graph.node:
        sources = [producers.get(name) for name in node.input[:2]]
        if node.op_type in ("Conv", "MatMul") and all(getattr(s, "op_type", "") == "DequantizeLinear" for s in sources):
            found.append((node, *sources))
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=data.input[0]) for _, data, _ in found if data.input[0] not in present
    )
    values = drawing.run(model, feeds, [data.input[0] for _, data, _ in found])
    for (node, data, weight), value in zip(found, values):
        assert value.dtype == np.uint8 and constants[weight.input[0]].dtype == np.int8
        kernel = constants[weight.input[0]].astype(np.int32)
        if node.op_type == "MatMul":
            yield node.name, value.reshape(1, -1, len(kernel)).astype(np.int32), kernel[np.newaxis]
            continue
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        top, left, bottom, right = attributes.get("pads", [0] * 4)
        # What a convolution pads with is 0 of the real numbers. All positions, so those of any stride are among them.
        padded = np.pad(value[0], ((0, 0), (top, bottom), (left, right)), constant_values=constants[data.input[2]])
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))
        groups = attributes.get("group", 1)
        columns = windows.transpose(1, 2, 0, 3, 4).reshape(-1, groups, kernel[0].size).transpose(1, 0, 2)
        yield node.name, columns.astype(np.int32), kernel.reshape(groups, -1, kernel[0].size).transpose(0, 2, 1)


def pair_sums(columns, weight):
    """Return what vpmaddubsw adds before it saturates: products of two neighbours.

    Returns:
        (groups, positions, pairs, outputs) int32.
    """
    odd = columns.shape[2] % 2
    columns = np.pad(columns, ((0, 0), (0, 0), (0, odd)))
    weight = np.pad(weight, ((0, 0), (0, odd), (0, 0)))
    products = columns[..., np.newaxis] * weight[:, np.newaxis]
    return products[:, :, 0::2] + products[:, :, 1::2]


def saturated(sums):
    """Return the values of int16 that the instruction gives."""
    return np.clip(sums, -(2**15), 2**15 - 1)


def test_two_products_fit_16_bits_at_the_ends_of_every_range():
    largest = {}
    for feeds in CONTRASTS:
        for name, columns, weight in layers(graph_for(127).data, feeds):
            sums = pair_sums(columns, weight)
            np.testing.assert_array_equal(saturated(sums), sums)
            largest[name] = max(columns.max(), largest.get(name, 0))
    # The frames do reach the largest integer in front of every layer.
    assert largest == dict.fromkeys(("stem", "deep", "point", "logits"), 255)


def test_weights_of_127_steps_would_saturate_on_the_same_frames():
    wrong = {
        name
        for feeds in CONTRASTS
        for name, columns, weight in layers(graph_for(255).data, feeds)
        if not np.array_equal(saturated(pair_sums(columns, weight)), pair_sums(columns, weight))
    }
    assert wrong


@pytest.mark.parametrize("weight_method", ["max", "mse"])
def test_two_largest_weights_of_any_channel_fit_16_bits_in_any_order(weight_method):
    for name, _, weight in layers(graph_for(127, weight_method).data, CONTRASTS[0]):
        ordered = np.sort(weight, axis=1)
        assert 255 * ordered[:, -2:].sum(1).max() < 2**15, name
        assert 255 * ordered[:, :2].sum(1).min() >= -(2**15), name
        assert np.abs(weight).max() == 63, name


def test_simulation_shows_what_the_missing_bit_costs():
    errors = {}
    for levels in (255, 127):
        session = open_session(graph_for(levels).data, exact=True)
        differences = [session.run(None, feeds)[0] - drawing.run(NETWORK, feeds)[0] for feeds in DARK]
        errors[levels] = np.sqrt(np.mean(np.square(differences)))
    # Twice the rounding error of the weights; that of the activations, which is part of both, is the same.
    assert 1.1 * errors[255] < errors[127] < 2.5 * errors[255]


def test_linter_takes_the_reduced_graph():
    found = lint(onnx.load_model_from_string(graph_for(127).data), "onnxruntime")
    assert [item.line() for item in found if item.severity == "error"] == []
