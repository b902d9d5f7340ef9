"""Sensitivities of all layers, and a method for each tensor, from few runs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.qdq.quantization_config import QuantizationConfig
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.search.estimates import choose_methods, measure_sensitivities, with_methods
from calibration.search.noise_gain import predicted_noise
from calibration.search.sensitivity import Sensitivity
from calibration.search.switchboard import Switchboard
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration import varied_graphs as varied

NODES = [f"layer_{index:02}" for index in range(40)]
PREDICTED = {name: 0.1 * 0.8**index for index, name in enumerate(NODES)}


class Additive:
    """A switchboard whose layers have given errors, which add up in power; each tensor scales them by its method."""

    def __init__(self, errors, factors=None):
        self.nodes, self._errors, self._factors = list(errors), errors, factors or {}
        self.runs = []

    def output_error(self, on=None, methods=None):
        chosen = self.nodes if on is None else sorted(on)
        self.runs.append(chosen if on is not None else dict(methods))
        power = 0.0
        for name in chosen:
            method = (methods or {}).get(f"{name}/input", "percentile")
            power += self._errors[name] ** 2 * self._factors.get((name, method), 1.0)
        return Sensitivity(float(np.sqrt(power)), 0.01)

    def range_tensors(self, node, methods=None):
        return [f"{node}/input"]


def measured_of(results):
    return [name for name, value in results.items() if value.is_measured]


def test_layers_with_the_largest_forecast_are_measured_and_the_others_share_a_run():
    board = Additive({name: 2 * error for name, error in PREDICTED.items()})
    results = measure_sensitivities(board, PREDICTED, NODES, most=10)
    assert list(results) == NODES
    assert measured_of(results) == NODES[:10]
    assert len(board.runs) == 11
    assert board.runs[-1] == NODES[10:]
    for name in NODES:
        assert results[name].output_error == pytest.approx(2 * PREDICTED[name])


def test_estimates_of_a_group_add_up_to_what_was_measured_of_it():
    board = Additive(
        {name: error * (1.5 if index % 2 else 0.5) for index, (name, error) in enumerate(PREDICTED.items())}
    )
    results = measure_sensitivities(board, PREDICTED, NODES, most=8)
    rest = NODES[8:]
    whole = board.output_error(rest)
    assert sum(results[name].output_error ** 2 for name in rest) == pytest.approx(whole.output_error**2)
    assert sum(results[name].label_change for name in rest) == pytest.approx(whole.label_change)


@pytest.mark.parametrize("loud", [("layer_39",), ("layer_11", "layer_37"), ("layer_20", "layer_21", "layer_30")])
def test_loud_layers_that_the_forecast_missed_are_found_by_halving(loud):
    board = Additive({**PREDICTED, **dict.fromkeys(loud, 0.5)})
    results = measure_sensitivities(board, PREDICTED, NODES, most=11)
    for name in loud:
        assert results[name] == Sensitivity(0.5, 0.01)
    assert 11 + 1 < len(board.runs) <= 11 + 1 + 2 * 5 * len(loud)
    others = [name for name in NODES if name not in loud]
    assert [results[name].output_error for name in others] == pytest.approx(
        [PREDICTED[name] for name in others], rel=1e-6
    )


def test_forecast_that_is_wrong_everywhere_does_not_cost_a_run_a_layer():
    nodes = [f"node_{index}" for index in range(400)]
    board = Additive(dict.fromkeys(nodes, 1.0))
    forecast = {name: 1.0 if index < 8 else 1e-3 for index, name in enumerate(nodes)}
    results = measure_sensitivities(board, forecast, nodes, most=8)
    assert len(board.runs) <= 8 + 2 * 8 + 1
    assert set(results) == set(nodes)
    assert sum(value.output_error**2 for value in results.values()) == pytest.approx(400.0, rel=0.01)


def test_group_that_is_louder_than_forecast_but_does_not_matter_is_left_alone():
    board = Additive({name: (error if index < 10 else 1e-5) for index, (name, error) in enumerate(PREDICTED.items())})
    forecast = {name: (error if index < 10 else 1e-9) for index, (name, error) in enumerate(PREDICTED.items())}
    measure_sensitivities(board, forecast, NODES, most=10)
    assert len(board.runs) == 11


def test_everything_is_measured_where_there_are_few_layers():
    board = Additive({name: PREDICTED[name] for name in NODES[:6]})
    results = measure_sensitivities(board, PREDICTED, NODES[:6])
    assert measured_of(results) == NODES[:6] and len(board.runs) == 6


def test_interrupted_measurement_goes_on_where_it_stopped():
    errors = {**PREDICTED, "layer_33": 0.5}
    expected = measure_sensitivities(Additive(errors), PREDICTED, NODES, most=5)
    whole = Additive(errors)
    measure_sensitivities(whole, PREDICTED, NODES, most=5)
    kept = {}

    def keep(key, value):
        kept[key] = value
        if len(kept) % 3 == 0:
            raise TimeoutError

    board = Additive(errors)
    for _ in range(20):
        try:
            results = measure_sensitivities(board, PREDICTED, NODES, 5, keep, dict(kept))
            break
        except TimeoutError:
            continue
    assert results == expected
    assert board.runs == whole.runs


def test_what_is_known_of_a_layer_counts_more_than_an_estimate():
    board = Additive(PREDICTED)
    known = Sensitivity(0.4, 0.3)
    results = measure_sensitivities(board, PREDICTED, NODES, most=5, known={"layer_30": known})
    assert results["layer_30"] == known
    assert ["layer_30"] not in board.runs
    again = measure_sensitivities(board, PREDICTED, NODES, most=5, known={NODES[0]: known})
    assert again[NODES[0]] == known and board.runs.count([NODES[0]]) == 1


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_estimates_of_a_network_are_near_what_each_layer_alone_costs(form):
    model = varied.varied_network(blocks=5)
    frames = [frame[None] for frame in hostile.street_frames(2)]
    ranges = drawing.ranges_of(model, [{"frame": frame} for frame in frames])
    config = QuantizationConfig("min-max")
    board = Switchboard(model, ranges, config, form, 255, hostile.contract_of(model), frames)
    results = measure_sensitivities(board, predicted_noise(model, ranges, config, form), board.nodes, most=8)
    truth = {name: board.output_error({name}) for name in board.nodes}
    assert all(results[name] == truth[name] for name in measured_of(results))
    total = sum(value.output_error**2 for value in truth.values())
    assert sum(truth[name].output_error ** 2 for name in measured_of(results)) > 0.9 * total
    ratios = [results[name].output_error / truth[name].output_error for name in truth]
    assert np.mean([1 / 3 < ratio < 3 for ratio in ratios]) > 0.8


# Range methods

CONFIG = QuantizationConfig("percentile")


def ranges_with(tensors):
    thresholds = {method: 4.0 - index for index, method in enumerate(CALIBRATION_METHODS)}
    seen = SimpleNamespace(thresholds=thresholds)
    return SimpleNamespace(
        tensors=dict.fromkeys(tensors, seen), threshold=lambda tensor, method: seen.thresholds[method]
    )


def chosen(errors, factors, most=12, config=CONFIG, **options):
    board = Additive(errors, factors)
    sensitivities = {name: Sensitivity(error, 0.0) for name, error in errors.items()}
    tensors = [f"{name}/input" for name in errors]
    return choose_methods(board, sensitivities, config, ranges_with(tensors), most, **options), board


def test_best_single_method_is_where_the_choice_starts():
    errors = {"a": 0.1, "b": 0.1}
    methods, board = chosen(errors, {(name, "entropy"): 0.5 for name in errors}, most=0)
    assert methods == {"a/input": "entropy", "b/input": "entropy"}
    assert len(board.runs) == len(CALIBRATION_METHODS)


def test_tensor_gets_another_method_where_it_saves_noise_of_the_whole_network():
    methods, board = chosen({"a": 0.1, "b": 0.1, "c": 0.1}, {("b", "mse"): 0.2, ("c", "mse"): 4.0})
    assert methods == {"a/input": "percentile", "b/input": "mse", "c/input": "percentile"}
    assert board.output_error(None, methods).output_error < board.output_error(None, {}).output_error


def test_gain_that_is_chance_of_the_frames_changes_nothing():
    methods, _ = chosen({"a": 0.1, "b": 0.1}, {("a", "mse"): 0.96})  # 2 % of the whole
    assert set(methods.values()) == {"percentile"}


def test_only_the_most_sensitive_layers_are_tried():
    methods, board = chosen({"a": 0.1, "b": 0.2, "c": 0.01}, {("a", "mse"): 0.1, ("b", "mse"): 0.1}, most=1)
    assert (
        methods == {"a/input": "percentile", "b/input": "mse", "c/input": "percentile"} or methods["b/input"] == "mse"
    )
    assert len(board.runs) <= len(CALIBRATION_METHODS) + len(CALIBRATION_METHODS) - 1


def test_methods_that_give_one_threshold_are_tried_once():
    board = Additive({"a": 0.1})
    ranges = SimpleNamespace(tensors={"a/input": None}, threshold=lambda tensor, method: 1.0)
    choose_methods(board, {"a": Sensitivity(0.1, 0.0)}, CONFIG, ranges)
    assert len(board.runs) == len(CALIBRATION_METHODS)


def test_methods_that_a_config_has_already_are_one_start():
    config = QuantizationConfig("percentile", tensor_methods={"a/input": "mse"})
    factors = {("a", "mse"): 0.1, **{("b", method): 9.0 for method in CALIBRATION_METHODS if method != "percentile"}}
    methods, _ = chosen({"a": 0.1, "b": 0.1}, factors, most=0, config=config)
    assert methods == {"a/input": "mse", "b/input": "percentile"}


def test_interrupted_choice_goes_on_where_it_stopped():
    errors, factors = {"a": 0.1, "b": 0.2}, {("b", "mse"): 0.2}
    kept = {}

    def keep(key, value):
        kept[key] = value
        if len(kept) == 6:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        chosen(errors, factors, keep=keep)
    assert all(key.startswith("methods ") for key in kept)
    methods, board = chosen(errors, factors, known=dict(kept))
    expected, whole = chosen(errors, factors)
    assert methods == expected
    assert len(board.runs) == len(whole.runs) - 6


def test_config_takes_the_commonest_method_and_names_the_rest():
    config = with_methods(CONFIG, {"a": "mse", "b": "mse", "c": "entropy"})
    assert config == QuantizationConfig("mse", tensor_methods={"c": "entropy"})
    assert with_methods(CONFIG, {}) == CONFIG


@pytest.mark.parametrize("form", ["tensorrt", "onnxruntime"])
def test_chosen_methods_are_quieter_than_any_single_one(form):
    model = varied.varied_network()
    frames = [frame[None] for frame in hostile.street_frames(2)]
    ranges = drawing.ranges_of(model, [{"frame": frame} for frame in frames])
    board = Switchboard(model, ranges, CONFIG, form, 255, hostile.contract_of(model), frames)
    sensitivities = {name: board.output_error({name}) for name in board.nodes}
    methods = choose_methods(board, sensitivities, CONFIG, ranges, most=4)
    config = with_methods(CONFIG, methods)
    error = board.output_error(None, methods).output_error
    single = [board.output_error(None, dict.fromkeys(ranges.tensors, method)) for method in CALIBRATION_METHODS]
    assert error**2 < 1.03 * min(value.output_error for value in single) ** 2
    again = Switchboard(model, ranges, config, form, 255, hostile.contract_of(model), frames)
    assert again.output_error().output_error == pytest.approx(error, rel=1e-4)
