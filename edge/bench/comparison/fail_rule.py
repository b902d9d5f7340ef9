"""The rule of --fail-if: from which difference on a comparison fails, as a build server wants it."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from edge.bench.comparison.run_comparison import ENERGY, MIOU, P50, P99, RunComparison
from edge.console import RealNumber

_FIGURES = {"slower": P50, "p99-slower": P99, "more-energy": ENERGY, "less-accurate": MIOU}
_LIMIT = RealNumber(0.0, 1e6, "%")


class FailRule(NamedTuple):
    """A difference that makes a comparison fail.

    Attributes:
        what: Difference that is meant, "slower", "p99-slower", "more-energy" or "less-accurate".
        limit: Least change that fails, in percent of the first figure; in points of mIoU for "less-accurate".
    """

    what: str
    limit: float

    def broken(self, comparison: RunComparison) -> str:
        """Return a sentence that says how far the rule is broken; "" where it is kept.

        It is broken where the second run is shown to be worse, and the change is at least the limit: noise alone breaks
        it in at most half of the error that the confidence leaves. A figure that is not compared breaks it too, since
        nothing speaks for it.
        """
        figure = _FIGURES[self.what]
        if figure not in comparison.figures:
            return f"{self.what} is not known: {comparison.unknown.get(figure, 'it was not measured')}"
        found = comparison.figures[figure]
        is_accuracy = figure == MIOU
        change = -100.0 * found.difference if is_accuracy else 100.0 * found.relative
        unit = "points" if is_accuracy else "%"
        if not found.is_shown or change <= 0.0 or change < self.limit:
            return ""
        return f"{self.what} by {change:.1f} {unit}, the limit is {self.limit:g} {unit}"


def fail_rule(text: str) -> FailRule:
    """Read a rule such as "slower:2%" for argparse.

    Raises:
        argparse.ArgumentTypeError: The text is no rule.
    """
    what, separator, limit = text.strip().partition(":")
    if what not in _FIGURES or not separator:
        raise argparse.ArgumentTypeError(
            f"got '{text}', expected one of {', '.join(_FIGURES)} with a limit, such as slower:2%"
        )
    return FailRule(what, _LIMIT(limit[:-1] if limit.endswith("%") else limit))
