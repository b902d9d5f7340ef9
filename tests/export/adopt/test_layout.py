"""Graphs with their channels last, as tf2onnx writes them, are read as they are: same labels, no stray Transpose."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

import edge.synthetic
from edge.contract import GRAPH_FILE
from edge.errors import GraphError
from edge.runtime.onnxruntime import OnnxRuntimeRunner, open_session
from edge.segmenter import Segmenter
from export.adopt.adoption import adopt
from tests.export.foreign_graphs import CLASSES, CONTRACT, HEIGHT, MEAN, STD, WIDTH, Drawing, street_network

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
FRAME_RGB = draw_scene(11, 1, HEIGHT, WIDTH).frame_rgb


@pytest.fixture
def adopted(tmp_path, monkeypatch):
    """Return a function that adopts a graph; drawing the scenes would take longer than the rest."""
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)

    def make(model, **fields):
        graph, contract = tmp_path / "guest.onnx", tmp_path / "guest.json"
        onnx.save(model, str(graph))
        contract.write_text(json.dumps({name: value for name, value in {**CONTRACT, **fields}.items() if value != ""}))
        return adopt(graph, contract, tmp_path / "artifacts")

    return make


def describe(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def turn_input(model, batch="batch", size=(HEIGHT, WIDTH), before=()):
    """Let a graph take NHWC, with elementwise nodes in front of its Transpose, as a Rescaling layer becomes."""
    graph = model.graph
    nodes, last = [], "image"
    for index, (operator, constant) in enumerate(before):
        nodes.append(helper.make_node(operator, [last, f"before{index}"], [f"b{index}"]))
        graph.initializer.append(numpy_helper.from_array(np.asarray(constant, np.float32), f"before{index}"))
        last = f"b{index}"
    nodes.append(helper.make_node("Transpose", [last], ["x"], name="to_first", perm=TO_FIRST))
    for node in reversed(nodes):
        graph.node.insert(0, node)
    del graph.input[:]
    graph.input.append(describe("image", [batch, *size, 3]))
    return model


def turn_output(model, classes=CLASSES, behind=()):
    """Let a graph give NHWC, with nodes behind its Transpose, as a softmax of Keras becomes."""
    graph = model.graph
    (output,) = (value.name for value in graph.output)
    graph.node.append(helper.make_node("Transpose", [output], ["last"], name="to_last", perm=TO_LAST))
    last = "last"
    for index, (operator, attributes) in enumerate(behind):
        graph.node.append(helper.make_node(operator, [last], [f"behind{index}"], **attributes))
        last = f"behind{index}"
    graph.node.append(helper.make_node("Identity", [last], ["output_0"]))
    del graph.output[:]
    graph.output.append(describe("output_0", ["batch", None, None, classes]))
    return model


def given_output(model, channels_last):
    """Run the graph as its owner would, in its own layout."""
    normal = (FRAME_RGB.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    tensor = normal[None] if channels_last else normal.transpose(2, 0, 1)[None]
    (name,) = (value.name for value in model.graph.input)
    feed = {name: np.ascontiguousarray(tensor, np.float32)}
    return open_session(model.SerializeToString()).run(None, feed)[0]


def labels_of(adoption):
    with OnnxRuntimeRunner(adoption.folder / GRAPH_FILE, adoption.contract) as runner:
        return Segmenter(runner, "rgb")(FRAME_RGB).labels


def transposes(adoption):
    model = onnx.load(adoption.folder / GRAPH_FILE)
    return [node.name for node in model.graph.node if node.op_type == "Transpose"]


@pytest.mark.parametrize("end", ["resize", "softmax"])
@pytest.mark.parametrize("ends", [("input",), ("output",), ("input", "output")], ids=" and ".join)
def test_labels_are_those_of_the_given_graph(adopted, ends, end):
    model = street_network("resize")
    model = turn_input(model) if "input" in ends else model
    if "output" in ends:
        model = turn_output(model, behind=[("Softmax", {"axis": -1})] if end == "softmax" else [])
    expected = given_output(model, "input" in ends).argmax(axis=-1 if "output" in ends else 1)[0]
    adoption = adopted(model)
    assert np.array_equal(labels_of(adoption), expected)
    assert adoption.contract.stride == 4, "the upsampling at the end is found behind what turns it"
    assert transposes(adoption) == ["planes/Transpose"]
    assert adoption.report.tensorrt_findings == ()


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_rescaling_in_the_graph_is_turned_with_it(adopted, order):
    before = [("Mul", 2.0), ("Sub", [0.1, 0.2, 0.3]), ("Add", np.array([[[0.3, 0.2, 0.1]]]))]
    adoption = adopted(turn_output(turn_input(street_network("resize"), before=before)), channel_order=order)
    assert adoption.report.label_agreement == 1
    assert transposes(adoption) == ["planes/Transpose"]


def test_free_batch_and_size_are_read(adopted):
    model = turn_output(turn_input(street_network(free_size=True), size=("height", "width")))
    adoption = adopted(model, size=f"{HEIGHT}x{WIDTH}")
    assert adoption.report.label_agreement == 1
    assert transposes(adoption) == ["planes/Transpose"]


def test_one_channel_is_read_also_where_a_reshape_turns_it(adopted):
    drawing = Drawing()
    weight = np.array([1.0, -2.0, 1.0], np.float32).reshape(1, 3, 1, 1)
    drawing.node("Conv", ["x", drawing.constant("weight", weight)], "y")
    shape = drawing.constant("shape", np.array([-1, HEIGHT, WIDTH, 1]))
    drawing.node("Reshape", ["y", shape], "z")
    drawing.node("Sigmoid", ["z"], "mask")
    frame, mask = [1, 3, HEIGHT, WIDTH], [1, HEIGHT, WIDTH, 1]
    model = drawing.model({"x": (frame, TensorProto.FLOAT)}, {"mask": (mask, TensorProto.FLOAT)})
    expected = given_output(turn_input(model), True)[0, :, :, 0] > 0.5
    adoption = adopted(model, dataset="", class_names=["road"], decision="binary")
    assert np.array_equal(labels_of(adoption), expected)
    assert transposes(adoption) == ["planes/Transpose"]


@pytest.mark.parametrize("flattens", [True, False])
def test_dense_layer_becomes_the_convolution_that_it_is(adopted, flattens):
    model = turn_output(street_network("logits"))
    del model.graph.node[-1]
    generator = np.random.default_rng(5)
    constants = {
        "dense": generator.normal(size=(CLASSES, CLASSES)).astype(np.float32),
        "bias": generator.normal(size=CLASSES).astype(np.float32),
        "rows": np.array([-1, CLASSES]),
        "back": np.array([-1, HEIGHT // 4, WIDTH // 4, CLASSES]),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    flat = [helper.make_node("Reshape", ["last", "rows"], ["flat"])] if flattens else []
    back = [helper.make_node("Reshape", ["product", "back"], ["unflat"])] if flattens else []
    model.graph.node.extend(
        [
            *flat,
            helper.make_node("MatMul", ["flat" if flattens else "last", "dense"], ["product"]),
            *back,
            helper.make_node("Add", ["unflat" if flattens else "product", "bias"], ["output_0"]),
        ]
    )
    adoption = adopted(model, coordinates="half_pixel")
    assert adoption.report.label_agreement == 1 and adoption.report.logit_error < 1e-5
    kinds = {node.op_type for node in onnx.load(adoption.folder / GRAPH_FILE).graph.node}
    assert transposes(adoption) == ["planes/Transpose"] and not kinds & {"MatMul", "Reshape"}


def test_note_names_the_option_of_the_exporter(adopted, capsys):
    model = turn_output(turn_input(street_network("resize")))
    model.producer_name = "tf2onnx"
    adopted(model)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert "input 'image' is NHWC and is taken as it is" in notes[0] and "--inputs-as-nchw image" in notes[0]
    assert "--outputs-as-nchw output_0" in notes[1]
    assert "passes over a name that is not there" in notes[1] and "a Keras 3 model has output_0" in notes[1]


def test_note_of_a_graph_that_keras_exported_names_no_option(adopted, capsys):
    model = turn_output(turn_input(street_network("resize")))
    model.producer_name = "tf2onnx"
    model.graph.node[-1].output[0] = model.graph.output[0].name = "Identity:0"
    adopted(model)
    seen = capsys.readouterr().err
    assert "output 'Identity:0' is NHWC and is taken as it is" in seen and "as-nchw" not in seen


def square(end_node=None):
    """As many rows and columns as classes: sizes alone do not tell the axes."""
    drawing = Drawing()
    stem = np.random.default_rng(2).normal(size=(64, 3, 1, 1)).astype(np.float32)
    drawing.node("Conv", ["x", drawing.constant("weight", stem)], "y")
    if end_node:
        drawing.node(*end_node[:2], "z", **end_node[2])
    frame, output = [1, 3, 64, 64], [1, 64, 64, 64]
    name = "z" if end_node else "y"
    return drawing.model({"x": (frame, TensorProto.FLOAT)}, {name: (output, TensorProto.FLOAT)})


@pytest.mark.parametrize(
    ("end_node", "is_turned"), [(None, False), (("Transpose", ["y"], {"perm": TO_LAST}), True)], ids=["nchw", "nhwc"]
)
def test_sizes_that_fit_both_layouts_are_told_by_the_graph(adopted, end_node, is_turned):
    fields = {"dataset": "", "class_names": [f"class {number}" for number in range(64)]}
    adoption = adopted(square(end_node), **fields)
    assert any("is NHWC" in change for change in adoption.report.changes) == is_turned
    assert adoption.report.label_agreement == 1


def test_layout_that_cannot_be_told_names_the_option(adopted):
    fields = {"dataset": "", "class_names": [f"class {number}" for number in range(64)]}
    with pytest.raises(GraphError) as refused:
        adopted(_with_cumsum(), **fields)
    message = str(refused.value)
    assert "output 'z' of" in message and "whose second and last axis both fit the classes" in message
    assert "--outputs-as-nchw z" in message and "passes over a name that is not there" in message


def _with_cumsum():
    model = square()
    model.graph.initializer.append(numpy_helper.from_array(np.array(3, np.int64), "axis"))
    model.graph.node.append(helper.make_node("CumSum", ["y", "axis"], ["z"]))
    del model.graph.output[:]
    model.graph.output.append(describe("z", [1, 64, 64, 64]))
    return model
