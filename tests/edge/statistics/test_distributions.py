"""Distributions against sums by definition and published tables."""

from __future__ import annotations

import math

import pytest

from edge.statistics.distributions import (
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


def test_student_is_that_of_the_tables():
    # Abramowitz and Stegun, table 26.10.
    assert student_quantile(0.975, 1.0) == pytest.approx(12.706, abs=5e-4)
    assert student_quantile(0.975, 10.0) == pytest.approx(2.228, abs=5e-4)
    assert student_quantile(0.95, 30.0) == pytest.approx(1.697, abs=5e-4)
    assert student_quantile(0.975, 1e8) == normal_quantile(0.975)


def test_normal_share_undoes_its_quantile():
    assert normal_share(normal_quantile(0.975)) == pytest.approx(0.975, abs=1e-12)
