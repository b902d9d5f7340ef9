"""The search for a config within the budget: cures first, then as few layers in float as it takes."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.search.config_search as search_module
import calibration.search.state as state_module
from calibration.budget.limits import Budget
from calibration.qdq.channel_equalization import equalize
from calibration.qdq.insert import quantize
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.qdq_ort.cpu_saturation import unsigned_levels
from calibration.search.accuracy import AccuracySet, graph_runner
from calibration.search.config_search import ConfigSearch
from calibration.search.graph_sources import GraphSources
from calibration.search.state import SearchState
from calibration.search.switchboard import Switchboard
from edge.records import read_record, write_record
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile

FORMS = ("tensorrt", "onnxruntime")
PLAIN = QuantizationConfig("min-max")
CALIBRATION = [{"frame": frame[None]} for frame in hostile.street_frames(4, seed=3)]
NONE = Budget(None, None)


def labels(kept):
    """A budget of changed labels alone: on frames of 32 pixels a class may be a speck."""
    return Budget(None, kept, max_class_change=100.0)


LABELS = labels(0.94)  # of which a search asks for half the change where it cannot show more
IMPOSSIBLE = labels(1.1)


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
        balanced, factors = equalize(self.model, self.ranges)
        return (balanced, drawing.ranges_of(balanced, CALIBRATION)) if factors else None

    def searcher(self, key="key", seconds=1e9, equalised=True):
        balanced = self.balanced if equalised else lambda: None
        sources = GraphSources(self.model, self.ranges, balanced, self.form, unsigned_levels())
        return ConfigSearch(sources, self.contract, self.accuracy, key, self.store, seconds, self.lines.append)

    def search(self, budget, config=PLAIN, **options):
        for kept in (self.evaluated, self.measured, self.lines):
            kept.clear()
        made = self.searcher(**options)
        evaluate, measure = AccuracySet.evaluate, Switchboard.output_error

        def noted_evaluate(accuracy, runner, what, indices=None):
            self.evaluated.append(what)
            return evaluate(accuracy, runner, what, indices)

        def noted_measure(board, on=None, methods=None):
            self.measured.append((tuple(on) if on is not None else None, tuple(sorted((methods or {}).items()))))
            return measure(board, on, methods)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AccuracySet, "evaluate", noted_evaluate)
            patch.setattr(Switchboard, "output_error", noted_measure)
            return made.run(config, budget)

    def agreement(self, config):
        """Return what a config keeps of the labels, worked out without any search."""
        assert not config.equalised
        data = quantize(self.model, self.ranges, config, self.form, unsigned_levels()).data
        return self.accuracy.evaluate(graph_runner(data, self.contract, exact=True), "").agreement


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def change_of(step):
    return 1 - step.label_agreement


# Within the budget


def test_plain_config_within_the_budget_ends_the_search_at_once(tmp_path, form):
    case = Case(tmp_path, form, ratio=1.0)
    outcome = case.search(LABELS)
    assert (outcome.config, outcome.is_met, outcome.is_out_of_time) == (PLAIN, True, False)
    assert [step.what for step in outcome.steps] == ["plain INT8"]
    assert outcome.quantized.int8_mac_share == 1.0
    assert outcome.steps[0].label_agreement == pytest.approx(case.agreement(PLAIN), abs=2e-4)
    assert (case.evaluated, case.measured, case.equalised) == (["plain INT8"], [], 0)
    assert outcome.sensitivities == {}


def test_all_layers_are_measured_when_asked_whatever_time_it_takes(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0)
    sensitivities = case.searcher(seconds=0).sensitivities(PLAIN)
    assert {"stem", "wide", "narrow", "side", "logits"} <= set(sensitivities)
    assert all(value.is_measured for value in sensitivities.values())


def test_budget_in_points_is_held_by_the_drop_of_labelled_images(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0, labelled=True)
    plain = case.search(NONE).steps[0]
    assert plain.drop_points > 0
    assert case.search(Budget(plain.drop_points / search_module.MARGIN + 0.01, None)).steps[0].within_budget
    stricter = case.search(Budget(plain.drop_points - 0.01, None))
    assert not stricter.steps[0].within_budget
    assert len(stricter.steps) > 1


def test_few_images_of_a_search_have_to_leave_a_margin(tmp_path):
    case = Case(tmp_path, "tensorrt", ratio=1.0)
    change = change_of(case.search(NONE).steps[0])
    # The figure itself is within both limits, and the end of its interval within neither.
    assert not case.search(labels(1 - 1.2 * change)).steps[0].within_budget
    assert case.search(labels(1 - 2.1 * change)).steps[0].within_budget


def test_graph_that_is_far_over_the_budget_by_a_few_images_is_not_worth_judging(tmp_path):
    assert Case(tmp_path, "tensorrt").searcher().is_far_off(PLAIN, LABELS)
    assert not Case(tmp_path, "tensorrt", ratio=1.0).searcher(key="other").is_far_off(PLAIN, LABELS)
    assert not Case(tmp_path, "tensorrt").searcher().is_far_off(PLAIN, NONE)


# Cures, and layers in float


def test_cures_are_tried_before_any_layer_goes_to_float(tmp_path, form):
    case = Case(tmp_path, form, readers=1)
    outcome = case.search(labels(0.9))
    assert outcome.is_met and change_of(outcome.steps[-1]) <= 0.05 < 1 - case.agreement(PLAIN)
    assert (outcome.config.equalised, outcome.config.float_layers) == (True, {})
    assert outcome.quantized.int8_mac_share == 1.0
    # Cures are compared by a few images, and evaluated together.
    assert [step.what for step in outcome.steps] == ["plain INT8", outcome.config.sentence()]
    assert case.equalised == 1


def test_channels_that_nobody_can_equalise_are_said(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS, equalised=False)
    assert "equalised channels: there are none to balance" in case.lines
    assert outcome.is_met and not outcome.config.equalised


def test_as_few_layers_go_back_to_float_as_the_budget_needs(tmp_path, form):
    case = Case(tmp_path, form)
    outcome = case.search(LABELS, equalised=False)
    config = outcome.config
    assert outcome.is_met and {"narrow", "side"} <= set(config.float_layers)
    assert change_of(outcome.steps[-1]) <= 0.06 or outcome.steps[-1].what != config.sentence()
    for name in ("narrow", "side"):
        fewer = {other: reason for other, reason in config.float_layers.items() if other != name}
        assert 1 - case.agreement(dataclasses.replace(config, float_layers=fewer)) > 0.03
    precisions = {layer.name: layer.precision for layer in outcome.quantized.layers}
    assert precisions == {"stem": "int8", "wide": "int8", "narrow": "float", "side": "float", "logits": "int8"}
    reasons = {layer.name: layer.reason for layer in outcome.quantized.layers if layer.reason}
    assert all(
        reason.startswith("over the budget: alone in INT8 it changes the logits by") for reason in reasons.values()
    )


def test_budget_that_cannot_be_met_leaves_the_whole_curve(tmp_path, form):
    case = Case(tmp_path, form)
    outcome = case.search(IMPOSSIBLE)
    assert (outcome.is_met, outcome.is_out_of_time) == (False, False)
    assert not any(step.within_budget for step in outcome.steps)
    shares = [step.int8_mac_share for step in outcome.steps if "in float" in step.what]
    assert shares and min(shares) > 0  # with nothing left in INT8 any budget would hold
    best = next(step for step in outcome.steps if step.recipe_sha256 == outcome.config.digest())
    assert best.label_agreement == max(step.label_agreement for step in outcome.steps)


def test_layers_that_are_in_float_from_the_start_stay_there(tmp_path):
    case = Case(tmp_path, "tensorrt")
    start = QuantizationConfig("min-max", float_layers={"narrow": "held the budget elsewhere"})
    outcome = case.search(LABELS, start, equalised=False)
    assert outcome.is_met and {"narrow", "side"} <= set(outcome.config.float_layers)
    assert outcome.config.float_layers["narrow"] == "held the budget elsewhere"
    assert outcome.config.float_layers["side"].startswith("over the budget")


# Stopped, and going on


def test_search_that_is_done_evaluates_and_measures_nothing_again(tmp_path, form):
    case = Case(tmp_path, form)
    first = case.search(LABELS)
    assert len(case.evaluated) == len(first.steps) and case.measured
    second = case.search(LABELS)
    assert (case.evaluated, case.measured) == ([], [])
    assert (second.config, second.steps, second.sensitivities) == (first.config, first.steps, first.sensitivities)
    assert second.quantized == first.quantized


def test_second_run_of_a_search_with_stricter_limits_goes_on_from_the_first(tmp_path):
    case = Case(tmp_path, "tensorrt")
    searcher = case.searcher(equalised=False)
    first = searcher.run(PLAIN, LABELS)
    lines = len(case.lines)
    second = searcher.run(PLAIN, LABELS.scaled(0.5))
    assert change_of(second.steps[-1]) <= change_of(first.steps[-1])
    assert second.steps[: len(first.steps)] != () and {step.what for step in first.steps} <= {
        step.what for step in second.steps
    }
    assert not any("ranges:" in line for line in case.lines[lines:])  # cures are tried once


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
    assert case.evaluated == []
    assert not case.search(IMPOSSIBLE).steps[0].within_budget


def test_time_limit_ends_the_search_after_the_plain_config_at_the_earliest(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS, seconds=-1)
    assert (outcome.is_met, outcome.is_out_of_time) == (False, True)
    assert ([step.what for step in outcome.steps], case.evaluated) == (["plain INT8"], ["plain INT8"])


def test_later_calls_go_on_until_the_budget_holds(tmp_path, monkeypatch):
    case = Case(tmp_path, "tensorrt")
    uninterrupted = case.search(LABELS, key="at once")
    measured_at_once, ticks = list(case.measured), iter(range(10**9))
    monkeypatch.setattr(search_module.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(state_module.time, "monotonic", lambda: next(ticks))
    evaluated, measured, outcomes = [], [], []
    while not outcomes or (not outcomes[-1].is_met and len(outcomes) < 99):
        outcomes.append(case.search(LABELS, seconds=4))
        evaluated += case.evaluated
        measured += case.measured
    outcome = outcomes.pop()
    assert len(outcomes) >= 3 and all(earlier.is_out_of_time for earlier in outcomes)
    # It ends with the first config that holds; without a limit, layers that are not needed go back after that.
    steps = [step.what for step in uninterrupted.steps]
    assert (evaluated, measured) == (steps[: len(evaluated)], measured_at_once)
    assert outcome.is_met and uninterrupted.is_met


def test_interruption_keeps_what_was_found(tmp_path):
    case = Case(tmp_path, "tensorrt")
    evaluate, asked = case.accuracy.evaluate, []

    def interrupted(runner, what, indices=None):
        asked.append(what)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return evaluate(runner, what, indices)

    case.accuracy.evaluate = interrupted
    with pytest.raises(KeyboardInterrupt):
        case.searcher(equalised=False).run(PLAIN, LABELS)
    del case.accuracy.evaluate
    assert [step.what for step in read_record(SearchState, case.store).steps] == asked[:1]
    case.search(LABELS, equalised=False)
    assert case.evaluated[0] == asked[1]
    assert case.measured == []  # neither layers nor methods are measured again


def test_store_is_a_record(tmp_path):
    case = Case(tmp_path, "tensorrt")
    outcome = case.search(LABELS)
    state = read_record(SearchState, case.store)
    assert set(state.steps) == set(outcome.steps)
    write_record(tmp_path / "again.json", state)
    assert read_record(SearchState, tmp_path / "again.json") == state
