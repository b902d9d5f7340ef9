"""Durations of any number of steps in bounded memory, with percentiles that hold."""

from __future__ import annotations

import math
from typing import Any, Mapping

from edge.percentile_rule import is_carried

_GROWTH = 1.01
"""Ratio of the two ends of a bin."""

_LEAST_S = 1e-6
"""Durations below this share the first bin."""


class Durations:
    """A histogram of durations whose bins grow by 1 %, with the sum of each bin.

    A percentile is the nearest rank: the mean of the bin that holds the duration of that rank. It differs from that
    duration by less than 1 %, and not at all where the bin holds one value. Memory grows with the spread of
    the durations and not with their number: those between a millisecond and a day fill at most 1,900 bins.
    """

    def __init__(self) -> None:
        self._bins: dict[int, tuple[int, float]] = {}

    @property
    def count(self) -> int:
        """Number of durations."""
        return sum(count for count, _ in self._bins.values())

    @property
    def total_s(self) -> float:
        """Sum of the durations in s."""
        return math.fsum(total_s for _, total_s in self._bins.values())

    def add(self, seconds: float) -> None:
        """Count one duration in s, 0 or more."""
        number = max(0, math.floor(math.log(max(seconds, _LEAST_S) / _LEAST_S, _GROWTH)))
        count, total_s = self._bins.get(number, (0, 0.0))
        self._bins[number] = (count + 1, total_s + seconds)

    def percentile_s(self, percent: float) -> float | None:
        """Return a percentile in s; None where so few durations do not carry it (edge.percentile_rule)."""
        count = self.count
        if not count or not is_carried(percent, count):
            return None
        rank, seen = max(1, math.ceil(percent / 100 * count)), 0
        for number in sorted(self._bins):
            inside, total_s = self._bins[number]
            seen += inside
            if seen >= rank:
                return total_s / inside
        return None

    def to_facts(self) -> dict[str, list[float]]:
        """Return the histogram as a value for JSON."""
        return {str(number): [count, total_s] for number, (count, total_s) in sorted(self._bins.items())}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Durations:
        """Return the histogram that `to_facts` was called on."""
        durations = cls()
        durations._bins = {int(number): (int(count), float(total_s)) for number, (count, total_s) in facts.items()}
        return durations
