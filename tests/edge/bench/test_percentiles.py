from __future__ import annotations

import numpy as np
import pytest

from edge.bench.percentiles import summarise
from edge.errors import InputError


def naive_rank(samples, percent):
    """The smallest sample that at least `percent` of all samples do not exceed."""
    return min(value for value in samples if sum(other <= value for other in samples) * 100 >= percent * len(samples))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 10, 99, 100, 101, 200])
def test_percentiles_are_those_of_the_definition(count):
    samples = np.random.default_rng(count).integers(1_000_000, 50_000_000, count).tolist()
    statistics = summarise(samples)
    assert statistics.sample_count == count
    assert statistics.p50_ms == naive_rank(samples, 50) / 1e6
    assert statistics.p90_ms == naive_rank(samples, 90) / 1e6
    assert statistics.p99_ms == naive_rank(samples, 99) / 1e6
    assert statistics.max_ms == max(samples) / 1e6
    assert statistics.mean_ms == pytest.approx(sum(samples) / count / 1e6)


def test_percentiles_of_one_to_a_hundred():
    statistics = summarise([value * 1_000_000 for value in range(100, 0, -1)])
    assert (statistics.p50_ms, statistics.p90_ms, statistics.p99_ms, statistics.max_ms) == (50, 90, 99, 100)
    assert statistics.mean_ms == 50.5


def test_rare_spike_shows_in_the_maximum_alone():
    statistics = summarise([1_000_000] * 199 + [90_000_000])
    assert (statistics.p99_ms, statistics.max_ms) == (1.0, 90.0)


def test_samples_are_left_in_their_order():
    samples = [3, 1, 2]
    summarise(samples)
    assert samples == [3, 1, 2]


def test_no_samples_are_refused():
    with pytest.raises(InputError, match="no latency was measured"):
        summarise([])
