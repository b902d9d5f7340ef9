"""What another form of a network costs is counted class by class, with intervals that hold it."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.budget.intervals import image_draws
from calibration.budget.label_cost import _class_ious, _means, label_cost
from calibration.budget.set_labels import SetLabels
from edge.metrics import ConfusionMatrix
from tests.calibration.label_sets import NAMES, cost_of, set_labels, streets, without


def by_name(cost):
    return {each.name: each for each in cost.classes}


def test_equal_labels_cost_nothing():
    maps = streets(6)
    cost = cost_of(maps, maps, maps)
    assert (cost.image_count, cost.label_agreement, cost.change_high, cost.drop_points) == (6, 1.0, 0.0, 0.0)
    assert (cost.drop_low, cost.drop_high) == (0.0, 0.0)
    for each in cost.classes:
        assert (each.agreement_iou, each.drop_points, each.drop_high, each.change_high) == (1.0, 0.0, 0.0, 0.0)
        assert each.regions == each.regions_found > 0 and each.regions_new == 0


def test_class_that_vanishes_costs_all_of_itself_and_hardly_any_pixels():
    maps = streets(6)
    cost = cost_of(maps, without(maps, 2), maps)
    person = by_name(cost)["person"]
    assert cost.label_agreement == pytest.approx(0.99)
    assert (person.float_share, person.most_share) == (pytest.approx(0.01), pytest.approx(0.01))
    assert (person.agreement_iou, person.change_points, person.iou, person.drop_points) == (0.0, 100.0, 0.0, 100.0)
    assert (person.regions, person.regions_found) == (6, 0)
    assert by_name(cost)["car"].drop_points == 0.0


def test_figures_without_labels_are_against_the_float_network_alone():
    maps = streets(6)
    cost = cost_of(maps, without(maps, 2))
    assert (cost.drop_points, cost.drop_low, cost.drop_high) == (None, None, None)
    for each in cost.classes:
        assert (each.true_share, each.float_iou, each.iou, each.drop_points, each.drop_high) == (None,) * 5
    assert by_name(cost)["person"].change_points == 100.0


def test_iou_with_the_truth_is_that_of_edge_metrics_over_the_set():
    truths = streets(5)
    floats, others = [np.roll(each, 2, 1) for each in truths], [np.roll(each, 5, 0) for each in truths]
    cost = cost_of(floats, others, truths)
    mious = []
    for maps, figure in ((floats, "float_iou"), (others, "iou")):
        matrix = ConfusionMatrix(3)
        for truth, labels in zip(truths, maps):
            matrix.update(truth, labels)
        assert [getattr(each, figure) for each in cost.classes] == pytest.approx(matrix.class_iou())
        mious.append(matrix.miou())
    assert cost.drop_points == pytest.approx(100 * (mious[0] - mious[1]))


def test_class_that_nobody_has_has_no_figures_and_no_part_in_the_mean():
    maps = streets(6, persons=0)
    cost = cost_of(maps, maps, maps)
    person = by_name(cost)["person"]
    assert (person.float_share, person.most_share, person.image_count) == (0.0, 0.0, 0)
    assert (person.float_iou, person.iou, person.agreement_iou, person.drop_points) == (None,) * 4
    assert (cost.drop_points, cost.drop_high) == (0.0, 0.0)


def test_images_that_are_void_have_no_drop():
    maps = streets(6)
    void = [np.full(maps[0].shape, 255, np.uint8)] * 6
    cost = cost_of(maps, without(maps, 2), void)
    assert (cost.drop_points, cost.drop_high) == (None, None)
    assert by_name(cost)["person"].change_points == 100.0


def test_interval_of_a_class_rests_on_the_images_that_have_it():
    maps = streets(20, persons=4)
    others = [np.roll(each, 1, 1) for each in maps]
    cost = cost_of(maps, others, maps)
    classes = by_name(cost)
    assert (classes["road"].image_count, classes["person"].image_count) == (20, 4)
    assert classes["car"].change_high is not None and classes["car"].drop_high is not None
    assert (classes["person"].change_high, classes["person"].drop_high) == (None, None), "four images tell nothing"
    assert classes["person"].most_share == pytest.approx(0.01)
    assert classes["person"].float_share == pytest.approx(0.01 * 4 / 20)


def test_image_where_only_the_truth_has_a_class_counts_for_it():
    truths = streets(8)
    floats = without(truths[:3], 2) + truths[3:]
    assert by_name(cost_of(floats, floats, truths))["person"].image_count == 8
    assert by_name(cost_of(floats, floats))["person"].image_count == 5


def test_set_without_the_class_does_not_widen_its_interval():
    """A few pixels too many on other images are no total loss, although some draws have these images alone."""
    maps = streets(40, persons=5)
    others = [each.copy() for each in maps]
    for each in others[5:]:
        each[0, 0] = 2
    person = by_name(cost_of(maps, others))["person"]
    assert person.change_points == pytest.approx(100 * 35 / 535)
    assert person.change_points < person.change_high < 60


def test_interval_draws_the_same_images_for_both_networks():
    """A cost that is the same on every image is sure, however much the images differ."""
    generator = np.random.default_rng(4)
    truths = [each.copy() for each in streets(12)]
    floats = []
    for truth in truths:
        labels = truth.copy()
        labels[90:, : generator.integers(0, 100)] = 1
        floats.append(labels)
    others = [np.where((labels == 2) & (np.arange(100) % 2 == 0), 0, labels).astype(np.uint8) for labels in floats]
    cost = cost_of(floats, others, truths)
    assert cost.drop_high - cost.drop_low < 1.5
    apart = label_cost(set_labels(floats, floats, truths), shuffled(set_labels(floats, others, truths)), NAMES)
    assert apart.drop_high - apart.drop_low > 2 * (cost.drop_high - cost.drop_low)


def shuffled(labels):
    return SetLabels(labels.agreements, labels.matrices[::-1], labels.overlaps, labels.regions)


def test_miou_of_a_draw_is_that_of_its_images_counted_together():
    generator = np.random.default_rng(5)
    matrices = generator.integers(0, 90, (7, 6, 6))
    matrices[:, 4], matrices[:, :, 4] = 0, 0  # a class that no image has, and nobody predicts
    matrices[:, 5] = 0  # one that is only predicted, and counts with 0
    draws = image_draws(7)[:40]
    for draw, miou in zip(draws, _means(_class_ious(draws.astype(np.float64), matrices))):
        matrix = ConfusionMatrix(6)
        matrix.counts = np.concatenate([matrices[[image] * count] for image, count in enumerate(draw)]).sum(0)
        assert miou == pytest.approx(matrix.miou(), abs=1e-12)


def overlaps_of(generator, images):
    """Pixels of one class in the float network, in another form, and in both, on images of a kind: (images, 1, 3).

    Persons are large and small, on some images there is none, and on some the other form loses far more of them.
    """
    first = np.where(generator.random(images) < 0.8, generator.lognormal(6.0, 0.8, images), 0).astype(np.int64)
    kept = generator.beta(9.0, 3.0, images)
    both = (first * kept).astype(np.int64)
    return np.stack([first, both + (first * generator.beta(2, 20, images)).astype(np.int64), both], 1)[:, None]


@pytest.mark.parametrize("images", [8, 50])
def test_interval_of_a_class_holds_the_figure_of_all_images_nine_times_in_ten(images):
    generator = np.random.default_rng(images)
    first, second, both = overlaps_of(generator, 200_000).sum(0)[0]
    true_change = 100.0 * (1.0 - both / (first + second - both))
    held = []
    for _ in range(250):
        overlaps = overlaps_of(generator, images)
        labels = SetLabels(np.ones(images), None, overlaps, np.zeros((images, 1, 3), np.int64))
        (person,) = label_cost(labels, labels, ("person",)).classes
        if person.change_high is not None:  # else too few images have the class, and nothing is claimed
            held.append(person.change_high >= true_change)
    # Upper ends of intervals of 95 %: 97.5 % are asked for, and few images do not show how long a tail is.
    assert len(held) > 220 and np.mean(held) >= 0.9
