"""A budget is held where the upper end of an interval is within it, for the network and for every class."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from calibration.budget.limits import (
    DEFAULT_CLASS_CHANGE,
    DEFAULT_REGION_LOSS,
    NAMED_REGION_LOSS,
    Budget,
    drop_words,
    excess,
    judgement_words,
    unseen_classes,
)
from calibration.results import (
    CLASS_CHANGE,
    CLASS_DROP,
    EXCEEDED,
    HELD,
    LABEL_CHANGE,
    LOST_CLASS,
    LOST_REGIONS,
    MIOU_DROP,
    NOT_SHOWN,
    SearchStep,
)
from calibration.search.steps import figures
from tests.calibration.label_sets import class_cost, cost_of, labelled_class, network_cost, streets, without

LABELLED = Budget(0.5, None, max_class_drop=2.0, max_region_loss=DEFAULT_REGION_LOSS)
UNLABELLED = Budget(None, 0.95, max_class_change=DEFAULT_CLASS_CHANGE, max_region_loss=DEFAULT_REGION_LOSS)


def judged(budget, cost, measure, name=""):
    """The only judgement of one limit."""
    (judgement,) = (e for e in budget.judge(cost).judgements if (e.measure, e.class_name) == (measure, name))
    return judgement


# The kind of fault that an average hides


def test_class_that_vanishes_exceeds_the_budget_although_99_percent_of_labels_are_kept():
    maps = streets(12)
    cost = cost_of(maps, without(maps, 2))
    assert cost.label_agreement > 0.98
    verdict = UNLABELLED.judge(cost)
    assert (verdict.state, verdict.lost_classes) == (EXCEEDED, ("person",))
    assert judged(UNLABELLED, cost, LABEL_CHANGE).state == HELD
    assert judgement_words(verdict.of_state(EXCEEDED)[0]).startswith("person")
    assert UNLABELLED.judge(cost_of(maps, maps)).state == HELD


def test_lost_class_exceeds_unless_the_user_allows_to_lose_all_of_it():
    maps = streets(12)
    cost = cost_of(maps, without(maps, 2), maps)
    for budget in (Budget(None, 0.0, None, 99.0, 100.0), Budget(100.0, None), Budget(100.0, None, 99.0, None, 100.0)):
        assert budget.judge(cost).lost_classes == ("person",)
    for budget in (Budget(None, 0.0, None, 100.0, 100.0), Budget(100.0, None, 100.0)):
        assert not budget.judge(cost).is_exceeded
    named = Budget(100.0, None, 100.0, None, None, {"person": 99.0})
    assert named.judge(cost).lost_classes == ("person",)


def test_class_of_a_low_iou_is_lost_although_the_mean_hardly_moves():
    lost = labelled_class(lost=5.5, high=6.0, float_iou=0.055, iou=0.0, agreement_iou=0.0, change_points=100.0)
    others = [labelled_class(f"class {index}") for index in range(18)]
    cost = network_cost(*others, lost, drop=5.5 / 19, low=0.2, high=0.35)
    assert cost.drop_points < 0.5 and judged(LABELLED, cost, MIOU_DROP).state == HELD
    verdict = LABELLED.judge(cost)
    assert (verdict.state, verdict.lost_classes) == (EXCEEDED, ("person",))
    # What is lost comes before what is over a limit by a little.
    assert [judgement_words(e).split(" ")[1] for e in verdict.of_state(EXCEEDED)] == ["is", "5.50"]
    assert verdict.worst.measure == LOST_CLASS
    # Not lost altogether, it is still over the limit of a class.
    fewer = dataclasses.replace(lost, iou=0.02, drop_points=3.5, agreement_iou=0.4)
    verdict = LABELLED.judge(network_cost(*others, fewer, drop=0.18, low=0.1, high=0.3))
    assert [(e.measure, e.class_name, e.value) for e in verdict.of_state(EXCEEDED)] == [(CLASS_DROP, "person", 3.5)]


def test_small_things_that_are_lost_count_although_the_large_ones_carry_the_iou():
    maps, others = [], []
    for labels in streets(10, person=(30, 30)):
        crowd = labels.copy()
        for index in range(6):
            crowd[92:97, 5 + 12 * index : 9 + 12 * index] = 2
        maps.append(crowd)
        others.append(labels)
    cost = cost_of(maps, others)
    person = cost.classes[2]
    assert person.change_points < 20 and (person.regions, person.regions_found) == (70, 10)
    verdict = UNLABELLED.judge(cost)
    assert [(e.measure, e.class_name) for e in verdict.of_state(EXCEEDED)] == [(LOST_REGIONS, "person")]


# What decides: the figure, its interval, the number of images


@pytest.mark.parametrize(
    ("drop", "high", "state"), [(0.3, 0.4, HELD), (0.3, 0.5, HELD), (0.38, 0.6, NOT_SHOWN), (0.501, 0.9, EXCEEDED)]
)
def test_upper_end_of_the_interval_decides(drop, high, state):
    cost = network_cost(labelled_class(), drop=drop, low=drop - 0.3, high=high)
    assert LABELLED.judge(cost).state == judged(LABELLED, cost, MIOU_DROP).state == state
    assert LABELLED.judge(cost).is_exceeded == (state == EXCEEDED)


@pytest.mark.parametrize(
    ("lost", "high", "state"), [(1.0, 1.9, HELD), (1.0, 2.1, NOT_SHOWN), (1.0, None, NOT_SHOWN), (2.1, 3.0, EXCEEDED)]
)
def test_upper_end_decides_for_a_class_too(lost, high, state):
    cost = network_cost(labelled_class(lost=lost, high=high), drop=0.1, low=0.0, high=0.2)
    assert LABELLED.judge(cost).state == judged(LABELLED, cost, CLASS_DROP, "person").state == state


def test_gain_is_within_every_limit():
    cost = network_cost(labelled_class(lost=-3.0, high=-1.0), drop=-0.4, low=-0.6, high=-0.2)
    assert LABELLED.judge(cost).state == HELD
    assert excess(judged(LABELLED, cost, MIOU_DROP)) == 0


def test_class_on_one_image_is_never_held():
    maps = streets(40, person=(30, 30), persons=1)
    verdict = UNLABELLED.judge(cost_of(maps, maps))
    assert (verdict.state, [e.class_name for e in verdict.of_state(NOT_SHOWN)]) == (NOT_SHOWN, ["person"])
    assert verdict.of_state(NOT_SHOWN)[0].images_needed is None
    assert UNLABELLED.judge(cost_of(maps, without(maps, 2))).lost_classes == ("person",)


def test_not_shown_comes_with_the_number_of_images_that_would_do():
    cost = network_cost(labelled_class(), drop=0.3, low=0.0, high=0.7, images=50)
    assert judged(LABELLED, cost, MIOU_DROP).images_needed == 200  # half the width takes four times the images
    none = network_cost(labelled_class(), drop=0.5, low=0.1, high=0.7)
    assert judged(LABELLED, none, MIOU_DROP).images_needed is None, "the figure is at the limit"
    few = network_cost(labelled_class(), drop=0.3, images=4)
    assert judged(LABELLED, few, MIOU_DROP).images_needed is None, "no interval is known"


def changed_streets(count, generator):
    """Streets on which another network changes 0 to 8 % of the labels, 3.3 % on the mean."""
    maps = streets(count)
    others = []
    for labels in maps:
        other = labels.copy()
        rows = np.round(100 * generator.beta(1.2, 2.4) * 0.1).astype(int)
        other[:rows] = np.where(labels[:rows] == 0, 1, labels[:rows])
        others.append(other)
    return maps, others


def test_number_of_images_that_would_do_does():
    generator = np.random.default_rng(7)
    budget = Budget(None, 0.96)
    for _ in range(20):
        few = judged(budget, cost_of(*changed_streets(12, generator)), LABEL_CHANGE)
        if few.state == NOT_SHOWN and 20 < few.images_needed < 400:
            break
    value, needed = few.value, few.images_needed
    room = budget_room(changed_streets(needed, generator))
    assert 0.6 < room / (4.0 - value) < 1.6, "the interval of so many images is about as wide as there is room"


def budget_room(pair):
    cost = cost_of(*pair)
    return cost.change_high - 100 * (1 - cost.label_agreement)


# Limits of their own


def test_class_that_the_user_named_has_its_own_limit():
    cost = network_cost(labelled_class(lost=0.4, high=0.6), labelled_class("car", 0.4, 0.6), drop=0.1, low=0, high=0.2)
    assert LABELLED.judge(cost).state == HELD
    named = dataclasses.replace(LABELLED, class_limits={"person": 0.3})
    assert [(e.class_name, e.limit) for e in named.judge(cost).of_state(EXCEEDED)] == [("person", 0.3)]
    assert judged(named, cost, CLASS_DROP, "car").state == HELD
    looser = dataclasses.replace(LABELLED, class_limits={"person": 9.0}, max_class_drop=0.1)
    assert judged(looser, cost, CLASS_DROP, "person").state == HELD
    assert judged(looser, cost, CLASS_DROP, "car").state == EXCEEDED


@pytest.mark.parametrize(
    ("found", "state", "others"),
    # Wilson's end of 0 of 100 is 3.7 %, of 5 of 100 it is 11.2 %.
    [(100, HELD, HELD), (95, NOT_SHOWN, HELD), (80, EXCEEDED, HELD), (40, EXCEEDED, EXCEEDED)],
)
def test_regions_of_a_named_class_are_judged_by_their_interval(found, state, others):
    cost = network_cost(
        class_cost(regions=100, regions_found=found), class_cost("car", regions=100, regions_found=found)
    )
    named = dataclasses.replace(UNLABELLED, class_limits={"person": 30.0})
    person = judged(named, cost, LOST_REGIONS, "person")
    assert (person.state, person.limit) == (state, NAMED_REGION_LOSS)
    assert judged(named, cost, LOST_REGIONS, "car").state == others
    assert (person.images_needed is not None) == (state == NOT_SHOWN)


def test_number_of_images_that_show_regions_is_the_least_multiple_that_does():
    named = dataclasses.replace(UNLABELLED, class_limits={"person": 30.0})
    cost = network_cost(class_cost(regions=100, regions_found=95), images=50)
    needed = judged(named, cost, LOST_REGIONS, "person").images_needed
    times = needed // 50
    for factor, state in ((times, HELD), (times - 1, NOT_SHOWN)):
        more = network_cost(class_cost(regions=100 * factor, regions_found=95 * factor), images=50 * factor)
        assert judged(named, more, LOST_REGIONS, "person").state == state


def test_named_class_that_is_not_on_the_images_is_not_passed_over():
    absent = class_cost(float_share=0.0, most_share=0.0, image_count=0, agreement_iou=None, change_points=None)
    assert UNLABELLED.judge(network_cost(absent)).state == HELD
    named = dataclasses.replace(UNLABELLED, class_limits={"person": 30.0})
    verdict = named.judge(network_cost(absent))
    (judgement,) = verdict.of_state(NOT_SHOWN)
    assert (judgement.class_name, judgement.value, judgement.images_needed) == ("person", None, None)
    assert judgement_words(judgement) == (
        "person is not seen by the float network on these images, at most 30 % unlike the float network"
    )
    assert verdict.state == NOT_SHOWN and excess(judgement) == 0


def test_specks_of_a_class_are_judged_only_where_the_user_named_it():
    speck = class_cost(float_share=5e-5, most_share=1e-3, agreement_iou=0.0, change_points=100.0, image_count=2)
    assert UNLABELLED.judge(network_cost(speck)).state == HELD
    named = dataclasses.replace(UNLABELLED, class_limits={"person": 30.0})
    assert named.judge(network_cost(speck)).lost_classes == ("person",)


def test_class_on_one_image_of_many_is_no_speck():
    lost = class_cost(float_share=1e-5, most_share=0.02, agreement_iou=0.0, change_points=100.0, image_count=1)
    assert UNLABELLED.judge(network_cost(lost, images=2000)).lost_classes == ("person",)


# What the float network does not see


def test_class_that_the_float_network_confuses_with_another_has_nothing_to_lose():
    confused = labelled_class(float_iou=0.005, iou=0.0, lost=0.5, high=0.7, agreement_iou=0.0, change_points=100.0)
    cost = network_cost(confused, drop=0.1, low=0.0, high=0.2)
    assert LABELLED.judge(cost).state == HELD
    assert unseen_classes(cost) == ("person (1 % of pixels)",)
    named = dataclasses.replace(LABELLED, class_limits={"person": 0.3})
    assert [e.class_name for e in named.judge(cost).of_state(NOT_SHOWN)] == ["person"]


def test_blind_classes_are_those_of_the_truth_that_the_float_network_does_not_find():
    cost = network_cost(
        labelled_class("road"),
        labelled_class("person", float_iou=0.0, iou=0.0, true_share=0.011),
        labelled_class("pole", float_iou=None, iou=None, true_share=0.0, drop_points=None, drop_high=None),
        labelled_class("sign", float_iou=0.0, iou=0.0, true_share=5e-5),
        drop=0.0,
    )
    assert unseen_classes(cost) == ("person (1.1 % of pixels)",)
    assert unseen_classes(network_cost(class_cost())) == ()


# Verdicts


def test_verdict_is_the_worst_judgement_and_names_it():
    cost = network_cost(
        labelled_class("car", lost=1.0, high=2.5),
        labelled_class("person", lost=2.5, high=3.0),
        drop=0.4,
        low=0,
        high=0.6,
    )
    verdict = LABELLED.judge(cost)
    assert (verdict.worst.class_name, verdict.worst.state) == ("person", EXCEEDED)
    assert judgement_words(verdict.worst) == "person 2.50 points of IoU lost, at most 2"
    assert [e.class_name for e in verdict.of_state(NOT_SHOWN)] == ["", "car"], "the closest to its limit first"


def test_margin_lets_a_figure_through_that_the_images_cannot_show():
    def verdict(drop, high):
        return LABELLED.judge(network_cost(labelled_class(), drop=drop, low=0.0, high=high))

    assert verdict(0.2, 0.9).holds_well(0.5) and not verdict(0.3, 0.9).holds_well(0.5)
    assert verdict(0.49, 0.5).holds_well(0.5) and not verdict(0.6, 0.9).holds_well(2.0)


def test_budget_that_is_not_enforced_holds_whatever_is_lost():
    verdict = Budget(None, None).judge(network_cost(class_cost(agreement_iou=0.0), agreement=0.0))
    assert (verdict.judgements, verdict.state, verdict.worst) == ((), HELD, None)
    assert not Budget(None, None).is_enforced and Budget(None, None).sentence() == "none"


def test_limit_of_miou_is_not_held_without_labels_to_count_by():
    assert Budget(0.5, None).judge(network_cost(class_cost())).state == EXCEEDED


def test_stricter_budget_is_a_share_of_every_limit():
    budget = Budget(0.5, None, 2.0, None, 50.0, {"person": 0.3}).scaled(0.5)
    assert budget == Budget(0.25, None, 1.0, None, 25.0, {"person": 0.15})
    assert Budget(None, 0.9, None, 50.0).scaled(0.5) == Budget(None, 0.95, None, 25.0)


def test_sentence_names_every_limit():
    budget = dataclasses.replace(LABELLED, class_limits={"person": 0.3})
    assert budget.sentence() == (
        "at most 0.5 points of mIoU, 2 points of IoU of any class, 0.3 points of IoU of person, "
        "50 % of the regions of any class, 10 % of the regions of person"
    )
    assert UNLABELLED.sentence() == (
        "at most 5 % of labels changed, 50 % unlike the float network of any class, 50 % of the regions of any class"
    )
    assert judged(UNLABELLED, network_cost(class_cost()), CLASS_CHANGE, "person").limit == DEFAULT_CLASS_CHANGE
    assert {e.measure for e in UNLABELLED.judge(network_cost(class_cost())).judgements} == {LABEL_CHANGE, CLASS_CHANGE}
    assert LOST_CLASS not in {e.measure for e in LABELLED.judge(network_cost(labelled_class(), drop=0.0)).judgements}


def test_class_that_the_float_network_hardly_finds_may_lose_half_of_it_unless_it_has_a_limit_of_its_own():
    budget = Budget(0.5, None, max_class_drop=5.0)
    poor = network_cost(labelled_class(lost=3.2, high=3.3, float_iou=0.06, iou=0.028), drop=0.1, low=0.0, high=0.2)
    assert budget.judge(poor).state == EXCEEDED
    rich = network_cost(labelled_class(lost=3.2, high=3.3, float_iou=0.6, iou=0.568), drop=0.1, low=0.0, high=0.2)
    assert budget.judge(rich).state == HELD
    named = Budget(0.5, None, max_class_drop=5.0, class_limits={"person": 4.0})
    assert CLASS_DROP not in {each.measure for each in named.judge(poor).of_state(EXCEEDED)}


@pytest.mark.parametrize(("regions", "found", "state"), [(11, 3, NOT_SHOWN), (110, 30, EXCEEDED), (11, 6, HELD)])
def test_few_regions_of_a_class_that_nobody_named_prove_nothing(regions, found, state):
    cost = network_cost(class_cost("rider", regions=regions, regions_found=found))
    assert judged(UNLABELLED, cost, LOST_REGIONS, "rider").state == state
    # They are too few on any graph, so a search is content; what is lost in many is not.
    assert UNLABELLED.judge(cost).holds_well(0.5) == (state != EXCEEDED)


def test_near_absent_class_is_judged_without_labels_by_whether_it_is_lost():
    rare = class_cost("rider", float_share=5e-4, agreement_iou=0.4, change_points=60.0, change_high=70.0)
    assert UNLABELLED.judge(network_cost(rare)).state == HELD
    gone = dataclasses.replace(rare, agreement_iou=0.05, change_points=95.0)
    assert UNLABELLED.judge(network_cost(gone)).lost_classes == ("rider",)
    named = dataclasses.replace(UNLABELLED, class_limits={"rider": 50.0})
    assert named.judge(network_cost(rare)).is_exceeded


@pytest.mark.parametrize(
    ("drop_points", "words"), [(0.31, "0.31 points of mIoU lost"), (-0.2, "0.20 points of mIoU gained")]
)
def test_negative_drop_is_said_to_be_a_gain(drop_points, words):
    assert drop_words(drop_points) == words
    step = SearchStep("plain", "a" * 64, 1.0, 0.98, drop_points, True)
    assert figures(step) == f"2.00 % of labels changed, {words}, 100.0 % of multiply-adds in INT8"
