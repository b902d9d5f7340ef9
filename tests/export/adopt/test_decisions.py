"""The decision of a contract becomes labels: those that its definition makes of the given graph's own output."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper

import edge.synthetic
import export.adopt.decision_planes as decision_planes
from edge.contract import GRAPH_FILE, read_contract
from edge.decision import ARGMAX, BINARY, LOGIT, PROBABILITY, Decision
from edge.errors import ContractError, GraphError, ParityError
from edge.runtime.onnxruntime import OnnxRuntimeRunner, open_session
from edge.segmenter import Segmenter
from export.adopt.adoption import adopt
from export.adopt.label_rule import LabelRule
from export.graph.batching import with_batch
from export.graph.trt_rules import check_graph
from tests.export.decision_graphs import draw_scene, mask_network, run
from tests.export.foreign_graphs import CONTRACT, HEIGHT, WIDTH

FRAMES = [draw_scene(11, index, HEIGHT, WIDTH).frame_rgb for index in range(2)]

ONE = {"dataset": None, "class_names": ["road"]}
SEVERAL = {"dataset": None, "class_names": ["road", "car", "sky"]}


@pytest.fixture(autouse=True)
def scenes_drawn_once(monkeypatch):
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)


@pytest.fixture
def adopted(tmp_path):
    """Return a function that writes a graph and its contract and adopts it."""

    def make(model, **fields):
        graph, contract = tmp_path / "guest.onnx", tmp_path / "guest.json"
        onnx.save(model, str(graph))
        contract.write_text(json.dumps({**CONTRACT, **fields}))
        return adopt(graph, contract, tmp_path / "artifacts")

    return make


@pytest.fixture
def refused(adopted, tmp_path):
    """Return a function that gives the line by which a graph is refused; nothing may be left behind."""

    def refuse(model, kind=ContractError, **fields):
        with pytest.raises(kind) as caught:
            adopted(model, **fields)
        assert not (tmp_path / "artifacts").exists()
        message = str(caught.value)
        assert "\n" not in message
        return message.replace(f"{tmp_path}/", "")

    return refuse


def resize(values, coordinates):
    """Upsample (channels, h, w) to full size as PyTorch or TensorFlow would: by ONNX' own Resize, in float32."""
    shape = [1, *values.shape]
    node = helper.make_node(
        "Resize", ["v", "", "", "s"], ["r"], mode="linear", coordinate_transformation_mode=coordinates
    )
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("v", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array([*shape[:2], HEIGHT, WIDTH]), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return open_session(model.SerializeToString()).run(None, {"v": values[None]})[0][0]


def labels_of(adoption, frame_rgb):
    with OnnxRuntimeRunner(adoption.folder / GRAPH_FILE, adoption.contract) as runner:
        return Segmenter(runner, "rgb")(frame_rgb, HEIGHT, WIDTH).labels.copy()


def graph_of(adoption):
    return onnx.load(str(adoption.folder / GRAPH_FILE)).graph


def operators(adoption):
    return [node.op_type for node in graph_of(adoption).node]


def assert_labels(adoption, model, define, least=2):
    """Compare labels with what a definition makes of the given graph's own output; near ties alone may differ."""
    assert adoption.report.label_agreement >= 0.9999
    for frame in FRAMES:
        expected = define(run(model, frame))
        assert len(np.unique(expected)) >= least
        assert np.mean(labels_of(adoption, frame) == expected) >= 0.9995


# One channel


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
@pytest.mark.parametrize("head", ["Conv", "ConvTranspose", "grouped", "add"])
@pytest.mark.any_python
def test_sigmoid_behind_the_upsampling_becomes_a_threshold_of_logits(adopted, head, coordinates):
    model = mask_network(1, coordinates, "Sigmoid", head=head)
    adoption = adopted(model, **ONE, decision="binary", threshold=0.7)
    assert_labels(adoption, model, lambda given: given[0, 0] > 0.7)
    assert not {"Sigmoid", "Resize", "Concat"} & set(operators(adoption))
    contract = read_contract(adoption.folder)
    assert (contract.stride, contract.coordinates) == (4, coordinates)
    assert contract.class_names == ("background", "road")
    assert contract.decision == Decision(BINARY, (0.7,), PROBABILITY, "background")
    assert any("cut off" in change and "net/sigmoid" in change for change in adoption.report.changes)


@pytest.mark.parametrize(
    ("ends", "threshold", "unit", "least_operators"),
    [
        (("half_pixel",), 0.4, LOGIT, ()),
        (("half_pixel",), None, LOGIT, ()),
        (("half_pixel", "Sigmoid"), None, PROBABILITY, ()),
        (("Sigmoid", "half_pixel"), 0.6, PROBABILITY, ("Sigmoid",)),
        (("nearest", "Sigmoid"), 0.6, PROBABILITY, ("Resize",)),
        (("asymmetric",), -0.3, LOGIT, ("Resize",)),
        (("beyond",), 0.2, LOGIT, ("Resize",)),
        (("half_pixel", "Sigmoid", "Sigmoid"), 0.6, PROBABILITY, ("Sigmoid",)),
        (("Tanh", "half_pixel"), 0.25, LOGIT, ("Tanh",)),
    ],
)
def test_labels_of_one_channel_are_those_of_its_value_over_the_threshold(
    adopted, ends, threshold, unit, least_operators
):
    model = mask_network(1, *ends)
    adoption = adopted(model, **ONE, decision="binary", threshold=threshold, background="rest")
    used = {LOGIT: 0.0, PROBABILITY: 0.5}[unit] if threshold is None else threshold
    assert_labels(adoption, model, lambda given: given[0, 0] > used)
    assert adoption.contract.decision == Decision(BINARY, (used,), unit, "rest")
    assert set(least_operators) <= set(operators(adoption))


@pytest.mark.parametrize("ends", [(), ("Sigmoid",)])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners"])
def test_output_at_a_stride_is_interpolated_before_it_meets_the_threshold(adopted, ends, coordinates):
    model = mask_network(1, *ends)
    adoption = adopted(model, **ONE, decision="binary", threshold=0.55, coordinates=coordinates)
    assert_labels(adoption, model, lambda given: resize(given[0], coordinates)[0] > 0.55)
    assert ("Sigmoid" in operators(adoption)) == bool(ends)  # of interpolated probabilities no logit tells


def test_sigmoid_goes_behind_an_upsampling_that_stays(adopted):
    adoption = adopted(mask_network(1, "nearest", "Sigmoid"), **ONE, decision="binary", threshold=0.6)
    assert "Resize" in operators(adoption) and "Sigmoid" not in operators(adoption)
    assert any("net/sigmoid cut off: labels follow" in change for change in adoption.report.changes)


def test_planes_go_into_a_convolution_in_front_of_an_upsampling_that_stays(adopted):
    adoption = adopted(mask_network(1, "asymmetric"), **ONE, decision="binary")
    nodes = graph_of(adoption).node
    assert [node.op_type for node in nodes[-2:]] == ["Conv", "Resize"]
    assert decision_planes.DECISION not in {node.name for node in nodes}


def test_logits_that_are_no_convolutions_own_get_one_behind_them(adopted):
    adoption = adopted(mask_network(1, "half_pixel", head="add"), **ONE, decision="binary")
    last = graph_of(adoption).node[-1]
    assert (last.name, last.op_type) == (decision_planes.DECISION, "Conv")


@pytest.mark.parametrize("ends", [("half_pixel", "Sigmoid"), ("Sigmoid", "half_pixel"), ("nearest",)])
def test_graph_with_a_decision_is_one_that_tensorrt_runs_and_that_takes_several_frames(adopted, ends):
    adoption = adopted(mask_network(1, *ends), **ONE, decision="binary")
    data = (adoption.folder / GRAPH_FILE).read_bytes()
    assert check_graph(onnx.load_from_string(data)) == []
    expected = open_session(data).run(None, {"frame": FRAMES[1][None]})[0]
    for batch in (None, 2):
        several = open_session(with_batch(data, batch)).run(None, {"frame": np.stack(FRAMES)})[0]
        np.testing.assert_allclose(several[1:], expected, rtol=1e-5, atol=1e-5)


# A pair of channels


@pytest.mark.parametrize(
    ("ends", "threshold", "define"),
    [
        (("half_pixel", "Softmax"), 0.8, lambda given: given[0, 1] > 0.8),
        (("Softmax", "half_pixel"), 0.8, lambda given: given[0, 1] > 0.8),
        (("half_pixel", "LogSoftmax"), 1.1, lambda given: given[0, 1] - given[0, 0] > 1.1),
        (("half_pixel",), 1.1, lambda given: given[0, 1] - given[0, 0] > 1.1),
        (("half_pixel", "Softmax"), None, lambda given: given[0].argmax(0)),
    ],
)
def test_second_of_two_channels_is_the_class_over_its_threshold(adopted, ends, threshold, define):
    model = mask_network(2, *ends)
    fields = {"dataset": None, "class_names": ["rest", "road"]}
    adoption = adopted(model, **fields, decision="binary", threshold=threshold)
    assert_labels(adoption, model, define)
    assert adoption.contract.class_names == ("rest", "road")
    assert adoption.contract.stride == 4


# Several channels


def over_by_most(given, thresholds, distance):
    """Label of the class that is over its threshold by most, 0 where none is; (channels, height, width) values."""
    thresholds = np.reshape(thresholds, (-1, 1, 1))
    away = np.where(given > thresholds, distance(given) - distance(thresholds), -np.inf)
    return np.where((given > thresholds).any(0), away.argmax(0) + 1, 0)


def odds(share):
    return np.log(share) - np.log1p(-share)


def itself(value):
    return value


@pytest.mark.parametrize(
    ("ends", "thresholds", "distance", "cut"),
    [
        (("half_pixel", "Sigmoid"), [0.5], odds, True),
        (("half_pixel", "Sigmoid"), [0.9, 0.3, 0.75], odds, True),
        (("align_corners", "Sigmoid"), [0.9, 0.3, 0.75], odds, True),
        (("Sigmoid", "half_pixel"), [0.6, 0.4, 0.55], itself, False),
        (("half_pixel",), [1.0, -1.0, 0.5], itself, True),
        (("half_pixel", "Softmax"), [0.5, 0.4, 0.45], itself, False),
        (("Softmax", "half_pixel"), [0.5, 0.4, 0.45], itself, False),
    ],
)
@pytest.mark.any_python
def test_threshold_for_each_class_and_none_of_them_is_background(adopted, ends, thresholds, distance, cut):
    model = mask_network(3, *ends)
    wanted = thresholds if len(thresholds) == 3 else thresholds[0]
    adoption = adopted(model, **SEVERAL, decision="per-class", threshold=wanted, background="none")
    every = np.float64(thresholds * 3)[:3] if len(thresholds) == 1 else np.float64(thresholds)
    assert_labels(adoption, model, lambda given: over_by_most(given[0].astype(np.float64), every, distance), 4)
    assert adoption.contract.class_names == ("none", "road", "car", "sky")
    assert adoption.contract.decision.thresholds == tuple(every)
    assert ("Sigmoid" in operators(adoption) or "Softmax" in operators(adoption)) != cut


@pytest.mark.parametrize("head", ["ConvTranspose", "grouped", "add"])
@pytest.mark.parametrize("void", [None, 1])
def test_planes_of_several_channels_come_from_any_last_layer(adopted, head, void):
    model = mask_network(4 if void else 3, "align_corners", "Sigmoid", head=head)
    kept = [0, 2, 3] if void else [0, 1, 2]
    thresholds = [0.7, 0.4, 0.6]
    adoption = adopted(
        model, **SEVERAL, decision="per-class", threshold=thresholds, background="none", void_channel=void
    )
    assert_labels(adoption, model, lambda given: over_by_most(given[0, kept].astype(np.float64), thresholds, odds), 3)
    assert (decision_planes.DECISION in {node.name for node in graph_of(adoption).node}) == (head != "ConvTranspose")


def test_sigmoids_that_are_joined_are_probabilities_too(adopted, refused):
    model = mask_network(3, "half_pixel", "Sigmoid", "rejoin")
    assert "is a Sigmoid for each of 3 channels" in refused(model, **SEVERAL)
    adoption = adopted(model, **SEVERAL, decision="per-class", background="none")
    assert adoption.contract.decision.unit == PROBABILITY
    assert_labels(adoption, model, lambda given: over_by_most(given[0].astype(np.float64), [0.5] * 3, itself), 4)


def test_several_sigmoids_are_one_argmax_if_the_contract_says_so(adopted):
    model = mask_network(3, "half_pixel", "Sigmoid")
    adoption = adopted(model, **SEVERAL, decision="argmax")
    assert_labels(adoption, model, lambda given: given[0].argmax(0), 3)
    assert (adoption.contract.stride, adoption.contract.decision) == (4, None)


@pytest.mark.parametrize("void", [0, 1, 3, "odd"])
@pytest.mark.parametrize(
    "ends",
    [("half_pixel",), ("half_pixel", "Softmax"), ("Softmax", "half_pixel"), ("nearest",), ("half_pixel", "Tanh")],
)
def test_void_channel_never_wins_and_is_not_in_the_graph(adopted, ends, void):
    model = mask_network(4, *ends)
    names = ["road", "odd", "car", "sky"] if void == "odd" else SEVERAL["class_names"]
    adoption = adopted(model, dataset=None, class_names=names, void_channel=void)
    index = 1 if void == "odd" else void
    kept = [channel for channel in range(4) if channel != index]
    assert_labels(adoption, model, lambda given: given[0, kept].argmax(0), 3)
    assert any((run(model, frame)[0].argmax(0) == index).any() for frame in FRAMES)
    assert adoption.contract.class_names == ("road", "car", "sky")
    assert adoption.contract.decision == Decision(ARGMAX, void_channel=index)
    assert adoption.contract.output_shape[1] == 3


def test_void_channel_of_a_dataset_leaves_its_classes(adopted):
    model = mask_network(12, "half_pixel")
    adoption = adopted(model, void_channel=11)
    assert_labels(adoption, model, lambda given: given[0, :11].argmax(0), 5)
    assert (adoption.contract.dataset, len(adoption.contract.class_names)) == ("camvid", 11)


def test_void_channel_beside_thresholds_may_be_the_backgrounds_own(adopted):
    model = mask_network(3, "half_pixel", "Sigmoid")
    names = ["ground", "road", "car"]
    adoption = adopted(
        model, dataset=None, class_names=names, void_channel="ground", background="ground", decision="per-class"
    )
    assert_labels(adoption, model, lambda given: over_by_most(given[0, 1:].astype(np.float64), [0.5, 0.5], odds), 3)
    assert adoption.contract.class_names == ("ground", "road", "car")


# Graphs that take the decision themselves


@pytest.mark.parametrize(
    ("ends", "threshold"),
    [
        (("half_pixel", "Sigmoid", "over"), 0.3),
        (("half_pixel", "Sigmoid", "over", "floats"), 0.3),
        (("half_pixel", "Sigmoid", "over", "bytes", "squeeze"), 0.3),
        (("half_pixel", "over", "bytes"), 0.3),
        (("half_pixel", "Sigmoid", "Round"), 0.5),
        (("half_pixel", "Sigmoid", "Round", "bytes"), 0.5),
        (("half_pixel", "Sigmoid", "squeeze"), 0.5),
        (("half_pixel", "Sigmoid", "squeeze", "over"), 0.3),
    ],
)
def test_mask_of_the_graph_itself_is_understood(adopted, ends, threshold):
    model = mask_network(1, *ends)
    adoption = adopted(model, **ONE, decision="binary")

    def define(given):
        mask = given.reshape(HEIGHT, WIDTH)
        return mask > threshold if ends[-1] == "squeeze" and "over" not in ends else mask != 0

    assert_labels(adoption, model, define)
    assert adoption.contract.stride == 4
    assert adoption.contract.decision.thresholds == (pytest.approx(threshold),)


def test_mask_for_each_class_is_understood(adopted):
    model = mask_network(3, "half_pixel", "Sigmoid", "edges", "bytes")
    adoption = adopted(model, **SEVERAL, decision="per-class", background="none")
    assert adoption.report.label_agreement >= 0.9999
    for frame in FRAMES:
        mask, labels = run(model, frame)[0], labels_of(adoption, frame)
        np.testing.assert_array_equal(labels == 0, ~mask.any(axis=0))
        chosen = np.take_along_axis(mask, np.maximum(labels, 1)[None].astype(int) - 1, axis=0)[0]
        assert (chosen[labels > 0] == 1).all()
    assert adoption.contract.decision.thresholds == pytest.approx((0.3, 0.4, 0.6))


def test_void_channel_of_a_mask_leaves_the_thresholds_of_the_others(adopted):
    model = mask_network(3, "half_pixel", "Sigmoid", "edges")
    fields = {"dataset": None, "class_names": ["car", "sky"], "void_channel": 0, "background": "none"}
    adoption = adopted(model, **fields, decision="per-class")
    assert adoption.contract.decision.thresholds == pytest.approx((0.4, 0.6))
    for frame in FRAMES:
        np.testing.assert_array_equal(labels_of(adoption, frame) == 0, ~run(model, frame)[0, 1:].any(axis=0))


def test_mask_without_a_decision_is_refused_with_what_to_write(refused):
    message = refused(mask_network(1, "half_pixel", "Sigmoid", "over"), **ONE)
    assert message == (
        "guest.onnx gives labels: net/over compares 'sigmoid' with 0.3, the contract has the decision argmax, expected "
        'one by thresholds. Next: add "decision": "binary"; the threshold is read from the graph'
    )
    message = refused(mask_network(3, "half_pixel", "Sigmoid", "edges"), **SEVERAL)
    assert "with [0.3, 0.4, 0.6]" in message
    assert 'Next: add "decision": "per-class" and "background": NAME; the threshold' in message


def test_mask_with_another_threshold_than_the_contract_is_refused(refused):
    message = refused(mask_network(1, "half_pixel", "Sigmoid", "over"), **ONE, decision="binary", threshold=0.5)
    assert "compares 'sigmoid' with 0.3, its contract has the threshold 0.5" in message
    assert 'Next: leave threshold out, or add "output_name": "sigmoid"' in message


def test_mask_of_values_under_a_threshold_is_refused(refused):
    message = refused(mask_network(1, "half_pixel", "Sigmoid", "under"), GraphError, **ONE, decision="binary")
    assert "net/over is true where 'sigmoid' is under its threshold, expected over. Next: " in message


def test_mask_at_a_stride_is_refused_with_what_to_write(adopted, refused):
    model = mask_network(1, "Sigmoid", "over", "bytes")
    message = refused(model, GraphError, **ONE, decision="binary")
    assert 'Next: add "output_name": "sigmoid", "threshold": 0.3, and "coordinates"' in message
    fields = {"output_name": "sigmoid", "threshold": 0.3, "coordinates": "half_pixel"}
    assert adopted(model, **ONE, decision="binary", **fields).report.label_agreement >= 0.9999


# What is refused


@pytest.mark.parametrize(("ends", "default"), [(("half_pixel",), "0"), (("half_pixel", "Sigmoid"), "0.5"), ((), "0")])
def test_one_channel_without_a_decision_is_refused_with_what_to_write(refused, ends, default):
    message = refused(mask_network(1, *ends), **ONE)
    assert "has one channel, and the largest of one channel is label 0 everywhere" in message
    assert message.endswith(f'Next: add "decision": "binary", and its threshold if that is not {default}')


@pytest.mark.parametrize("ends", [("half_pixel", "Sigmoid"), ("Sigmoid", "half_pixel"), ("Sigmoid",)])
def test_several_sigmoids_without_a_decision_are_refused_with_what_to_write(refused, ends):
    message = refused(mask_network(3, *ends), **SEVERAL)
    assert "is a Sigmoid for each of 3 channels, expected a decision in the contract. Next: add " in message
    assert '"decision": "per-class" and "background": NAME' in message and 'or "decision": "argmax"' in message


def test_two_sigmoids_are_no_pair(refused):
    message = refused(
        mask_network(2, "half_pixel", "Sigmoid"), dataset=None, class_names=["rest", "road"], decision="binary"
    )
    assert "is a Sigmoid for each of 2 channels, expected one channel, or a Softmax or logits of two. Next: " in message


@pytest.mark.parametrize("threshold", [0, 1, -0.2, 50])
@pytest.mark.parametrize("ends", [("half_pixel", "Sigmoid"), ("Sigmoid", "half_pixel")])
def test_threshold_that_no_probability_crosses_is_refused(refused, ends, threshold):
    message = refused(mask_network(1, *ends), **ONE, decision="binary", threshold=threshold)
    assert (
        f"is a probability (from a Sigmoid), its threshold is {threshold}, expected numbers between 0 and 1" in message
    )


def test_shares_of_another_operator_need_a_threshold_of_their_own(adopted, refused):
    model = mask_network(1, "HardSigmoid", "half_pixel")
    message = refused(model, **ONE, decision="binary")
    assert "comes from no Sigmoid" in message and message.endswith('Next: add "threshold"')
    assert_labels(adopted(model, **ONE, decision="binary", threshold=0.6), model, lambda given: given[0, 0] > 0.6)


@pytest.mark.parametrize(
    ("channels", "fields", "line"),
    [
        (
            12,
            {},
            'the contract has 11 classes, expected (1, 11, height, width). Next: add "void_channel": INDEX (0 to 11)',
        ),
        (
            11,
            {"void_channel": 3},
            "has 11 classes and void_channel 3, expected (1, 12, height, width). Next: leave void",
        ),
        (
            1,
            {**ONE, "class_names": ["rest", "road"]},
            'has 2 classes, expected (1, 2, height, width). Next: add "decision"',
        ),
        (2, {**SEVERAL}, "has 3 classes, expected (1, 3, height, width). Next: if one class is where no other"),
        (2, {**ONE, "decision": "binary"}, "1 class and the background 'background', expected (1, 1, height, width)"),
        (3, {**ONE, "decision": "binary"}, 'Next: "decision": "per-class" with a name for each channel'),
        (
            4,
            {**SEVERAL, "decision": "per-class", "background": "no"},
            "has 3 classes and the background 'no', expected",
        ),
    ],
)
def test_another_number_of_channels_is_refused_with_a_hint(refused, channels, fields, line):
    message = refused(mask_network(channels, "half_pixel"), GraphError, **fields)
    assert line in message


def test_labels_that_differ_from_the_definition_are_refused(refused, monkeypatch):
    planes = LabelRule.planes
    monkeypatch.setattr(LabelRule, "planes", lambda rule, cut="": planes(rule))  # a threshold that is not moved
    message = refused(mask_network(1, "half_pixel", "Sigmoid"), ParityError, **ONE, decision="binary", threshold=0.3)
    assert "labels equal on" in message
