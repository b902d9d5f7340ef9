"""The search for a config within the budget: cheap cures first, then as few layers in float as it takes."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.search.config_search as search_module
from calibration.qdq.channel_equalization import equalize
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.search.accuracy import AccuracySet, Budget, graph_runner
from calibration.search.config_search import ConfigSearch, SearchState
from calibration.search.sensitivity import SensitivityMeter
from edge.records import read_record, write_record
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile

FORMS = ("tensorrt", "onnxruntime")
PLAIN = QuantizationConfig("min-max")
CALIBRATION = [{"frame": frame[None]} for frame in hostile.street_frames(4, seed=3)]
LABELS = Budget(None, 0.97)
IMPOSSIBLE = Budget(None, 1.1)
NONE = Budget(None, None)


class Truth:
    """Label maps that are what the float graph says."""

    def __init__(self, accuracy):
        self.read_labels = accuracy.float_of


class Case:
    """A network, and a search of it that can be run several times with one store."""

    def __init__(self, folder, form, readers=2, ratio=hostile.RATIO, labelled=False):
        self.model = hostile.hostile_network(readers, ratio)
        self.ranges = drawing.ranges_of(self.model, CALIBRATION)
        self.contract, self.form = hostile.contract_of(self.model), form
        frames = hostile.ArrayFrames(hostile.street_frames(6))
        self.accuracy = AccuracySet(frames, None, self.reference())
        if labelled:
            self.accuracy = AccuracySet(frames, Truth(self.accuracy), self.reference())
        self.store = folder / "search.json"
        self.evaluated, self.measured, self.lines, self.equalised = [], [], [], 0

    def reference(self):
        return graph_runner(self.model.SerializeToString(), self.contract)

    def balanced(self):
        self.equalised += 1
        balanced, pairs = equalize(self.model, self.ranges)
        return (balanced, drawing.ranges_of(balanced, CALIBRATION)) if pairs else None

    def search(self, budget, config=PLAIN, key="key", seconds=1e9, measure_layers=False, equalised=True):
        for kept in (self.evaluated, self.measured, self.lines):
            kept.clear()
        balanced = self.balanced if equalised else lambda: None
        made = ConfigSearch(
            self.model,
            self.ranges,
            balanced,
            self.form,
            255,
            self.contract,
            self.accuracy,
            budget,
            key,
            self.store,
            seconds,
            self.lines.append,
        )
        evaluate, measure = AccuracySet.evaluate, SensitivityMeter.measure

        def noted_evaluate(accuracy, runner, what, indices=None):
            self.evaluated.append(what)
            return evaluate(accuracy, runner, what, indices)

        def noted_measure(meter, config, node, others):
            self.measured.append(node)
            return measure(meter, config, node, others)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AccuracySet, "evaluate", noted_evaluate)
            patch.setattr(SensitivityMeter, "measure", noted_measure)
            return made.run(config, measure_layers)

    def agreement(self, config):
        """Return what a config keeps of the labels, worked out without any search."""
        assert not config.equalised
        data = quantize(self.model, self.ranges, config, self.form).data
        return self.accuracy.evaluate(graph_runner(data, self.contract, exact=True), "").agreement


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


# Within the budget


def test_plain_config_within_the_budget_ends_the_search_at_once(tmp_path, form):
    case = Case(tmp_path, form, ratio=1.0)
    outcome = case.search(LABELS)
    assert (outcome.config, outcome.is_met, outcome.is_out_of_time) == (PLAIN, True, False)
    assert [step.what for step in outcome.steps] == ["plain"]
    assert outcome.quantized.int8_mac_share == 1.0
    assert outcome.labels.agreement == case.agreement(PLAIN) == outcome.steps[0].label_agreement
    assert (case.evaluated, case.measured, case.equalised) == (["plain"], [], 0)
    assert outcome.sensitivities == {}


def test_without_a_budget_one_evaluation_gives_the_figures(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(NONE)
    assert (case.evaluated, outcome.config, outcome.is_met) == (["plain"], PLAIN, True)
    assert outcome.labels.agreement < 0.6


def test_layers_are_measured_when_asked_although_the_budget_holds(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0)
    outcome = case.search(LABELS, seconds=0, measure_layers=True)
    assert {"stem", "wide", "narrow", "side", "logits"} <= set(outcome.sensitivities)
    assert outcome.is_met and outcome.config == PLAIN
    assert case.measured == list(outcome.sensitivities)


def test_budget_in_points_is_held_by_the_drop_of_labelled_images(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0, labelled=True)
    plain = case.search(Budget(None, None)).steps[0]
    assert 0 < plain.drop_points == pytest.approx(100 * (1 - case.search(NONE).labels.miou()))
    assert case.search(Budget(plain.drop_points + 0.01, None)).steps[0].within_budget
    stricter = case.search(Budget(plain.drop_points - 0.01, None))
    assert not stricter.steps[0].within_budget
    assert len(stricter.steps) > 1


# Cures


def test_cures_are_tried_before_any_layer_goes_to_float(tmp_path, form):
    case = Case(tmp_path, form, readers=1)
    outcome = case.search(LABELS)
    assert outcome.is_met and outcome.labels.agreement >= 0.97 > case.agreement(PLAIN)
    assert (outcome.config.equalised, outcome.config.float_layers) == (True, {})
    assert outcome.quantized.int8_mac_share == 1.0
    assert [step.what for step in outcome.steps] == [
        "plain",
        "percentile ranges",
        "entropy ranges",
        "mse ranges",
        "clipped weights",
        "corrected biases",
        "equalised channels",
    ]
    assert [step.within_budget for step in outcome.steps] == [False] * 6 + [True]
    assert case.equalised == 1


def test_cure_that_does_not_help_is_left_out_of_what_follows(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS)
    tried = {step.what: step.label_agreement for step in outcome.steps}
    before = max(tried[name] for name in ("plain", "percentile ranges", "entropy ranges", "mse ranges"))
    assert (outcome.config.weight_method == "mse") == (tried["clipped weights"] > before)
    before = max(before, tried["clipped weights"])
    assert outcome.config.bias_correction == (tried["corrected biases"] > before)
    before = max(before, tried["corrected biases"])
    assert outcome.config.equalised == (tried["equalised channels"] > before)


def test_channels_that_nobody_can_equalise_are_said(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS, equalised=False)
    assert "equalised channels: there are none to balance" in case.lines
    assert outcome.is_met and not outcome.config.equalised


def test_tensors_get_the_method_that_suits_each(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0)
    tensors = dict(case.ranges.tensors)
    for name, suited in (("joined", "mse"), ("wide_relu", "entropy")):  # every single method is wrong somewhere
        right = tensors[name].maximum
        thresholds = {method: right if method == suited else 60 * right for method in tensors[name].thresholds}
        tensors[name] = dataclasses.replace(tensors[name], thresholds=thresholds)
    case.ranges = dataclasses.replace(case.ranges, tensors=tensors)
    outcome = case.search(LABELS, equalised=False)
    assert outcome.is_met and outcome.config.float_layers == {}
    assert outcome.config.method_of("joined") == "mse"
    assert outcome.config.method_of("wide_relu") == "entropy"
    assert outcome.steps[-1].what.startswith("another method for")


# Layers back to float


def test_as_few_layers_go_back_to_float_as_the_budget_needs(tmp_path, form):
    case = Case(tmp_path, form)
    outcome = case.search(LABELS, equalised=False)
    config = outcome.config
    assert outcome.is_met and set(config.float_layers) == {"narrow", "side"}
    assert case.agreement(config) == outcome.labels.agreement >= 0.97
    for name in config.float_layers:
        fewer = {other: reason for other, reason in config.float_layers.items() if other != name}
        assert case.agreement(dataclasses.replace(config, float_layers=fewer)) < 0.97
    precisions = {layer.name: layer.precision for layer in outcome.quantized.layers}
    assert precisions == {"stem": "int8", "wide": "int8", "narrow": "float", "side": "float", "logits": "int8"}
    reasons = {layer.name: layer.reason for layer in outcome.quantized.layers if layer.reason}
    assert all(
        reason.startswith("over the budget: alone in INT8 it changes the logits by") for reason in reasons.values()
    )
    counts = {layer.name: layer.multiply_adds for layer in outcome.quantized.layers}
    lost = counts["narrow"] + counts["side"]
    assert outcome.quantized.int8_mac_share == pytest.approx(1 - lost / sum(counts.values()))


def test_layer_that_turns_out_not_to_be_needed_is_taken_back(tmp_path, monkeypatch):
    # An order that starts with a harmless layer: the two that are needed come third and fourth.
    order = ["logits", "stem", "narrow", "side"]
    monkeypatch.setattr(ConfigSearch, "_return_order", lambda self, config: order)
    outcome = Case(tmp_path, "tensorrt").search(LABELS, equalised=False)
    assert outcome.is_met and set(outcome.config.float_layers) == {"narrow", "side"}


def test_layers_that_help_least_go_back_into_int8_first(tmp_path, monkeypatch):
    # Together they have to help by 2. Whoever starts with the last needs the first alone, else two would stay.
    helps = {"most": 2, "less": 1, "least": 1}
    monkeypatch.setattr(ConfigSearch, "_with_float", lambda self, config, floats: tuple(floats))
    monkeypatch.setattr(ConfigSearch, "_holds", lambda self, _, floats: sum(helps[name] for name in floats) >= 2)
    search = ConfigSearch(None, None, None, "tensorrt", 255, None, None, LABELS, "", tmp_path / "none", 1.0, print)
    search._prune(None, list(helps))
    assert search._met == ("most",)


@pytest.mark.parametrize("needed", [1, 2, 21, 32, 33, 40])
def test_number_of_float_layers_is_found_in_a_few_tries_however_many_there_are(tmp_path, monkeypatch, needed):
    order, tries = [f"layer_{index}" for index in range(40)], []
    monkeypatch.setattr(ConfigSearch, "_measure_layers", lambda self, config: None)
    monkeypatch.setattr(ConfigSearch, "_return_order", lambda self, config: order)
    monkeypatch.setattr(ConfigSearch, "quantized", lambda self, config: SimpleNamespace(int8_mac_share=0.5))
    monkeypatch.setattr(ConfigSearch, "_prune", lambda self, config, floats: None)
    monkeypatch.setattr(ConfigSearch, "_with_float", lambda self, config, floats: tuple(floats))
    monkeypatch.setattr(ConfigSearch, "_holds", lambda self, _, floats: tries.append(1) or len(floats) >= needed)
    search = ConfigSearch(None, None, None, "tensorrt", 255, None, None, LABELS, "", tmp_path / "none", 1.0, print)
    with pytest.raises(search_module._SearchEndedError):
        search._return_layers_to_float()
    assert search._met == tuple(order[:needed])
    assert len(tries) <= 12  # doubling to 64, and halving 32


def test_layers_are_ordered_by_error_removed_per_multiply_add(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS, equalised=False)
    steps = [step.what for step in outcome.steps]
    assert steps[steps.index("1 layer in float") + 1] == "2 layers in float"
    assert max(outcome.sensitivities, key=lambda name: outcome.sensitivities[name].output_error) in ("narrow", "side")


def test_budget_that_cannot_be_met_leaves_the_whole_curve(tmp_path, form):
    case = Case(tmp_path, form)
    outcome = case.search(IMPOSSIBLE)
    assert (outcome.is_met, outcome.is_out_of_time) == (False, False)
    shares = [step.int8_mac_share for step in outcome.steps if "in float" in step.what]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1] > 0  # with nothing left in INT8 any budget would hold
    assert not any(step.within_budget for step in outcome.steps)
    assert outcome.labels.agreement == max(step.label_agreement for step in outcome.steps)


def test_graph_with_nothing_left_in_int8_is_no_answer(tmp_path, form):
    case = Case(tmp_path, form)
    outcome = case.search(Budget(None, 1.0))  # which the float graph holds, and rounding does not
    assert not outcome.is_met
    assert 0 < outcome.quantized.int8_mac_share < 1
    assert min(step.int8_mac_share for step in outcome.steps) > 0


def test_layers_that_are_in_float_from_the_start_stay_there_and_are_not_measured_against(tmp_path):
    case = Case(tmp_path, "tensorrt")
    start = QuantizationConfig("min-max", float_layers={"narrow": "held the budget elsewhere"})
    outcome = case.search(LABELS, start, equalised=False)
    assert outcome.is_met and set(outcome.config.float_layers) == {"narrow", "side"}
    assert outcome.config.float_layers["narrow"] == "held the budget elsewhere"
    assert outcome.config.float_layers["side"].startswith("over the budget")
    # `stem` alone in INT8 is harmless: nothing else was in INT8 when it was measured.
    assert outcome.sensitivities["stem"].output_error < 0.02
    steps = [step.what for step in outcome.steps]
    assert steps[-1] == "1 layer in float"


# Stopped, and going on


def test_search_that_is_done_evaluates_nothing_again_but_what_it_returns(tmp_path, form):
    case = Case(tmp_path, form)
    first = case.search(LABELS)
    assert len(case.evaluated) == len(first.steps) and case.measured
    second = case.search(LABELS)
    assert (case.evaluated, case.measured) == (["accuracy in INT8"], [])
    assert (second.config, second.steps, second.sensitivities) == (first.config, first.steps, first.sensitivities)
    assert second.labels.agreement == first.labels.agreement


def test_store_of_something_else_or_a_damaged_one_is_not_used(tmp_path):
    case = Case(tmp_path, "tensorrt")
    first = case.search(LABELS)
    evaluated = list(case.evaluated)
    assert read_record(SearchState, case.store).key == "key"
    assert case.search(LABELS, key="another").steps == first.steps
    assert case.evaluated == evaluated
    case.store.write_bytes(case.store.read_bytes()[:-40])
    assert case.search(LABELS, key="another").steps == first.steps
    assert case.evaluated == evaluated


def test_what_was_evaluated_is_judged_by_the_budget_of_today(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0)
    strict = case.search(IMPOSSIBLE)
    assert not strict.steps[0].within_budget
    loose = case.search(LABELS)
    assert (loose.config, loose.is_met, [step.within_budget for step in loose.steps]) == (PLAIN, True, [True])
    assert case.evaluated == ["accuracy in INT8"]
    assert not case.search(IMPOSSIBLE).steps[0].within_budget


def test_time_limit_ends_the_search_after_the_plain_config_at_the_earliest(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS, seconds=-1)
    assert (outcome.is_met, outcome.is_out_of_time) == (False, True)
    assert ([step.what for step in outcome.steps], case.evaluated) == (["plain"], ["plain"])


def test_later_calls_go_on_until_the_budget_holds(tmp_path, monkeypatch):
    case = Case(tmp_path, "tensorrt")
    uninterrupted = case.search(LABELS, key="at once")
    measured_at_once, ticks = list(case.measured), iter(range(10**9))
    monkeypatch.setattr(search_module.time, "monotonic", lambda: next(ticks))
    evaluated, measured, outcomes = [], [], []
    while not outcomes or (not outcomes[-1].is_met and len(outcomes) < 99):
        outcomes.append(case.search(LABELS, seconds=6))
        evaluated += [what for what in case.evaluated if what != "accuracy in INT8"]
        measured += case.measured
    outcome = outcomes.pop()
    assert len(outcomes) > 3 and all(earlier.is_out_of_time for earlier in outcomes)
    assert (outcome.config, outcome.quantized) == (uninterrupted.config, uninterrupted.quantized)
    assert (evaluated, measured) == ([step.what for step in uninterrupted.steps], measured_at_once)


def test_interruption_keeps_what_was_found(tmp_path):
    case = Case(tmp_path, "tensorrt")
    evaluate, asked = case.accuracy.evaluate, []

    def interrupted(runner, what, indices=None):
        asked.append(what)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return evaluate(runner, what, indices)

    search = ConfigSearch(
        case.model,
        case.ranges,
        case.balanced,
        "tensorrt",
        255,
        case.contract,
        case.accuracy,
        LABELS,
        "key",
        case.store,
        1e9,
        case.lines.append,
    )
    case.accuracy.evaluate = interrupted
    with pytest.raises(KeyboardInterrupt):
        search.run(PLAIN)
    del case.accuracy.evaluate
    assert [step.what for step in read_record(SearchState, case.store).steps] == asked[:3]
    case.search(LABELS)
    assert case.evaluated[0] == asked[3]


def test_store_is_a_record(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS)
    state = read_record(SearchState, case.store)
    assert state.steps == outcome.steps
    write_record(tmp_path / "again.json", state)
    assert read_record(SearchState, tmp_path / "again.json") == state
