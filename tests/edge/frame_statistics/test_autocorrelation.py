from __future__ import annotations

import numpy as np
import pytest

from benchmarks.latency_traces import TraceKind, traces
from edge.frame_statistics.autocorrelation import MOST_CELLS, dependence


def test_independent_values_count_nearly_whole():
    values = np.random.default_rng(0).standard_normal(2000)
    assert 1500 < dependence(values).independent_frames <= 2000


@pytest.mark.parametrize(("correlation", "share"), [(0.5, 1 / 3), (0.8, 1 / 9)])
def test_correlated_values_count_as_their_process_says(correlation, share):
    # An autoregressive process of order one has n (1 - r) / (1 + r) independent values.
    logs = np.log(traces(TraceKind("", correlation, spike_share=0.0), 20, 2000, 3))
    counted = np.mean([dependence(each).independent_frames for each in logs]) / 2000
    assert 0.6 * share < counted < 1.25 * share


def test_long_series_say_the_same_by_their_cells():
    logs = np.log(traces(TraceKind("", 0.8, spike_share=0.0), 1, 8 * MOST_CELLS, 5)[0])
    counted = dependence(logs).independent_frames / len(logs)
    assert 0.5 / 9 < counted < 1.5 / 9


def test_alternating_values_get_no_credit():
    # Their mean varies less than that of independent ones; a run whose order is luck must not look better for it.
    values = np.tile([0.0, 1.0], 500) + 0.01 * np.random.default_rng(0).standard_normal(1000)
    assert dependence(values).independent_frames == 1000


def test_few_blocks_and_few_events_are_known_less():
    rare = np.zeros(1000, bool)
    rare[[100, 400, 800]] = True
    seen = dependence(rare)
    assert seen.effective_frames(0.025, 3) < seen.effective_frames(0.025) < seen.independent_frames


def test_constant_values_are_independent():
    assert dependence(np.ones(100)).independent_frames == 100
