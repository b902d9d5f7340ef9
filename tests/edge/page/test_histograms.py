"""Histograms: every value has its bar, or the axis says that it has none."""

from __future__ import annotations

import re

import numpy as np

from edge.page.axes import Level
from edge.page.histograms import histogram_chart


def bars_of(chart):
    """Return (text, height) of each bar of the wide picture."""
    wide = chart.split("</svg>")[0]
    return re.findall(r"<title>([^<]*)</title><rect [^>]*height=\"([\d.]+)\"", wide)


def test_bars_count_every_value():
    bars = bars_of(histogram_chart([1.0, 1.1, 2.0, 3.0, 3.0], "ms", "c"))
    assert sum(int(text.rsplit(": ", 1)[1]) for text, _ in bars) == 5


def test_single_slow_frame_among_many_is_seen():
    values = np.concatenate([np.random.default_rng(0).normal(20, 1, 20_000), [27.0]])
    bars = bars_of(histogram_chart(values.tolist(), "ms", "c"))
    assert bars[-1][0].endswith(": 1") and float(bars[-1][1]) >= 1.5


def test_frame_far_beyond_the_others_is_named_and_does_not_press_them_flat():
    chart = histogram_chart([20.0, 21.0, 22.0, 23.0] * 100 + [5000.0], "ms", "c")
    assert "1 more up to 5000 ms are not shown" in chart
    assert len(bars_of(chart)) >= 4


def test_equal_values_are_one_bar():
    assert len(bars_of(histogram_chart([5.0] * 9, "ms", "c"))) == 1


def test_names_of_percentiles_lie_on_rows_of_their_own_where_they_are_near():
    chart = histogram_chart(
        [1.0, 2.0, 3.0, 90.0], "ms", "c", [Level(2.0, "p50"), Level(2.1, "p90"), Level(80.0, "p99")]
    )
    places = {name: y for y, name in re.findall(r'y="([\d.]+)"[^>]*>(p\d+)<', chart.split("</svg>")[0])}
    assert places["p50"] != places["p90"] and places["p50"] == places["p99"]
