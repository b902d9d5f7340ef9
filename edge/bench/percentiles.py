"""Latency statistics: percentiles by nearest rank, in milliseconds."""

from __future__ import annotations

import math
from typing import Sequence

from edge.errors import InputError
from edge.records import record


@record(schema=1, what="latency statistics")
class LatencyStatistics:
    """Distribution of one stage's latency.

    A percentile is the smallest sample that at least that share of all samples does not exceed
    (nearest rank), so it is a latency that was really measured, as MLPerf LoadGen reports it.

    Attributes:
        sample_count: frames measured.
        mean_ms: arithmetic mean.
        p50_ms: median.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile; the largest sample where there are fewer than 100.
        max_ms: largest sample.
    """

    sample_count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def summarise(samples_ns: Sequence[int]) -> LatencyStatistics:
    """Return the statistics of samples in nanoseconds.

    Raises:
        InputError: there are no samples.
    """
    if not len(samples_ns):
        raise InputError("no latency was measured: there are no samples to summarise")
    ordered = sorted(samples_ns)

    def rank_ms(percent: float) -> float:
        return ordered[max(0, math.ceil(percent / 100.0 * len(ordered)) - 1)] / 1e6

    return LatencyStatistics(
        sample_count=len(ordered),
        mean_ms=sum(ordered) / len(ordered) / 1e6,
        p50_ms=rank_ms(50),
        p90_ms=rank_ms(90),
        p99_ms=rank_ms(99),
        max_ms=ordered[-1] / 1e6,
    )
