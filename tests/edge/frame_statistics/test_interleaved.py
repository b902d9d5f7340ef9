from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency_traces import TraceKind, traces
from edge.errors import InputError
from edge.frame_statistics.comparison import SLOWER, compare_latencies
from edge.frame_statistics.interleaved import compare_interleaved

ROUNDS = 32


def in_rounds(latency_ns, rounds=ROUNDS):
    return np.array_split(latency_ns, rounds)


@pytest.fixture(scope="module")
def heated():
    """Pairs of engines alike that took turns while both slowed down by a fifth."""
    drawn = traces(TraceKind("", 0.5, noise=0.02), 48, 1024, 31) * (1.0 + 0.2 * np.arange(1024) / 1024)
    return [(in_rounds(first), in_rounds(second)) for first, second in zip(drawn[::2], drawn[1::2])]


def test_heat_that_hits_both_is_no_difference(heated):
    alarms = sum(compare_interleaved(first, second, 50).is_shown for first, second in heated)
    assert alarms <= 3


def test_slowdown_of_three_percent_is_found_in_spite_of_heat(heated):
    slower = [(first, [1.03 * each for each in second]) for first, second in heated]
    found = [compare_interleaved(first, second, 50).verdict for first, second in slower]
    assert found.count(SLOWER) >= 0.95 * len(heated)
    # One after the other, heat hides it: the median of either run moves by a tenth meanwhile.
    apart = [compare_latencies(np.concatenate(a), np.concatenate(b), 50).is_shown for a, b in slower]
    assert sum(apart) < 0.9 * len(heated)


def test_percentile_is_that_of_all_frames():
    draws = np.random.default_rng(0)
    rounds = [draws.lognormal(16, 0.05, 40) for _ in range(20)]
    found = compare_interleaved(rounds, [2.0 * each for each in rounds], 90)
    whole = np.sort(np.concatenate(rounds))
    assert found.first == whole[int(np.ceil(0.9 * len(whole))) - 1] / 1e6
    assert found.relative == pytest.approx(1.0)
    assert (found.relative_low, found.relative_high) == pytest.approx((1.0, 1.0))


def test_equal_seeds_give_equal_intervals():
    rounds = in_rounds(traces(TraceKind(""), 1, 512, 0)[0])
    assert compare_interleaved(rounds, rounds[::-1], 50) == compare_interleaved(rounds, rounds[::-1], 50)


def test_few_or_unequal_rounds_are_refused():
    rounds = in_rounds(np.arange(1.0, 101.0), 7)
    with pytest.raises(InputError, match="7 and 7 rounds, expected the same number, at least 8"):
        compare_interleaved(rounds, rounds, 50)
    with pytest.raises(InputError, match="10 and 9 rounds"):
        compare_interleaved(in_rounds(np.ones(100), 10), in_rounds(np.ones(100), 9), 50)
