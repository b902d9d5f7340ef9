"""The template of the HTML pages: escaping, tables, pictures, and one style sheet for all of them."""

from __future__ import annotations

import base64
import html.parser
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bench.profile_page import KIND_COLORS
from edge.page.charts import Bar, Segment, bars, strip_chart
from edge.page.document import READ_TOGETHER, document
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
    remarks,
    scrollable,
    section,
    warnings_box,
)
from edge.page.markup import Html, as_html, element, html_to_text, joined
from edge.page.pictures import picture_figure, shrunk
from edge.page.plots import line_chart
from edge.page.svg import BLUE, GREEN, NARROW, ORANGE, RED, WIDE
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
        lambda text: warnings_box([text]),
        lambda text: remarks([text, "b", "c", "d"]),
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
    assert page.text.startswith("a1b9.01 ms0 ms2 ms4 ms6 ms") and page.text.count("9.01 ms") == 2


def test_every_page_of_the_project_is_made_from_this_template():
    own = [
        str(path.relative_to(REPOSITORY))
        for room in ("edge", "calibration", "export", "train", "benchmarks")
        for path in (REPOSITORY / room).rglob("*.py")
        if re.search(r"<!doctype|<style|<svg|base64|html\.escape|import html", path.read_text(encoding="utf-8"))
    ]
    assert {str(Path(path).parent) for path in own} == {"edge/page"}


def luminance(color):
    """Return the relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2, definition)."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def themes():
    """Return the colours of a light and of a dark page, as the style sheet of a page declares them."""
    light, dark = document("t", "s", []).split("@media screen and (prefers-color-scheme: dark)")
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in (light, dark.split("} }")[0])]


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1])
def test_text_can_be_read_on_its_ground_in_the_light_and_in_the_dark(theme):
    colors = themes()[theme]
    too_faint = [pair for pair in READ_TOGETHER if contrast(*(colors[name] for name in pair)) < 4.5]
    assert too_faint == []
    # Every ground of text in the sheet is among the pairs.
    assert {name for name in colors if name.endswith("paper")} | {"panel", "note"} <= {
        ground for _, ground in READ_TOGETHER
    }


def test_marks_of_charts_stand_out_from_both_papers_and_white_text_from_them():
    papers = [colors["paper"] for colors in themes()]
    for color in {BLUE, ORANGE, GREEN, RED, *KIND_COLORS}:
        assert min(contrast(color, paper) for paper in papers) >= 3
        assert contrast(color, "#ffffff") >= 4.5


def test_paper_is_never_dark_and_no_table_is_cut():
    source = document("t", "s", [])
    assert all("screen" in query for query in re.findall(r"@media ([^{]*)\{", source) if "print" not in query)
    printed = source.split("@media print")[1]
    for rule in (".wide { overflow: visible", "break-inside: avoid", "details::details-content"):
        assert rule in printed


def test_page_needs_no_script():
    page = Page(document("t", "s", [warnings_box([str(index) for index in range(9)]), note("x")]))
    assert "script" not in {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_many_warnings_stand_in_one_box_with_their_number():
    sentences = [*(f"tensor {index} never changed" for index in range(24)), "equal", "equal"]
    page = Page(warnings_box(sentences))
    assert [attributes for _, attributes in page.elements].count({"class": "note"}) == 1
    assert page.elements[0][0] == "details" and page.text.startswith("26 warnings")
    assert [tag for tag, _ in page.elements].count("li") == 25
    assert "equal (2 times)" in page.text and all(sentence in page.text for sentence in sentences)


@pytest.mark.parametrize(("sentences", "tag"), [([], None), (["one"], "p"), (["one", "two"], "div")])
def test_few_warnings_are_not_folded(sentences, tag):
    page = Page(warnings_box(sentences))
    assert (page.elements[0][0] if page.elements else None) == tag
    assert all(sentence in page.text for sentence in sentences)


def test_facts_are_not_yellow():
    assert {"class": "remarks"} in [attributes for _, attributes in Page(remarks(["holds the budget"])).elements]


WIDE_COLUMNS = [Column("no.", NUMBER), Column("layer", TEXT), *(Column(f"figure {index}") for index in range(6))]


def test_wide_table_becomes_cards_that_name_every_figure():
    page = Page(table(WIDE_COLUMNS, [["1", "conv", *"abcdef"]]))
    assert ("table", {"class": "cards"}) in page.elements
    cells = [attributes for tag, attributes in page.elements if tag == "td"]
    assert [cell["data-head"] for cell in cells] == [column.head for column in WIDE_COLUMNS]
    assert cells[1]["class"] == "text name"
    assert [attributes["scope"] for tag, attributes in page.elements if tag == "th"] == ["col"] * len(WIDE_COLUMNS)


def test_very_wide_table_becomes_cards_on_a_tablet_and_a_narrow_one_nowhere():
    broad = Page(table([Column(f"a long head {index}") for index in range(12)], [["123456"] * 12]))
    assert ("table", {"class": "cards broad"}) in broad.elements
    narrow = Page(table([Column("stage"), Column("ms")], [["network", "12.345"]]))
    assert ("table", {}) in narrow.elements
    assert not any("data-head" in attributes for _, attributes in narrow.elements)


def test_column_of_text_takes_the_room_of_its_style_however_short_its_words_are():
    columns = [Column("true class", TEXT), Column("taken for", TEXT), Column("% of it"), Column("pixels")]
    row = ["rail", "worker", "0.1", "6"]
    assert ("table", {"class": "cards"}) in Page(table(columns, [row])).elements
    assert ("table", {}) in Page(table(columns[1:], [row[1:]])).elements


def test_width_of_a_cell_is_that_of_its_text_not_of_its_html():
    cell = badge("a", GOOD)
    assert html_to_text(cell) == "a" and html_to_text("<b>") == "<b>" and html_to_text(joined("a & b")) == "a & b"
    assert ("table", {}) in Page(table([Column("x"), Column("y")], [[cell, cell]])).elements


def test_charts_are_drawn_for_a_desktop_and_for_a_phone_at_their_real_size():
    for chart in (
        strip_chart([Segment(1.0, "1", "a", "#000000")], "ms", "strip"),
        bars([Bar("a name that is longer than a phone is wide, by far", 1.0, "1 ms")], "bars"),
        line_chart([1.0, 2.0], "ms", "line"),
    ):
        pictures = [attributes for tag, attributes in Page(chart).elements if tag == "svg"]
        assert [(each["class"], each["width"]) for each in pictures] == [("for-wide", "760"), ("for-narrow", "340")]
        assert all(each["role"] == "img" and each["aria-label"] for each in pictures)
        assert {attributes["font-size"] for tag, attributes in Page(chart).elements if tag == "text"} == {"12"}
