"""Every way in which a given graph and its contract can contradict each other has a line of its own."""

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
from edge.errors import ContractError, GraphError, SegEdgeError, SizeError
from export.adopt.adoption import adopt
from tests.export.foreign_graphs import CLASSES, CONTRACT, HEIGHT, WIDTH, Drawing, street_network

draw_scene = functools.lru_cache(maxsize=None)(edge.synthetic.draw_scene)

FRAME = [1, 3, HEIGHT, WIDTH]


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Return a function that adopts a graph and gives the line of the error; nothing may be left behind."""
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)

    def refuse(model, kind=GraphError, asked=None, **fields):
        graph, contract = tmp_path / "guest.onnx", tmp_path / "guest.json"
        graph.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        contract.write_text(json.dumps({**CONTRACT, **fields}))
        with pytest.raises(kind) as caught:
            adopt(graph, contract, tmp_path / "artifacts", asked)
        assert not (tmp_path / "artifacts").exists()
        message = str(caught.value)
        assert "\n" not in message and str(tmp_path) in message
        return message.replace(f"{tmp_path}/", "")

    return refuse


def tiny(frame=tuple(FRAME), kind=TensorProto.FLOAT, output=(1, CLASSES, HEIGHT, WIDTH), before=(), opset=17):
    """Return a 1x1 convolution of an input as it is described."""
    drawing = Drawing()
    channels = frame[1] if len(frame) > 1 and isinstance(frame[1], int) else 3
    weight = np.linspace(-1, 1, CLASSES * channels, dtype=np.float32).reshape(CLASSES, channels, 1, 1)
    source = "x"
    for operator in before:
        source = drawing.node(operator, [source], f"after_{operator}")
    drawing.node("Conv", [source, drawing.constant("weight", weight)], "y")
    return drawing.model({"x": (frame, kind)}, {"y": (output, TensorProto.FLOAT)}, opset)


def test_missing_graph_is_named(tmp_path):
    (tmp_path / "guest.json").write_text(json.dumps(CONTRACT))
    with pytest.raises(GraphError, match=r"graph not found: .*none\.onnx"):
        adopt(tmp_path / "none.onnx", tmp_path / "guest.json", tmp_path / "artifacts")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_truncated_graph_is_refused(refused, share):
    data = street_network().SerializeToString()
    assert "is truncated or not ONNX: " in refused(data[: int(len(data) * share)])


def test_file_that_is_no_graph_is_refused(refused):
    assert "guest.onnx (20 bytes) is truncated or not ONNX" in refused(b"\x89PNG and not ONNX...")


def save_beside(tmp_path):
    onnx.save(
        street_network(constants_are_nodes=False),
        str(tmp_path / "guest.onnx"),
        save_as_external_data=True,
        location="guest.weights",
        size_threshold=0,
    )
    (tmp_path / "guest.json").write_text(json.dumps(CONTRACT))
    return tmp_path / "guest.weights"


def test_missing_weights_beside_the_graph_are_named(tmp_path):
    save_beside(tmp_path).unlink()
    with pytest.raises(GraphError, match=r"has its weights in guest\.weights, which is not beside it\. Next: copy"):
        adopt(tmp_path / "guest.onnx", tmp_path / "guest.json", tmp_path / "artifacts")


def test_truncated_weights_beside_the_graph_are_refused(tmp_path):
    weights = save_beside(tmp_path)
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(GraphError, match=rf"guest\.weights has {len(data) // 2} bytes, .* reads \d+ .* truncated"):
        adopt(tmp_path / "guest.onnx", tmp_path / "guest.json", tmp_path / "artifacts")


def test_quantised_graph_is_refused(refused):
    drawing = Drawing()
    scale, zero = drawing.constant("s", np.float32(0.1)), drawing.constant("z", np.int8(0))
    drawing.node("QuantizeLinear", ["x", scale, zero], "q")
    drawing.node("DequantizeLinear", ["q", scale, zero], "y")
    model = drawing.model({"x": (FRAME, TensorProto.FLOAT)}, {"y": (FRAME, TensorProto.FLOAT)})
    message = refused(model, class_names=["a", "b", "c"], dataset=None)
    assert message.startswith(
        "guest.onnx is quantised already: net/q is a QuantizeLinear, expected a float graph. Next"
    )


def test_graph_in_half_precision_is_refused(refused):
    drawing = Drawing()
    drawing.node("Cast", ["x"], "half", to=TensorProto.FLOAT16)
    drawing.node("Conv", ["half", drawing.constant("w", np.ones((CLASSES, 3, 1, 1), np.float16))], "out")
    drawing.node("Cast", ["out"], "y", to=TensorProto.FLOAT)
    shape = (1, CLASSES, HEIGHT, WIDTH)
    model = drawing.model({"x": (FRAME, TensorProto.FLOAT)}, {"y": (shape, TensorProto.FLOAT)})
    assert "has weights in FLOAT16 (w), expected float32" in refused(model)


@pytest.mark.parametrize("kind", ["UINT8", "FLOAT16", "DOUBLE"])
def test_input_of_another_type_is_refused(refused, kind):
    drawing = Drawing()
    drawing.node("Identity", ["x"], "y")
    number = getattr(TensorProto, kind)
    message = refused(drawing.model({"x": (FRAME, number)}, {"y": (FRAME, number)}))
    assert message.startswith(f"input 'x' of guest.onnx is {kind}, expected FLOAT (float32). Next: export")


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (
            (1, HEIGHT, WIDTH, 4),
            "is (1, 64, 128, 4), expected 3 channels: (1, 3, height, width) or (1, height",
        ),
        ((1, 1, HEIGHT, WIDTH), "is (1, 1, 64, 128), expected 3 channels"),
        ((1, 4, HEIGHT, WIDTH), "is (1, 4, 64, 128), expected 3 channels"),
        ((3, HEIGHT, WIDTH), "is (3, 64, 128), expected (1, 3, height, width)"),
        ((4, 3, HEIGHT, WIDTH), "takes 4 frames at once, expected 1. Next: export it with a batch of 1, or a free one"),
        ((1, 3, "h", 0), None),
    ],
)
def test_input_of_another_shape_is_refused(refused, frame, line):
    drawing = Drawing()
    drawing.node("Identity", ["x"], "y")
    model = drawing.model({"x": (frame, TensorProto.FLOAT)}, {"y": (frame, TensorProto.FLOAT)})
    if line is None:
        assert "takes frames of any size, and none is given" in refused(model, SizeError)
    else:
        assert line in refused(model)


def test_free_size_without_a_size_is_refused(refused):
    message = refused(street_network(free_size=True), SizeError)
    assert (
        message == 'guest.onnx takes frames of any size, and none is given. Next: --size HxW, or "size" in the contract'
    )


def test_other_size_than_the_graphs_own_is_refused(refused):
    line = "guest.onnx takes frames of 64x128, asked for is 32x128. Next: ask for its own size"
    assert line in refused(street_network(), SizeError, (32, 128))
    assert line in refused(street_network(), SizeError, size="32x128")


def test_size_that_the_network_cannot_take_is_refused_with_the_reason(refused):
    # Two branches whose sides are rounded differently.
    message = refused(street_network(free_size=True), GraphError, (70, 130))
    assert message.startswith("guest.onnx does not run at 70x130 on ONNX Runtime: ")
    assert message.endswith("Next: another --size, such as a multiple of 32")


def test_unknown_input_and_output_are_refused_with_those_that_are_there(refused):
    model = street_network()
    assert "guest.onnx has no input 'frame', it has x" in refused(model, input_name="frame")
    message = refused(model, output_name="logits")
    assert "guest.onnx has no tensor 'logits' that a node gives. Next: name an output (full)" in message


def two_inputs(needed):
    model = tiny()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Mul", ["y", "z"], ["scaled"], name="net/scaled"))
    if needed:
        model.graph.output[0].name = "scaled"
    return model


def test_several_inputs_need_a_name_and_no_other_may_be_needed(refused, tmp_path):
    message = refused(two_inputs(needed=False))
    assert message == 'guest.onnx has 2 inputs (x, z), expected 1. Next: add "input_name" to the contract'
    message = refused(two_inputs(needed=True), input_name="x")
    assert message == "guest.onnx needs the input 'z' beside 'x', expected frames alone"


def test_input_that_the_output_does_not_need_can_be_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)
    (tmp_path / "guest.onnx").write_bytes(two_inputs(needed=False).SerializeToString())
    (tmp_path / "guest.json").write_text(json.dumps({**CONTRACT, "input_name": "x"}))
    assert adopt(tmp_path / "guest.onnx", tmp_path / "guest.json", tmp_path / "artifacts").contract.stride == 1


def test_several_outputs_need_a_name(refused):
    model = tiny()
    model.graph.node.append(helper.make_node("Relu", ["y"], ["z"], name="net/z"))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, CLASSES, HEIGHT, WIDTH]))
    assert refused(model) == 'guest.onnx has 2 outputs (y, z). Next: add "output_name" to the contract'


def test_labels_as_output_are_refused_with_the_tensor_that_holds_the_logits(refused):
    message = refused(street_network("argmax"))
    assert message == (
        "output 'labels' of guest.onnx is labels: net/largest takes the largest already, expected logits. "
        'Next: add "output_name": "full" to the contract'
    )


def test_labels_that_are_cast_to_float_are_refused_too(refused):
    model = street_network("argmax")
    model.graph.node.append(helper.make_node("Cast", ["labels"], ["map"], to=TensorProto.FLOAT))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, HEIGHT, WIDTH]))
    assert 'Next: add "output_name": "full"' in refused(model)


def test_output_of_integers_that_no_argmax_gives_is_refused(refused):
    drawing = Drawing()
    drawing.node("Cast", ["x"], "y", to=TensorProto.INT32)
    model = drawing.model({"x": (FRAME, TensorProto.FLOAT)}, {"y": (FRAME, TensorProto.INT32)})
    assert refused(model) == "output 'y' of guest.onnx is int32, expected float32 logits"


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        ([("Flatten", {})], "is (1, 90112), expected (1, 11, height, width)"),
        ([("Transpose", {"perm": [0, 1, 3, 2]})], "is (1, 11, 128, 64) for an input of 64x128, expected (1, 11, 64/s,"),
        ([("AveragePool", {"kernel_shape": [3, 3], "strides": [3, 3]})], "with a whole stride s. Next: another --size"),
    ],
    ids=["flat", "turned", "stride"],
)
def test_output_of_another_shape_is_refused(refused, nodes, line):
    model = tiny()
    for operator, attributes in nodes:
        model.graph.node.append(helper.make_node(operator, ["y"], ["z"], name="net/z", **attributes))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, list("nchw")))
    if nodes[0][0] == "Flatten":
        del model.graph.output[0].type.tensor_type.shape.dim[2:]
    assert line in refused(model)


def test_other_count_of_classes_is_refused(refused):
    message = refused(tiny(), dataset="cityscapes")
    assert message == (
        "output 'y' of guest.onnx is (1, 11, 64, 128), the contract has 19 classes, expected (1, 19, height, width)"
    )


def test_strided_logits_without_a_rule_are_refused(refused):
    message = refused(street_network("logits"), ContractError)
    assert message == (
        "guest.onnx gives logits at stride 4, its contract lacks the rule that upsamples them. "
        'Next: add "coordinates": "half_pixel" or "align_corners"'
    )


def test_rule_that_contradicts_the_graphs_own_upsampling_is_refused(refused):
    message = refused(street_network(coordinates="align_corners"), ContractError, coordinates="half_pixel")
    assert (
        "upsamples its logits by align_corners (net/full), its contract says half_pixel, expected the same" in message
    )


def test_output_that_does_not_depend_on_the_frame_is_refused(refused):
    model = tiny()
    model.graph.node.append(helper.make_node("ConstantOfShape", ["shape"], ["z"], name="net/z"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, CLASSES, HEIGHT, WIDTH]), "shape"))
    assert refused(model, output_name="z") == "'z' of guest.onnx does not depend on the input 'x'"


def test_control_flow_is_refused(refused):
    model = tiny()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["y"], ["kept"])],
        "branch",
        [],
        [helper.make_tensor_value_info("kept", TensorProto.FLOAT, None)],
    )
    branch.output[0].type.tensor_type.shape.SetInParent()
    for _ in range(4):
        branch.output[0].type.tensor_type.shape.dim.add()
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    choice = helper.make_node("If", ["yes"], ["z"], name="net/choice", then_branch=branch, else_branch=branch)
    model.graph.node.append(choice)
    model.graph.output[0].name = "z"
    assert refused(model).startswith("guest.onnx: net/choice is a If, which is control flow, expected none. Next: ")


def test_graph_in_training_mode_is_refused(refused):
    drawing = Drawing()
    constants = [drawing.constant(name, np.ones(3, np.float32)) for name in ("g", "b", "m", "v")]
    norm = helper.make_node("BatchNormalization", ["x", *constants], ["n", "m2", "v2"], name="net/n", training_mode=1)
    drawing.nodes.append(norm)
    drawing.node("Conv", ["n", drawing.constant("w", np.ones((CLASSES, 3, 1, 1), np.float32))], "y")
    shape = (1, CLASSES, HEIGHT, WIDTH)
    model = drawing.model({"x": (FRAME, TensorProto.FLOAT)}, {"y": (shape, TensorProto.FLOAT)})
    message = refused(model)
    assert message == (
        "guest.onnx: net/n (BatchNormalization) is in training mode, expected inference. "
        "Next: export the network in its evaluation mode"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_refused(tmp_path, monkeypatch, value):
    monkeypatch.setattr(edge.synthetic, "draw_scene", draw_scene)
    model = tiny()
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] = value
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "weight"))
    (tmp_path / "guest.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "guest.json").write_text(json.dumps(CONTRACT))
    with pytest.raises(SegEdgeError, match=r"the given graph gives NaN or infinite logits\. Next: check"):
        adopt(tmp_path / "guest.onnx", tmp_path / "guest.json", tmp_path / "artifacts")


def test_opset_that_cannot_be_converted_is_refused(refused, monkeypatch):
    def fail(model, version):
        raise RuntimeError("no adapter\nfor this")

    import onnx.version_converter

    monkeypatch.setattr(onnx.version_converter, "convert_version", fail)
    assert refused(tiny(opset=11)) == (
        "guest.onnx has opset 11, and onnx cannot convert it to 17: no adapter for this. "
        "Next: export it with an opset from 13 to 17"
    )
