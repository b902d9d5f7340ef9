"""The one inference: what it reads, what it trusts, and what it does where ONNX is at a loss."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.onnx_graph.shapes import LARGEST_SHAPE_CONSTANT, SAME_SIZE, describe_tensors, infer_shapes
from edge.errors import GraphError
from tests.calibration.graph_drawing import make_model, node

REPOSITORY = Path(__file__).resolve().parents[3]
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
SHAPE = (1, 4, 6, 6)


def value_info(name, shape=SHAPE, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def draft(nodes, constants=None, value_infos=(), functions=(), domains=("",)):
    """Return a graph from x to y that nobody has checked; the file says the shape of y."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(
        nodes, "test", [value_info("x")], [value_info("y")], tensors, value_info=list(value_infos)
    )
    opsets = [helper.make_opsetid(domain, 17 if domain in ("", "ai.onnx") else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions))


def behind(operator, domain, **options):
    """Return x -> operator of a domain -> a -> Relu -> y."""
    other = node(operator, ["x"], "a")
    other.domain = domain
    return draft([other, node("Relu", ["a"], "y")], domains=("", domain), **options)


def test_what_the_file_says_of_tensors_is_trusted_by_lenient_inference_alone():
    model = behind("Wobble", "my.domain", value_infos=[value_info("a")])
    strict, lenient = infer_shapes(model), infer_shapes(model, lenient=True)
    assert "a" not in strict.shapes and "y" not in strict.shapes
    assert lenient.shapes == {"x": SHAPE, "a": SHAPE, "y": SHAPE}
    false = draft([node("Relu", ["x"], "a"), node("Relu", ["a"], "y")], value_infos=[value_info("a", (1, 4, 5, 5))])
    assert infer_shapes(false).shapes["a"] == SHAPE


def test_types_that_contradict_each_other_are_refused_unless_lenient():
    model = draft([node("Cast", ["x"], "half", to=HALF), node("Add", ["x", "half"], "y")])
    with pytest.raises(GraphError, match=r"^the types of the graph cannot be inferred: .*Add.*float16") as caught:
        infer_shapes(model)
    assert "\n" not in str(caught.value)
    assert infer_shapes(model, lenient=True).shapes["y"] == SHAPE  # the file says so


def test_graph_that_inference_refuses_altogether_leaves_what_the_file_says():
    model = draft([node("Relu", ["x"], "y")])
    del model.opset_import[:]
    assert infer_shapes(model, lenient=True).shapes == {"x": SHAPE, "y": SHAPE}
    with pytest.raises(GraphError, match="cannot be inferred"):
        infer_shapes(model)


def test_operator_that_onnx_does_not_know_hides_the_sizes_behind_it():
    found = infer_shapes(behind("Wobble", "my.domain"))
    assert found.types["y"] == FLOAT and set(found.shapes) == {"x"}


def test_sizes_that_do_not_fit_are_refused_where_they_are_checked_and_not_known_elsewhere():
    model = draft([node("Add", ["x", "c"], "a"), node("Relu", ["a"], "y")], {"c": np.ones((1, 3, 1, 1), np.float32)})
    assert set(infer_shapes(model).shapes) == {"x"}
    assert infer_shapes(model, lenient=True).shapes["y"] == SHAPE  # the file says so
    with pytest.raises(GraphError, match=r"cannot be inferred: .*Incompatible dimensions"):
        infer_shapes(model, checks_shapes=True)


@pytest.mark.parametrize("operator", SAME_SIZE)
def test_operators_of_onnxruntime_that_keep_sizes_do_so_leniently_alone(operator):
    model = behind(operator, "com.microsoft")
    assert infer_shapes(model, lenient=True).shapes["a"] == SHAPE
    assert "a" not in infer_shapes(model).shapes


@pytest.mark.parametrize("lenient", [False, True])
def test_functions_of_the_file_are_looked_into(lenient):
    body = [helper.make_node("Flatten", ["given"], ["flat"]), helper.make_node("Relu", ["flat"], ["result"])]
    function = helper.make_function("my.domain", "Flat", ["given"], ["result"], body, [helper.make_opsetid("", 17)], [])
    assert infer_shapes(behind("Flat", "my.domain", functions=[function]), lenient).shapes["a"] == (1, 144)


@pytest.mark.parametrize("lenient", [False, True])
def test_both_names_of_the_standard_domain_are_one(lenient):
    relu = node("Relu", ["x"], "a")
    relu.domain = "ai.onnx"
    assert infer_shapes(draft([relu, node("Relu", ["a"], "y")], domains=("ai.onnx",)), lenient).shapes["a"] == SHAPE


@pytest.mark.parametrize("as_node", [False, True])
@pytest.mark.parametrize("count", [64, 65, LARGEST_SHAPE_CONSTANT])
def test_constant_that_decides_a_shape_is_read(count, as_node):
    # Sizes are taken out of a longer table.
    table = np.arange(count, dtype=np.int64)
    table[-2:] = 4, 36
    made = [node("Constant", [], "table", value=numpy_helper.from_array(table))] if as_node else []
    nodes = [*made, node("Gather", ["table", "last"], "sizes"), node("Reshape", ["x", "sizes"], "y")]
    constants = {"last": np.int64([count - 2, count - 1]), **({} if as_node else {"table": table})}
    assert infer_shapes(draft(nodes, constants)).shapes["y"] == (4, 36)


@pytest.mark.parametrize("lenient", [False, True])
def test_weights_are_not_copied_and_known_all_the_same(monkeypatch, lenient):
    weight = np.ones((32, 4, 3, 3), np.float32)
    seen, infer = [], onnx.shape_inference.infer_shapes

    def watched(model, *arguments, **options):
        seen.append(model)
        return infer(model, *arguments, **options)

    nodes = [
        node("Constant", [], "other", value=numpy_helper.from_array(np.ones((5, 32, 3, 3), np.float32))),
        node("Conv", ["x", "weight"], "a"),
        node("Conv", ["a", "other"], "y"),
    ]
    model = make_model(nodes, {"weight": weight}, {"x": (SHAPE, FLOAT)}, {"y": ((1, 5, 2, 2), FLOAT)})
    before = model.SerializeToString(deterministic=True)
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", watched)
    found = infer_shapes(model, lenient)
    assert found.shapes == {"x": SHAPE, "a": (1, 32, 4, 4), "y": (1, 5, 2, 2)}
    assert seen[0].ByteSize() < 1000
    assert model.SerializeToString(deterministic=True) == before


def test_described_graph_says_what_inference_finds_and_nothing_else():
    model = draft(
        [node("Conv", ["x", "weight"], "a"), node("Relu", ["a"], "y")],
        {"weight": np.ones((4, 4, 16, 16), np.float32)},
        [value_info("a", (7, 7)), value_info("gone")],
    )
    model.graph.node[0].attribute.append(helper.make_attribute("pads", [8, 8, 7, 7]))
    model.graph.output[0].type.tensor_type.shape.dim[2].Clear()
    describe_tensors(model)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.value_info] == ["a"]
    for value in (model.graph.value_info[0], model.graph.output[0]):
        assert tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) == SHAPE
    with pytest.raises(GraphError, match="Incompatible dimensions"):
        describe_tensors(draft([node("Add", ["x", "c"], "y")], {"c": np.ones((1, 3, 1, 1), np.float32)}))


def test_shapes_are_inferred_in_one_place():
    calling = re.compile(
        r"shape_inference\s*\.\s*infer_shapes|from onnx(?:\.shape_inference)? import .*(?:infer_shapes|shape_inference)"
    )
    found = {
        str(path.relative_to(REPOSITORY))
        for room in ("edge", "calibration", "export", "train", "benchmarks")
        for path in (REPOSITORY / room).rglob("*.py")
        if calling.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"calibration/onnx_graph/shapes.py"}
