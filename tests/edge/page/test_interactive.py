"""Interactive charts: their data in the page, the library's script, and a page without the library."""

from __future__ import annotations

import base64
import gzip
import json
import re

import pytest

from edge.page import plotly_library
from edge.page.curves import Curve, time_chart
from edge.page.document import document
from edge.page.elements import paragraph
from edge.page.histograms import histogram_chart
from edge.page.marked_windows import MarkedWindow
from edge.page.pareto import Choice, ParetoAxes, pareto_chart
from edge.page.plots import Point, line_chart, scatter_chart

SCRIPT = "window.Plotly = { made: 'for a test' };"
HOSTILE = '</script><script>alert("1")</script> & <b>'


@pytest.fixture
def with_library(monkeypatch):
    """Let pages carry a short script as if it were the library's."""
    packed = base64.b64encode(gzip.compress(SCRIPT.encode(), mtime=0)).decode()
    monkeypatch.setattr(plotly_library, "is_installed", lambda: True)
    monkeypatch.setattr(plotly_library, "packed_script", lambda: (packed, "plotly.js v0 MIT license"))


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


def figures_of(page):
    """Return the data of the live charts of a page."""
    return [json.loads(text) for text in re.findall(r'class="figure-data">(.*?)</script>', page, re.DOTALL)]


def all_charts(name="a"):
    windows = [MarkedWindow(0.2, 0.6, "T1", f"T1 {name}")]
    return [
        time_chart(
            [Curve(name, [0, 1], [1.0, None]), Curve("b", [0, 1], [2, 3])], (0, 1), 1, "W", name, True, (), windows
        ),
        line_chart([1.0, 2.0], "ms", name),
        scatter_chart([Point(1.0, 2.0, "1", name, True)], name, name, name, 3.0),
        histogram_chart([1.0, 2.0, 2.0], "ms", name),
        pareto_chart([Choice(name, name, 2.0, 3.0, (1.0, 3.0), None, True, name)], ParetoAxes(name, name, 4.0), name),
    ]


def test_page_carries_the_library_once_and_its_licence(with_library):
    page = document("t", "s", all_charts())
    assert len(figures_of(page)) == 5
    (packed,) = re.findall(r'id="plotly-script">([^<]*)</script>', page)
    assert gzip.decompress(base64.b64decode(packed)).decode() == SCRIPT
    assert "<!-- plotly.js v0 MIT license -->" in page
    assert not re.search(r"src=|https?://|@import|url\(", page)


def test_page_without_live_charts_carries_no_script(with_library):
    assert "<script" not in document("t", "s", [paragraph("text")])


def test_page_without_the_library_has_the_drawn_charts_alone(without_library):
    page = document("t", "s", all_charts())
    assert "<script" not in page
    assert page.count("<svg") == 2 * 5


def test_drawn_chart_stays_beside_the_live_one_for_paper(with_library):
    page = document("t", "s", all_charts())
    assert page.count("<svg") == 2 * 5
    assert "@media print { .live { display: none; }" in page


def test_no_name_of_a_user_can_leave_the_data_of_a_chart(with_library):
    page = document("t", "s", all_charts(HOSTILE))
    assert len(re.findall(r"<script\b", page)) == 5 + 2
    assert len(figures_of(page)) == 5
    # The library reads some tags in a text; a name has none by then.
    shown = [text for figure in figures_of(page) for text in texts_of(figure)]
    assert any("alert" in text for text in shown)
    assert not [text for text in shown if re.search(r"<(?!br>)", text)]


def texts_of(value):
    """Return every text within nested data."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in texts_of(part)]


def test_charts_over_time_share_their_axis_and_mark_throttled_windows(with_library):
    figure = figures_of(all_charts()[0])[0]
    assert figure["axis"] == "time" and figure["layout"]["xaxis"]["range"] == [0, 1]
    assert [trace["y"] for trace in figure["traces"]] == [[1.0, None], [2.0, 3.0]]
    (ground,) = [
        shape for shape in figure["layout"]["shapes"] if (shape["x0"], shape["x1"]) == (0.2, 0.6) and shape["y0"] == 0
    ]
    assert ground["type"] == "rect"
    assert [mark["text"] for mark in figure["layout"]["annotations"]] == ["T1"]
    assert figures_of(all_charts()[1])[0]["axis"] == ""


def test_curves_of_a_chart_differ_without_colour(with_library):
    names = [f"rail {index}" for index in range(5)]
    chart = time_chart([Curve(name, [0, 1], [1, 2]) for name in names], (0, 1), 1, "W", "c", True)
    shapes = [trace["marker"]["symbol"] for trace in figures_of(chart)[0]["traces"]]
    assert len(set(shapes)) == 5


def test_buttons_are_named_one_by_one_so_that_none_sends_a_chart_away(with_library):
    page = document("t", "s", all_charts())
    assert 'modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]]' in page
    assert 'plotlyServerURL: ""' in page


def test_long_rows_are_thinned_and_keep_their_spike(with_library):
    values = [10.0] * 30_000
    values[17_777] = 99.0
    (trace,) = figures_of(line_chart(values, "ms", "c"))[0]["traces"]
    assert len(trace["y"]) <= 2 * 12_000 and max(trace["y"]) == 99.0


@pytest.mark.long
def test_figures_are_of_the_schema_of_the_library():
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for figure in (each for chart in all_charts() for each in figures_of(chart)):
        graph_objects.Figure({"data": figure["traces"], "layout": figure["layout"]})


def test_script_of_the_library_is_packed_whole_with_its_licence():
    offline = pytest.importorskip("plotly.offline")
    packed, licence = plotly_library.packed_script()
    assert gzip.decompress(base64.b64decode(packed)).decode() == offline.get_plotlyjs()
    assert "plotly.js" in licence and "MIT" in licence
