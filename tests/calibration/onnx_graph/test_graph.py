"""What a graph says of its nodes, constants, tensors and their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.lint_rules.graph import QdqGraph
from calibration.onnx_graph.graph import IN_BODY, OnnxGraph
from tests.calibration.graph_drawing import make_model, node

FLOAT = TensorProto.FLOAT
SHAPE = (1, 4, 6, 6)
KERNEL = np.ones((4, 4, 1, 1), np.float32)


def view(nodes, constants=None, outputs=("y",), shape=SHAPE):
    """Return the view of a graph from x to some outputs of one shape."""
    return OnnxGraph(make_model(nodes, constants or {}, {"x": (shape, FLOAT)}, dict.fromkeys(outputs, (shape, FLOAT))))


def body(nodes, output):
    return helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info(output, FLOAT, SHAPE)])


def branching(inner, behind=()):
    """Return a graph with an If whose branches are given as (nodes, name of the output)."""
    branches = [body(nodes, name) for nodes, name in inner]
    condition = helper.make_node("Constant", [], ["is"], value=numpy_helper.from_array(np.array(True)))
    chosen = node("If", ["is"], "y", then_branch=branches[0], else_branch=branches[1])
    # Not checked: a body that gives a tensor of the graph around it is a matter of opinion.
    ends = [[helper.make_tensor_value_info(name, FLOAT, SHAPE)] for name in ("x", "y")]
    nodes = [condition, node("Relu", ["x"], "relu"), *behind, chosen]
    return OnnxGraph(helper.make_model(helper.make_graph(nodes, "test", *ends)))


@pytest.fixture
def inferences(monkeypatch):
    """Models that are handed to inference from here on."""
    seen, infer = [], onnx.shape_inference.infer_shapes

    def watched(model, *arguments, **options):
        seen.append(model)
        return infer(model, *arguments, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    return seen


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"value": numpy_helper.from_array(np.float32([1, 2]))}, np.float32([1, 2])),
        ({"value_float": 0.5}, np.float32(0.5)),
        ({"value_floats": [0.5, 2.0]}, np.float32([0.5, 2])),
        ({"value_int": 3}, np.int64(3)),
        ({"value_ints": [3, 4]}, np.int64([3, 4])),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else None,
)
def test_number_of_a_constant_node_is_a_constant_like_an_initializer(form, expected):
    graph = view([node("Constant", [], "c", **form), node("Relu", ["x"], "y")])
    value = graph.value_of("c")
    assert value.dtype == expected.dtype and np.array_equal(value, expected)
    assert graph.type_of("c") == ("FLOAT" if expected.dtype == np.float32 else "INT64")
    assert graph.shape_of("c") == expected.shape
    assert [item.op_type for item in graph.nodes] == ["Relu"] and "c" not in graph.producers
    assert [item.output[0] for item in graph.constant_nodes] == ["c"]


def test_text_of_a_constant_node_is_no_constant():
    graph = view([node("Constant", [], "text", value_string="a"), node("Relu", ["x"], "y")])
    assert "text" not in graph.constants and graph.producer("text", "Constant") is graph.nodes[0]


def test_identity_of_a_constant_is_a_node_but_for_the_rules_about_scales():
    nodes = [node("Identity", ["one"], "same"), node("Mul", ["x", "same"], "y")]
    graph = view(nodes, {"one": np.float32(1)})
    assert graph.value_of("same") is None and graph.producer("same", "Identity") is not None
    rules = QdqGraph(graph.model)
    assert rules.value_of("same") == 1 and [item.op_type for item in rules.nodes] == ["Mul"]


def test_operators_of_other_domains_are_none_of_the_standard_ones_but_for_the_rules_about_scales():
    model = view([node("Relu", ["x"], "y")]).model
    model.graph.node[0].domain = "com.microsoft"
    assert not list(OnnxGraph(model).of("Relu"))
    assert len(list(QdqGraph(model).of("Relu"))) == 1
    model.graph.node[0].domain = "ai.onnx"
    assert len(list(OnnxGraph(model).of("Relu", "Conv"))) == 1


def test_weight_that_is_declared_as_an_input_is_none():
    model = view([node("Conv", ["x", "w"], "y")], {"w": KERNEL}).model
    model.graph.input.append(helper.make_tensor_value_info("w", FLOAT, KERNEL.shape))
    assert list(OnnxGraph(model).inputs) == ["x"]


def test_readers_are_named_with_their_input_once_for_each_read():
    nodes = [node("Relu", ["x"], "a"), node("Add", ["a", "a"], "b"), node("Clip", ["b", "", "six"], "y")]
    graph = view(nodes, {"six": np.float32(6)})
    assert [(reader.op_type, index) for reader, index in graph.readers["a"]] == [("Add", 0), ("Add", 1)]
    assert [(reader.op_type, index) for reader, index in graph.readers["six"]] == [("Clip", 2)]
    assert "" not in graph.readers and not graph.is_read("z") and graph.is_read("y")
    assert graph.computed_inputs(graph.nodes[-1]) == ["b"]
    assert graph.producer("b").op_type == "Add" and graph.producer("b", "Mul") is None and graph.producer("x") is None


def test_what_bodies_read_or_give_has_the_node_around_them_as_its_reader():
    inside = [node("Neg", ["relu"], "negated")]
    graph = branching([(inside, "negated"), ([node("Identity", ["x"], "same")], "same")])
    assert [(reader.op_type, index) for reader, index in graph.readers["relu"]] == [("If", IN_BODY)]
    assert [(reader.op_type, index) for reader, index in graph.readers["x"]] == [("Relu", 0), ("If", IN_BODY)]
    around = helper.make_node(
        "If", ["is"], ["chosen"], then_branch=body(inside, "negated"), else_branch=body([], "relu")
    )
    nested = branching([([around], "chosen"), ([node("Identity", ["x"], "same")], "same")])
    assert [index for _, index in nested.readers["relu"]] == [IN_BODY, IN_BODY]
    given = branching([([], "relu"), (inside, "negated")])
    assert [index for _, index in given.readers["relu"]] == [IN_BODY, IN_BODY]


def test_only_reader_is_the_one_that_reads_a_tensor_once_and_nothing_else_does():
    nodes = [node("Relu", ["x"], "a"), node("Neg", ["a"], "b"), node("Add", ["b", "b"], "c"), node("Abs", ["c"], "y")]
    graph = view(nodes, outputs=("c", "y"))
    assert graph.only_reader("a").op_type == graph.only_reader("a", "Abs", "Neg").op_type == "Neg"
    assert graph.only_reader("a", "Relu") is None
    assert graph.only_reader("b") is None  # two reads of one node
    assert graph.only_reader("c") is None  # an output too
    assert graph.only_reader("y") is graph.only_reader("nothing") is None
    inside = ([node("Identity", ["relu"], "same")], "same")
    assert branching([inside, ([], "relu")], [node("Neg", ["relu"], "negated")]).only_reader("relu", "Neg") is None


def test_shapes_are_inferred_when_they_are_first_asked_for_and_once(inferences):
    graph = view([node("Conv", ["x", "w"], "c"), node("Relu", ["c"], "y")], {"w": KERNEL})
    inferences.clear()
    assert graph.type_of("x") == graph.type_of("w") == "FLOAT" and graph.shape_of("w") == KERNEL.shape
    assert not inferences  # what the file says of these is enough
    assert graph.shape_of("c") == SHAPE and graph.type_of("y") == "FLOAT" and graph.type_of("nothing") == "UNDEFINED"
    assert len(inferences) == 1


def test_size_that_is_not_known_is_none():
    model = view([node("Relu", ["x"], "y")]).model
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    graph = OnnxGraph(model)
    assert graph.shape_of("y") == (None, 4, 6, 6) and graph.static_shape_of("y") is None
    assert graph.shape_of("nothing") is graph.static_shape_of("nothing") is None


def test_graph_that_is_looked_at_stays_as_it_is():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])]
    model = view(nodes).model
    before = model.SerializeToString(deterministic=True)
    graph = OnnxGraph(model)
    assert graph.shapes and graph.classifiers() == []
    assert model.SerializeToString(deterministic=True) == before


def test_layers_have_their_constant_weight_and_store_behind_their_relu():
    nodes = [
        node("Conv", ["x", "w"], "a"),
        node("Relu", ["a"], "a_relu"),
        node("Conv", ["a_relu", "w"], "b"),
        node("Relu", ["b"], "b_relu"),
        node("Add", ["b", "b_relu"], "y"),
    ]
    graph = view(nodes, {"w": KERNEL})
    first, _, second, _, last = graph.nodes
    assert tuple(graph.weight_of(first).dims) == KERNEL.shape and graph.weight_of(last) is None
    assert graph.stored_output(first) == "a_relu" and graph.stored_output(second) == "b"
    assert [item.name for item in graph.classifiers()] == ["b"]
