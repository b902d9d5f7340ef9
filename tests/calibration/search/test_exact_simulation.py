"""The simulation that budgets are judged by is integer arithmetic, whatever kernels this CPU has."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, numpy_helper

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.exact_sums import with_exact_sums
from calibration.search.accuracy import graph_runner
from edge.runtime.onnxruntime import open_session
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile

FORMS = ("tensorrt", "onnxruntime")
FRAMES = drawing.frames(4)
NETWORK = drawing.make_network()
RANGES = drawing.ranges_of(NETWORK, FRAMES)
RECIPE = QuantizationConfig("min-max")


def exact(data, feeds):
    return open_session(data, threads=1, exact=True).run(None, feeds)[0]


@pytest.mark.parametrize("form", FORMS)
def test_simulation_gives_the_numbers_of_the_graph_as_it_stands(form):
    data = quantize(NETWORK, RANGES, RECIPE, form).data
    differences, spread = [], 0.0
    for feeds in FRAMES:
        (plain,) = drawing.run(data, feeds)  # nothing fused, nothing reordered
        differences.append(np.abs(exact(data, feeds) - plain).ravel())
        spread = max(spread, np.ptp(plain))
    differences = np.concatenate(differences)
    # Both compute in float32. Sums in another order differ in the last digits, which is all there is, but for a
    # value that lies between two steps and is rounded to the other one: a step of 255, in few places.
    assert np.mean(differences > 1e-5 * spread) < 0.02
    assert differences.max() < spread / 255 * 2


def one_convolution():
    """Return a graph with a convolution `sums` whose sums of products are as large as they can be, and its frame."""
    generator = np.random.default_rng(4)
    weight = generator.choice([-1.0, 1.0], (3, 64, 3, 3)).astype(np.float32)
    weight[0] = 1.0
    value = generator.choice([0.0, 1.0], (1, 64, 6, 6)).astype(np.float32)
    model = drawing.make_model(
        [
            drawing.node("Relu", ["x"], "relu"),
            drawing.node("Conv", ["relu", "w", "b"], "sums"),
            # ONNX Runtime's kernel is taken where something reads its integers.
            drawing.node("Conv", ["sums", "tail"], "y"),
        ],
        {
            "w": weight,
            "b": np.linspace(-1, 1, 3, dtype=np.float32),
            "tail": np.ones((3, 3, 2, 2), np.float32),
        },
        {"x": ((1, 64, 6, 6), TensorProto.FLOAT)},
        {"y": ((1, 3, 3, 3), TensorProto.FLOAT)},
    )
    feeds = {"x": value * generator.uniform(0.9, 1.0, value.shape).astype(np.float32)}
    return model, feeds, drawing.ranges_of(model, [feeds])


def with_sums(data):
    """Return a Q/DQ graph that gives what its convolution `sums` computes, before anything is stored in 8 bits."""
    model = onnx.load_model_from_string(data)
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name="sums"))
    return model.SerializeToString()


def by_integers(data, value):
    """Compute the convolution `sums` of a Q/DQ graph by NumPy on int64."""
    graph = onnx.load_model_from_string(data).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}
    convolution = producers["sums"]
    source = producers[convolution.input[0]]
    scale, zero = (constants[name] for name in source.input[1:])
    kernel = [constants[name] for name in producers[convolution.input[1]].input]
    limits = np.iinfo(zero.dtype)
    steps = np.clip(np.rint(value / scale) + zero, limits.min, limits.max).astype(np.int64) - zero
    windows = np.lib.stride_tricks.sliding_window_view(steps[0], (3, 3), axis=(1, 2))  # (64, 4, 4, 3, 3)
    sums = np.einsum("cyxij,kcij->kyx", windows, kernel[0].astype(np.int64))
    scales = float(scale) * kernel[1].astype(np.float64)
    bias = constants.get(convolution.input[2])
    if bias is None:  # integers of the products' own scale
        bias = constants[producers[convolution.input[2]].input[0]] * scales
    return sums, sums * scales[:, None, None] + bias[:, None, None]


@pytest.mark.parametrize("form", FORMS)
def test_simulated_convolution_is_integer_arithmetic_that_never_saturates(form):
    model, feeds, ranges = one_convolution()
    data = quantize(model, ranges, RECIPE, form).data
    sums, expected = by_integers(data, feeds["x"])
    # Far beyond 16 bits, which x86 without VNNI adds two products in.
    assert np.abs(sums).max() > 20 * 2**15
    (simulated,) = exact(with_sums(data), feeds)
    # float32 holds 24 binary digits of each of 576 products and their sum.
    np.testing.assert_allclose(simulated, expected, rtol=0, atol=np.abs(expected).max() * 576 * 2**-24)


@pytest.mark.parametrize("form", FORMS)
def test_runner_simulates_exactly_when_asked(form):
    contract = hostile.contract_of(NETWORK, size=16, class_names=tuple("abcde"))
    data = quantize(NETWORK, RANGES, RECIPE, form).data
    with graph_runner(data, contract, exact=True) as runner:
        np.testing.assert_array_equal(runner.infer(FRAMES[0]["frame"]), exact(with_exact_sums(data), FRAMES[0])[0])
