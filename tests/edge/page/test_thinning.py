"""Thinned rows of values: extremes and gaps stay, places keep their order."""

from __future__ import annotations

import numpy as np

from edge.page import plotly_library
from edge.page.curves import Curve, time_chart
from edge.page.thinning import thinned


def test_short_row_is_returned_as_it_is():
    assert thinned([0.0, 1.0, 2.0], [1, None, 3], 2) == ([0.0, 1.0, 2.0], [1, None, 3])


def test_extremes_of_each_column_stay_in_their_places():
    places = np.sort(np.random.default_rng(0).random(1000))
    values = np.zeros(1000)
    values[123], values[456] = 9.0, -9.0
    x, y = thinned(places.tolist(), values.tolist(), 20)
    assert len(x) <= 40 and x == sorted(x)
    kept = dict(zip(x, y))
    assert kept[places[123]] == 9.0 and kept[places[456]] == -9.0


def test_time_without_values_stays_a_gap():
    values = [1.0] * 400 + [None] * 200 + [2.0] * 400
    x, y = thinned(list(range(1000)), values, 50)
    gap = [place for place, value in zip(x, y) if value is None]
    assert gap and min(gap) >= 400 and max(gap) < 600
    assert not [place for place, value in zip(x, y) if value is not None and 400 <= place < 600]


def test_values_at_one_place_are_one_column():
    assert thinned([1.0] * 9, [3.0] * 4 + [7.0] + [5.0] * 4, 2)[1] == [3.0, 7.0]


def test_chart_of_ten_minutes_stays_small_enough_to_send(monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)
    count = 18_000
    curve = Curve("latency", [index / 30 for index in range(count)], [20.0 + index % 7 for index in range(count)])
    assert len(time_chart([curve], (0.0, 600.0), 600.0, "ms", "c", True)) < 40_000
