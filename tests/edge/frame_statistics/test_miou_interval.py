from __future__ import annotations

import numpy as np
import pytest

from edge.errors import InputError
from edge.frame_statistics.comparison import NO_DIFFERENCE
from edge.frame_statistics.miou_interval import LESS_ACCURATE, compare_miou, miou_interval


def counts(pictures=100, share=0.8, seed=0):
    """Hits and unions of four classes, whose pictures differ by much in how hard they are."""
    draws = np.random.default_rng(seed)
    unions = draws.integers(200, 2000, (pictures, 4))
    hardness = draws.uniform(0.7, 1.0, (pictures, 1))
    return draws.binomial(unions, share * hardness), unions


def test_interval_holds_the_miou_of_the_split():
    hits, unions = counts()
    miou = np.mean(hits.sum(0) / unions.sum(0))
    low, high = miou_interval(hits, unions)
    assert low < miou < high
    assert high - low < 0.06


def test_fewer_pictures_make_it_wider():
    wide, narrow = miou_interval(*counts(25)), miou_interval(*counts(400))
    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])
    assert miou_interval(*counts(19)) is None


def test_half_a_point_on_the_same_pictures_is_shown_though_the_pictures_differ_by_more():
    hits, unions = counts()
    low, high = miou_interval(hits, unions)
    found = compare_miou((hits, unions), (np.round(0.99 * hits).astype(int), unions))
    assert found.verdict == LESS_ACCURATE
    assert -0.02 < found.low < found.difference < found.high < 0.0
    assert found.high - found.low < 0.2 * (high - low)


def test_noise_between_two_networks_is_no_difference():
    hits, unions = counts()
    noise = np.random.default_rng(1).integers(-20, 21, hits.shape)
    assert compare_miou((hits, unions), (hits + noise, unions)).verdict == NO_DIFFERENCE


def test_class_that_occurs_nowhere_counts_nowhere():
    hits, unions = counts()
    hits[:, 3] = unions[:, 3] = 0
    found = compare_miou((hits, unions), (hits, unions))
    assert found.first == pytest.approx(np.mean(hits.sum(0)[:3] / unions.sum(0)[:3]))
    assert (found.low, found.high) == (0.0, 0.0)


def test_other_pictures_are_refused():
    with pytest.raises(InputError, match="counts are of 100 and 99 pictures"):
        compare_miou(counts(100), counts(99))
