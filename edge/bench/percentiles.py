"""Latency statistics: percentiles by nearest rank, in milliseconds."""

from __future__ import annotations

import math
from typing import Sequence

from edge.errors import InputError
from edge.records import record


@record(schema=1, what="latency statistics")
class LatencyStatistics:
    """Distribution of the latency of one stage, or of whole frames.

    A percentile is the smallest sample that at least that share of all samples does not exceed (nearest rank), so it is
    a latency that was really measured, as MLPerf LoadGen reports it.

    Attributes:
        sample_count: Number of measured frames.
        mean_ms: Arithmetic mean in ms.
        p50_ms: Median in ms.
        p90_ms: 90th percentile in ms.
        p99_ms: 99th percentile in ms; the largest sample where there are fewer than 100.
        max_ms: Largest sample in ms.
    """

    sample_count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def summarise(samples_ns: Sequence[int]) -> LatencyStatistics:
    """Return the statistics of latencies that are given in nanoseconds.

    Raises:
        InputError: There are no samples.
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
