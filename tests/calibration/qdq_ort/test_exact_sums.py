"""The simulation of ONNX Runtime's form gives the integers of its kernels, and floats where the graph has floats."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.qdq_ort.exact_sums import with_exact_sums
from edge.runtime.onnxruntime import open_session
from tests.calibration import graph_drawing as drawing

FLOAT = TensorProto.FLOAT
RECIPE = QuantizationConfig("min-max")
SIZE = 48
FRAMES = drawing.frames(2, SIZE)
NETWORK = drawing.make_network(SIZE)


def quantized(model, feeds_list, **changes):
    ranges = drawing.ranges_of(model, feeds_list)
    return quantize(model, ranges, QuantizationConfig("min-max", **changes), "onnxruntime", unsigned_levels()).data


def outputs_of(data, feeds, exact):
    return open_session(data, threads=1, exact=exact).run(None, feeds)


def with_integers(data):
    """Return a graph that also gives every tensor that is stored in 8 bits."""
    model = onnx.load_model_from_string(data)
    for node in list(model.graph.node):
        if node.op_type == "QuantizeLinear":
            model.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    return model.SerializeToString()


def test_every_stored_integer_is_that_of_the_kernels():
    data = with_integers(quantized(NETWORK, FRAMES))
    for feeds in FRAMES:
        kernels, simulated = outputs_of(data, feeds, False), outputs_of(with_exact_sums(data), feeds, True)
        assert sum(value.dtype == np.uint8 for value in kernels) == 7
        for kernel, other in zip(kernels, simulated):
            if kernel.dtype == np.uint8:
                np.testing.assert_array_equal(kernel, other)
            else:  # float32 sums of a mean or of logits, in another order
                np.testing.assert_allclose(kernel, other, rtol=1e-4, atol=1e-5 * np.ptp(kernel))


def wide_layers():
    """Return a network of layers with so many sums that some lie between two steps, and its input."""
    generator = np.random.default_rng(7)
    model = drawing.make_model(
        [
            drawing.node("Relu", ["x"], "relu"),
            drawing.node("Conv", ["relu", "w", "b"], "first", pads=[1, 1, 1, 1]),
            drawing.node("Conv", ["relu", "v", "b"], "second", pads=[1, 1, 1, 1]),
            drawing.node("Add", ["first", "second"], "sum"),
            drawing.node("Conv", ["sum", "tail"], "y"),
        ],
        {
            "w": generator.normal(0, 1, (48, 48, 3, 3)).astype(np.float32),
            "v": generator.normal(0, 0.6, (48, 48, 3, 3)).astype(np.float32),
            "b": generator.normal(0, 1, 48).astype(np.float32),
            "tail": generator.normal(0, 1, (4, 48, 1, 1)).astype(np.float32),
        },
        {"x": ((1, 48, 120, 120), FLOAT)},
        {"y": ((1, 4, 120, 120), FLOAT)},
    )
    return model, {"x": generator.uniform(0, 1, (1, 48, 120, 120)).astype(np.float32)}


def test_a_sum_between_two_steps_goes_where_the_kernel_rounds_it():
    model, feeds = wide_layers()
    data = with_integers(quantized(model, [feeds]))
    kernels, plain = outputs_of(data, feeds, False), outputs_of(data, feeds, True)
    simulated = outputs_of(with_exact_sums(data), feeds, True)
    integers = [index for index, value in enumerate(kernels) if value.dtype == np.uint8]
    assert len(integers) == 4
    assert any((kernels[index] != plain[index]).any() for index in integers)  # else this would prove nothing
    for index in integers:
        np.testing.assert_array_equal(kernels[index], simulated[index])


def test_fully_connected_layer_gives_the_integers_of_its_kernel():
    generator = np.random.default_rng(6)
    model = drawing.make_model(
        [
            drawing.node("Relu", ["x"], "relu"),
            drawing.node("Gemm", ["relu", "w", "b"], "hidden", transB=1),
            drawing.node("Relu", ["hidden"], "hidden_relu"),
            drawing.node("Gemm", ["hidden_relu", "tail"], "y"),
        ],
        {
            "w": generator.normal(0, 1, (64, 96)).astype(np.float32),
            "b": generator.normal(0, 1, 64).astype(np.float32),
            "tail": generator.normal(0, 1, (64, 8)).astype(np.float32),
        },
        {"x": ((512, 96), FLOAT)},
        {"y": ((512, 8), FLOAT)},
    )
    feeds = {"x": generator.uniform(0, 1, (512, 96)).astype(np.float32)}
    data = with_integers(quantized(model, [feeds]))
    for kernel, other in zip(outputs_of(data, feeds, False), outputs_of(with_exact_sums(data), feeds, True)):
        np.testing.assert_array_equal(kernel, other)


def test_graph_takes_and_gives_what_it_did():
    data = quantized(NETWORK, FRAMES)
    sessions = [open_session(graph, threads=1, exact=True) for graph in (data, with_exact_sums(data))]
    for ask in ("get_inputs", "get_outputs"):
        before, after = ([(value.name, value.shape, value.type) for value in getattr(s, ask)()] for s in sessions)
        assert before == after


def test_layers_with_a_float_bias_stay_as_they_are():
    data = quantize(NETWORK, drawing.ranges_of(NETWORK, FRAMES), RECIPE, "tensorrt").data
    before, after = (onnx.load_model_from_string(graph).graph for graph in (data, with_exact_sums(data)))
    for name in ("stem", "deep", "point"):
        first, second = (next(node for node in graph.node if node.name == name) for graph in (before, after))
        assert list(first.input) == list(second.input)


def test_float_graph_stays_as_it_is():
    data = NETWORK.SerializeToString()
    assert with_exact_sums(data) == data


def upsampling_network():
    """Return a network with a deconvolution that stays in float, one of whose input channels has large weights."""
    generator = np.random.default_rng(8)
    weight = generator.normal(0, 0.1, (8, 8, 2, 2)).astype(np.float32)
    weight[3] *= 200.0  # of a channel that is always 0
    stem = generator.normal(0, 0.2, (8, 4, 3, 3)).astype(np.float32)
    stem[3] = 0.0
    model = drawing.make_model(
        [
            drawing.node("Relu", ["x"], "relu"),
            drawing.node("Conv", ["relu", "stem"], "first", pads=[1, 1, 1, 1]),
            drawing.node("Relu", ["first"], "first_relu"),
            drawing.node("ConvTranspose", ["first_relu", "up"], "larger", strides=[2, 2]),
            drawing.node("Conv", ["larger", "tail"], "second"),
            drawing.node("Conv", ["second", "tail"], "y"),
        ],
        {"stem": stem, "up": weight, "tail": generator.normal(0, 0.3, (8, 8, 1, 1)).astype(np.float32)},
        {"x": ((1, 4, 12, 12), FLOAT)},
        {"y": ((1, 8, 24, 24), FLOAT)},
    )
    return model, {"x": generator.uniform(0, 1, (1, 4, 12, 12)).astype(np.float32)}


def test_float_weights_between_pairs_stay_float():
    model, feeds = upsampling_network()
    data = quantized(model, [feeds])
    graph = onnx.load_model_from_string(data).graph
    layer = next(node for node in graph.node if node.op_type == "ConvTranspose")
    weight = next(tensor for tensor in graph.initializer if tensor.name == layer.input[1])
    assert numpy_helper.to_array(weight).dtype == np.float32
    (engine,), (simulated,) = outputs_of(data, feeds, False), outputs_of(with_exact_sums(data), feeds, True)
    np.testing.assert_array_equal(engine.argmax(1), simulated.argmax(1))
    np.testing.assert_allclose(engine, simulated, atol=1e-5 * np.ptp(simulated))
