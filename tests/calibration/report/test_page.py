from __future__ import annotations

import base64
import dataclasses
import html.parser
import re

import cv2
import numpy as np
import pytest

from calibration.report.charts import MOST_BARS
from calibration.report.page import write_page
from calibration.report.pictures import (
    CHANGED,
    GAINED,
    LOST,
    OTHER,
    SHOWN_WIDTH,
    WorstPicture,
    changes_of,
    difference_rgb,
)
from calibration.report.text import MOST_FLOAT, curve_lines, percent, points, summary_lines
from calibration.results import (
    CLASS_CHANGE,
    CLASS_DROP,
    EXCEEDED,
    HELD,
    LABEL_CHANGE,
    LOST_CLASS,
    LOST_REGIONS,
    MIOU_DROP,
    NOT_SHOWN,
    AccuracyFigures,
    ImageReport,
    Int8Report,
    Judgement,
    LayerReport,
    SearchStep,
)
from edge.errors import InputError, StorageError
from edge.labels import distinct_palette
from edge.machine_load import MachineLoad
from edge.page import plotly_library
from tests.calibration.label_sets import class_cost, labelled_class, network_cost

NAMES = ("road", "sky", "<car> & van")
VOID = {"meta", "img", "br", "hr", "wbr"}
HOSTILE = '<script>alert("1")</script> & <b>'

WORST = "sky 1.16 points of IoU lost, at most 2"
STEPS = (
    SearchStep(
        "percentile ranges", "a" * 64, 1.0, 0.95, 2.75, False, "2.75 points of mIoU lost, at most 0.5", None, EXCEEDED
    ),
    SearchStep(
        "entropy ranges", "b" * 64, 1.0, 0.97, 1.5, False, "1.50 points of mIoU lost, at most 0.5", None, EXCEEDED
    ),
    SearchStep("one layer in float", "c" * 64, 0.9625, 0.99, 0.31, True, WORST, None, HELD),
)
LAYERS = (
    LayerReport("stem/conv", "Conv", 40_000_000, "int8", "", 0.0123, 0.00456, 0.5, 1.0),
    LayerReport("branch/conv", "Conv", 50_000_000, "int8", "", 0.0200, 0.0001, 1.5, 1.2),
    LayerReport("branch/add", "Add", 0, "int8"),
    LayerReport("head/conv", "Conv", 10_000_000, "float", "gives back 1.19 points", 0.3, 0.0789, 0.9, 0.8),
)
FLOAT_FIGURES = AccuracyFigures(0.6621, {"road": 0.9, "sky": 0.4242, "<car> & van": None}, 1.0)
SIMULATED = AccuracyFigures(0.6590, {"road": 0.9054, "sky": 0.4126, "<car> & van": None}, 0.9871)
ENGINE = AccuracyFigures(0.6588, {"road": 0.9050, "sky": 0.4126, "<car> & van": None}, 0.9869)

ABSENT = {"image_count": 0, "agreement_iou": None, "change_points": None, "change_high": None, "float_share": 0.0}
CLASSES = (
    labelled_class("road", -0.5, 0.2, float_iou=0.9, iou=0.905, change_points=3.0, change_high=4.0, float_share=0.6),
    labelled_class("sky", 1.16, 1.8, float_iou=0.4242, iou=0.4126, regions=12, regions_found=11, regions_new=2),
    class_cost("<car> & van", true_share=0.0, **ABSENT),
)
COST = network_cost(*CLASSES, agreement=0.9869, change_high=1.9, drop=0.33, low=0.14, high=0.46, images=101)
JUDGED = (
    Judgement(MIOU_DROP, "", 0.33, 0.46, 0.5, HELD),
    Judgement(CLASS_DROP, "road", -0.5, 0.2, 2.0, HELD),
    Judgement(CLASS_DROP, "sky", 1.16, 1.8, 2.0, HELD),
    Judgement(LOST_REGIONS, "sky", 100 / 12, None, 50.0, HELD),
)

MET = Int8Report(
    network="tiny on camvid, 48x96",
    backend="onnxruntime",
    weights="trained weights of runs/tiny",
    graph_sha256="0123456789ab" + "0" * 52,
    ranges_sha256="ba9876543210" + "0" * 52,
    images_from="camvid val",
    image_count=101,
    max_drop_points=0.5,
    min_agreement=None,
    budget="at most 0.5 points of mIoU, 2 points of IoU of any class",
    verdict=HELD,
    judgements=JUDGED,
    drop_points=0.31,
    drop_low=0.12,
    drop_high=0.44,
    float_figures=FLOAT_FIGURES,
    simulated=SIMULATED,
    engine=ENGINE,
    cost=COST,
    unseen_classes=(),
    search_images="24 of camvid train, which calibrate",
    int8_mac_share=0.9,
    recipe="percentile ranges, 1 layers in float",
    looks=(SearchStep("plain", "e" * 64, 1.0, 0.95, 2.8, False, "", None, EXCEEDED), STEPS[2]),
    steps=STEPS,
    layers=LAYERS,
    worst_images=(ImageReport("first.png", 0, 0.9), ImageReport("second.png", 4, 0.95)),
    warnings=("conv_3 is constant",),
    notes=("the search took 3 minutes",),
)
MISSED = dataclasses.replace(
    MET,
    verdict=EXCEEDED,
    judgements=(
        Judgement(MIOU_DROP, "", 1.5, 1.9, 0.5, EXCEEDED),
        Judgement(LOST_CLASS, "sky", 97.0, None, 90.0, EXCEEDED),
        Judgement(CLASS_DROP, "road", 2.5, 3.0, 2.0, EXCEEDED),
    ),
    drop_points=1.5,
    drop_low=1.2,
    drop_high=1.9,
    engine=None,
    steps=STEPS[:2],
    layers=tuple(dataclasses.replace(layer, int8_ms=None, float_ms=None) for layer in LAYERS),
)
RANDOM = dataclasses.replace(
    MET,
    weights="random weights: only the speed of this engine means anything",
    max_drop_points=None,
    budget="none",
    verdict=None,
    judgements=(),
    drop_points=None,
    drop_low=None,
    drop_high=None,
    float_figures=AccuracyFigures(None, {}, 1.0),
    simulated=AccuracyFigures(None, {}, 0.61),
    engine=AccuracyFigures(None, {}, 0.6),
    cost=network_cost(*(class_cost(name) for name in NAMES), agreement=0.6, images=8),
    search_images="",
    looks=(SearchStep("plain", "a" * 64, 0.9, 0.61, None, True),),
    steps=(),
    layers=tuple(dataclasses.replace(layer, output_error=None, label_change=None) for layer in LAYERS),
    worst_images=(),
)
NO_LABELS = dataclasses.replace(
    RANDOM,
    weights="imported weights of net.pth",
    min_agreement=0.98,
    budget="at most 2 % of labels changed, 50 % unlike the float network of any class",
    verdict=HELD,
    judgements=(
        Judgement(LABEL_CHANGE, "", 0.95, 1.4, 2.0, HELD),
        Judgement(CLASS_CHANGE, "sky", 12.0, 20.0, 50.0, HELD),
    ),
    simulated=AccuracyFigures(None, {}, 0.991),
    engine=AccuracyFigures(None, {}, 0.9905),
    cost=network_cost(
        class_cost("road"),
        class_cost("sky", agreement_iou=0.88, change_points=12.0, change_high=20.0),
        class_cost("<car> & van", **ABSENT),
        agreement=0.9905,
        change_high=1.4,
    ),
    search_images="24 of pictures",
    steps=tuple(dataclasses.replace(step, drop_points=None) for step in STEPS),
    layers=LAYERS,
)
UNSURE = dataclasses.replace(
    MET,
    verdict=NOT_SHOWN,
    drop_high=0.6,
    judgements=(
        Judgement(MIOU_DROP, "", 0.38, 0.6, 0.5, NOT_SHOWN, 341),
        Judgement(CLASS_DROP, "road", -0.5, 0.2, 2.0, HELD),
        Judgement(CLASS_DROP, "sky", 1.16, None, 2.0, NOT_SHOWN),
    ),
    looks=(SearchStep("plain", "e" * 64, 1.0, 0.95, 0.38, True, "", None, NOT_SHOWN),),
    steps=(),
)
BARE = dataclasses.replace(MISSED, looks=(), steps=(), layers=(), worst_images=(), warnings=(), notes=())
STATES = {"met": MET, "unsure": UNSURE, "missed": MISSED, "random": RANDOM, "no labels": NO_LABELS, "bare": BARE}


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    """Pages as a Jetson makes them; those with live charts are in tests/edge/page."""
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


class Page(html.parser.HTMLParser):
    """Checks that every element is closed in its turn, and keeps tables, texts and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.addresses, self.pieces, self.rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("p", "td", "th", "h1", "h2", "h3", "b", "div", "text", "title"):
            self.pieces.append("\n")

    def handle_data(self, data):
        if "style" not in self.open:
            self.pieces.append(data)
        if ("td" in self.open or "th" in self.open) and "svg" not in self.open:
            self.rows[-1][-1] += data

    def row(self, first):
        """The cells of the only row whose first cell is `first`."""
        (row,) = (row for row in self.rows if row and row[0] == first)
        return row


@pytest.fixture
def page_of(tmp_path):
    """Writes the page of a report; gives it parsed, its text being `source`."""

    def make(report, pictures=()):
        path = tmp_path / "int8-report.html"
        assert write_page(path, report, tuple(pictures)) is None
        source = path.read_text(encoding="utf-8")
        page = Page(source)
        page.source = source
        return page

    return make


def picture(name="first.png", height=20, width=40, truth=True):
    """Truth: sky above, road below. Six pixels are lost, four gained, two of them change otherwise."""
    true_labels = np.zeros((height, width), np.uint8)
    true_labels[: height // 2] = 1
    float_labels, int8_labels = true_labels.copy(), true_labels.copy()
    int8_labels[0, :6] = 2
    float_labels[2, :4] = 2
    float_labels[4, 0], int8_labels[4, 0] = 2, 0
    true_labels[6, 0], int8_labels[6, 0] = 255, 2
    frame_rgb = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    kept = true_labels if truth else None
    return WorstPicture(name, frame_rgb, float_labels, int8_labels, kept, NAMES, distinct_palette(3))


@pytest.mark.parametrize("report", STATES.values(), ids=STATES)
@pytest.mark.parametrize("pictures", [(), (picture(), picture("other.png", truth=False))], ids=["none", "two"])
def test_page_is_whole_in_every_state(page_of, report, pictures):
    page = page_of(report, pictures)
    assert page.tags[:4] == ["html", "head", "meta", "meta"]
    assert "None" not in page.text and "nan" not in page.text
    assert len(page.addresses) == 3 * len(pictures)


def test_page_fetches_nothing(page_of):
    page = page_of(MET, [picture()])
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", re.sub(r'src="data:[^"]*"', "", page.source))


def test_met_budget_says_drop_interval_and_allowance(page_of):
    text = page_of(MET).text
    assert "Accuracy budget met" in text
    assert "0.31 points of mIoU lost (95 % interval 0.12 to 0.44); the budget allows 0.50." in text
    assert "90.00 % of multiply-adds in INT8" in text
    assert "cannot tell" not in text


def test_missed_budget_says_so_and_that_there_is_no_engine(page_of):
    text = page_of(MISSED).text
    assert "Accuracy budget missed" in text and "Accuracy budget met" not in text
    assert "No engine was built" in text


def test_random_weights_have_no_verdict_and_no_accuracy(page_of):
    page = page_of(RANDOM)
    assert "with random weights only speed means anything" in page.text
    assert not re.search("budget (met|missed)", page.text)
    assert page.row("INT8, simulated exactly") == ["INT8, simulated exactly", "-", "-", "61.00 %"]
    assert "IoU float" not in page.text and page.row("road")[1] == "-"


def test_budget_that_is_off_for_another_reason_is_not_blamed_on_the_weights(page_of):
    text = page_of(dataclasses.replace(RANDOM, weights="trained weights of runs/tiny")).text
    assert "No accuracy budget enforced" in text and "random" not in text


def test_without_labels_the_budget_is_label_agreement(page_of):
    text = page_of(NO_LABELS).text
    assert "99.10 % of pixels keep the label of the float network; the budget asks for 98.00 %." in text
    assert "labels changed, %" in text and "budget 2" in text


def test_budget_that_the_images_are_too_few_for_is_said_with_the_number_that_would_do(page_of):
    text = page_of(UNSURE).text
    assert "Accuracy budget not shown to hold: too few images" in text
    assert "Accuracy budget met" not in text
    assert (
        "101 images are too few to show it for the network (0.38, up to 0.60 points of mIoU lost, at most 0.5); "
        "sky (1.16 points of IoU lost, on fewer than 5 images); some 341 images of this kind would do for those that "
        "can be told."
    ) in text


def test_doubt_of_one_image_is_said_of_one_image(page_of):
    text = page_of(dataclasses.replace(UNSURE, image_count=1)).text
    assert "1 image is too few to show it" in text


def test_page_that_shows_nothing_is_not_green(page_of):
    source = page_of(UNSURE).source
    body = source[source.index("<body>") :]
    banners = re.findall(r'class="banner (\w+)"', body)
    assert banners == ["doubt"]
    of_tables = re.findall(r'class="badge (\w+)">([^<]+)', body)
    assert ("doubt", "not shown") in of_tables
    assert [word for kind, word in of_tables if kind == "good"] == ["held"], "the one class that is held"
    assert re.findall(r'class="banner (\w+)"', page_of(MET).source) == ["good"]
    assert re.findall(r'class="banner (\w+)"', page_of(MISSED).source) == ["bad"]
    assert re.findall(r'class="banner (\w+)"', page_of(RANDOM).source) == ["neutral"]


def test_step_that_nobody_can_tell_of_is_no_green_point(page_of):
    def colours(report):
        source = page_of(report).source
        chart = source[source.index('aria-label="Accuracy against share of INT8') :].split("</svg>")[0]
        return re.findall(r'<(?:circle|rect)[^>]*fill="(#287f45|#c8362f|#5a6675)"', chart)

    green, red, grey = "#287f45", "#c8362f", "#5a6675"
    assert colours(MET) == [red, red, green]
    open_steps = tuple(dataclasses.replace(step, within_budget=True, verdict=NOT_SHOWN) for step in STEPS)
    assert colours(dataclasses.replace(UNSURE, steps=open_steps)) == [grey] * 3


def test_engine_over_a_budget_that_the_simulation_holds_is_said(page_of):
    said = "The simulation holds the budget, the engine itself does not: "
    over = (Judgement(MIOU_DROP, "", 1.0, 1.2, 0.5, EXCEEDED), *JUDGED[1:])
    text = page_of(dataclasses.replace(MET, verdict=EXCEEDED, judgements=over)).text
    assert f"{said}1.00 points of mIoU lost, at most 0.5." in text
    lost = (*NO_LABELS.judgements[:1], Judgement(LOST_CLASS, "sky", 99.0, None, 90.0, EXCEEDED))
    text = page_of(dataclasses.replace(NO_LABELS, verdict=EXCEEDED, judgements=lost)).text
    assert f"{said}sky is lost: 99.00 % unlike the float network." in text
    for fine in (MET, UNSURE, MISSED, NO_LABELS, RANDOM):
        assert said not in page_of(fine).text


def test_interval_says_how_sure_it_is(page_of):
    sure = dataclasses.replace(MET, cost=dataclasses.replace(COST, confidence=0.975))
    assert "(97.5 % interval 0.12 to 0.44)" in page_of(sure).text


def test_simulation_and_engine_stand_side_by_side(page_of):
    page = page_of(MET)
    assert page.row("float") == ["float", "66.21 %", "-", "100.00 %"]
    assert page.row("INT8, simulated exactly") == ["INT8, simulated exactly", "65.90 %", "0.31", "98.71 %"]
    assert page.row("INT8, engine of onnxruntime")[1:] == ["65.88 %", "0.33", "98.69 %"]


def test_every_class_has_what_it_lost_by_the_truth_by_the_float_network_and_by_regions(page_of):
    page = page_of(MET)
    head = next(row for row in page.rows if row[:2] == ["class", "budget"])
    assert head[2:6] == ["IoU float, %", "IoU INT8, %", "points lost", "lost, up to"]
    assert head[7:] == ["unlike float, %", "unlike, up to", "regions found", "new", "% of pixels", "images"]
    assert {len(row) for row in page.rows if row and row[0] in ("road", "sky", "<car> & van", "mean")} == {len(head)}
    assert page.row("road")[:6] == ["road", "held", "90.00", "90.50", "-0.50", "0.20"]
    assert page.row("road")[7:] == ["3.00", "4.00", "0 of 0", "0", "60", "50"]
    assert page.row("sky")[:6] == ["sky", "held", "42.42", "41.26", "1.16", "1.80"]
    assert page.row("sky")[9:11] == ["11 of 12", "2"]
    assert page.row("<car> & van")[:6] == ["<car> & van", "-", "-", "-", "-", "-"]
    assert page.row("mean")[:7] == ["mean", "held", "66.21", "65.88", "0.33", "0.46", ""]


def test_without_labels_a_class_is_compared_with_the_float_network_alone(page_of):
    page = page_of(NO_LABELS)
    assert page.row("sky") == ["sky", "held", "12.00", "20.00", "0 of 0", "0", "1", "50"]
    assert "mean" not in [row[0] for row in page.rows if row]


def test_what_matters_stands_first_among_the_classes(page_of):
    names = ("held", "absent", "unsure", "blind", "over", "lost")
    cost = network_cost(*(labelled_class(name) for name in names), drop=0.1, low=0.0, high=0.2)
    report = dataclasses.replace(
        MET,
        verdict=EXCEEDED,
        cost=cost,
        unseen_classes=("blind (1 % of pixels)",),
        judgements=(
            Judgement(CLASS_DROP, "held", 0.0, 0.0, 2.0, HELD),
            Judgement(CLASS_DROP, "unsure", 1.0, 3.0, 2.0, NOT_SHOWN, 200),
            Judgement(CLASS_DROP, "over", 3.0, 3.5, 2.0, EXCEEDED),
            Judgement(LOST_CLASS, "lost", 99.0, None, 90.0, EXCEEDED),
            Judgement(LOST_REGIONS, "lost", 100.0, None, 50.0, EXCEEDED),
        ),
    )
    page = page_of(report)
    shown = [row[:2] for row in page.rows if row and row[0] in names]
    assert shown == [
        ["lost", "lost"],
        ["over", "over"],
        ["blind", "float is blind"],
        ["unsure", "not shown"],
        ["held", "held"],
        ["absent", "-"],
    ]


def test_class_over_its_limit_is_named_at_the_top(page_of):
    text = page_of(MISSED).text
    over = "sky is lost: 97.00 % unlike the float network; road 2.50 points of IoU lost, at most 2."
    sentence = f"Over the limit of a class: {over}"
    assert sentence in text and text.index(sentence) < text.index("What it cost")
    assert "Closest to the limit of a class: sky 1.16 points of IoU lost, at most 2." in page_of(MET).text


def test_class_that_the_float_network_does_not_see_stands_in_red(page_of):
    blind = dataclasses.replace(MET, unseen_classes=("sky (2.1 % of pixels)",))
    page = page_of(blind)
    assert "The float network itself does not see sky (2.1 % of pixels): neither can INT8." in page.text
    assert re.findall(r'class="banner (\w+)"', page.source) == ["good", "bad"]
    assert '<span class="badge bad">float is blind</span>' in page.source
    assert any("does not see sky" in line for line in summary_lines(blind))
    assert "does not see" not in page_of(MET).text


def test_what_judged_and_what_was_searched_are_told_apart(page_of):
    text = page_of(MET).text
    assert "Judged on 101 images of camvid val, which no search has seen." in text
    assert "The search evaluated on 24 of camvid train, which calibrate:" in text
    same = dataclasses.replace(MET, search_sees_judging_images=True)
    assert "which no search has seen" not in page_of(same).text


def test_steps_are_numbered_in_the_order_of_the_search(page_of):
    page = page_of(dataclasses.replace(MET, looks=()))
    over = "2.75 points of mIoU lost, at most 0.5"
    assert page.row("1") == ["1", "percentile ranges", "100.00 %", "2.75", "95.00 %", "over", over, "a" * 12]
    assert page.row("3") == ["3", "one layer in float", "96.25 %", "0.31", "99.00 %", "held", WORST, "c" * 12]


def test_step_without_a_drop_is_not_in_the_chart_but_in_the_table(page_of):
    steps = (*STEPS, SearchStep("broken off", "d" * 64, 0.9, 0.5, None, False))
    page = page_of(dataclasses.replace(MET, steps=steps))
    assert page.row("4")[3] == "-"
    assert "step 3, one layer in float" in page.text and "step 4, broken off" not in page.text


def test_layer_has_all_that_is_known_of_it(page_of):
    page = page_of(MET)
    assert page.row("stem/conv") == [
        "stem/conv",
        "Conv",
        "int8",
        "40.00",
        "40.00",
        "1.23",
        "0.4560",
        "0.500",
        "1.000",
        "2.00x",
    ]
    assert page.row("branch/add") == ["branch/add", "Add", "int8", *"-------"]
    assert page.row("head/conv")[2] == "float gives back 1.19 points"


def test_int8_layer_slower_than_float_is_marked_and_a_float_layer_is_not(page_of):
    page = page_of(MET)
    assert page.row("branch/conv")[-1] == "slower 0.80x"
    assert page.row("head/conv")[-1] == "0.89x"
    assert "Layers that are slower in INT8 than in float: branch/conv." in page.text
    assert "INT8 is slower than float on this machine" not in page.text


def test_speed_up_has_its_range_and_overlapping_times_are_not_told_apart(page_of):
    apart = dataclasses.replace(LAYERS[0], int8_range_ms=(0.4, 0.8), float_range_ms=(0.9, 1.6))
    overlapping = dataclasses.replace(LAYERS[1], int8_range_ms=(1.0, 24.0), float_range_ms=(1.1, 1.3))
    slower = dataclasses.replace(LAYERS[1], name="slower/conv", int8_range_ms=(1.4, 1.6), float_range_ms=(1.1, 1.3))
    report = dataclasses.replace(MET, layers=(apart, overlapping, slower))
    page = page_of(report)
    assert page.row("stem/conv")[-1] == "2.00x (1.12 to 4.00)"
    assert page.row("branch/conv")[-1] == "not told apart 0.80x (0.05 to 1.30)"
    assert page.row("slower/conv")[-1] == "slower 0.80x (0.69 to 0.93)"
    assert "Layers that are slower in INT8 than in float: slower/conv." in page.text
    assert not any("branch/conv" in line for line in summary_lines(report) if "slower" in line)


def test_busy_machine_is_said_where_the_times_are(page_of):
    report = dataclasses.replace(MET, load=MachineLoad(5.0, 0.6, True))
    said = "times of layers are disturbed: other programs took 60 % of the CPU meanwhile"
    assert said in page_of(report).text
    assert any(line.startswith(f"warning: {said}") for line in summary_lines(report))
    assert "disturbed" not in page_of(dataclasses.replace(MET, load=MachineLoad(0.1, 0.01, False))).text


def test_network_whose_rounds_overlap_is_not_called_slower(page_of):
    layers = tuple(
        dataclasses.replace(each, int8_ms=5.0, int8_range_ms=(0.9, 24.0), float_range_ms=(1.0, 1.1))
        for each in LAYERS[:2]
    )
    assert "INT8 is slower" not in page_of(dataclasses.replace(MET, layers=layers)).text


def test_warnings_stand_in_one_box_and_notes_are_not_yellow(page_of):
    page = page_of(
        dataclasses.replace(MET, warnings=tuple(f"tensor {i} is constant" for i in range(25)), notes=("a", "b"))
    )
    assert page.source.count('class="note"') == 1
    assert "25 warnings" in page.text and "tensor 24 is constant" in page.text
    assert page.source.count('class="remarks"') == 1


def test_network_slower_than_float_is_said(page_of):
    slow = tuple(dataclasses.replace(layer, int8_ms=5.0) for layer in LAYERS[:2])
    text = page_of(dataclasses.replace(MET, layers=slow)).text
    assert "INT8 is slower than float on this machine: 10.00 ms against 2.20 ms in the 2 layers" in text


def test_columns_that_nobody_measured_are_left_out(page_of):
    page = page_of(dataclasses.replace(RANDOM, layers=tuple(LayerReport("conv", "Conv", 5, "int8") for _ in range(3))))
    assert ["layer", "operator", "precision", "M multiply-adds", "share, %"] in page.rows
    assert "Sensitivity" not in page.text


def test_most_sensitive_of_many_layers_come_first_and_the_others_are_counted(page_of):
    many = tuple(LayerReport(f"block/conv_{i}", "Conv", 1000, "int8", "", 0.01, i / 10000) for i in range(200))
    page = page_of(dataclasses.replace(MET, layers=many))
    chart = page.source[page.source.index("Each layer alone") :].split("</svg>")[0]
    shown = re.findall(r">block/conv_(\d+)<", chart)
    assert shown == [str(index) for index in range(199, 199 - MOST_BARS, -1)]
    assert "170 more layers cost less; the table below has them." in page.text
    assert all(len(page.row(f"block/conv_{i}")) == 7 for i in range(200))


def test_layers_that_were_not_measured_are_counted(page_of):
    assert "1 of 4 layers were not measured." in page_of(MET).text


def test_sensitivity_by_output_error_alone_is_drawn_as_such(page_of):
    layers = tuple(dataclasses.replace(layer, label_change=None) for layer in LAYERS)
    page = page_of(dataclasses.replace(MET, layers=layers))
    assert "Each layer alone in INT8: RMS error of the logits over their RMS" in page.text
    assert "30.00 %" in page.text


def test_error_that_is_not_finite_stays_readable(page_of):
    broken = dataclasses.replace(LAYERS[0], output_error=float("inf"), label_change=float("nan"))
    page = page_of(dataclasses.replace(MET, layers=(*LAYERS[1:], broken)))
    assert page.row("stem/conv")[5:7] == ["not finite", "not finite"]
    assert summary_lines(dataclasses.replace(MET, layers=(*LAYERS[1:], broken)))


def test_names_cannot_break_the_page(page_of):
    step = dataclasses.replace(STEPS[0], what=HOSTILE, recipe_sha256='"><i>')
    layer = dataclasses.replace(LAYERS[3], name=HOSTILE, operator=HOSTILE, reason=HOSTILE)
    figures = dataclasses.replace(FLOAT_FIGURES, class_iou={HOSTILE: 0.5})
    report = dataclasses.replace(
        MET,
        **dict.fromkeys(("network", "backend", "weights", "images_from", "recipe", "graph_sha256"), HOSTILE),
        steps=(step,),
        looks=(),
        cost=dataclasses.replace(COST, classes=(labelled_class(HOSTILE),)),
        layers=(layer,),
        float_figures=figures,
        simulated=figures,
        engine=figures,
        worst_images=(ImageReport(HOSTILE, 0, 0.5),),
        warnings=(HOSTILE,),
        notes=(HOSTILE,),
    )
    pictures = (dataclasses.replace(picture(HOSTILE), class_names=(HOSTILE, "b", "c")), picture("plain.png"))
    page = page_of(report, pictures)
    assert "script" not in page.tags and "<script" not in page.source
    assert [row[0] for row in page.rows].count(HOSTILE) == 2, "a class and a layer"
    assert page.text.count(" ".join(HOSTILE.split())) >= 12


def test_warnings_notes_and_conditions_are_in_the_page(page_of):
    page = page_of(MET)
    assert "conv_3 is constant" in page.text and "the search took 3 minutes" in page.text
    assert page.row("accuracy images")[1] == "101 of camvid val"
    assert page.row("float graph")[1] == "0123456789ab"
    assert page.row("ranges")[1] == "ba9876543210"
    (budget,) = (row[1] for row in page.rows if row[0] == "budget" and len(row) == 2)
    assert budget == "at most 0.5 points of mIoU, 2 points of IoU of any class"


def test_worst_images_without_a_picture_are_named(page_of):
    text = page_of(MET, [picture("first.png")]).text
    assert "Not shown, with their label agreement: second.png (95.00 %)" in text


def test_picture_has_its_figures_and_what_its_colours_mean(page_of):
    text = page_of(MET, [picture()]).text
    # 800 pixels: 6 lost, 4 gained, 2 otherwise.
    assert "98.50 % label agreement; of all pixels 0.75 % changed from right to wrong, 0.50 %" in text
    assert "right in float, wrong in INT8" in text and "label changed" not in text
    without = page_of(MET, [picture(truth=False)]).text
    assert "label changed" in without and "right in float" not in without


def test_changes_are_told_apart_by_the_truth():
    changes = changes_of(picture())
    assert [int(mask.sum()) for mask in (changes.lost, changes.gained, changes.other)] == [6, 4, 2]
    assert changes.lost[0, :6].all() and changes.gained[2, :4].all()
    assert changes.other[4, 0] and changes.other[6, 0], "wrong in both, and a pixel that counts for nothing"


def test_without_a_truth_every_change_is_just_a_change():
    changes = changes_of(picture(truth=False))
    assert [int(mask.sum()) for mask in (changes.lost, changes.gained, changes.other)] == [0, 0, 12]


def test_difference_is_the_grey_frame_with_changes_in_their_colours():
    painted = difference_rgb(picture())
    assert tuple(painted[0, 3]) == LOST
    assert tuple(painted[2, 3]) == GAINED
    assert tuple(painted[4, 0]) == OTHER
    assert tuple(difference_rgb(picture(truth=False))[0, 3]) == CHANGED
    calm = painted[10:]
    assert (calm == calm[..., :1]).all(), "grey where nothing changed"
    assert calm.std() > 10, "and the frame can be seen"


def test_thin_change_is_still_seen_in_a_picture_that_was_made_smaller():
    wide = picture(height=60, width=3 * SHOWN_WIDTH)
    labels = np.zeros((60, 3 * SHOWN_WIDTH), np.uint8)
    changed = labels.copy()
    changed[30] = 1
    painted = difference_rgb(dataclasses.replace(wide, float_labels=labels, int8_labels=changed, truth=None))
    assert painted.shape == (20, SHOWN_WIDTH, 3)
    # One row of three has changed: its cover of 1/3 is painted whole, to rounding.
    assert np.abs(painted[10].astype(int) - CHANGED).max() <= 1


def test_pictures_in_the_page_are_float_int8_and_difference(page_of):
    shown = picture(height=40, width=60)
    page = page_of(MET, [shown])
    decoded = [
        cv2.imdecode(np.frombuffer(base64.b64decode(address.split(",", 1)[1]), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        for address in page.addresses
    ]
    assert [one.shape for one in decoded] == [(40, 60, 3)] * 3
    assert np.abs(decoded[0].astype(int) - shown.frame_rgb).mean() > 5, "labels are painted over the frame"
    assert np.abs(decoded[0][:1, :6].astype(int) - decoded[1][:1, :6]).mean() > 10, "the labels differ there"
    # JPEG shifts a colour a little, and more at noise and edges.
    assert np.abs(decoded[2].astype(int) - difference_rgb(shown)).mean() < 12


@pytest.mark.parametrize("field", ["float_labels", "int8_labels", "truth"])
def test_label_map_of_another_size_or_type_is_refused(field):
    for labels in (np.zeros((20, 39), np.uint8), np.zeros((20, 40), np.int64)):
        with pytest.raises(InputError, match=r"labels of first\.png are .*expected \(20, 40\) uint8"):
            dataclasses.replace(picture(), **{field: labels})


def test_page_in_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        write_page(tmp_path / "taken" / "int8-report.html", MET, ())


def test_summary_says_verdict_sensitive_layers_and_float_layers_with_reasons():
    lines = summary_lines(MET)
    assert lines[0].startswith("Accuracy budget met. 0.31 points of mIoU lost (95 % interval 0.12 to 0.44)")
    start = lines.index("most sensitive layers, each alone in INT8:")
    assert [line.split()[-2] for line in lines[start + 1 : start + 4]] == ["head/conv", "stem/conv", "branch/conv"]
    assert "7.8900 % of labels change" in lines[start + 1]
    assert lines[lines.index("float layers, 1 of 4:") + 1] == "  head/conv: gives back 1.19 points"
    assert any("slower in INT8 than in float: branch/conv" in line for line in lines)


@pytest.mark.parametrize("report", STATES.values(), ids=STATES)
def test_summary_is_plain_lines_in_every_state(report):
    for line in [*summary_lines(report), *curve_lines(report)]:
        assert line and "\n" not in line and "None" not in line


def test_summary_of_many_float_layers_stays_short():
    many = tuple(LayerReport(f"conv_{i}", "Conv", 1, "float", "asked\nfor") for i in range(50))
    lines = summary_lines(dataclasses.replace(MET, layers=many))
    assert lines[-1] == f"  and {50 - MOST_FLOAT} more, which the report lists"
    assert lines[-2] == f"  conv_{MOST_FLOAT - 1}: asked for"


def test_curve_is_a_table_by_share_of_int8_with_the_step_closest_to_the_budget():
    assert [line.split()[0] for line in curve_lines(MET)[1:]] == ["100.00", "100.00", "96.25"]
    # At one share the cheaper step stands first.
    lines = curve_lines(MISSED)
    assert [line.split()[-3:] for line in lines[1:3]] == [["2:", "entropy", "ranges"], ["1:", "percentile", "ranges"]]
    assert re.split(r" {2,}", lines[1].strip()) == ["100.00 %", "1.50", "97.00 %", "over", "2: entropy ranges"]
    assert lines[3] == (
        "closest to the budget: step 2, 1.50 points of mIoU lost, 100.00 % in INT8; "
        "worst is 1.50 points of mIoU lost, at most 0.5"
    )
    # Every column ends where its head ends.
    for head in ("INT8 share", "drop, points", "labels kept", "budget"):
        end = lines[0].index(head) + len(head)
        assert all(line[end - 1] != " " and line[end : end + 3] == "   " for line in lines[1:3])


def test_curve_without_labels_goes_by_label_agreement():
    report = dataclasses.replace(
        NO_LABELS,
        verdict=EXCEEDED,
        steps=tuple(dataclasses.replace(step, within_budget=False, worst="") for step in NO_LABELS.steps),
    )
    assert curve_lines(report)[-1] == "closest to the budget: step 3, 99.00 % label agreement, 96.25 % in INT8"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.00 %"), (1e-6, "< 0.01 %"), (0.5, "50.00 %"), (0.999999, "> 99.99 %"), (1.0, "100.00 %")],
)
def test_share_that_is_not_quite_all_or_none_is_not_rounded_to_it(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "budget", "text"),
    [(0.31, 0.5, "0.31"), (0.5, 0.5, "0.50"), (0.5002, 0.5, "0.5002"), (0.4999, 0.5, "0.4999"), (-0.001, None, "0.00")],
)
def test_drop_next_to_the_budget_is_never_spelled_like_it(value, budget, text):
    assert points(value, budget) == text


def test_gain_is_called_a_gain():
    report = dataclasses.replace(MET, drop_points=-0.2, drop_low=-0.4, drop_high=0.1)
    assert "0.20 points of mIoU gained (95 % interval -0.40 to 0.10)" in summary_lines(report)[0]
