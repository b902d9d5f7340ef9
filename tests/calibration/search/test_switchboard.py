"""One session with switches gives what a quantised graph of each choice would give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.search.switchboard as switchboard_module
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.search.accuracy import graph_runner
from calibration.search.sensitivity import Sensitivity, SensitivityMeter, quantized_nodes
from calibration.search.switchboard import Switchboard
from edge.errors import BackendError, GraphError, InputError
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration import varied_graphs as varied

FORMS = ("tensorrt", "onnxruntime")
CONFIG = QuantizationConfig("min-max")
FRAMES = [frame[None] for frame in hostile.street_frames(2)]
CALIBRATION = [{"frame": frame[None]} for frame in hostile.street_frames(3, seed=2)]
NETWORKS = {
    "hostile": hostile.hostile_network(),
    "residual": drawing.make_network(hostile.SIZE, classes=hostile.CLASSES),
    "varied": varied.varied_network(),
}
RANGES = {name: drawing.ranges_of(model, CALIBRATION) for name, model in NETWORKS.items()}
WEIGHTED = {"tensorrt": ("Conv", "ConvTranspose"), "onnxruntime": ("Conv",)}


def switchboard_of(name, form, config=CONFIG, levels=255, frames=FRAMES):
    model = NETWORKS[name]
    return Switchboard(model, RANGES[name], config, form, levels, hostile.contract_of(model), frames)


def error_of_graph(data, name):
    """Return the output error of a quantised graph, as Sensitivity."""
    model = NETWORKS[name]
    outputs = []
    for graph in (model.SerializeToString(), data):
        with graph_runner(graph, hostile.contract_of(model), exact=True) as runner:
            outputs.append(np.array([runner.infer(frame) for frame in FRAMES], np.float64))
    before, after = outputs
    error = np.sqrt(np.square(after - before).sum() / np.square(before).sum())
    return Sensitivity(float(error), float(np.mean(after.argmax(-3) != before.argmax(-3))))


def assert_same(found, expected):
    # The order of sums differs between fused and unfused kernels, and a switchboard sums fractions where ONNX Runtime's
    # form sums integers, so that a value between two steps may round to the other one: in few places, by one of many.
    assert found.output_error == pytest.approx(expected.output_error, rel=2e-3, abs=1e-7)
    assert found.label_change == pytest.approx(expected.label_change, abs=0.005)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_layer_alone_has_the_error_that_a_graph_with_it_alone_has(name, form):
    model, board = NETWORKS[name], switchboard_of(name, form)
    meter = SensitivityMeter(model, RANGES[name], form, 255, hostile.contract_of(model), FRAMES)
    own, passing = quantized_nodes(model, RANGES[name], CONFIG, form)
    assert board.nodes == own
    layers = [node.name for node in model.graph.node if node.op_type in WEIGHTED[form] and node.name in own]
    if (name, form) == ("varied", "tensorrt"):
        layers.remove("logits")  # alone it would have a scale of its own, see below
    assert len(layers) >= 4
    for layer in layers:
        assert_same(board.output_error({layer}), meter.measure(CONFIG, layer, [*own, *passing]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_all_layers_together_have_the_error_of_the_quantised_graph_by_any_method(name, form, method):
    board, ranges = switchboard_of(name, form), RANGES[name]
    expected = quantize(NETWORKS[name], ranges, QuantizationConfig(method), form).data
    assert_same(board.output_error(None, dict.fromkeys(ranges.tensors, method)), error_of_graph(expected, name))


@pytest.mark.parametrize("form", FORMS)
def test_method_of_one_tensor_counts_for_the_group_that_shares_its_scale(form):
    board, ranges = switchboard_of("varied", form), RANGES["varied"]
    tensors = sorted({tensor for node in board.nodes for tensor in board.range_tensors(node)})
    assert len(tensors) > 8
    plain = board.output_error()
    for tensor in tensors[::4]:
        config = QuantizationConfig("min-max", tensor_methods={tensor: "entropy"})
        expected = error_of_graph(quantize(NETWORKS["varied"], ranges, config, form).data, "varied")
        assert_same(board.output_error(None, {tensor: "entropy"}), expected)
    assert board.output_error() == plain


@pytest.mark.parametrize(
    ("config", "levels"),
    [
        (QuantizationConfig("mse", weight_method="mse"), 255),
        (QuantizationConfig("min-max", bias_correction=True), 255),
        (QuantizationConfig("min-max", classifier="float", resize="float"), 255),
        (CONFIG, 127),
    ],
    ids=["clipped weights", "corrected biases", "float parts", "weights of 63 steps"],
)
def test_weights_and_placement_are_those_of_the_config(config, levels):
    board = switchboard_of("varied", "onnxruntime", config, levels)
    graph = quantize(NETWORKS["varied"], RANGES["varied"], config, "onnxruntime", levels)
    assert_same(board.output_error(), error_of_graph(graph.data, "varied"))


@pytest.mark.parametrize("form", FORMS)
def test_with_all_switches_off_it_is_the_float_network(form):
    assert switchboard_of("varied", form).output_error(()) == Sensitivity(0.0, 0.0)


def test_layer_that_the_config_keeps_in_float_has_no_switch():
    board = switchboard_of("hostile", "tensorrt", QuantizationConfig("min-max", float_layers={"narrow": "asked for"}))
    assert board.nodes == ["stem", "wide", "side", "logits"]
    with pytest.raises(InputError, match="no node with a switch is named narrow"):
        board.output_error({"narrow"})


def test_rounded_residual_of_a_sum_is_measured_although_its_convolution_is_float():
    board = switchboard_of("residual", "tensorrt")
    assert board.output_error({"residual"}).output_error > 1e-3


def test_layer_alone_has_the_scale_that_its_input_shares_in_the_whole_graph():
    board = switchboard_of("varied", "tensorrt")
    assert board.range_tensors("logits") == ["halved"]
    larger = RANGES["varied"].tensors["halved"].thresholds["min-max"]
    assert larger > 1.01 * RANGES["varied"].tensors["merged"].thresholds["min-max"]
    seen = RANGES["varied"].tensors["merged"]
    ranges = dataclasses.replace(
        RANGES["varied"],
        tensors={
            **RANGES["varied"].tensors,
            "merged": dataclasses.replace(seen, thresholds={**seen.thresholds, "min-max": larger}),
        },
    )
    model = NETWORKS["varied"]
    meter = SensitivityMeter(model, ranges, "tensorrt", 255, hostile.contract_of(model), FRAMES)
    own, passing = quantized_nodes(model, ranges, CONFIG, "tensorrt")
    assert_same(board.output_error({"logits"}), meter.measure(CONFIG, "logits", [*own, *passing]))


def test_noise_of_separate_layers_adds_up_in_power():
    board = switchboard_of("residual", "onnxruntime")
    each = sum(board.output_error({name}).output_error ** 2 for name in board.nodes)
    assert 0.5 * each < board.output_error(board.nodes).output_error ** 2 < 2.0 * each


def test_runs_open_no_session_and_build_no_graph(monkeypatch):
    board = switchboard_of("varied", "onnxruntime")
    for name in ("open_session", "build_switch_graph", "write_pairs"):
        monkeypatch.setattr(switchboard_module, name, None)
    assert board.output_error({"join"}, {"joined": "mse"}).output_error > 0.0


@pytest.mark.parametrize("form", FORMS)
def test_given_graph_stays_as_it_is(form):
    before = NETWORKS["varied"].SerializeToString()
    switchboard_of("varied", form)
    assert NETWORKS["varied"].SerializeToString() == before


def test_graph_with_constant_nodes_has_the_same_errors():
    model = drawing.with_constant_nodes(NETWORKS["hostile"])
    board = Switchboard(model, RANGES["hostile"], CONFIG, "tensorrt", 255, hostile.contract_of(model), FRAMES)
    assert_same(board.output_error({"side"}), switchboard_of("hostile", "tensorrt").output_error({"side"}))


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="got no frames"):
        switchboard_of("hostile", "tensorrt", frames=[])
    with pytest.raises(InputError, match="form is 'int4'"):
        switchboard_of("hostile", "int4")
    with pytest.raises(InputError, match="calibration method is 'mean'"):
        switchboard_of("hostile", "tensorrt").output_error(None, {"nchw": "mean"})
    with pytest.raises(BackendError, match="graph with switches"):
        switchboard_of("hostile", "tensorrt", frames=[np.zeros((1, 8, 8, 3), np.uint8)])
    data = quantize(NETWORKS["hostile"], RANGES["hostile"], CONFIG, "tensorrt").data
    quantized = drawing.onnx.load_model_from_string(data)
    with pytest.raises(GraphError, match="has Q/DQ nodes already"):
        Switchboard(quantized, RANGES["hostile"], CONFIG, "tensorrt", 255, hostile.contract_of(quantized), FRAMES)


def test_network_whose_logits_are_all_zero_has_no_error_to_speak_of():
    model = hostile.hostile_network()
    for tensor in model.graph.initializer:
        if tensor.name in ("head_w", "head_b"):
            tensor.CopyFrom(drawing.numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    board = Switchboard(model, RANGES["hostile"], CONFIG, "tensorrt", 255, hostile.contract_of(model), FRAMES)
    assert board.output_error() == Sensitivity(0.0, 0.0)
