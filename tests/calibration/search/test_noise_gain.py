"""The forecast of each layer's error in INT8, without a run, against what is measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.search.noise_gain import predicted_noise, rounding_noise
from calibration.search.sensitivity import quantized_nodes
from calibration.search.switchboard import Switchboard
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration import varied_graphs as varied

FORMS = ("tensorrt", "onnxruntime")
CONFIG = QuantizationConfig("min-max")
FRAMES = [frame[None] for frame in hostile.street_frames(4)]
CALIBRATION = [{"frame": frame} for frame in FRAMES]
"""The same frames: what is beyond the range of all calibration images is not what a forecast can know."""
NETWORKS = {
    "hostile": hostile.hostile_network(is_pinned=False),
    "residual": drawing.make_network(hostile.SIZE, classes=hostile.CLASSES),
    "varied": varied.varied_network(blocks=5),
}
RANGES = {name: drawing.ranges_of(model, CALIBRATION) for name, model in NETWORKS.items()}


def predicted(name, form, config=CONFIG, **options):
    return predicted_noise(NETWORKS[name], RANGES[name], config, form, **options)


def measured(name, form, config=CONFIG):
    model = NETWORKS[name]
    board = Switchboard(model, RANGES[name], config, form, 255, hostile.contract_of(model), FRAMES)
    return {node: board.output_error({node}).output_error for node in board.nodes}


def order_agreement(first, second):
    """Return Spearman's rank correlation of the values of two dictionaries, -1 to 1."""
    ranks = [np.argsort(np.argsort([values[name] for name in first])) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_forecast_has_the_size_and_the_order_of_what_is_measured(name, form):
    forecast, truth = predicted(name, form), measured(name, form)
    assert list(forecast) == list(truth) == quantized_nodes(NETWORKS[name], RANGES[name], CONFIG, form)[0]
    ratios = np.array([forecast[node] / truth[node] for node in truth])
    # A guess within a factor, of a layer in the middle; single ones may be far off.
    assert 0.6 < np.median(ratios) < 1.6
    assert np.mean((ratios > 1 / 3) & (ratios < 3)) > 0.7
    assert order_agreement(forecast, truth) > 0.6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", CALIBRATION_METHODS)
def test_loudest_layers_are_among_the_first_by_any_method(form, method):
    config = QuantizationConfig(method)
    forecast, truth = predicted("varied", form, config), measured("varied", form, config)
    first = sorted(forecast, key=forecast.get, reverse=True)[: len(forecast) // 3]
    total = sum(error**2 for error in truth.values())
    assert sum(truth[node] ** 2 for node in first) > 0.7 * total


@pytest.mark.parametrize("form", FORMS)
def test_layers_that_read_a_hostile_tensor_are_ahead_of_all_others(form):
    forecast = predicted("hostile", form)
    ranked = sorted(forecast, key=forecast.get, reverse=True)
    assert set(ranked[:2]) == {"narrow", "side"}
    assert forecast[ranked[1]] > 5 * forecast[ranked[2]]


def test_stem_that_reads_the_frames_own_integers_has_the_noise_of_its_weights_alone():
    assert predicted("residual", "onnxruntime")["stem"] < predicted("residual", "tensorrt")["stem"]


def test_weights_of_fewer_steps_are_noisier():
    fine, coarse = (predicted("residual", "onnxruntime", unsigned_levels=levels) for levels in (255, 127))
    assert all(coarse[node] > fine[node] for node in ("stem", "deep", "point", "logits"))


def test_corrected_biases_take_the_shift_of_rounded_weights_away():
    plain, corrected = (
        predicted("hostile", "tensorrt", QuantizationConfig("min-max", bias_correction=value))
        for value in (False, True)
    )
    assert corrected["logits"] < plain["logits"]
    assert all(corrected[node] <= plain[node] for node in plain)


@pytest.mark.parametrize("form", FORMS)
def test_ranges_without_powers_give_a_forecast_all_the_same(form):
    ranges = RANGES["varied"]
    older = {
        name: dataclasses.replace(seen, mean_square=None, zero_share=None, square_errors={}, channel_mean_squares=None)
        for name, seen in ranges.tensors.items()
    }
    forecast = predicted_noise(NETWORKS["varied"], dataclasses.replace(ranges, tensors=older), CONFIG, form)
    assert all(np.isfinite(error) and error > 0.0 for error in forecast.values())
    loudest = max(forecast, key=forecast.get)
    assert measured("varied", form)[loudest] > 0.01


def test_given_graph_stays_as_it_is():
    before = NETWORKS["varied"].SerializeToString()
    predicted("varied", "onnxruntime")
    assert NETWORKS["varied"].SerializeToString() == before


def test_other_output_than_the_first_can_be_what_counts():
    model = drawing.onnx.ModelProto()
    model.CopyFrom(NETWORKS["residual"])
    model.graph.output.insert(0, drawing.onnx.ValueInfoProto(name="pooled"))
    model.graph.output[0].type.tensor_type.elem_type = drawing.TensorProto.FLOAT
    ranges = drawing.ranges_of(model, CALIBRATION)
    of_pooled = predicted_noise(model, ranges, CONFIG, "tensorrt")
    assert of_pooled["logits"] == 0.0 < of_pooled["stem"]
    assert predicted_noise(model, ranges, CONFIG, "tensorrt", output="logits") == pytest.approx(
        predicted("residual", "tensorrt")
    )


def tensor_range(maxima, squares, largest=None):
    thresholds = {"min-max": max(maxima)}
    mean_square, share = float(np.mean(squares)), 0.0
    return drawing.TensorRange(
        0.0, largest or max(maxima), thresholds, tuple(maxima), tuple(squares), mean_square, share, {}, tuple(squares)
    )


def test_rounding_costs_a_twelfth_of_a_squared_step():
    white, even = rounding_noise(tensor_range([2.0, 2.0], [1.0, 1.0]), 2.54, 127, None)
    assert white.ravel() == pytest.approx([0.02**2 / 12] * 2)
    assert not even.any()


def test_channel_that_is_lost_beside_a_step_costs_its_own_power_everywhere():
    white, even = rounding_noise(tensor_range([254.0, 0.9], [900.0, 0.01]), 254.0, 127, None)
    assert white.ravel() == pytest.approx([4 / 12, 0.0])
    assert even.ravel() == pytest.approx([0.0, 0.01])


def test_dead_channel_costs_nothing():
    white, even = rounding_noise(tensor_range([2.0, 0.0], [1.0, 0.0]), 2.0, 127, None)
    assert white.ravel()[1] == even.ravel()[1] == 0.0


def test_what_is_clipped_belongs_to_the_channels_beyond_the_threshold():
    seen = tensor_range([8.0, 1.0], [4.0, 0.25])
    white, even = rounding_noise(seen, 2.0, 127, 0.5)
    assert even.ravel()[1] == 0.0
    assert (white + even).mean() == pytest.approx(0.5)
