"""Latency statistics: percentiles by nearest rank, in milliseconds, as far as the samples carry them."""

from __future__ import annotations

from dataclasses import field
from typing import Sequence

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.block_bootstrap import CONFIDENCE, mean_interval, nearest_rank, percentile_intervals
from edge.percentile_rule import is_carried, least_samples
from edge.records import record

NO_FIGURE = "-"
"""Sign in a table for a figure that the samples do not carry."""

MEAN = "mean"
"""Key of the mean among the intervals, beside those of percentiles."""

_FIELDS = {50: "p50_ms", 90: "p90_ms", 95: "p95_ms", 99: "p99_ms", 99.9: "p99_9_ms"}

PERCENTS = tuple(_FIELDS)
"""Percentiles that are reported."""


@record(schema=1, what="interval of a figure")
class Interval:
    """Range in which the true value of a measured figure lies, in the unit of the figure.

    Attributes:
        low: Lower end.
        high: Upper end.
        confidence: Share of such intervals that hold the true value, 0 to 1.
    """

    low: float
    high: float
    confidence: float


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
        p95_ms: 95th percentile in ms; None where there are fewer than 20 samples, and in older records.
        p99_9_ms: 99.9th percentile in ms; None where there are fewer than 1,000 samples, and in older records.
        intervals: Figure, "mean" or a percentile such as "p50" or "p99.9" -> its interval in ms, which accounts for the
            dependence of frames that follow one another. A figure is absent whose interval the samples do not carry;
            older records have none.
    """

    sample_count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float
    p95_ms: float | None = None
    p99_9_ms: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for percent, name in _FIELDS.items():
            if not is_carried(percent, self.sample_count):
                object.__setattr__(self, name, None)

    def percentile_ms(self, percent: float) -> float | None:
        """Return one of the percentiles of PERCENTS in ms; None where it is not there."""
        return getattr(self, _FIELDS[percent])


def percentile_key(percent: float) -> str:
    """Return the key of a percentile among the intervals, such as "p99.9"."""
    return f"p{percent:g}"


def summarise(samples_ns: Sequence[int] | np.ndarray, confidence: float = CONFIDENCE) -> LatencyStatistics:
    """Return the statistics of latencies that are given in nanoseconds.

    Args:
        samples_ns: Latencies in the order of time.
        confidence: Share of the intervals that hold the true figure, over 0 and below 1.

    Raises:
        InputError: There are no samples.
    """
    latency_ns = np.asarray(samples_ns)
    count = len(latency_ns)
    if not count:
        raise InputError("no latency was measured: there are no samples to summarise")
    ordered = np.sort(latency_ns)
    intervals_ns = percentile_intervals(latency_ns, PERCENTS, confidence)
    found = {percentile_key(percent): ends for percent, ends in intervals_ns.items()}
    mean = mean_interval(latency_ns, confidence)
    if mean is not None:
        found[MEAN] = mean
    return LatencyStatistics(
        sample_count=count,
        mean_ms=float(latency_ns.mean()) / 1e6,
        max_ms=float(ordered[-1]) / 1e6,
        intervals={name: Interval(low / 1e6, high / 1e6, confidence) for name, (low, high) in found.items()},
        **{name: float(ordered[nearest_rank(percent, count) - 1]) / 1e6 for percent, name in _FIELDS.items()},
    )


def few_frames_sentence(statistics: LatencyStatistics) -> str:
    """Return a sentence about the percentiles that the frames are too few for; "" where there is none."""
    missing = [percent for percent, value in ((90, statistics.p90_ms), (99, statistics.p99_ms)) if value is None]
    if not missing:
        return ""
    named = " and ".join(f"p{percent} needs {least_samples(percent)} frames" for percent in missing)
    return f"{named}, {statistics.sample_count} {'was' if statistics.sample_count == 1 else 'were'} measured"
