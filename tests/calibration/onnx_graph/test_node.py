"""What is read off a single node."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import helper, numpy_helper

from calibration.onnx_graph.node import (
    attribute_of,
    group_of,
    has_attribute,
    input_of,
    name_of,
    remove_attributes,
    set_attribute,
    weight_axis,
)

ATTRIBUTES = {"i": 3, "f": 0.5, "s": "linear", "ints": [1, 2], "floats": [0.5, 2.0], "strings": ["Tanh", "Relu"]}


def node(kind="Conv", inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute_has_the_value_that_it_was_made_of(name):
    value = attribute_of(node(**ATTRIBUTES), name, None)
    assert value == ATTRIBUTES[name] and type(value) is type(ATTRIBUTES[name])


def test_attribute_that_is_missing_or_no_number_or_text_is_the_default():
    given = node(value=numpy_helper.from_array(np.ones(2)))
    assert attribute_of(given, "axis", 1) == attribute_of(given, "value", 1) == 1
    assert has_attribute(given, "value") and not has_attribute(given, "axis")


def test_attribute_is_set_be_it_there_or_not_and_removed():
    given = node(axis=1, mode="nearest")
    set_attribute(given, "axis", [2, 3])
    set_attribute(given, "pads", [1, 1])
    assert attribute_of(given, "axis", None) == [2, 3] and attribute_of(given, "pads", None) == [1, 1]
    remove_attributes(given, "axis", "pads", "other")
    assert [attribute.name for attribute in given.attribute] == ["mode"]


def test_node_without_a_name_is_called_after_the_first_tensor_that_it_gives():
    assert name_of(node(outputs=["y", "z"])) == "y" and name_of(node(outputs=["", "z"])) == "z"
    assert name_of(node(name="conv")) == "conv"


def test_input_that_is_not_given_is_empty():
    assert [input_of(node(inputs=["x", "", "b"]), index) for index in range(4)] == ["x", "", "b", ""]


@pytest.mark.parametrize(
    ("given", "axis"),
    [
        (node("Conv"), 0),
        (node("ConvTranspose"), 1),
        (node("Gemm"), 1),
        (node("Gemm", transB=1), 0),
        (node("MatMul"), 1),
    ],
    ids=["conv", "transposed", "gemm", "gemm of a transposed weight", "product"],
)
def test_output_channels_of_a_weight_are_along_the_axis_of_its_operator(given, axis):
    assert weight_axis(given) == axis


def test_convolution_has_one_group_unless_it_says_so():
    assert group_of(node()) == 1 and group_of(node(group=4)) == 4
