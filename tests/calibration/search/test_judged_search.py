"""What a search finds is judged on images that it does not see, more strictly with every look."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import calibration.search.judged_search as judged_search
from calibration.budget.limits import DEFAULT_CLASS_DROP, Budget, Verdict
from calibration.qdq.quantization_config import QuantizationConfig
from calibration.results import CLASS_DROP, EXCEEDED, HELD, LOST_CLASS, MIOU_DROP, NOT_SHOWN, Judgement, SearchStep
from calibration.search.accuracy import AccuracySet, graph_runner
from calibration.search.config_search import ConfigSearch, SearchOutcome
from calibration.search.graph_sources import GraphSources
from calibration.search.judged_search import MOST_LOOKS, find_config, stricter_factor
from tests.calibration import graph_drawing as drawing
from tests.calibration import hostile_graphs as hostile
from tests.calibration.label_sets import labelled_class, network_cost

PLAIN = QuantizationConfig()
BUDGET = Budget(0.5, None, max_class_drop=DEFAULT_CLASS_DROP)


def config_of(floats):
    """A config with so many layers in float, as a search would find one after the other."""
    return dataclasses.replace(PLAIN, float_layers={f"layer_{index}": "asked for" for index in range(floats)})


def lossy(drop, high, lost=0.0, **changes):
    """The cost of a network in points of mIoU, and of its class person."""
    return network_cost(labelled_class(lost=lost, high=lost, **changes), drop=drop, low=0.0, high=high)


class Search:
    """A search that finds config 1, 2, ... with every stricter share of the limits."""

    def __init__(self, found=(1, 2, 3, 4, 5, 6, 7), is_met=True, is_out_of_time=False, price=0.02):
        self.found, self.factors, self.price = list(found), [], price
        self.is_met, self.is_out_of_time = is_met, is_out_of_time

    def is_far_off(self, config, budget):
        return False

    def quantized(self, config):
        return SimpleNamespace(data=config, int8_mac_share=1.0 - self.price * len(config.float_layers))

    def run(self, start, budget, first):
        self.factors.append(round(budget.max_drop_points / 0.5, 6))
        config = config_of(self.found[min(len(self.factors), len(self.found)) - 1])
        # On its own images no better than on those that judge.
        step = SearchStep("found", config.digest(), 1.0, 0.9, 9.0, True, cost=lossy(9.0, 9.0))
        return SearchOutcome(config, self.quantized(config), self.is_met, (step,), {}, self.is_out_of_time)


class Judging:
    """Judging images on which each config costs what a test says."""

    def __init__(self, costs):
        self.costs, self.confidences = costs, []

    def evaluate(self, config, what):
        return config

    def cost(self, config, confidence):
        self.confidences.append(confidence)
        cost = self.costs[min(len(config.float_layers), len(self.costs) - 1)]
        return dataclasses.replace(cost, confidence=confidence)


@pytest.fixture
def find(monkeypatch):
    """Return a function that finds a config of a pretended search; its lines are in `find.lines`."""
    monkeypatch.setattr(judged_search, "graph_runner", lambda data, contract, exact: data)

    def run(search, judging, budget=BUDGET):
        run.lines = []
        return find_config(search, PLAIN, judging, budget, None, run.lines.append)

    return run


def test_first_config_that_holds_is_kept_without_a_search(find):
    search, judging = Search(), Judging([lossy(0.2, 0.4)])
    found = find(search, judging)
    assert (found.config, found.verdict.state, found.search, search.factors) == (PLAIN, HELD, None, [])
    assert judging.confidences == [0.95]
    (line,) = find.lines
    assert line.startswith("judged on 50 images: plain INT8: ") and line.endswith("; held")


def test_search_goes_on_with_stricter_limits_until_the_judging_images_show_it(find):
    search = Search()
    judging = Judging([lossy(3.0, 3.4), lossy(0.4, 0.6), lossy(0.2, 0.45)])
    found = find(search, judging)
    assert found.config == config_of(2) and found.verdict.state == HELD
    # What lies between 0.4 and 0.6 stays as wide: nine tenths of 0.5 - 0.2 are aimed at.
    assert search.factors == [1.0, pytest.approx(0.27 / 0.4)]
    assert [step.verdict for step in found.looks] == [EXCEEDED, NOT_SHOWN, HELD]
    assert found.looks[0].what == "plain INT8"


def test_every_look_has_a_wider_interval(find):
    judging = Judging([lossy(0.45, 0.6)])
    find(Search(), judging)
    assert judging.confidences == pytest.approx([1 - 0.05 / look for look in range(1, len(judging.confidences) + 1)])
    assert len(judging.confidences) >= 2


def test_later_look_has_the_wider_interval_on_real_images():
    """The second look of a real set asks for a smaller upper end than the first would."""
    model = hostile.hostile_network()
    contract = hostile.contract_of(model)
    images = AccuracySet(hostile.ArrayFrames(hostile.street_frames(8)), None, runner_of(model, contract))
    labels = images.evaluate(runner_of(hostile.hostile_network(ratio=1.0), contract), "another network")
    first, second = (images.cost(labels, 1 - 0.05 / look) for look in (1, 2))
    assert second.change_high > first.change_high
    assert second.label_agreement == first.label_agreement


def test_images_are_looked_at_a_few_times_at_most(find):
    judging = Judging([lossy(0.62 - 0.01 * index, 0.65) for index in range(8)])
    found = find(Search(), judging)
    assert len(found.looks) == len(judging.confidences) == MOST_LOOKS
    assert found.verdict.state == EXCEEDED and found.config == config_of(MOST_LOOKS - 1)


def test_best_of_what_was_judged_is_given_where_nothing_holds(find):
    judging = Judging([lossy(3.0, 3.1), lossy(0.45, 0.6), lossy(0.9, 1.0), lossy(0.8, 0.9)])
    found = find(Search(), judging)
    assert (found.config, found.verdict.state) == (config_of(1), NOT_SHOWN)
    assert not found.is_over_budget and found.quantized.int8_mac_share == pytest.approx(0.98)


def test_of_two_that_are_not_shown_the_one_with_more_int8_is_kept(find):
    judging = Judging([lossy(0.45, 0.6), lossy(0.4, 0.6), lossy(0.3, 0.6)])
    assert find(Search(), judging).config == PLAIN


def test_graph_within_its_budget_is_not_given_up_for_one_that_shows_it_with_far_less_in_int8(find):
    search = Search(price=0.15)
    found = find(search, Judging([lossy(0.4, 0.6), lossy(0.1, 0.2)]))
    assert (found.config, found.verdict.state, len(found.looks)) == (PLAIN, NOT_SHOWN, 1)
    assert "which is not worth it" in find.lines[-1]
    # One that is over its budget is.
    assert find(Search(price=0.15), Judging([lossy(0.6, 0.7), lossy(0.1, 0.2)])).config == config_of(1)


def test_lost_class_is_cured_by_the_search_or_named(find):
    lost = {"lost": 5.5, "float_iou": 0.055, "iou": 0.0, "agreement_iou": 0.0, "change_points": 100.0}
    cured = find(Search(), Judging([lossy(0.3, 0.4, **lost), lossy(0.1, 0.2)]))
    assert (cured.config, cured.verdict.state) == (config_of(1), HELD)
    named = find(Search(), Judging([lossy(0.3, 0.4, **lost)]))
    assert named.is_over_budget and named.verdict.lost_classes == ("person",)
    assert any("person is lost" in line and line.endswith("exceeded") for line in find.lines)


def test_config_that_the_search_is_content_with_and_the_judging_images_are_not_makes_it_ask_for_more(find):
    """The images of the search may not show what is lost: the class may not be on them."""
    search = Search(found=(0, 0, 1))
    judging = Judging([lossy(0.9, 1.0), lossy(0.1, 0.3)])
    found = find(search, judging)
    assert (found.config, found.verdict.state) == (config_of(1), HELD)
    assert len(search.factors) == 3 and search.factors == sorted(search.factors, reverse=True)
    assert len(judging.confidences) == 2, "the same graph is not judged twice"


def test_search_that_gives_the_same_again_and_again_ends(find):
    search = Search(found=(0,))
    found = find(search, Judging([lossy(0.9, 1.0)]))
    assert found.is_over_budget and len(found.looks) == 1
    assert 1 < len(search.factors) < 40


@pytest.mark.parametrize("ended", [{"is_met": False}, {"is_out_of_time": True}])
def test_search_that_found_nothing_or_ran_out_of_time_is_not_asked_again(find, ended):
    search = Search(**ended)
    found = find(search, Judging([lossy(3.0, 3.1), lossy(1.0, 1.1)]))
    assert (len(search.factors), found.config) == (1, config_of(1))


def test_without_a_budget_nothing_is_searched(find):
    found = find(Search(), Judging([lossy(9.0, 9.9)]), Budget(None, None))
    assert (found.config, found.looks[0].verdict) == (PLAIN, None)
    assert find.lines[0].endswith("nothing is limited")


# How much stricter


def verdict_of(*judgements):
    return Verdict(judgements)


NOTHING_SEEN = verdict_of()


def test_images_of_the_search_that_are_easier_have_to_reach_less():
    judged = verdict_of(Judgement(MIOU_DROP, "", 1.0, 1.1, 0.5, EXCEEDED))
    easier = verdict_of(Judgement(MIOU_DROP, "", 0.2, 0.3, 0.5, HELD))
    # 0.2 there are 1.0 here, which is taken for half at most: nine tenths of what 0.1 of doubt leave, times that.
    assert stricter_factor(judged, easier, 1.0) == pytest.approx(max(0.5 * 0.36, 0.25))
    assert stricter_factor(judged, easier, 0.25) is None  # the last search held that already


def test_held_verdict_asks_for_nothing_stricter():
    assert stricter_factor(verdict_of(Judgement(MIOU_DROP, "", 0.1, 0.2, 0.5, HELD)), NOTHING_SEEN, 1.0) is None


@pytest.mark.parametrize(
    ("value", "high", "state", "factor"),
    [
        (0.4, 0.6, NOT_SHOWN, 0.27 / 0.4),
        (1.0, 1.1, EXCEEDED, 0.9 * 0.4 / 1.0),
        (0.6, 1.3, EXCEEDED, 0.25 / 0.6),  # no room is left beside the doubt: half of the limit is aimed at
        (0.4, 0.75, NOT_SHOWN, None),  # to show it would take a third of the figure: it is held all the same
        (0.1, 0.65, NOT_SHOWN, None),  # a smaller figure would not help: 0.55 of doubt stay
        (0.1, None, NOT_SHOWN, None),
        (9.0, 9.1, EXCEEDED, 0.25),  # the strictest that is tried
    ],
)
def test_share_leaves_room_for_the_doubt_of_the_judging_images(value, high, state, factor):
    needed = 100 if high is not None and state == NOT_SHOWN else None
    verdict = verdict_of(Judgement(MIOU_DROP, "", value, high, 0.5, state, needed))
    assert stricter_factor(verdict, NOTHING_SEEN, 1.0) == (None if factor is None else pytest.approx(factor))


def test_limit_that_asks_for_most_decides_and_the_share_goes_on_from_the_last():
    judgements = (
        Judgement(MIOU_DROP, "", 0.4, 0.6, 0.5, NOT_SHOWN, 100),
        Judgement(CLASS_DROP, "person", 4.0, 4.0, 2.0, EXCEEDED),
        Judgement(CLASS_DROP, "car", None, None, 2.0, NOT_SHOWN),
    )
    assert stricter_factor(verdict_of(*judgements), NOTHING_SEEN, 1.0) == pytest.approx(0.45)
    assert stricter_factor(verdict_of(*judgements), NOTHING_SEEN, 0.6) == pytest.approx(0.27)


def test_class_that_is_not_shown_is_chased_where_the_user_named_it():
    verdict = verdict_of(Judgement(CLASS_DROP, "person", 1.5, 2.3, 2.0, NOT_SHOWN, 80))
    assert stricter_factor(verdict, NOTHING_SEEN, 1.0) is None
    assert stricter_factor(verdict, NOTHING_SEEN, 1.0, {"person": 2.0}) == pytest.approx(0.9 * 1.2 / 1.5)


def test_strictest_limits_are_tried_once():
    assert stricter_factor(verdict_of(Judgement(MIOU_DROP, "", 9.0, 9.1, 0.5, EXCEEDED)), NOTHING_SEEN, 0.25) is None


def test_lost_class_asks_for_stricter_limits():
    verdict = verdict_of(Judgement(LOST_CLASS, "person", 100.0, None, 90.0, EXCEEDED))
    assert stricter_factor(verdict, NOTHING_SEEN, 1.0) == pytest.approx(0.81)


# On a network


def runner_of(model, contract):
    return graph_runner(model.SerializeToString(), contract)


class Seen(hostile.ArrayFrames):
    """Frames that keep how often each was read."""

    def __init__(self, frames, description):
        super().__init__(frames, description)
        self.reads = 0

    def read(self, index):
        self.reads += 1
        return super().read(index)


def test_judging_images_never_reach_the_search(tmp_path):
    model = hostile.hostile_network()
    contract = hostile.contract_of(model)
    ranges = drawing.ranges_of(model, [{"frame": frame[None]} for frame in hostile.street_frames(4, seed=3)])
    searched, judging = Seen(hostile.street_frames(6, seed=5), "search"), Seen(hostile.street_frames(5), "judge")
    own, other = (AccuracySet(frames, None, runner_of(model, contract)) for frames in (searched, judging))
    store = tmp_path / "search.json"
    sources = GraphSources(model, ranges, lambda: None, "tensorrt", 255)
    search = ConfigSearch(sources, contract, own, "key", store, 1e9, lambda line: None)
    plain = QuantizationConfig("min-max")
    found = find_config(search, plain, other, Budget(None, 0.9), contract, lambda line: None)
    assert found.search is not None and found.config != plain and not found.is_over_budget
    # The float labels, and one reading a look.
    assert judging.reads == 5 * (1 + len(found.looks))
    assert all(step.cost.image_count == 6 for step in found.search.steps)
    assert all(look.cost.image_count == 5 for look in found.looks)
