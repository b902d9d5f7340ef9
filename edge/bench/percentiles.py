"""Latency statistics: percentiles by nearest rank, in milliseconds, as far as the samples carry them."""

from __future__ import annotations

import math
from typing import Sequence

from edge.errors import InputError
from edge.percentile_rule import is_carried, least_samples
from edge.records import record

NO_FIGURE = "-"
"""Sign in a table for a figure that the samples do not carry."""


@record(schema=1, what="latency statistics")
class LatencyStatistics:
    """Distribution of the latency of one stage, or of whole frames.

    A percentile is the smallest sample that at least that share of all samples does not exceed (nearest rank), so it is
    a latency that was really measured, as MLPerf LoadGen reports it. One that the samples are too few for is None, also
    where an older record had the largest sample in its place.

    Attributes:
        sample_count: Number of measured frames.
        mean_ms: Arithmetic mean in ms.
        p50_ms: Median in ms.
        p90_ms: 90th percentile in ms; None where there are fewer than 10 samples.
        p99_ms: 99th percentile in ms; None where there are fewer than 100 samples.
        max_ms: Largest sample in ms.
    """

    sample_count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float

    def __post_init__(self) -> None:
        for name, percent in (("p90_ms", 90), ("p99_ms", 99)):
            if not is_carried(percent, self.sample_count):
                object.__setattr__(self, name, None)


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


def few_frames_sentence(statistics: LatencyStatistics) -> str:
    """Return a sentence about the percentiles that the frames are too few for; "" where there is none."""
    missing = [percent for percent, value in ((90, statistics.p90_ms), (99, statistics.p99_ms)) if value is None]
    if not missing:
        return ""
    named = " and ".join(f"p{percent} needs {least_samples(percent)} frames" for percent in missing)
    return f"{named}, {statistics.sample_count} {'was' if statistics.sample_count == 1 else 'were'} measured"
