"""The template of the HTML pages: escaping, tables, pictures, and one style sheet for all of them."""

from __future__ import annotations

import base64
import html.parser
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.page.charts import Segment, strip_chart
from edge.page.document import document
from edge.page.elements import (
    BAD,
    GOOD,
    Headline,
    badge,
    banner,
    breakable,
    code,
    headlines,
    legend,
    note,
    paragraph,
    scrollable,
    section,
)
from edge.page.markup import Html, as_html, element, joined
from edge.page.pictures import picture_figure, shrunk
from edge.page.svg import NARROW, WIDE
from edge.page.tables import NUMBER, TEXT, Column, facts, table

REPOSITORY = Path(__file__).resolve().parents[3]
HOSTILE = '<script>alert("1")</script> & <b>'


class Page(html.parser.HTMLParser):
    """Checks that every element is closed in its turn, and keeps elements with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.pieces = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in {"meta", "img", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data)


def test_text_is_escaped_and_html_is_not():
    assert as_html("<b>") == "&lt;b&gt;"
    assert as_html(Html("<b>")) == "<b>"
    assert joined("a < b", Html("<i></i>")) == "a &lt; b<i></i>"
    assert element("p", "a & b", class_="x", title='"') == '<p class="x" title="&quot;">a &amp; b</p>'
    assert element("p", class_="") == "<p></p>"


def test_string_made_of_html_is_text_again():
    # Whoever formats HTML into a text gets it escaped once more, which is seen, and no hole.
    assert as_html(f"{Html('<b>')}") == "&lt;b&gt;"


@pytest.mark.parametrize(
    "make",
    [
        paragraph,
        note,
        code,
        breakable,
        lambda text: badge(text, GOOD),
        lambda text: banner(BAD, text, [text]),
        lambda text: headlines([Headline(text, text, text)]),
        lambda text: legend([("#000000", text)], text),
        lambda text: section(text, text),
        lambda text: table([Column(text)], [[text]]),
        lambda text: facts({text: text}),
        lambda text: picture_figure(np.zeros((2, 2, 3), np.uint8), text, text),
        lambda text: strip_chart([Segment(1.0, "1", text, "#000000")], "ms", text),
        lambda text: document(text, text, [text]),
    ],
)
def test_no_text_can_break_a_page(make):
    page = Page(make(HOSTILE))
    assert "script" not in [tag for tag, _ in page.elements]
    assert page.text.count(HOSTILE) >= 1


def test_page_is_readable_on_a_phone_and_in_the_dark_and_fetches_nothing():
    source = document("title", "subtitle", [paragraph("text")])
    page = Page(source)
    viewport = next(attributes for _, attributes in page.elements if attributes.get("name") == "viewport")
    assert viewport["content"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in source
    assert not re.search(r"https?://|@import|url\(", source)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}


def test_every_colour_of_the_style_sheet_has_one_for_dark_screens():
    light, dark = document("t", "s", []).split("@media screen and (prefers-color-scheme: dark)")
    dark = dark.split("} }")[0]
    names = [set(re.findall(r"(--[a-z-]+):", part)) for part in (light, dark)]
    assert names[0] == names[1] and len(names[0]) > 10
    assert set(re.findall(r"var\((--[a-z-]+)\)", document("t", "s", []))) <= names[0]


def test_section_without_content_is_left_out():
    assert section("Accuracy", "", Html()) == ""
    assert scrollable(Html()) == ""


def test_table_scrolls_by_itself_and_tells_numbers_from_text():
    page = Page(table([Column("", NUMBER), Column("layer", TEXT), Column("ms")], [["1", "conv", "0.5"]], True, True))
    assert [tag for tag, _ in page.elements[:2]] == ["div", "table"]
    assert page.elements[0][1] == {"class": "wide"}
    cells = [attributes.get("class") for tag, attributes in page.elements if tag == "td"]
    assert cells == ["number", "text", None]
    assert [attributes["scope"] for tag, attributes in page.elements if tag == "th"] == ["col"] * 3
    assert ("tr", {"class": "sum"}) in page.elements and ("table", {"class": "dense"}) in page.elements


def test_picture_has_its_words_its_size_and_its_pixels():
    picture_rgb = np.full((6, 8, 3), (200, 100, 50), np.uint8)
    page = Page(picture_figure(picture_rgb, "a street", "street.png"))
    (image,) = (attributes for tag, attributes in page.elements if tag == "img")
    assert (image["alt"], image["width"], image["height"]) == ("a street", "8", "6")
    data = np.frombuffer(base64.b64decode(image["src"].split(",", 1)[1]), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    assert shown.shape == picture_rgb.shape
    assert np.abs(shown.astype(int) - picture_rgb).max() < 8
    assert page.text == "street.png"


@pytest.mark.parametrize(("size", "shape"), [((20, 40), (20, 40)), ((20, 80), (10, 40)), ((1, 400), (1, 40))])
def test_picture_is_shrunk_to_a_width_and_never_enlarged(size, shape):
    assert shrunk(np.zeros(size, np.float32), 40).shape == shape


def test_segments_of_a_strip_are_as_wide_as_their_shares_and_wide_ones_have_marks():
    page = Page(strip_chart([Segment(9.0, "1", "a", "#111111"), Segment(0.01, "2", "b", "#222222")], "ms", "layers"))
    widths = [float(attributes["width"]) for tag, attributes in page.elements if tag == "rect"]
    for first, second, whole in ((*widths[:2], WIDE), (*widths[2:], NARROW)):
        assert first == pytest.approx(whole * 9 / 9.01, abs=1) and second == pytest.approx(whole * 0.01 / 9.01, abs=1)
    assert page.text.startswith("a1b0.00 ms") and page.text.endswith("9.01 ms")


def test_every_page_of_the_project_is_made_from_this_template():
    own = [
        str(path.relative_to(REPOSITORY))
        for room in ("edge", "calibration", "export", "train", "benchmarks")
        for path in (REPOSITORY / room).rglob("*.py")
        if re.search(r"<!doctype|<style|<svg|base64|html\.escape|import html", path.read_text(encoding="utf-8"))
    ]
    assert {str(Path(path).parent) for path in own} == {"edge/page"}
