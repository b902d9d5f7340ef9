"""Weights are rounded so that the layer's output errs less than with each rounded to the nearest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.onnx_graph.file import parse_graph
from calibration.qdq import weight_reconstruction
from calibration.qdq.insert import FORMS, quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq.weight_reconstruction import reconstruct_weight, second_moments
from calibration.qdq.weights import quantize_weight, weight_scales
from edge.errors import ContractError, InputError
from edge.runtime.onnxruntime import open_session
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration.graph_drawing import TensorProto, node

SIZE = 16
FRAMES = hostile.ArrayFrames(hostile.street_frames(3, size=SIZE))
RECONSTRUCTED = QuantizationConfig(weight_rounding="reconstructed")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def draw(nodes, constants, rank=4):
    """Return a network in which "image", (1, 3, SIZE, SIZE) with values of about 1, goes through nodes to "y"."""
    before = [
        node("Cast", ["frame"], "cast", to=TensorProto.FLOAT),
        node("Mul", ["cast", "scale"], "scaled"),
        node("Transpose", ["scaled"], "image", perm=[0, 3, 1, 2]),
    ]
    return drawing.make_model(
        [*before, *nodes],
        {"scale": np.full((1, 1, 1, 3), 1 / 128, np.float32), **constants},
        {"frame": ((1, SIZE, SIZE, 3), TensorProto.UINT8)},
        {"y": ([None] * rank, TensorProto.FLOAT)},
    )


def moments_of(model, names, frames=FRAMES):
    return second_moments(model, frames, hostile.contract_of(model, SIZE), names)


def correlated(seed, groups, columns, samples=None):
    """Return second moments of inputs that have much in common."""
    mixed = normal(seed, groups, samples or 4 * columns, columns)
    mixed = mixed @ normal(seed + 1, groups, columns, columns) + 2 * normal(seed + 2, groups, 1, columns)
    return (mixed.transpose(0, 2, 1) @ mixed / mixed.shape[1]).astype(np.float32)


def expected_errors(weight, axis, scales, integers, moments, group):
    """Return the expected squared error of each output channel."""
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    errors = np.moveaxis(integers * scales.reshape(shape).astype(np.float64) - weight, axis, 0)
    errors = errors.reshape(group, weight.shape[axis] // group, -1)
    return np.einsum("gok,gkl,gol->go", errors, moments.astype(np.float64), errors).reshape(-1)


# Moments


CONVOLUTIONS = {
    "plain": ((6, 4, 3, 3), {}),
    "padded": ((6, 4, 3, 3), {"pads": [1, 0, 2, 1]}),
    "strided": ((6, 4, 3, 2), {"strides": [2, 3], "pads": [1, 1, 1, 1]}),
    "dilated": ((6, 4, 3, 3), {"dilations": [2, 3], "pads": [2, 3, 2, 3]}),
    "grouped": ((6, 2, 3, 3), {"group": 2}),
    "depthwise": ((8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "pointwise": ((6, 4, 1, 1), {}),
}


def power_of(model, frames):
    """Return the mean square of each output channel over frames."""
    outputs = [drawing.run(model, {"frame": frames.read(index)[None]})[0] for index in range(len(frames))]
    values = np.moveaxis(np.stack(outputs).astype(np.float64), 2 if outputs[0].ndim == 4 else -1, 0)
    return np.mean(values.reshape(len(values), -1) ** 2, axis=1)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_moments_give_the_power_of_a_convolution(kind):
    shape, attributes = CONVOLUTIONS[kind]
    constants = {"front": normal(1, 4, 3, 1, 1), "w": normal(2, *shape)}
    model = draw([node("Conv", ["image", "front"], "x"), node("Conv", ["x", "w"], "y", **attributes)], constants)
    moments, group = moments_of(model, ["y"])["y"], attributes.get("group", 1)
    rows = constants["w"].reshape(group, shape[0] // group, -1).astype(np.float64)
    power = np.einsum("gok,gkl,gol->go", rows, moments, rows).reshape(-1)
    np.testing.assert_allclose(power, power_of(model, FRAMES), rtol=1e-4)


@pytest.mark.parametrize("kind", ["Gemm", "transposed Gemm", "MatMul"])
def test_moments_give_the_power_of_a_product_of_matrices(kind):
    operator, is_transposed = kind.split()[-1], kind.startswith("transposed")
    before = [node("MaxPool", ["image"], "pooled", kernel_shape=[4, 4], strides=[4, 4])]
    before.append(node("Flatten", ["pooled"], "x") if operator == "Gemm" else node("Identity", ["pooled"], "x"))
    weight = normal(3, 48, 5) if operator == "Gemm" else normal(3, 4, 5)
    attributes = {"transB": 1} if is_transposed else {}
    given = np.ascontiguousarray(weight.T) if is_transposed else weight
    model = draw([*before, node(operator, ["x", "w"], "y", **attributes)], {"w": given}, 2 if operator == "Gemm" else 4)
    moments = moments_of(model, ["y"])["y"][0]
    outputs = [drawing.run(model, {"frame": FRAMES.read(index)[None]})[0] for index in range(len(FRAMES))]
    expected = np.mean(np.stack(outputs).reshape(-1, 5).astype(np.float64) ** 2, axis=0)
    np.testing.assert_allclose(np.einsum("ko,kl,lo->o", weight, moments, weight), expected, rtol=1e-4)


def test_positions_are_drawn_where_there_are_many_and_always_the_same(monkeypatch):
    model = draw([node("Conv", ["image", "w"], "y", pads=[1, 1, 1, 1])], {"w": normal(1, 2, 3, 3, 3)})
    whole = moments_of(model, ["y"])["y"]
    monkeypatch.setattr(weight_reconstruction, "POSITIONS", 128)
    some, again = moments_of(model, ["y"])["y"], moments_of(model, ["y"])["y"]
    np.testing.assert_array_equal(some, again)
    assert 0 < np.abs(some - whole).max() < 0.3 * whole.max()


def test_frames_are_limited_and_spread(monkeypatch):
    model = draw([node("Conv", ["image", "w"], "y")], {"w": normal(1, 2, 3, 1, 1)})
    monkeypatch.setattr(weight_reconstruction, "MOMENT_FRAMES", 2)
    read = []

    class NotedFrames(hostile.ArrayFrames):
        def read(self, index):
            read.append(index)
            return super().read(index)

    moments_of(model, ["y"], NotedFrames(hostile.street_frames(7, size=SIZE)))
    assert read == [0, 3]


def test_layer_that_cannot_be_reconstructed_has_no_moments(monkeypatch):
    constants = {"up": normal(1, 3, 4, 2, 2), "w": normal(2, 4, 4, 3, 3), "raw": normal(3, 4, 4, 1, 1)}
    nodes = [
        node("ConvTranspose", ["image", "up"], "transposed", strides=[2, 2]),
        node("Conv", ["transposed", "w"], "same", auto_pad="SAME_UPPER"),
        node("Conv", ["same", "w"], "large"),
        node("Neg", ["raw"], "computed"),
        node("Conv", ["large", "computed"], "y"),
    ]
    monkeypatch.setattr(weight_reconstruction, "MOST_COLUMNS", 35)
    model = draw(nodes, constants)
    assert moments_of(model, ["transposed", "same", "large", "y", "unknown"]) == {}
    monkeypatch.setattr(weight_reconstruction, "MOST_COLUMNS", 36)
    assert set(moments_of(model, ["transposed", "same", "large", "y"])) == {"large"}


def test_no_frames_are_refused():
    model = draw([node("Conv", ["image", "w"], "y")], {"w": normal(1, 2, 3, 1, 1)})
    with pytest.raises(InputError, match="expected one at least"):
        moments_of(model, ["y"], hostile.ArrayFrames(hostile.street_frames(0, size=SIZE)))


# Rounding


SHAPES = {
    "Conv": ((12, 8, 3, 3), 0, 1),
    "grouped": ((12, 4, 3, 3), 0, 2),
    "depthwise": ((16, 1, 3, 3), 0, 16),
    "Gemm": ((70, 9), 1, 1),
    "transposed Gemm": ((9, 150), 0, 1),
}


@pytest.mark.parametrize("levels", [127, 63, 7])
@pytest.mark.parametrize("kind", SHAPES)
def test_expected_error_is_smaller_and_never_larger_in_any_channel(kind, levels):
    shape, axis, group = SHAPES[kind]
    weight = normal(1, *shape)
    columns = weight.size // shape[axis]
    moments = correlated(5, group, columns)
    scales = weight_scales(weight, axis, "max", levels)
    nearest = quantize_weight(weight, axis, scales, levels)
    found = reconstruct_weight(weight, axis, scales, moments, group, levels)
    assert found.dtype == np.int8 and found.shape == weight.shape and np.abs(found.astype(int)).max() <= levels
    before, after = (expected_errors(weight, axis, scales, each, moments, group) for each in (nearest, found))
    assert np.all(after <= before * (1 + 1e-9))
    assert after.sum() < 0.75 * before.sum()


def test_inputs_with_nothing_in_common_are_rounded_to_the_nearest():
    weight = normal(1, 6, 20)
    scales = weight_scales(weight, 0, "max")
    moments = np.diag(np.geomspace(1e-3, 1e3, 20)).astype(np.float32)[np.newaxis]
    np.testing.assert_array_equal(reconstruct_weight(weight, 0, scales, moments, 1), quantize_weight(weight, 0, scales))


def test_two_equal_inputs_share_their_error():
    # 0.4 + 0.4 of one input is 0.8: one weight has to be rounded up, which the nearest does for none.
    weight, scales = np.array([[0.4, 0.4]], np.float32), np.ones(1, np.float32)
    found = reconstruct_weight(weight, 0, scales, np.ones((1, 2, 2), np.float32), 1)
    assert sorted(found[0].tolist()) == [0, 1]


def test_moments_of_few_patches_and_of_silent_inputs_are_no_obstacle():
    weight = normal(1, 4, 40)
    scales = weight_scales(weight, 0, "max", 15)
    silent = correlated(3, 1, 40, samples=10)
    silent[:, 7], silent[:, :, 7] = 0, 0
    for moments in (silent, np.zeros((1, 40, 40), np.float32)):
        found = reconstruct_weight(weight, 0, scales, moments, 1, 15)
        nearest = quantize_weight(weight, 0, scales, 15)
        before, after = (expected_errors(weight, 0, scales, each, moments, 1) for each in (nearest, found))
        assert np.all(after <= before + 1e-12)
    np.testing.assert_array_equal(found, nearest)


def test_moments_that_do_not_fit_are_refused():
    weight, scales = normal(1, 4, 6, 1, 1), np.ones(4, np.float32)
    broken = np.full((1, 6, 6), np.nan, np.float32)
    for moments, group in ((np.eye(5, dtype=np.float32)[None], 1), (np.ones((2, 6, 6), np.float32), 1), (broken, 1)):
        with pytest.raises(InputError, match=r"expected finite ones of shape \(1, 6, 6\)"):
            reconstruct_weight(weight, 0, scales, moments, group)
    with pytest.raises(InputError, match="got scales of shape"):
        reconstruct_weight(weight, 0, scales[:2], np.ones((1, 6, 6), np.float32), 1)


# In a quantised graph


NETWORK = drawing.make_network(SIZE)
LAYERS = ["stem", "deep", "point", "logits"]


def errors_of(config, form, moments=None):
    """Return the noise power at the logits, and the quantised graph, over frames that no moments were collected on."""
    ranges = drawing.ranges_of(NETWORK, [{"frame": FRAMES.read(index)[None]} for index in range(len(FRAMES))])
    data = quantize(NETWORK, ranges, config, form, moments=moments).data
    session, power = open_session(data, exact=True), 0.0
    for frame in hostile.street_frames(4, seed=77, size=SIZE):
        feeds = {"frame": frame[None]}
        power += np.mean((session.run(None, feeds)[0] - drawing.run(NETWORK, feeds)[0]) ** 2)
    return power, parse_graph(data, "testing")


def integers_of(model):
    names = [f"{name}/weight/integers" for name in LAYERS]
    constants = {tensor.name: drawing.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {name: constants[name] for name in names if name in constants}


@pytest.mark.parametrize("form", FORMS)
def test_layers_of_a_quantised_graph_are_reconstructed(form):
    moments = moments_of(NETWORK, LAYERS)
    assert set(moments) == set(LAYERS)
    _, plain = errors_of(QuantizationConfig(), form)
    _, found = errors_of(RECONSTRUCTED, form, moments)
    before, after = integers_of(plain), integers_of(found)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {"deep/weight/integers"} <= changed
    # There the first convolution reads the integers of the frame, which are not what its moments were collected on.
    assert ("stem/weight/integers" in changed) == (form == "tensorrt")
    assert {name: value.shape for name, value in before.items()} == {n: value.shape for n, value in after.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("corrects", [False, True])
def test_corrected_biases_are_those_of_the_rounding(form, corrects):
    config = dataclasses.replace(RECONSTRUCTED, bias_correction=corrects, weight_method="mse")
    power, _ = errors_of(config, form, moments_of(NETWORK, LAYERS))
    nearest, _ = errors_of(dataclasses.replace(config, weight_rounding="nearest"), form)
    assert power < 1.3 * nearest  # rounding of activations is part of both


def test_layer_without_moments_is_rounded_to_the_nearest():
    _, plain = errors_of(QuantizationConfig(), "tensorrt")
    _, found = errors_of(RECONSTRUCTED, "tensorrt", {"deep": np.ones((1, 2, 2), np.float32)})
    assert all(np.array_equal(value, integers_of(found)[name]) for name, value in integers_of(plain).items())


def test_moments_change_nothing_where_the_config_rounds_to_the_nearest():
    _, plain = errors_of(QuantizationConfig(), "tensorrt")
    _, found = errors_of(QuantizationConfig(), "tensorrt", moments_of(NETWORK, LAYERS))
    assert plain == found


def test_reconstructed_weights_without_moments_are_refused():
    with pytest.raises(InputError, match="no second moments came with it"):
        errors_of(RECONSTRUCTED, "tensorrt")


def test_unknown_rounding_is_refused():
    with pytest.raises(ContractError, match="weight rounding is 'upwards', expected one of: nearest, reconstructed"):
        QuantizationConfig(weight_rounding="upwards")


def test_rounding_is_part_of_the_config():
    assert RECONSTRUCTED.digest() != QuantizationConfig().digest()
    assert RECONSTRUCTED.sentence() == "percentile ranges, reconstructed weights"
