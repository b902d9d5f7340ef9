"""Durations in bounded memory: percentiles hold, and nothing is quoted that so few steps do not carry."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from train.journal.durations import Durations


def durations_of(values) -> Durations:
    durations = Durations()
    for value in values:
        durations.add(float(value))
    return durations


@pytest.mark.parametrize("percent", [50, 90, 99])
def test_percentile_is_the_nearest_rank_within_one_per_cent(percent):
    values = np.random.default_rng(0).lognormal(-1.0, 1.0, 5000)
    exact = np.sort(values)[math.ceil(percent / 100 * len(values)) - 1]
    assert durations_of(values).percentile_s(percent) == pytest.approx(exact, rel=0.01)


def test_percentile_of_equal_steps_is_exact():
    assert durations_of([0.61] * 20).percentile_s(90) == pytest.approx(0.61, rel=1e-12)


def test_percentile_that_the_count_does_not_carry_is_none():
    assert durations_of([1.0] * 9).percentile_s(90) is None
    assert durations_of([1.0] * 10).percentile_s(90) == 1.0
    assert durations_of([1.0]).percentile_s(50) == 1.0
    assert Durations().percentile_s(50) is None


def test_memory_grows_with_the_spread_and_not_with_the_number():
    many = durations_of(np.random.default_rng(0).uniform(1e-3, 86_400.0, 50_000))
    assert many.count == 50_000
    assert len(many.to_facts()) <= 1900


def test_sum_is_exact():
    values = np.random.default_rng(0).uniform(0.0, 2.0, 1000)
    assert durations_of(values).total_s == pytest.approx(math.fsum(values), rel=1e-12)


def test_durations_go_through_json_and_on():
    values = np.random.default_rng(0).uniform(0.01, 2.0, 100)
    whole, first = durations_of(values), durations_of(values[:60])
    again = Durations.from_facts(json.loads(json.dumps(first.to_facts())))
    for value in values[60:]:
        again.add(float(value))
    assert again.to_facts() == whole.to_facts()


def test_step_of_no_time_counts():
    assert durations_of([0.0, 0.0]).percentile_s(50) == 0.0
