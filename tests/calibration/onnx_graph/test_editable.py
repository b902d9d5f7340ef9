"""A graph that is changed in place stays whole."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.onnx_graph.editable import EditableGraph
from tests.calibration.graph_drawing import make_model, node

FLOAT = TensorProto.FLOAT
SHAPE = (1, 4, 6, 6)


def editable(nodes, constants=None, outputs=("y",)):
    return EditableGraph(
        make_model(nodes, constants or {}, {"x": (SHAPE, FLOAT)}, dict.fromkeys(outputs, (SHAPE, FLOAT)))
    )


def wiring(graph):
    """Return (operator, inputs, outputs) of each node, of a graph that is valid."""
    onnx.checker.check_model(graph.model, full_check=True)
    return [(item.op_type, list(item.input), list(item.output)) for item in graph.proto.node]


def branch(read, gives):
    """Return a body that reads a tensor of the graph around it, or gives it as it is."""
    inner = [] if read == gives else [node("Neg", [read], gives)]
    return helper.make_graph(inner, "branch", [], [helper.make_tensor_value_info(gives, FLOAT, SHAPE)])


def test_nodes_without_a_name_or_with_one_of_another_are_named_after_their_output():
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["b"], name="same")]
    graph = editable([*nodes, helper.make_node("Abs", ["b"], ["y"], name="same")])
    assert [item.name for item in graph.proto.node] == ["a", "same", "y"]


def test_bypassed_node_is_gone_and_its_readers_read_what_it_read():
    nodes = [node("Relu", ["x"], "a"), node("Identity", ["a"], "b"), node("Add", ["b", "b"], "c")]
    graph = editable([*nodes, node("Mul", ["b", "c"], "y")])
    graph.bypass(graph.producers["b"], "a")
    graph.refresh()
    assert wiring(graph)[1:] == [("Add", ["a", "a"], ["c"]), ("Mul", ["a", "c"], ["y"])]
    assert "b" not in graph.producers and [index for _, index in graph.readers["a"]] == [0, 1, 0]


def test_bypassed_node_in_front_of_an_output_leaves_the_output_its_name():
    nodes = [node("Relu", ["x"], "a"), node("Neg", ["a"], "other"), node("Identity", ["a"], "y")]
    graph = editable(nodes, outputs=("y", "other"))
    graph.bypass(graph.producers["y"], "a")
    graph.refresh()
    assert wiring(graph) == [("Relu", ["x"], ["y"]), ("Neg", ["y"], ["other"])]


def test_bodies_follow_a_bypass():
    condition = helper.make_node("Constant", [], ["is"], value=numpy_helper.from_array(np.array(True)))
    chosen = node("If", ["is"], "y", then_branch=branch("b", "negated"), else_branch=branch("b", "b"))
    nodes = [condition, node("Relu", ["x"], "a"), node("Identity", ["a"], "b"), chosen]
    # Not checked: a body that gives a tensor of the graph around it is a matter of opinion.
    ends = [[helper.make_tensor_value_info(name, FLOAT, SHAPE)] for name in ("x", "y")]
    graph = EditableGraph(helper.make_model(helper.make_graph(nodes, "test", *ends)))
    graph.bypass(graph.producers["b"], "a")
    graph.refresh()
    other, then = sorted((item.g for item in graph.producers["y"].attribute), key=lambda body: len(body.node))
    assert list(then.node[0].input) == ["a"] and other.output[0].name == "a"
    assert len(graph.readers["a"]) == 2 and "b" not in graph.readers


def test_renamed_tensor_is_read_by_its_new_name():
    graph = editable([node("Relu", ["x"], "a"), node("Add", ["a", "x"], "y")])
    graph.rename("a", "relu")
    graph.refresh()
    assert wiring(graph) == [("Relu", ["x"], ["relu"]), ("Add", ["relu", "x"], ["y"])]


def test_added_constant_has_a_name_that_no_tensor_has():
    graph = editable([node("Relu", ["x"], "a"), node("Add", ["a", "w"], "y")], {"w": np.float32(1)})
    assert [graph.add_constant(name, np.float32(2)) for name in ("w", "w", "a", "x", "free")] == [
        "w_1",
        "w_2",
        "a_1",
        "x_1",
        "free",
    ]
    assert graph.value_of("w_2") == 2 and graph.value_of("w") == 1
    assert {tensor.name for tensor in graph.proto.initializer} == {"w", "w_1", "w_2", "a_1", "x_1", "free"}


@pytest.mark.parametrize("form", ["initializer", "value", "value_floats"])
def test_constant_is_set_for_all_that_read_it(form):
    value = np.ones(6, np.float32)
    given = {"value": numpy_helper.from_array(value), "value_floats": value.tolist()}
    made = [] if form == "initializer" else [node("Constant", [], "w", **{form: given[form]})]
    graph = editable([*made, node("Add", ["x", "w"], "y")], {"w": value} if form == "initializer" else {})
    graph.set_constant("w", 3 * value)
    read_again = EditableGraph(onnx.load_model_from_string(graph.model.SerializeToString()))
    for seen in (graph, read_again):
        assert np.array_equal(seen.value_of("w"), 3 * value)
    wiring(graph)


def test_constants_that_nothing_reads_are_dropped_and_those_of_bodies_and_outputs_kept():
    constants = {name: np.ones(SHAPE, np.float32) for name in ("read", "in_body", "given", "unread")}
    unread = node("Constant", [], "also_unread", value_float=1.0)
    condition = helper.make_node("Constant", [], ["is"], value=numpy_helper.from_array(np.array(True)))
    chosen = node("If", ["is"], "chosen", then_branch=branch("in_body", "negated"), else_branch=branch("x", "minus"))
    graph = editable([unread, condition, chosen, node("Add", ["chosen", "read"], "y")], constants, ("y", "given"))
    graph.drop_unread_constants()
    assert set(graph.constants) == {"is", "read", "in_body", "given"}
    assert {tensor.name for tensor in graph.proto.initializer} == {"read", "in_body", "given"}
    wiring(graph)


def test_nodes_are_replaced_behind_those_that_give_constants():
    nodes = [node("Relu", ["x"], "a"), node("Constant", [], "two", value_float=2.0), node("Mul", ["a", "two"], "y")]
    graph = editable(nodes)
    halved = helper.make_node("Div", ["a", "two"], ["y"])
    graph.replace_nodes([graph.nodes[0], halved])
    assert wiring(graph) == [("Constant", [], ["two"]), ("Relu", ["x"], ["a"]), ("Div", ["a", "two"], ["y"])]
    assert graph.producers["y"].name == "y" and graph.value_of("two") == 2


def test_shapes_are_inferred_anew_only_where_one_may_have_changed(monkeypatch):
    calls, infer = [], onnx.shape_inference.infer_shapes

    def counted(*arguments, **options):
        calls.append(1)
        return infer(*arguments, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", counted)
    graph = editable([node("Relu", ["x"], "a"), node("Identity", ["a"], "b"), node("Neg", ["b"], "y")])
    calls.clear()
    assert graph.shape_of("y") == SHAPE
    graph.bypass(graph.producers["b"], "a")
    graph.refresh()
    assert graph.shape_of("y") == SHAPE and len(calls) == 1
    graph.forget_shapes()
    assert graph.shape_of("y") == SHAPE and len(calls) == 2
    graph.replace_nodes([node("Relu", ["x"], "y")])
    assert "a" not in graph.shapes and len(calls) == 3
