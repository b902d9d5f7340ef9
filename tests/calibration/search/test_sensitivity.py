"""Which layers INT8 hurts: each alone against the float graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.search.accuracy import graph_runner
from calibration.search.sensitivity import Sensitivity, SensitivityMeter, measure_all, quantized_nodes
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile

FORMS = ("tensorrt", "onnxruntime")
RECIPE = QuantizationConfig("min-max")
FRAMES = [frame[None] for frame in hostile.street_frames(3)]
CALIBRATION = [{"frame": frame[None]} for frame in hostile.street_frames(3, seed=2)]


class Case:
    """A network of the hostile kind with its ranges and meter."""

    def __init__(self, form, readers=2, ratio=hostile.RATIO):
        self.model = hostile.hostile_network(readers, ratio)
        self.ranges = drawing.ranges_of(self.model, CALIBRATION)
        self.contract = hostile.contract_of(self.model)
        self.form = form
        self.meter = SensitivityMeter(self.model, self.ranges, form, 255, self.contract, FRAMES)
        self.nodes = quantized_nodes(self.model, self.ranges, RECIPE, form)

    def measured(self, known=None, each=lambda name, value: None):
        return measure_all(self.meter, RECIPE, self.nodes, known or {}, each)


@pytest.fixture(scope="module", params=FORMS)
def hostile_case(request):
    return Case(request.param)


def test_layers_that_read_a_hostile_tensor_are_far_ahead_of_all_others(hostile_case):
    results = hostile_case.measured()
    errors = {name: value.output_error for name, value in results.items()}
    ranked = sorted(errors, key=errors.get, reverse=True)
    assert set(ranked[:2]) == {"narrow", "side"}
    assert errors[ranked[1]] > 5 * errors[ranked[2]]
    changes = {name: value.label_change for name, value in results.items()}
    assert min(changes["narrow"], changes["side"]) > 0.05 > max(changes["stem"], changes["logits"])


def test_layers_of_a_network_without_hostile_ranges_are_all_harmless():
    errors = {name: value.output_error for name, value in Case("tensorrt", ratio=1.0).measured().items()}
    assert set(errors) == {"stem", "wide", "narrow", "side", "logits"}
    assert min(errors.values()) > 0 and max(errors.values()) < 0.05


def test_one_layer_is_in_int8_and_all_others_in_float_when_it_is_measured():
    case = Case("tensorrt")
    others = [name for name in case.nodes[0] if name != "narrow"]
    by_hand = quantize(
        case.model, case.ranges, QuantizationConfig("min-max", float_layers=dict.fromkeys(others, "")), "tensorrt"
    )
    assert [layer.name for layer in by_hand.layers if layer.precision == "int8"] == ["narrow"]
    outputs = []
    for data in (case.model.SerializeToString(), by_hand.data):
        with graph_runner(data, case.contract, exact=True) as runner:
            outputs.append(np.array([runner.infer(frame) for frame in FRAMES], np.float64))
    before, after = outputs
    measured = case.measured()["narrow"]
    assert measured.output_error == pytest.approx(np.sqrt(np.square(after - before).sum() / np.square(before).sum()))
    assert measured.label_change == np.mean(after.argmax(1) != before.argmax(1))


def test_better_range_method_of_its_input_lowers_the_error_of_a_layer():
    case = Case("tensorrt", ratio=1.0)
    seen = case.ranges.tensors["joined"]
    far_too_large = dataclasses.replace(seen, thresholds={**seen.thresholds, "min-max": 30 * seen.maximum})
    ranges = dataclasses.replace(case.ranges, tensors={**case.ranges.tensors, "joined": far_too_large})
    meter = SensitivityMeter(case.model, ranges, "tensorrt", 255, case.contract, FRAMES)
    others = [*case.nodes[0], *case.nodes[1]]
    finer = QuantizationConfig("min-max", tensor_methods={"joined": "mse"})
    before = meter.measure(RECIPE, "logits", others).output_error
    assert meter.measure(finer, "logits", others).output_error < 0.2 * before
    # Another layer reads another tensor.
    assert meter.measure(finer, "stem", others) == meter.measure(RECIPE, "stem", others)


def resizing_network():
    generator = np.random.default_rng(1)
    weight = generator.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32)
    nodes = [
        drawing.node("Conv", ["x", "stem_w"], "stem", pads=[1, 1, 1, 1]),
        drawing.node("Relu", ["stem"], "stem_relu"),
        drawing.node("Resize", ["stem_relu", "empty", "empty", "sizes"], "resized", mode="linear"),
        drawing.node("Conv", ["resized", "middle_w"], "middle"),
        drawing.node("Relu", ["middle"], "middle_relu"),
        drawing.node("Conv", ["middle_relu", "head_w"], "y"),
    ]
    square = generator.normal(0, 0.4, (4, 4, 3, 3)).astype(np.float32)
    constants = {
        "stem_w": weight,
        "middle_w": square,
        "head_w": square[::-1],
        "empty": np.zeros(0, np.float32),
        "sizes": np.array([1, 4, 16, 16], np.int64),
    }
    shapes = {"x": (1, 3, 8, 8)}, {"y": (1, 4, 12, 12)}
    described = [{name: (shape, drawing.TensorProto.FLOAT) for name, shape in part.items()} for part in shapes]
    feeds = {"x": generator.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)}
    model = drawing.make_model(nodes, constants, *described)
    return model, drawing.ranges_of(model, [feeds])


@pytest.mark.parametrize("form", FORMS)
def test_nodes_that_only_pass_values_on_are_not_measured(form):
    model, ranges = resizing_network()
    own, passing = quantized_nodes(model, ranges, RECIPE, form)
    assert own == ["stem", "middle", "y"]
    assert passing == ["resized"]


def test_layer_that_the_config_keeps_in_float_is_not_quantised():
    model = drawing.make_network()
    ranges = drawing.ranges_of(model, drawing.frames(2))
    kept = QuantizationConfig("min-max", float_layers={"deep": "asked for"}, classifier="float")
    own, _ = quantized_nodes(model, ranges, kept, "tensorrt")
    assert "point" in own and not {"deep", "logits"} & set(own)


def test_known_results_are_kept_and_new_ones_are_told_one_by_one():
    case, told = Case("tensorrt"), []
    kept = Sensitivity(12.0, 0.5)
    asked = []
    measure = case.meter.measure
    case.meter.measure = lambda config, node, others: asked.append(node) or measure(config, node, others)
    results = case.measured({"narrow": kept}, lambda name, value: told.append((name, value)))
    assert results["narrow"] == kept
    assert asked == [name for name in case.nodes[0] if name != "narrow"]
    assert told == [(name, results[name]) for name in asked]


def test_measuring_ends_where_the_caller_wants_it_to():
    case, told = Case("tensorrt"), []

    def each(name, value):
        told.append(name)
        if len(told) == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        case.measured(each=each)
    assert told == case.nodes[0][:2]


def test_network_whose_logits_are_all_zero_has_no_error_to_speak_of():
    model = hostile.hostile_network()
    for tensor in model.graph.initializer:
        if tensor.name in ("head_w", "head_b"):
            zeros = np.zeros_like(drawing.numpy_helper.to_array(tensor))
            tensor.CopyFrom(drawing.numpy_helper.from_array(zeros, tensor.name))
    ranges = drawing.ranges_of(model, CALIBRATION)
    meter = SensitivityMeter(model, ranges, "tensorrt", 255, hostile.contract_of(model), FRAMES)
    assert meter.measure(RECIPE, "narrow", ["stem", "wide", "side", "logits"]) == Sensitivity(0.0, 0.0)
