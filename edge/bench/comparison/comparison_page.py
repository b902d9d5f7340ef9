"""A comparison of two runs as a page: the verdict, every figure with its interval, and how latencies lie."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from edge.artifacts import write_text
from edge.bench.comparison.run_comparison import MIOU, P50, RunComparison
from edge.bench.comparison.text import LABELS, UNITS, verdict_sentence
from edge.frame_statistics.comparison import FASTER, NO_DIFFERENCE, SLOWER, Comparison
from edge.page.curves import Axes, Curve, curve_chart
from edge.page.document import document
from edge.page.elements import BAD, DOUBT, GOOD, NEUTRAL, badge, banner, paragraph, remarks, section
from edge.page.markup import Html
from edge.page.tables import TEXT, WORD, Column, facts, table

_GOOD_WORDS, _BAD_WORDS = (FASTER, "less energy", "more accurate"), (SLOWER, "more energy", "less accurate")

_FAR_PERCENT = 99.9
"""Percentile of both runs at which the chart of latencies ends; a single late frame would press the rest flat."""


def write_page(path: Path, comparison: RunComparison, latencies_ns: tuple[np.ndarray, np.ndarray]) -> None:
    """Write the page of a comparison: one HTML file that fetches nothing.

    Args:
        path: Path of the HTML file.
        comparison: Comparison that is shown.
        latencies_ns: Latency of each frame of both runs in ns, each of shape (frames,).

    Raises:
        StorageError: The page cannot be written.
    """
    write_text(path, comparison_html(comparison, latencies_ns))


def comparison_html(comparison: RunComparison, latencies_ns: tuple[np.ndarray, np.ndarray]) -> str:
    """Return the page of a comparison; the arguments are those of `write_page`."""
    first, second = comparison.first, comparison.second
    found = comparison.figures.get(P50)
    verdict = "no verdict" if found is None else found.verdict
    sentence = verdict_sentence(comparison)
    return document(
        f"B {second.title()} against A {first.title()}",
        f"A {first.name}, B {second.name}",
        [
            banner(_kind(verdict), f"{verdict[:1].upper()}{verdict[1:]}", [f"{sentence[:1].upper()}{sentence[1:]}."]),
            section("Figures", _figures(comparison), remarks(_unknown(comparison), "figure")),
            section("Latency of the frames", *_distribution(latencies_ns)),
            section("What was compared", facts(_runs(comparison))),
            section("Notes", remarks(comparison.notes, "note")),
        ],
    )


def _kind(verdict: str) -> str:
    if verdict in _GOOD_WORDS:
        return GOOD
    return BAD if verdict in _BAD_WORDS else NEUTRAL if verdict == NO_DIFFERENCE else DOUBT


def _figures(comparison: RunComparison) -> Html:
    columns = [Column("figure"), Column("A"), Column("B"), Column("B - A"), Column("interval"), Column("verdict", WORD)]
    rows = [[LABELS[key], *_cells(key, figure)] for key, figure in comparison.figures.items()]
    shares = {f"{100 * figure.confidence:g} %" for figure in comparison.figures.values()}
    if shares:
        columns[4] = Column(f"interval, {max(shares)}", TEXT)
    return table(columns, rows)


def _cells(key: str, figure: Comparison) -> list[str]:
    unit = UNITS[key]
    if key == MIOU:
        change, low, high = (100 * value for value in (figure.difference, figure.low, figure.high))
        scale, ends = 100.0, f"{low:+.2f} to {high:+.2f} points"
        words = f"{change:+.2f} points"
    else:
        scale, ends = 1.0, f"{100 * figure.relative_low:+.2f} to {100 * figure.relative_high:+.2f} %"
        words = f"{100 * figure.relative:+.2f} %"
    values = [f"{scale * value:.3f} {unit}" for value in (figure.first, figure.second)]
    return [*values, words, ends, badge(figure.verdict, _kind(figure.verdict))]


def _unknown(comparison: RunComparison) -> list[str]:
    return [f"{LABELS[key]} is not compared: {reason}" for key, reason in comparison.unknown.items()]


def _distribution(latencies_ns: tuple[np.ndarray, np.ndarray]) -> list[Html]:
    """Return a chart of the share of the frames that were done within a time, for both runs."""
    if not all(len(each) for each in latencies_ns):
        return []
    sorted_ms = [np.sort(np.asarray(each, np.float64)) / 1e6 for each in latencies_ns]
    end_ms = max(float(np.percentile(each, _FAR_PERCENT)) for each in sorted_ms)
    begin_ms = min(float(each[0]) for each in sorted_ms)
    span_ms = (begin_ms, max(end_ms, begin_ms + 1e-3))
    curves = [_curve(name, each, span_ms) for name, each in zip("AB", sorted_ms)]
    words = "The curve that rises further to the left is that of the faster run."
    chart = curve_chart(curves, Axes("ms", span_ms, "% of frames"), "Share of the frames that were done within a time")
    return [chart, paragraph(words, is_faint=True)]


def _curve(name: str, sorted_ms: np.ndarray, span_ms: tuple[float, float]) -> Curve:
    # Two hundred steps are finer than a chart shows, and the same number of points for a million frames.
    places: Sequence[float] = np.linspace(*span_ms, 200).tolist()
    shares = 100.0 * np.searchsorted(sorted_ms, places, side="right") / len(sorted_ms)
    return Curve(name, places, shares.tolist())


def _runs(comparison: RunComparison) -> dict[str, str]:
    named = {}
    for name, run in (("A", comparison.first), ("B", comparison.second)):
        place = f", run {run.run_id}" if run.run_id else ""
        named[name] = f"{run.title()} by {run.backend}, {run.frame_count} frames, {run.started_utc}{place} ({run.name})"
    return named
