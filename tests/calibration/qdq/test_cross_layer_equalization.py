"""Channels are balanced between convolutions, and the network computes what it did."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.qdq.cross_layer_equalization import FACTOR_LIMITS, balancing_factors, equalize_cross_layer
from calibration.qdq.weights import quantize_weight, weight_scales
from calibration.ranges.record import PREPROCESSING, Ranges, TensorRange
from edge.errors import GraphError, InputError
from tests.calibration import graph_drawing as drawing

FLOAT = TensorProto.FLOAT
CHANNELS = 8
SIZE = 10
SPREAD = np.geomspace(1e-3, 1, CHANNELS)[[3, 0, 7, 5, 1, 6, 2, 4]].astype(np.float32)
"""Ranges that differ 1000 times from channel to channel."""

BETWEEN = {
    "nothing": None,
    "Relu": ("Relu", [], {}),
    "LeakyRelu": ("LeakyRelu", [], {"alpha": 0.2}),
    "PRelu": ("PRelu", ["slope"], {}),
}
SECOND = {"plain": ((6, 8, 3, 3), 1), "grouped": ((6, 4, 3, 3), 2), "depthwise": ((16, 1, 3, 3), 8)}


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def frame(seed=1):
    return {"x": np.random.default_rng(seed).normal(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)}


def draw(nodes, constants, outputs=("y",)):
    """Return a model of x (1, 3, SIZE, SIZE); outputs of any shape."""
    shapes = {name: ([None] * 4, FLOAT) for name in outputs}
    return drawing.make_model(nodes, constants, {"x": ((1, 3, SIZE, SIZE), FLOAT)}, shapes)


def draw_pair(between="Relu", second="plain", spread=SPREAD):
    """Return x -> first -> activation -> second -> y, with hostile ranges between that the second takes back."""
    shape, group = SECOND[second]
    weight = normal(2, *shape)
    grouped = weight.reshape(group, shape[0] // group, shape[1], 3, 3)
    constants = {
        "first_w": normal(3, CHANNELS, 3, 3, 3) * spread.reshape(-1, 1, 1, 1),
        "first_b": normal(4, CHANNELS) * spread,
        "second_w": (grouped / spread.reshape(group, 1, shape[1], 1, 1)).reshape(shape),
        "second_b": normal(5, shape[0]),
    }
    nodes = [drawing.node("Conv", ["x", "first_w", "first_b"], "first", pads=[1, 1, 1, 1])]
    tensor = "first"
    if BETWEEN[between] is not None:
        kind, others, attributes = BETWEEN[between]
        constants.update({name: np.linspace(0.1, 0.5, CHANNELS, dtype=np.float32).reshape(-1, 1, 1) for name in others})
        nodes.append(drawing.node(kind, ["first", *others], "between", **attributes))
        tensor = "between"
    nodes.append(drawing.node("Conv", [tensor, "second_w", "second_b"], "y", group=group, pads=[1, 1, 1, 1]))
    return draw(nodes, constants), tensor


def tensor_range(values):
    """Return the range of an activation, with the figures per channel that collecting keeps of 4-D tensors."""
    values = np.asarray(values, np.float64)
    return TensorRange(
        float(values.min()),
        float(values.max()),
        {"min-max": float(np.abs(values).max())},
        channel_maxima=tuple(np.abs(values).max(axis=(0, 2, 3))),
        channel_means=tuple(values.mean(axis=(0, 2, 3))),
    )


def values_of(model, feeds=None):
    """Return every tensor that a node makes."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    names = [name for made in model.graph.node for name in made.output]
    present = {value.name for value in model.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return dict(zip(names, drawing.run(exposed, feeds or frame(), names)))


def ranges_of(model, **changes):
    tensors = {name: tensor_range(value) for name, value in values_of(model).items() if value.ndim == 4}
    return Ranges(
        graph_sha256="0" * 64,
        manifest_sha256="1" * 64,
        image_count=1,
        images_from="test frames",
        preprocessing=PREPROCESSING,
        code_sha256="2" * 64,
        tensors={**tensors, **changes},
    )


def constants_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def assert_same_function(model, other):
    for seed in range(3):
        for expected, actual in zip(drawing.run(model, frame(seed)), drawing.run(other, frame(seed))):
            # Each weight is rounded to float32 once more, 6e-8 of itself.
            assert np.abs(actual - expected).max() <= 1e-5 * (expected.max() - expected.min())


# Float function


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("between", BETWEEN)
def test_function_stays_and_channels_become_alike(between, second):
    model, tensor = draw_pair(between, second)
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    onnx.checker.check_model(balanced, full_check=True)
    assert pairs == (("first", tensor, "y"),)
    assert_same_function(model, balanced)
    before, after = (np.abs(values_of(graph)[tensor]).max((0, 2, 3)) for graph in (model, balanced))
    assert before.max() / before.min() > 300
    # What is left is how much each is read, and that the smallest would need a factor beyond the limits.
    assert after.max() / after.min() < 4
    assert after.max() == pytest.approx(before.max(), rel=1e-5)


def test_constants_of_nodes_are_balanced_like_initializers():
    model, _ = draw_pair(next(iter(BETWEEN)), next(iter(SECOND)))
    as_nodes = drawing.with_constant_nodes(model)
    (expected, pairs), (balanced, same_pairs) = (
        equalize_cross_layer(each, ranges_of(each)) for each in (model, as_nodes)
    )
    assert same_pairs == pairs
    assert drawing.with_constant_nodes(expected) == balanced
    assert_same_function(as_nodes, balanced)


def test_convolution_without_bias_gets_none():
    nodes = [drawing.node("Conv", ["x", "a"], "first"), drawing.node("Conv", ["first", "b"], "y")]
    model = draw(nodes, {"a": normal(1, CHANNELS, 3, 1, 1) * SPREAD.reshape(-1, 1, 1, 1), "b": normal(2, 4, 8, 1, 1)})
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    assert len(pairs) == 1
    assert [len(made.input) for made in balanced.graph.node] == [2, 2]
    assert_same_function(model, balanced)


def draw_chain():
    spread = SPREAD.reshape(-1, 1, 1, 1)
    constants = {
        "a": normal(1, CHANNELS, 3, 3, 3) * spread,
        "b": normal(2, CHANNELS, 1, 3, 3) / spread * spread[::-1],
        "c": normal(3, CHANNELS, 8, 1, 1) / SPREAD[::-1].reshape(1, -1, 1, 1) * np.roll(spread, 2, axis=0),
        "d": normal(4, 5, 8, 3, 3) / np.roll(SPREAD, 2).reshape(1, -1, 1, 1),
        "bias": normal(5, CHANNELS),
    }
    nodes = [
        drawing.node("Conv", ["x", "a", "bias"], "stem"),
        drawing.node("Relu", ["stem"], "stem_relu"),
        drawing.node("Conv", ["stem_relu", "b"], "deep", group=8),
        drawing.node("Relu", ["deep"], "deep_relu"),
        drawing.node("Conv", ["deep_relu", "c", "bias"], "point"),
        drawing.node("Relu", ["point"], "point_relu"),
        drawing.node("Conv", ["point_relu", "d"], "y"),
    ]
    return draw(nodes, constants)


def test_every_pair_of_a_chain_is_balanced_in_one_call():
    model = draw_chain()
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    expected = [("stem", "stem_relu", "deep"), ("deep", "deep_relu", "point"), ("point", "point_relu", "y")]
    assert pairs == tuple(expected)
    assert_same_function(model, balanced)
    again, left = equalize_cross_layer(balanced, ranges_of(balanced))
    assert left == ()
    assert again.SerializeToString(deterministic=True) == balanced.SerializeToString(deterministic=True)


def test_constant_that_others_read_is_copied():
    model = draw_chain()  # stem and point have one bias
    balanced, _ = equalize_cross_layer(model, ranges_of(model))
    made = {node.output[0]: node for node in balanced.graph.node}
    constants = constants_of(balanced)
    assert made["stem"].input[2] != made["point"].input[2]
    # The last reader keeps the name, so that nothing is left unread.
    assert set(constants) == {name for node in balanced.graph.node for name in node.input} & set(constants)
    assert not np.array_equal(constants[made["stem"].input[2]], constants[made["point"].input[2]])


def test_weight_of_both_layers_of_a_pair_is_copied():
    weight = normal(1, 3, 3, 1, 1)
    weight[:, 2] *= 1000
    nodes = [drawing.node("Conv", ["x", "w"], "first"), drawing.node("Conv", ["first", "w"], "y")]
    model = draw([*nodes, drawing.node("Conv", ["x", "w"], "z")], {"w": weight}, ("y", "z"))
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    assert len(pairs) == 1
    assert_same_function(model, balanced)
    np.testing.assert_array_equal(constants_of(balanced)["w"], weight)
    # The copy may not take a name that is in use.
    nodes = [drawing.node("Conv", ["x", "w"], "first"), drawing.node("Conv", ["first", "w"], "w/first")]
    model = draw([*nodes, drawing.node("Conv", ["w/first", "w"], "y")], {"w": weight})
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    assert len(pairs) == 2
    onnx.checker.check_model(balanced, full_check=True)
    assert_same_function(model, balanced)


def test_names_stay_and_the_model_that_was_given_too():
    for model in (draw_chain(), draw_pair()[0]):
        before = model.SerializeToString(deterministic=True)
        balanced, _ = equalize_cross_layer(model, ranges_of(model))
        assert model.SerializeToString(deterministic=True) == before
        assert [made.name for made in balanced.graph.node] == [made.name for made in model.graph.node]
        assert [list(made.output) for made in balanced.graph.node] == [list(made.output) for made in model.graph.node]
        assert set(constants_of(balanced)) >= set(constants_of(model))
        assert list(balanced.graph.output) == list(model.graph.output)


# What it is for


def rounded(values, threshold):
    scale = threshold / 127
    return np.clip(np.rint(values / scale), -128, 127) * scale


def int8_error(model, tensor, expected):
    """Return the error of y, relative to its spread, with the tensor on one scale and weights on one per channel."""
    weight = constants_of(model)["second_w"]
    scales = weight_scales(weight, 0, "max")
    nodes = [made for made in model.graph.node if made.output[0] == "y"]
    constants = {
        "second_w": (quantize_weight(weight, 0, scales) * scales.reshape(-1, 1, 1, 1)).astype(np.float32),
        "second_b": constants_of(model)["second_b"],
    }
    values = values_of(model)[tensor]
    last = drawing.make_model(nodes, constants, {tensor: (values.shape, FLOAT)}, {"y": ([None] * 4, FLOAT)})
    actual = drawing.run(last, {tensor: rounded(values, np.abs(values).max()).astype(np.float32)})[0]
    return np.sqrt(np.mean((actual - expected) ** 2)) / expected.std()


@pytest.mark.parametrize("second", SECOND)
def test_hostile_ranges_lose_little_in_int8_once_they_are_balanced(second):
    model, tensor = draw_pair("Relu", second)
    expected = values_of(model)["y"]
    balanced, _ = equalize_cross_layer(model, ranges_of(model))
    before, after = int8_error(model, tensor, expected), int8_error(balanced, tensor, expected)
    assert before > 0.1
    # About one step of 1/127 of the range in each of two operands.
    assert after < 0.02


def test_outlier_channel_that_nothing_reads_no_longer_sets_the_range():
    model, tensor = draw_pair("Relu", spread=np.ones(CHANNELS, np.float32))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    first, second = (numpy_helper.to_array(constants[name]).copy() for name in ("first_w", "second_w"))
    first[2] *= 500
    second[:, 2] = 0
    constants["first_w"].CopyFrom(numpy_helper.from_array(first, "first_w"))
    constants["second_w"].CopyFrom(numpy_helper.from_array(second, "second_w"))
    expected = values_of(model)["y"]
    balanced, pairs = equalize_cross_layer(model, ranges_of(model))
    assert len(pairs) == 1
    assert_same_function(model, balanced)
    assert int8_error(model, tensor, expected) > 0.2
    assert int8_error(balanced, tensor, expected) < 0.02


# Factors


def test_factors_do_not_depend_on_the_size_of_rows():
    weight, maxima = normal(1, 6, 8, 3, 3), SPREAD.astype(np.float64)
    sizes = np.geomspace(1e-4, 1e4, 6).reshape(-1, 1, 1, 1)
    expected = balancing_factors(maxima, weight, 1)
    np.testing.assert_allclose(balancing_factors(maxima, (weight * sizes).astype(np.float32), 1), expected, rtol=1e-5)


def test_factors_balance_range_and_weights_of_a_single_row():
    # a w = 4 and 1 in one row: s = sqrt(a / w), up to a common factor, which keeps the largest activation at 4.
    factors = balancing_factors(np.array([4.0, 1.0]), np.ones((1, 2, 1, 1), np.float32), 1)
    np.testing.assert_allclose(factors, [1.0, 0.5])


def test_depthwise_layer_leaves_all_balancing_to_its_own_scales():
    factors = balancing_factors(SPREAD.astype(np.float64), normal(1, CHANNELS, 1, 3, 3), CHANNELS)
    np.testing.assert_allclose(factors, SPREAD)


def test_channel_that_is_always_zero_is_left_alone():
    model, tensor = draw_pair("Relu")
    seen = ranges_of(model)
    maxima = list(seen.tensors[tensor].channel_maxima)
    maxima[4] = 0.0
    balanced, _ = equalize_cross_layer(model, ranges_of(model, **{tensor: with_maxima(seen, tensor, maxima)}))
    before, after = constants_of(model), constants_of(balanced)
    np.testing.assert_array_equal(after["first_w"][4], before["first_w"][4])
    np.testing.assert_array_equal(after["second_w"][:, 4], before["second_w"][:, 4])
    assert not np.array_equal(after["first_w"][1], before["first_w"][1])


def test_factors_stay_within_bounds():
    maxima = np.array([1e-12, 1e-30, 1.0, 5.0])
    weight = np.array([1e-20, 1.0, 1e10, 0.0], np.float32).reshape(1, 4, 1, 1)
    factors = balancing_factors(maxima, weight, 1)
    assert np.isfinite(factors).all()
    assert factors.min() >= FACTOR_LIMITS[0]
    assert factors.max() <= FACTOR_LIMITS[1]
    assert balancing_factors(np.zeros(4), weight, 1).tolist() == [1.0] * 4
    assert balancing_factors(maxima, np.zeros_like(weight), 1).tolist() == [1.0] * 4


# Left alone


def with_maxima(ranges, tensor, maxima):
    seen = ranges.tensors[tensor]
    maxima = None if maxima is None else tuple(maxima)
    return TensorRange(
        seen.minimum, seen.maximum, seen.thresholds, channel_maxima=maxima, channel_means=seen.channel_means
    )


def assert_left_alone(model, ranges=None):
    balanced, pairs = equalize_cross_layer(model, ranges or ranges_of(model))
    assert pairs == ()
    assert balanced.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", ["Clip", "Sigmoid", "HardSwish", "MaxPool", "Resize"])
def test_other_operators_between_are_not_looked_through(kind):
    attributes = {"MaxPool": {"kernel_shape": [2, 2]}}.get(kind, {})
    inputs = {"Clip": ["low", "high"], "Resize": ["", "twice"]}.get(kind, [])
    constants = {
        "a": normal(1, CHANNELS, 3, 1, 1) * SPREAD.reshape(-1, 1, 1, 1),
        "b": normal(2, 4, 8, 1, 1),
        "low": np.float32(0),
        "high": np.float32(6),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    nodes = [
        drawing.node("Conv", ["x", "a"], "first"),
        drawing.node(kind, ["first", *inputs], "between", **attributes),
        drawing.node("Conv", ["between", "b"], "y"),
    ]
    assert_left_alone(draw(nodes, constants))


@pytest.mark.parametrize("read", ["first", "between"])
def test_tensor_with_another_reader_is_left_alone(read):
    model, _ = draw_pair()
    nodes = [*model.graph.node, drawing.node("Neg", [read], "z")]
    assert_left_alone(draw(nodes, constants_of(model), ("y", "z")))


@pytest.mark.parametrize("output", ["first", "between"])
def test_tensor_that_is_an_output_is_left_alone(output):
    model, _ = draw_pair()
    assert_left_alone(draw(list(model.graph.node), constants_of(model), ("y", output)))


@pytest.mark.parametrize("read", ["first", "between"])
def test_tensor_that_a_branch_reads_is_left_alone(read):
    model, _ = draw_pair()

    def branch(kind):
        value = helper.make_tensor_value_info(f"{kind}_value", FLOAT, None)
        return helper.make_graph([drawing.node(kind, [read], f"{kind}_value")], kind, [], [value])

    nodes = [*model.graph.node]
    nodes.append(drawing.node("If", ["yes"], "z", then_branch=branch("Neg"), else_branch=branch("Abs")))
    assert_left_alone(draw(nodes, {**constants_of(model), "yes": np.array(True)}, ("y", "z")))


def test_weight_or_bias_that_is_computed_is_left_alone():
    model, _ = draw_pair()
    for name in ("first_w", "first_b", "second_w"):
        constants = constants_of(model)
        constants["raw"] = constants.pop(name)
        assert_left_alone(draw([drawing.node("Neg", ["raw"], name), *model.graph.node], constants))


def test_tensor_that_is_read_as_weight_or_slope_is_left_alone():
    # The kernel of the second convolution is what the first one gives.
    nodes = [drawing.node("Conv", ["x", "a"], "kernel"), drawing.node("Conv", ["x", "kernel"], "y")]
    assert_left_alone(draw(nodes, {"a": normal(1, 3, 3, SIZE, SIZE)}))
    nodes = [
        drawing.node("Conv", ["x", "a"], "slope"),
        drawing.node("PRelu", ["x", "slope"], "between"),
        drawing.node("Conv", ["between", "b"], "y"),
    ]
    assert_left_alone(draw(nodes, {"a": normal(1, 3, 3, 1, 1), "b": normal(2, 4, 3, 1, 1)}))


def test_tensor_without_figures_per_channel_is_left_alone():
    model, tensor = draw_pair()
    seen = ranges_of(model)
    assert_left_alone(model, ranges_of(model, **{tensor: with_maxima(seen, tensor, None)}))
    del seen.tensors[tensor]
    assert_left_alone(model, seen)


# Refused


def test_ranges_of_another_graph_are_refused():
    model, tensor = draw_pair()
    seen = ranges_of(model)
    for maxima in ([1.0] * 5, [1.0] * 7 + [np.inf], [1.0] * 7 + [np.nan]):
        with pytest.raises(InputError, match=f"tensor {tensor} has . channel maxima, expected 8 finite ones"):
            equalize_cross_layer(model, ranges_of(model, **{tensor: with_maxima(seen, tensor, maxima)}))


def test_weights_that_are_no_numbers_are_refused():
    model, _ = draw_pair()
    seen = ranges_of(model)
    constants = constants_of(model)
    constants["second_w"] = constants["second_w"].copy()
    constants["second_w"][0, 0, 0, 0] = np.nan
    with pytest.raises(GraphError, match="NaN or infinite"):
        equalize_cross_layer(draw(list(model.graph.node), constants), seen)
