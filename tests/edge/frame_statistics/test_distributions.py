"""Distributions against sums by definition and published tables."""

from __future__ import annotations

import math

import pytest

from edge.frame_statistics.distributions import (
    beta_quantile,
    beta_share,
    binomial_tail,
    normal_quantile,
    normal_share,
    student_quantile,
)


@pytest.mark.parametrize(
    ("successes", "trials", "chance"), [(3, 10, 0.2), (1, 40, 0.01), (40, 40, 0.9), (90, 200, 0.5)]
)
def test_binomial_tail_is_the_sum_of_its_chances(successes, trials, chance):
    chances = (
        math.factorial(trials)
        / math.factorial(count)
        / math.factorial(trials - count)
        * chance**count
        * (1 - chance) ** (trials - count)
        for count in range(successes, trials + 1)
    )
    assert binomial_tail(successes, trials, chance) == pytest.approx(sum(chances), rel=1e-10)


def test_beta_of_whole_numbers_has_a_closed_form():
    # Without a success the chance of the tail is that no trial fails.
    assert beta_quantile(0.95, 1.0, 1024.0) == pytest.approx(1.0 - 0.05 ** (1 / 1024), rel=1e-9)
    assert beta_share(0.3, 1.0, 1.0) == pytest.approx(0.3)
    assert beta_share(0.2, 3.0, 7.5) == pytest.approx(1.0 - beta_share(0.8, 7.5, 3.0), rel=1e-10)
    assert (beta_share(0.0, 2.0, 3.0), beta_share(1.0, 2.0, 3.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("share", "freedom", "quantile"),
    [
        # Of the tables of Student's t distribution, as any textbook prints them.
        (0.95, 1, 6.3138),
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 4, 2.7764),
        (0.975, 7, 2.3646),
        (0.995, 7, 3.4995),
        (0.975, 30, 2.0423),
        (0.975, 49, 2.0096),
        (0.975, 120, 1.9799),
        (0.975, 10**9, 1.9600),
        (0.5, 9, 0.0),
    ],
)
def test_quantile_of_student_t_is_that_of_the_tables(share, freedom, quantile):
    assert student_quantile(share, freedom) == pytest.approx(quantile, abs=6e-5 * max(quantile, 1))


def test_share_of_a_normal_distribution():
    assert normal_share(0.0) == 0.5
    assert normal_share(-1.959964) == pytest.approx(0.025, abs=1e-7)


def test_normal_share_undoes_its_quantile():
    assert normal_share(normal_quantile(0.975)) == pytest.approx(0.975, abs=1e-12)
