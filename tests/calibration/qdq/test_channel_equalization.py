"""Channels are balanced between convolutions, and the network computes what it did."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.qdq.channel_equalization import equalize
from calibration.qdq.weights import quantize_weight, weight_scales
from calibration.ranges.collector import activation_tensors
from calibration.ranges.record import PREPROCESSING, Ranges, TensorRange
from edge.errors import GraphError, InputError
from tests.calibration import graph_drawing as drawing
from tests.calibration.random_graphs import NetworkDrawer

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


def ranges_of(model, feeds=None, **changes):
    counted = set(activation_tensors(model))
    values = {name: value for name, value in values_of(model, feeds).items() if name in counted and value.ndim == 4}
    tensors = {name: tensor_range(value) for name, value in values.items()}
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
    balanced, changed = equalize(model, ranges_of(model))
    onnx.checker.check_model(balanced, full_check=True)
    assert tensor in changed and set(changed) <= {"first", tensor}
    assert_same_function(model, balanced)
    before, after = (np.abs(values_of(graph)[tensor]).max((0, 2, 3)) for graph in (model, balanced))
    assert before.max() / before.min() > 300
    # What is left is how much each is read, and that the smallest would need a factor beyond the limits.
    assert after.max() / after.min() < 6
    if "first" not in changed:  # else two tensors keep their ranges as a geometric mean
        assert after.max() == pytest.approx(before.max(), rel=1e-5)


def test_constants_of_nodes_are_balanced_like_initializers():
    model, _ = draw_pair(next(iter(BETWEEN)), next(iter(SECOND)))
    as_nodes = drawing.with_constant_nodes(model)
    (expected, changed), (balanced, also_changed) = (equalize(each, ranges_of(each)) for each in (model, as_nodes))
    assert set(also_changed) == set(changed) != set()
    assert drawing.with_constant_nodes(expected) == balanced
    assert_same_function(as_nodes, balanced)


def test_convolution_without_bias_gets_none():
    nodes = [drawing.node("Conv", ["x", "a"], "first"), drawing.node("Conv", ["first", "b"], "y")]
    model = draw(nodes, {"a": normal(1, CHANNELS, 3, 1, 1) * SPREAD.reshape(-1, 1, 1, 1), "b": normal(2, 4, 8, 1, 1)})
    balanced, changed = equalize(model, ranges_of(model))
    assert len(changed) == 1
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
    balanced, changed = equalize(model, ranges_of(model))
    assert set(changed) == {"stem_relu", "deep_relu", "point_relu"}
    assert_same_function(model, balanced)
    again, left = equalize(balanced, ranges_of(balanced))
    assert left == {}
    assert again.SerializeToString(deterministic=True) == balanced.SerializeToString(deterministic=True)


def test_constant_that_others_read_is_copied():
    model = draw_chain()  # stem and point have one bias
    balanced, _ = equalize(model, ranges_of(model))
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
    balanced, changed = equalize(model, ranges_of(model))
    assert len(changed) == 1
    assert_same_function(model, balanced)
    np.testing.assert_array_equal(constants_of(balanced)["w"], weight)
    # The copy may not take a name that is in use.
    nodes = [drawing.node("Conv", ["x", "w"], "first"), drawing.node("Conv", ["first", "w"], "w/first")]
    model = draw([*nodes, drawing.node("Conv", ["w/first", "w"], "y")], {"w": weight})
    balanced, changed = equalize(model, ranges_of(model))
    assert len(changed) == 2
    onnx.checker.check_model(balanced, full_check=True)
    assert_same_function(model, balanced)


def test_names_stay_and_the_model_that_was_given_too():
    for model in (draw_chain(), draw_pair()[0]):
        before = model.SerializeToString(deterministic=True)
        balanced, _ = equalize(model, ranges_of(model))
        assert model.SerializeToString(deterministic=True) == before
        assert [made.name for made in balanced.graph.node] == [made.name for made in model.graph.node]
        assert [list(made.output) for made in balanced.graph.node] == [list(made.output) for made in model.graph.node]
        assert set(constants_of(balanced)) >= set(constants_of(model))
        assert list(balanced.graph.output) == list(model.graph.output)


# Across other nodes


@pytest.mark.parametrize("seed", range(12))
def test_random_network_computes_what_it_did(seed):
    model = NetworkDrawer(seed).model(steps=14)
    feeds = {"x": np.random.default_rng(seed).normal(0, 1, model_shape(model)).astype(np.float32)}
    balanced, changed = equalize(model, ranges_of(model, feeds))
    onnx.checker.check_model(balanced, full_check=True)
    for expected, actual in zip(drawing.run(model, feeds), drawing.run(balanced, feeds)):
        assert np.abs(actual - expected).max() <= 1e-5 * np.ptp(expected)
    before, after = values_of(model, feeds), values_of(balanced, feeds)
    for name, factors in changed.items():
        # Some of these are differences of larger numbers.
        np.testing.assert_allclose(
            after[name] * factors, before[name], rtol=1e-3, atol=1e-4 * np.abs(before[name]).max()
        )
    unchanged = set(before) & set(ranges_of(model, feeds).tensors) - set(changed)
    for name in unchanged:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-4 * np.abs(before[name]).max())


def test_random_networks_have_channels_to_balance():
    kinds, changed = set(), 0
    for seed in range(12):
        model = NetworkDrawer(seed).model(steps=14)
        feeds = {"x": np.random.default_rng(seed).normal(0, 1, model_shape(model)).astype(np.float32)}
        kinds |= {made.op_type for made in model.graph.node}
        changed += len(equalize(model, ranges_of(model, feeds))[1])
    assert changed > 100
    assert {"ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "DepthToSpace", "Gather", "Resize", "Pad"} <= kinds


def model_shape(model):
    return [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]


def draw_joined(ratio, reader="Conv"):
    """Return x and features of x, `ratio` times as large, in one Concat; and behind it a BatchNormalization or not."""
    constants = {
        "a": normal(1, CHANNELS, 3, 3, 3) * np.float32(ratio),
        "bias": normal(2, CHANNELS) * np.float32(ratio),
        "b": normal(3, 6, CHANNELS + 3, 3, 3) / np.float32(ratio),
    }
    constants["b"][:, CHANNELS:] *= ratio
    nodes = [
        drawing.node("Conv", ["x", "a", "bias"], "first", pads=[1, 1, 1, 1]),
        drawing.node("Relu", ["first"], "features"),
        drawing.node("Concat", ["features", "x"], "joined", axis=1),
    ]
    if reader == "BatchNormalization":
        constants.update({name: np.ones(CHANNELS + 3, np.float32) for name in ("one", "var")})
        constants.update({name: np.zeros(CHANNELS + 3, np.float32) for name in ("zero", "mean")})
        nodes.append(drawing.node("BatchNormalization", ["joined", "one", "zero", "mean", "var"], "normal"))
        nodes.append(drawing.node("Relu", ["normal"], "relu"))
    nodes.append(drawing.node("Conv", ["relu" if reader != "Conv" else "joined", "b"], "y"))
    return draw(nodes, constants)


@pytest.mark.parametrize("ratio", [1 / 185, 185.0])
def test_features_that_join_the_image_get_its_range(ratio):
    model = draw_joined(ratio)
    balanced, changed = equalize(model, with_range_of_x(model))
    assert_same_function(model, balanced)
    assert set(changed) == {"features", "joined"}
    before, after = (np.abs(values_of(graph)["joined"]).max((0, 2, 3)) for graph in (model, balanced))
    np.testing.assert_array_equal(before[CHANNELS:], after[CHANNELS:])  # nothing can scale the image
    assert not 1 / 20 < before[:CHANNELS].max() / before[CHANNELS:].max() < 20
    assert 0.5 < after[:CHANNELS].max() / after[CHANNELS:].max() < 1.001


def test_channels_are_free_again_behind_a_normalisation():
    model = draw_joined(185.0, "BatchNormalization")
    balanced, changed = equalize(model, with_range_of_x(model))
    assert_same_function(model, balanced)
    assert {"features", "joined", "relu"} <= set(changed)
    before, after = (np.abs(values_of(graph)["relu"]).max((0, 2, 3)) for graph in (model, balanced))
    alive = before > 0
    assert before[alive].max() / before[alive].min() > 100
    assert after[alive].max() / after[alive].min() < 30


def with_range_of_x(model):
    """Return ranges of the model over the first frame, with that of x among them."""
    return ranges_of(model, x=tensor_range(frame()["x"]))


def test_residual_of_two_convolutions_has_one_factor_for_each_channel():
    spread = SPREAD.reshape(-1, 1, 1, 1)
    constants = {
        "a": normal(1, CHANNELS, 3, 1, 1) * spread,
        "b": normal(2, CHANNELS, 3, 1, 1) * spread,
        "c": normal(3, 4, CHANNELS, 1, 1) / SPREAD.reshape(1, -1, 1, 1),
    }
    nodes = [drawing.node("Conv", ["x", name], f"from_{name}") for name in "ab"]
    nodes += [drawing.node("Add", ["from_a", "from_b"], "sum"), drawing.node("Conv", ["sum", "c"], "y")]
    model = draw(nodes, constants)
    balanced, changed = equalize(model, ranges_of(model))
    assert_same_function(model, balanced)
    for name in ("from_a", "from_b"):
        np.testing.assert_array_equal(changed[name], changed["sum"])
    after = np.abs(values_of(balanced)["sum"]).max((0, 2, 3))
    assert after.max() / after.min() < 5


def test_one_pinned_addend_pins_the_other():
    constants = {"a": normal(1, 3, 3, 1, 1) * SPREAD[:3].reshape(-1, 1, 1, 1), "b": normal(2, 4, 3, 1, 1)}
    nodes = [drawing.node("Conv", ["x", "a"], "first"), drawing.node("Add", ["first", "x"], "sum")]
    assert_left_alone(draw([*nodes, drawing.node("Conv", ["sum", "b"], "y")], constants))


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
    balanced, _ = equalize(model, ranges_of(model))
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
    balanced, changed = equalize(model, ranges_of(model))
    assert len(changed) == 1
    assert_same_function(model, balanced)
    assert int8_error(model, tensor, expected) > 0.2
    assert int8_error(balanced, tensor, expected) < 0.02


def test_channel_that_is_always_zero_is_left_alone():
    model, tensor = draw_pair("Relu")
    seen = ranges_of(model)
    maxima = list(seen.tensors[tensor].channel_maxima)
    maxima[4] = 0.0
    balanced, _ = equalize(model, ranges_of(model, **{tensor: with_maxima(seen, tensor, maxima)}))
    before, after = constants_of(model), constants_of(balanced)
    np.testing.assert_array_equal(after["first_w"][4], before["first_w"][4])
    np.testing.assert_array_equal(after["second_w"][:, 4], before["second_w"][:, 4])
    assert not np.array_equal(after["first_w"][1], before["first_w"][1])


# Left alone


def with_maxima(ranges, tensor, maxima):
    seen = ranges.tensors[tensor]
    maxima = None if maxima is None else tuple(maxima)
    return TensorRange(
        seen.minimum, seen.maximum, seen.thresholds, channel_maxima=maxima, channel_means=seen.channel_means
    )


def assert_left_alone(model, ranges=None):
    balanced, changed = equalize(model, ranges or ranges_of(model))
    assert changed == {}
    assert balanced.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


@pytest.mark.parametrize("kind", ["Clip", "Sigmoid", "HardSwish", "Softmax", "Sqrt"])
def test_other_operators_between_are_not_looked_through(kind):
    inputs = {"Clip": ["low", "high"]}.get(kind, [])
    constants = {
        "a": normal(1, CHANNELS, 3, 1, 1) * SPREAD.reshape(-1, 1, 1, 1),
        "b": normal(2, 4, 8, 1, 1),
        "low": np.float32(0),
        "high": np.float32(6),
    }
    nodes = [
        drawing.node("Conv", ["x", "a"], "first"),
        drawing.node(kind, ["first", *inputs], "between"),
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
            equalize(model, ranges_of(model, **{tensor: with_maxima(seen, tensor, maxima)}))


def test_weights_that_are_no_numbers_are_refused():
    model, _ = draw_pair()
    seen = ranges_of(model)
    constants = constants_of(model)
    constants["second_w"] = constants["second_w"].copy()
    constants["second_w"][0, 0, 0, 0] = np.nan
    with pytest.raises(GraphError, match="NaN or infinite"):
        equalize(draw(list(model.graph.node), constants), seen)
