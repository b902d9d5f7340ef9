from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency_traces import TraceKind, traces, true_percentiles_ns
from edge.frame_statistics.block_bootstrap import (
    _EXACT_FRAMES,
    _highest_low_rank,
    block_draws,
    mean_interval,
    percentile_intervals,
)
from edge.frame_statistics.distributions import binomial_tail


def test_intervals_hold_the_true_percentile_of_dependent_frames():
    # 95 % of them do, to 2 % in 120 runs; intervals for independent frames hold the median in 74 %.
    kind = TraceKind("", 0.5)
    truth_ns = true_percentiles_ns(kind, 1024, (50, 99))
    held = {50: 0, 99: 0}
    for latency_ns in traces(kind, 120, 1024, 11):
        for percent, (low, high) in percentile_intervals(latency_ns, (50, 99)).items():
            held[percent] += low <= truth_ns[(50, 99).index(percent)] <= high
    assert held[50] >= 108
    assert held[99] >= 108


def test_interval_of_independent_frames_is_as_wide_as_the_binomial_says():
    latency_ns = np.random.default_rng(1).permutation(1000) + 1
    low, high = percentile_intervals(latency_ns, (50,))[50]
    # Ranks 469 and 532 leave 2.5 % out at either side (Conover, "Practical Nonparametric Statistics", table A3).
    assert 440 <= low <= 470
    assert 531 <= high <= 561


def test_percentile_whose_interval_would_end_beyond_the_slowest_frame_has_none():
    latency_ns = np.random.default_rng(0).lognormal(16, 0.1, 2000)
    assert 99 not in percentile_intervals(latency_ns[:300], (50, 99))
    assert 99 in percentile_intervals(latency_ns, (50, 99))
    assert percentile_intervals(latency_ns[:19], (50,)) == {}


def test_rank_leaves_out_what_the_binomial_allows():
    rank = _highest_low_rank(120.0, 0.5, 0.025)
    assert 1.0 - binomial_tail(rank, 120.0, 0.5) == pytest.approx(0.025, rel=1e-6)
    # Where the expansion takes over, both agree to a tenth of a rank.
    count = 2.0 * _EXACT_FRAMES
    below, above = _highest_low_rank(count - 1e-6, 0.5, 0.025), _highest_low_rank(count + 1e-6, 0.5, 0.025)
    assert below == pytest.approx(above, abs=0.1)


def test_ends_are_latencies_that_were_measured():
    latency_ns = np.random.default_rng(2).lognormal(16, 0.1, 500)
    assert {end for ends in percentile_intervals(latency_ns, (50, 90)).values() for end in ends} <= set(latency_ns)


def test_mean_has_students_interval():
    values = np.random.default_rng(3).normal(5.0, 1.0, 1000)
    low, high = mean_interval(values)
    assert 3.6 < (high - low) / (values.std() / np.sqrt(1000)) < 5.0
    assert low < 5.0 < high
    assert mean_interval(values[:19]) is None


def test_draws_keep_blocks_whole():
    weights = block_draws(12, 4, 0)
    assert weights.sum(1).tolist() == [12.0] * len(weights)
    # A part that is drawn is drawn with its neighbours: at most three blocks begin anew in twelve parts.
    changes = np.abs(np.diff(np.concatenate([weights, weights[:, :1]], 1), axis=1)).sum(1)
    assert changes.max() <= 6.0
