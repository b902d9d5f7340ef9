"""Intervals hold the true figure as often as they say, of few images as of many."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.budget.intervals import (
    LEAST_IMAGES,
    image_draws,
    interval,
    share_high,
    share_low,
)


@pytest.mark.parametrize(
    ("events", "count", "high"),
    # Wilson's interval of 95 %, from z = 1.96: 0 of n is z^2 / (n + z^2).
    [(0, 4, 0.4899), (0, 35, 0.0989), (1, 10, 0.4042), (5, 10, 0.7634), (10, 10, 1.0), (50, 1000, 0.0653)],
)
def test_upper_end_of_a_share_is_wilsons(events, count, high):
    assert share_high(events, count) == pytest.approx(high, abs=5e-5)


def test_share_of_nothing_has_no_upper_end():
    assert share_high(0, 0) is None


def test_draws_are_as_many_images_as_there_are_and_always_alike():
    draws = image_draws(7)
    assert (draws.sum(1) == 7).all()
    np.testing.assert_array_equal(draws, image_draws(7))
    assert abs(draws.mean(0) - 1).max() < 0.1


def test_interval_needs_five_images_that_the_figure_rests_on():
    values = np.linspace(0, 1, 2000)
    assert interval(values, LEAST_IMAGES - 1) is None
    low, high = interval(values, LEAST_IMAGES)
    assert 0 <= low < 0.01 and 0.99 < high <= 1
    assert interval(np.full(2000, np.nan), 50) is None


def test_interval_passes_over_sets_without_the_figure():
    values = np.linspace(0, 1, 2000)
    with_gaps = np.concatenate([values, np.full(500, np.nan)])
    assert interval(with_gaps, 40) == interval(values, 40)


def test_interval_widens_with_confidence_and_with_fewer_images():
    values = np.random.default_rng(0).normal(size=2000)
    widths = [
        np.ptp(interval(values, count, share)) for count, share in ((50, 0.95), (50, 0.975), (8, 0.95), (8, 0.99))
    ]
    assert widths[0] < widths[1] and widths[0] < widths[2] < widths[3]


@pytest.mark.parametrize("count", [5, 8, 50])
@pytest.mark.parametrize("draw", ["normal", "gamma"])
def test_interval_of_a_mean_holds_the_true_one_nine_times_in_ten(count, draw):
    generator = np.random.default_rng(count)
    samples = generator.normal(2.0, 1.0, (400, count)) if draw == "normal" else generator.gamma(2.0, 1.0, (400, count))
    draws = image_draws(count)
    ends = np.array([interval(draws @ sample / count, count) for sample in samples])
    held = (ends[:, 0] <= 2.0) & (ends[:, 1] >= 2.0)
    # 95 % are asked for. A gamma distribution has a tail that few images do not show.
    assert held.mean() >= 0.9
    assert (ends[:, 1] >= 2.0).mean() >= 0.92


def test_lower_end_of_a_share_mirrors_the_upper_end_of_the_rest():
    assert share_low(8, 11) == pytest.approx(0.434, abs=0.002)
    assert share_low(3, 10) == pytest.approx(1 - share_high(7, 10))
    assert share_low(0, 0) is None and share_low(0, 9) == pytest.approx(0.0, abs=1e-9)
