"""Boundary F1, on maps so small that it can be computed by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.errors import InputError
from edge.evaluation.boundaries import boundary_pixels, match_boundaries, tolerance_pixels
from edge.labels import IGNORE_ID


def blocks(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    """Return a label map of blocks of three classes and some ignored ones."""
    generator = np.random.default_rng(seed)
    coarse = generator.choice(
        np.array([0, 1, 2, IGNORE_ID], np.uint8), (height // 4, width // 4), p=[0.4, 0.3, 0.2, 0.1]
    )
    return coarse.repeat(4, 0).repeat(4, 1)


def own_boundary(labels: np.ndarray, class_id: int) -> list[tuple[int, int]]:
    height, width = labels.shape
    found = []
    for row, column in np.argwhere(labels == class_id):
        for other in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= other[0] < height and 0 <= other[1] < width and labels[other] not in (class_id, IGNORE_ID):
                found.append((int(row), int(column)))
                break
    return found


def share_near(places, targets, reach: float) -> float:
    near = [min((math.dist(place, target) for target in targets), default=math.inf) <= reach for place in places]
    return sum(near) / len(near) if near else 0.0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_precision_and_recall_are_those_of_the_definition(seed):
    truth, predicted = blocks(seed), np.roll(blocks(seed), (1, 2), (0, 1))
    predicted[predicted == IGNORE_ID] = 1
    tolerance = 0.05
    reach = tolerance_pixels(*truth.shape, tolerance)
    seen = np.where(truth == IGNORE_ID, IGNORE_ID, predicted)
    matches = match_boundaries(truth, predicted, 3, tolerance)
    for class_id in range(3):
        true, found = own_boundary(truth, class_id), own_boundary(seen, class_id)
        if not true and not found:
            assert class_id not in matches
            continue
        assert matches[class_id].precision == pytest.approx(share_near(found, true, reach), abs=1e-12)
        assert matches[class_id].recall == pytest.approx(share_near(true, found, reach), abs=1e-12)


def test_equal_maps_have_a_score_of_1():
    truth = blocks(3)
    predicted = np.where(truth == IGNORE_ID, 2, truth).astype(np.uint8)
    assert {match.f1 for match in match_boundaries(truth, predicted, 3).values()} == {1.0}


def test_a_boundary_within_the_tolerance_is_right_and_beyond_it_wrong():
    truth, predicted = np.zeros((40, 30), np.uint8), np.zeros((40, 30), np.uint8)
    truth[20:] = 1
    predicted[23:] = 1
    diagonal = math.hypot(40, 30)
    assert match_boundaries(truth, predicted, 2, 3 / diagonal)[1].f1 == 1.0  # exactly at the limit
    assert match_boundaries(truth, predicted, 2, 2.9 / diagonal)[1].f1 == 0.0


def test_a_class_that_is_missed_has_a_score_of_0_and_one_that_never_occurs_none():
    truth, predicted = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    truth[:, 4] = 1
    matches = match_boundaries(truth, predicted, 3)
    assert matches[1].f1 == 0.0 and 2 not in matches


def test_edges_of_the_frame_and_of_ignored_pixels_are_no_boundaries():
    labels = np.zeros((8, 8), np.uint8)
    labels[:, 5:] = IGNORE_ID
    assert not boundary_pixels(labels).any()


def test_a_class_that_is_not_evaluated_makes_a_boundary_of_those_that_are():
    truth, predicted = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    predicted[:, 4:] = IGNORE_ID  # predicted as no evaluated class
    matches = match_boundaries(truth, predicted, 2)
    assert set(matches) == {0} and matches[0].precision == 0.0


def test_maps_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="expected one size"):
        match_boundaries(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), 2)
