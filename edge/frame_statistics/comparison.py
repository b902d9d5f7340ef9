"""Whether one engine is faster than another: the difference of a percentile, with its interval and a verdict.

The interval of a difference is put together from the intervals of both percentiles, which need not be symmetrical, and
that of the ratio by the same rule, so that one holds 0 where the other holds 1. A verdict is given where the interval
leaves no difference out.

Sources: Zou and Donner, "Construction of Confidence Limits About Effect Measures: A General Approach" (2008), the
method of variance estimates recovery; Donner and Zou, "Closed-Form Confidence Intervals for Functions of the Normal
Mean and Standard Deviation" (2012), section 2, for ratios.
"""

from __future__ import annotations

import math

import numpy as np

from edge.errors import InputError
from edge.frame_statistics.block_bootstrap import CONFIDENCE, nearest_rank, percentile_intervals
from edge.percentile_rule import least_samples
from edge.records import record

FASTER = "faster"
SLOWER = "slower"
NO_DIFFERENCE = "no difference shown"

TIME_WORDS = (FASTER, SLOWER)
"""Verdicts on a second figure that is smaller, and on one that is larger, where the figures are times."""


@record(schema=1, what="comparison of a figure")
class Comparison:
    """Difference of one figure between two runs, the second against the first.

    Attributes:
        first: Figure of the first run.
        second: Figure of the second run.
        difference: Second figure less the first one.
        low: Lower end of the interval of the difference.
        high: Upper end of the interval of the difference.
        relative: Difference as a share of the first figure: 0.03 is three percent more.
        relative_low: Lower end of the interval of that share.
        relative_high: Upper end of the interval of that share.
        confidence: Share of such intervals that hold the true difference, 0 to 1.
        verdict: Verdict on the second run, such as "faster", "slower" or "no difference shown".
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    relative: float
    relative_low: float
    relative_high: float
    confidence: float
    verdict: str

    @property
    def is_shown(self) -> bool:
        """Whether there is a difference, with the confidence."""
        return self.verdict != NO_DIFFERENCE


def compare_latencies(
    first_ns: np.ndarray, second_ns: np.ndarray, percent: float, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare a percentile of the latencies of two runs that do not depend on one another.

    The interval is that of these two runs: what changes from one start of a program to the next, such as where its
    memory lies, is in neither. Runs that take turns (`compare_interleaved`) show it.

    Args:
        first_ns: Latencies of the first run in the order of time, of shape (frames,), in ns.
        second_ns: Latencies of the second run, of shape (frames,), in ns.
        percent: Percentile that is compared, over 0 and below 100.
        confidence: Share of such intervals that hold the true difference, over 0 and below 1.

    Returns:
        The comparison, in ms.

    Raises:
        InputError: The frames of a run do not carry an interval of the percentile.
    """
    figures, intervals = [], []
    for name, latency_ns in (("first", np.asarray(first_ns)), ("second", np.asarray(second_ns))):
        found = percentile_intervals(latency_ns, (percent,), confidence)
        if percent not in found:
            raise InputError(
                f"p{percent:g} of the {name} run has no interval: it has {len(latency_ns)} frames that depend on one "
                f"another, expected some {_frames_of_interval(percent, confidence)} independent ones. "
                "Next: measure more frames"
            )
        rank = nearest_rank(percent, len(latency_ns))
        figures.append(float(np.partition(latency_ns, rank - 1)[rank - 1]) / 1e6)
        intervals.append((found[percent][0] / 1e6, found[percent][1] / 1e6))
    return compare_figures(figures[0], intervals[0], figures[1], intervals[1], confidence)


def compare_figures(
    first: float,
    first_interval: tuple[float, float],
    second: float,
    second_interval: tuple[float, float],
    confidence: float = CONFIDENCE,
    words: tuple[str, str] = TIME_WORDS,
) -> Comparison:
    """Compare two figures over 0 that do not depend on one another, by their intervals.

    Args:
        first: Figure of the first run.
        first_interval: Ends of its interval.
        second: Figure of the second run, in the same unit.
        second_interval: Ends of its interval.
        confidence: Confidence of both intervals, which is that of the result.
        words: Verdicts on a second figure that is smaller, and on one that is larger.
    """
    (first_low, first_high), (second_low, second_high) = first_interval, second_interval
    difference = second - first
    low = difference - math.hypot(second - second_low, first_high - first)
    high = difference + math.hypot(second_high - second, first - first_low)
    product = first * second
    # A ratio is at a limit where second - ratio x first is; written so that an end of twice the figure divides by 0
    # nowhere.
    first_span, second_span = first_high * (2.0 * first - first_high), second_low * (2.0 * second - second_low)
    ratio_low = second_span / (product + math.sqrt(max(product**2 - first_span * second_span, 0.0)))
    first_span, second_span = first_low * (2.0 * first - first_low), second_high * (2.0 * second - second_high)
    root = math.sqrt(max(product**2 - first_span * second_span, 0.0))
    ratio_high = (product + root) / first_span if first_span > 0.0 else math.inf
    return Comparison(
        first=first,
        second=second,
        difference=difference,
        low=low,
        high=high,
        relative=second / first - 1.0,
        relative_low=ratio_low - 1.0,
        relative_high=ratio_high - 1.0,
        confidence=confidence,
        verdict=verdict_of(low, high, words),
    )


def verdict_of(low: float, high: float, words: tuple[str, str] = TIME_WORDS) -> str:
    """Return the verdict on the interval of a difference, one of two words or NO_DIFFERENCE."""
    if low > 0.0:
        return words[1]
    return words[0] if high < 0.0 else NO_DIFFERENCE


def _frames_of_interval(percent: float, confidence: float) -> int:
    """Return from how many independent frames on an interval of a percentile ends within the samples."""
    beyond = min(percent, 100.0 - percent) / 100.0
    return max(math.ceil(math.log((1.0 - confidence) / 2.0) / math.log1p(-beyond)), least_samples(percent))
