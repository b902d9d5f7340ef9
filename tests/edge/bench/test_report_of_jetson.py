"""The page of a long run on a Jetson: validity, deadlines, throttled windows, and every parameter."""

from __future__ import annotations

import dataclasses
import re

import pytest

from edge.bench.report import write_report
from edge.page import plotly_library
from edge.page.markup import Html, html_to_text
from tests.edge.bench.jetson_run import jetson_record


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


@pytest.fixture
def record(card):
    return jetson_record(card, 20.0)


def page_of(record, tmp_path):
    return write_report(tmp_path, record, None, ()).read_text(encoding="utf-8")


def test_page_begins_with_the_verdict_its_reasons_and_remedies(record, tmp_path):
    text = html_to_text(Html(page_of(record, tmp_path)))
    assert text.index("INVALID") < text.index("Throttled for") < text.index("frames per second")
    assert "Next: cool the machine" in text


def test_good_news_of_an_invalid_run_is_not_green(record, tmp_path):
    assert not re.search(r'class="banner good"', page_of(record, tmp_path))
    valid = dataclasses.replace(record, validity=dataclasses.replace(record.validity, is_valid=True, reasons=()))
    assert len(re.findall(r'class="banner good"', page_of(valid, tmp_path))) == 2


def test_throttled_windows_are_marked_in_every_chart_over_time_and_listed(record, tmp_path):
    page = page_of(record, tmp_path)
    section = page[page.index("over time</h2>") : page.index("Steady state</h2>")]
    assert section.count(">T1<") == 2 * section.count('class="chart"') + 1
    assert "over-current VDD_GPU_SOC" in section


def test_percentiles_stand_with_their_intervals(record, tmp_path):
    interval = record.end_to_end.intervals["p50"]
    page = page_of(record, tmp_path)
    assert f"{interval.low:.3f} to {interval.high:.3f}" in page and "95 % interval" in page
    assert "needs 1000 frames" in page


def test_camera_has_its_deadlines_and_the_age_of_its_frames(record, tmp_path):
    text = html_to_text(Html(page_of(record, tmp_path)))
    assert "600 came, 0 of them were replaced" in text and "of deadlines, with 95 % confidence" in text


def test_every_parameter_is_on_the_page(record, tmp_path):
    text = html_to_text(Html(page_of(record, tmp_path)))
    for value in (
        "contract.graph_sha256",
        record.engine.engine_sha256,
        "stream_priority",
        record.run_id,
        "gap_limit_s",
    ):
        assert value in text
    assert f"{len(record.power.times_s)} values" in text
