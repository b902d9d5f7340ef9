"""A comparison in a few lines, as the commands compare and ab print it."""

from __future__ import annotations

from edge.bench.comparison.run_comparison import ENERGY, MIOU, P50, P99, RunComparison
from edge.frame_statistics.comparison import Comparison

LABELS = {P50: "p50", P99: "p99", ENERGY: "energy", MIOU: "mIoU"}
"""Figure -> its name in a table."""

UNITS = {P50: "ms", P99: "ms", ENERGY: "mJ", MIOU: "%"}
"""Figure -> the unit that a table shows it in."""


def comparison_lines(comparison: RunComparison) -> list[str]:
    """Return the lines of a comparison: both runs, a row for each figure, what is not known, and the notes."""
    lines = [
        f"{name}: {run.title()}, {run.backend}, {run.frame_count} frames, {run.started_utc} ({run.name})"
        for name, run in (("A", comparison.first), ("B", comparison.second))
    ]
    lines.append(f"{'':8} {'A':>10} {'B':>10}  {'B - A':>9}  {'interval':>22}")
    lines += [_row(key, figure) for key, figure in comparison.figures.items()]
    lines += [f"{LABELS[key]}: not compared: {reason}" for key, reason in comparison.unknown.items()]
    lines += [f"note: {note}" for note in comparison.notes]
    return lines


def verdict_sentence(comparison: RunComparison) -> str:
    """Return the verdict on the median in a sentence, or why there is none."""
    found = comparison.figures.get(P50)
    if found is None:
        return f"no verdict: {comparison.unknown[P50]}"
    if not found.is_shown:
        widest = 100 * max(abs(found.relative_low), abs(found.relative_high))
        return f"{found.verdict}: a difference of more than {widest:.1f} % would have been seen"
    return (
        f"B is {found.verdict} than A by {100 * abs(found.relative):.1f} % of the median "
        f"({_range(found)}, {100 * found.confidence:g} % confidence)"
    )


def _range(found: Comparison) -> str:
    return f"{100 * found.relative_low:+.1f} to {100 * found.relative_high:+.1f} %"


def _row(key: str, found: Comparison) -> str:
    scale, unit = (100.0, "points") if key == MIOU else (1.0, "%")
    change = scale * found.difference if key == MIOU else 100.0 * found.relative
    ends = (
        (scale * found.low, scale * found.high)
        if key == MIOU
        else (100.0 * found.relative_low, 100.0 * found.relative_high)
    )
    return (
        f"{LABELS[key]:8} {scale * found.first:>10.3f} {scale * found.second:>10.3f} {UNITS[key]:2} "
        f"{change:>+7.2f} {unit}  {ends[0]:+.2f} to {ends[1]:+.2f} {unit}  {found.verdict}"
    )
