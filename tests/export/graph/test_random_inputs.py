"""Noise is drawn anew by the graph in each run, and can be given to it from outside instead."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from edge.errors import GraphError
from edge.runtime.onnxruntime import open_session
from export.graph.random_inputs import draw_noise, noise_as_inputs

NAMES = ["first_noise", "second_noise"]
SHAPES = {"first_noise": (3, 4, 20, 30), "second_noise": (2, 5, 8, 8)}
FLOAT = onnx.TensorProto.FLOAT


def make_model(shapes=SHAPES):
    """Return a graph that gives its noise back, plus a frame of one number."""
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("Add", ["frame", name], [f"{name}_out"], name=f"{name}_out/Add") for name in shapes]
    graph = onnx.helper.make_graph(
        nodes,
        "noisy",
        [value("frame", FLOAT, (1,)), *(value(name, FLOAT, shape) for name, shape in shapes.items())],
        [value(f"{name}_out", FLOAT, shape) for name, shape in shapes.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def inputs_of(model) -> dict[str, tuple[int, ...]]:
    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.input}


def operators(model) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.fixture
def drawn():
    model = make_model()
    draw_noise(model, NAMES)
    return model


def test_inputs_become_nodes_that_draw(drawn):
    onnx.checker.check_model(drawn, full_check=True)
    assert inputs_of(drawn) == {"frame": (1,)}
    assert operators(drawn) == ["RandomUniform", "RandomUniform", "Add", "Add"]
    assert [node.name for node in drawn.graph.node[:2]] == [f"{name}/RandomUniform" for name in NAMES]


def test_no_seed_is_fixed(drawn):
    for node in drawn.graph.node[:2]:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape = list(SHAPES[node.output[0]])
        assert attributes == {"low": 0.0, "high": 1.0, "shape": shape, "dtype": FLOAT}


def test_each_run_draws_other_numbers_uniform_between_0_and_1(drawn):
    session = open_session(drawn.SerializeToString())
    first, second = (session.run(None, {"frame": np.zeros(1, np.float32)}) for _ in range(2))
    for values, again, shape in zip(first, second, SHAPES.values()):
        assert values.shape == shape
        assert values.min() >= 0 and values.max() <= 1
        assert not np.array_equal(values, again)
    # 7,200 draws: the standard deviation of their mean is 0.0034, and of the share below 0.25 0.0051.
    assert first[0].mean() == pytest.approx(0.5, abs=0.02)
    assert (first[0] < 0.25).mean() == pytest.approx(0.25, abs=0.03)
    # The samples of one run are not each other's copies.
    assert len({sample.tobytes() for sample in first[0]}) == 3


def test_drawing_can_be_undone(drawn):
    assert noise_as_inputs(drawn) == NAMES
    onnx.checker.check_model(drawn, full_check=True)
    assert inputs_of(drawn) == inputs_of(make_model())
    assert list(drawn.graph.node) == list(make_model().graph.node)
    assert drawn == make_model()


def test_noise_that_is_given_is_what_the_graph_uses(drawn):
    noise_as_inputs(drawn)
    session = open_session(drawn.SerializeToString())
    generator = np.random.default_rng(0)
    noise = {name: generator.random(shape, np.float32) for name, shape in SHAPES.items()}
    outputs = session.run(None, {"frame": np.ones(1, np.float32), **noise})
    for values, given in zip(outputs, noise.values()):
        np.testing.assert_array_equal(values, given + 1)


def test_graph_without_noise_stays_as_it_is():
    model = make_model()
    draw_noise(model, [])
    assert noise_as_inputs(model) == []
    assert model == make_model()


def test_input_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(GraphError, match="no input 'third_noise', it has frame, first_noise, second_noise"):
        draw_noise(make_model(), ["third_noise"])


def test_noise_of_unknown_shape_is_refused():
    with pytest.raises(GraphError, match="expected a static one"):
        draw_noise(make_model({"first_noise": (None, 4, 20, 30)}), ["first_noise"])
