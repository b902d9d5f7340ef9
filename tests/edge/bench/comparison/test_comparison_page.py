"""The page of a comparison: verdict first, figures with intervals, and the latencies of both runs."""

from __future__ import annotations

import numpy as np
import pytest

from edge.bench.comparison.comparison_page import comparison_html
from edge.bench.comparison.run_comparison import ENERGY, P50, P99, ComparedRun, RunComparison
from edge.frame_statistics.comparison import compare_latencies
from edge.page import plotly_library
from edge.page.markup import Html, html_to_text

RUNS = tuple(
    ComparedRun(
        f"out/{name}", f"run-{name}", "fast_scnn", precision, "onnxruntime", 512, 1024, 900, "2026-12-01T10:00:00"
    )
    for name, precision in (("a", "float32"), ("b", "int8"))
)


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


@pytest.fixture
def latencies_ns():
    rng = np.random.default_rng(0)
    return tuple((level * 1e6 + rng.gamma(2.0, 2e5, 900)).astype(np.int64) for level in (20.0, 18.0))


def page_of(latencies_ns, unknown=None):
    figures = {key: compare_latencies(*latencies_ns, percent) for key, percent in ((P50, 50),)}
    return comparison_html(RunComparison(*RUNS, figures, unknown or {}, ("a <note>",)), latencies_ns)


def test_page_begins_with_the_verdict_and_its_interval(latencies_ns):
    page = page_of(latencies_ns)
    text = html_to_text(Html(page))
    assert text.index("B is faster than A by") < text.index("Figures")
    assert 'class="banner good"' in page and "a <note>" in text


def test_slower_run_is_no_good_news(latencies_ns):
    assert 'class="banner bad"' in page_of(latencies_ns[::-1])


def test_runs_that_show_no_difference_are_neither_good_nor_bad(latencies_ns):
    assert 'class="banner neutral"' in page_of((latencies_ns[0], latencies_ns[0]))


def test_figure_that_is_not_compared_has_its_reason(latencies_ns):
    text = html_to_text(Html(page_of(latencies_ns, {P99: "too few frames", ENERGY: "the first run has none"})))
    assert "p99 is not compared: too few frames" in text and "energy is not compared: the first run has none" in text


def test_both_runs_have_a_curve_that_is_told_apart_without_colour(latencies_ns):
    page = page_of(latencies_ns)
    section = page[page.index("Latency of the frames") :]
    assert section.count("<polyline") == 4 and "<circle" in section and "<rect" in section
