from __future__ import annotations

import base64
import dataclasses
import html.parser
import re
import xml.etree.ElementTree

import cv2
import numpy as np
import pytest

from edge.bench.measure import BenchSettings, run_benchmark
from edge.bench.report import OVERLAY_COUNT, OVERLAYS_FOLDER, REPORT_FILE, write_report
from edge.card import BuildCheck, CalibrationNote
from edge.datasets import open_dataset
from edge.errors import StorageError
from edge.frames import FolderFrames
from edge.imaging import read_rgb, write_image
from edge.page import plotly_library
from edge.page.charts import bar_chart
from edge.page.plots import line_chart
from edge.runtime import open_engine

VOID = {"meta", "img", "br", "hr", "rect", "line", "polyline", "link", "input"}


class Page(html.parser.HTMLParser):
    """Checks that every element is closed in its turn, and keeps what a page could fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    """Pages as a Jetson makes them; those with live charts are in tests/edge/page."""
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


@pytest.fixture
def frames(tmp_path, frame_rgb):
    for index in range(6):
        write_image(tmp_path / "frames" / f"frame & <{index}>.png", np.roll(frame_rgb, index, 1))
    return FolderFrames(tmp_path / "frames")


@pytest.fixture
def measured(make_engine, make_camvid, frames):
    """A record with everything in it, and its engine."""
    runner, card = open_engine(make_engine(precision="int8"))
    card = dataclasses.replace(
        card,
        notes=("a <b>note</b> & more",),
        int8_mac_share=0.9,
        calibration=CalibrationNote("entropy", 8, "camvid train", "0" * 64),
        check=BuildCheck(4, "camvid val", 0.99, 0.61234, 0.60987, verdict="held", worst="car 1.2 points, at most 2"),
    )
    labelled = open_dataset("camvid", make_camvid(), "val")
    return run_benchmark(runner, card, frames, BenchSettings(1, 5, 0.0), labelled), runner


@pytest.fixture
def page(measured, frames, tmp_path):
    record, runner = measured
    with runner:
        path = write_report(tmp_path / "out", record, runner, frames)
    assert path == tmp_path / "out" / REPORT_FILE
    return path.read_text(encoding="utf-8")


def test_report_is_well_formed(page):
    parsed = Page(page)
    assert parsed.tags[:4] == ["html", "head", "meta", "meta"]
    assert {"svg", "table", "img"} <= set(parsed.tags)


def test_report_fetches_nothing(page):
    parsed = Page(page)
    assert parsed.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in parsed.addresses)
    assert not {"link", "iframe", "object"} & set(parsed.tags)
    assert not re.search(r"<script[^>]*\ssrc", page)
    # The charts' library holds addresses that nothing asks for: tests/edge/page/test_in_browser.py watches a page.
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", without_scripts))


def test_names_and_notes_cannot_break_the_page(page):
    assert "a &lt;b&gt;note&lt;/b&gt; &amp; more" in page
    assert "frame &amp; &lt;0&gt;" in page


def test_report_says_what_was_measured(page, measured):
    record, _ = measured
    text = " ".join(Page(page).text)
    assert f"{record.end_to_end.p50_ms:.1f} ms" in text
    assert f"{100 * record.accuracy.miou:.2f} %" in text
    assert "61.23 to 60.99 %" in text
    assert "entropy over 8 images of camvid train" in text
    assert "accuracy budget held (none); closest to its limit: car 1.2 points, at most 2" in text
    assert "trained weights of runs/tiny" in text
    for stage in (*record.stages, "end to end"):
        assert stage in text
    for name, value in record.accuracy.class_iou.items():
        assert value is None or name in text


def test_pictures_in_the_page_are_the_overlays(page, tmp_path):
    overlays = sorted((tmp_path / "out" / OVERLAYS_FOLDER).iterdir())
    assert len(overlays) == OVERLAY_COUNT
    for path, address in zip(overlays, Page(page).addresses):
        data = np.frombuffer(base64.b64decode(address.split(",", 1)[1]), np.uint8)
        shown = cv2.imdecode(data, cv2.IMREAD_COLOR)
        overlay = read_rgb(path)
        assert overlay.shape == (20, 44, 3)
        assert shown.shape == overlay.shape
        assert np.abs(shown[..., ::-1].astype(int) - overlay).mean() < 20


def test_overlay_differs_from_its_frame(page, frames, tmp_path):
    path = min((tmp_path / "out" / OVERLAYS_FOLDER).iterdir())
    assert np.abs(read_rgb(path).astype(int) - frames.read(0)).mean() > 5


def test_report_without_accuracy_and_notes_is_well_formed(measured, frames, tmp_path):
    record, runner = measured
    engine = dataclasses.replace(record.engine, notes=(), check=None, calibration=None, int8_mac_share=None)
    bare = dataclasses.replace(record, accuracy=None, engine=engine)
    with runner:
        text = write_report(tmp_path / "bare", bare, runner, frames).read_text()
    assert "mIoU float" not in text
    assert "Accuracy" not in text
    Page(text)


def test_folder_that_cannot_be_made_is_a_storage_error(measured, frames, tmp_path):
    record, runner = measured
    (tmp_path / "taken").write_text("x")
    with runner, pytest.raises(StorageError, match="cannot write"):
        write_report(tmp_path / "taken", record, runner, frames)


@pytest.mark.parametrize(
    "chart",
    [
        bar_chart({"a & <b>": 1.0, "c": 0.0}, "%", "cap < tion"),
        bar_chart({}, "ms", "none"),
        bar_chart({"a": 0.0}, "ms", "zero"),
        line_chart([1.0], "ms", "one"),
        line_chart([0.0, 0.0], "ms", "zero"),
        line_chart([3.0, 9.0, 1.0], "ms", "three"),
    ],
)
def test_charts_are_well_formed(chart):
    xml.etree.ElementTree.fromstring(chart)


def test_bars_are_as_long_as_their_values():
    root = xml.etree.ElementTree.fromstring(bar_chart({"a": 4.0, "b": 1.0}, "ms", "x"))
    lengths = [float(bar.get("width")) for bar in root.iter("rect")]
    assert lengths[0] / lengths[1] == pytest.approx(4.0, rel=0.01)


def test_line_starts_at_zero_and_keeps_the_order():
    root = xml.etree.ElementTree.fromstring(line_chart([1.0, 2.0, 4.0], "ms", "x"))
    places = [tuple(map(float, point.split(","))) for point in next(root.iter("polyline")).get("points").split()]
    base = max(float(line.get("y1")) for line in root.iter("line"))
    heights = [base - y for _, y in places]
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert heights[1] / heights[0] == pytest.approx(2.0, abs=0.05)
    assert heights[2] / heights[0] == pytest.approx(4.0, abs=0.1)
