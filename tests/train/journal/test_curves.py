"""curves.svg: well-formed at any length, with every value where it belongs."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.train.journal.runs_made_up import epoch_entry, run_facts
from train.journal.curves import CURVES_FILE, CurvesPicture, curves_svg
from train.journal.journal import Journal

SVG = "{http://www.w3.org/2000/svg}"


def drawn(tmp_path, epochs):
    return ElementTree.fromstring(curves_svg(run_facts(tmp_path / "a-run"), epochs))


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]


def test_picture_is_drawn_anew_after_each_epoch(tmp_path):
    journal = Journal([CurvesPicture()])
    journal.open(run_facts(tmp_path))
    pictures = []
    for number in (1, 2):
        journal.on_epoch(epoch_entry(number, 0.5))
        pictures.append((tmp_path / CURVES_FILE).read_text())
        ElementTree.fromstring(pictures[-1])
    assert pictures[0] != pictures[1]


def test_picture_says_loss_scores_and_rate(tmp_path):
    root = drawn(tmp_path, [epoch_entry(1, 0.3), epoch_entry(2, 0.5), epoch_entry(3), epoch_entry(4, 0.4)])
    assert "a-run" in texts(root)
    assert "unet on camvid, 4 epochs" in texts(root)
    assert "loss 0.5000" in texts(root)
    assert "mIoU 40.00 %, best 50.00 % after epoch 2" in texts(root)
    assert "learning rate 0.025" in texts(root)


def test_curve_of_scores_goes_through_the_validated_epochs(tmp_path):
    root = drawn(tmp_path, [epoch_entry(number, number / 10 if number % 2 else None) for number in range(1, 10)])
    lines = [element.get("points").split() for element in root.iter(f"{SVG}polyline")]
    # Loss, two outputs, mIoU, learning rate.
    assert [len(points) for points in lines] == [9, 9, 9, 5, 9]
    xs = [[point.split(",")[0] for point in points] for points in lines]
    assert xs[3] == xs[0][::2]  # at the epochs of their own
    heights = [float(point.split(",")[1]) for point in lines[3]]
    assert heights == sorted(heights, reverse=True)


def test_axis_of_few_epochs_counts_whole_ones(tmp_path):
    root = drawn(tmp_path, [epoch_entry(1, 0.5), epoch_entry(2, 0.5)])
    chart = next(each for each in root.iter(f"{SVG}svg") if each.get("aria-label", "").startswith("mIoU"))
    ticks = [each.text for each in chart.iter(f"{SVG}text") if each.get("text-anchor") == "middle"]
    assert ticks == ["0", "1", "2"]


def test_first_epoch_is_seen_although_a_line_through_a_point_has_no_length(tmp_path):
    root = drawn(tmp_path, [epoch_entry(1, 0.5)])
    squares = [each for each in root.iter(f"{SVG}rect") if each.get("width") == each.get("height")]
    assert len(list(root.iter(f"{SVG}circle"))) + len(squares) == 5  # of two curves in one panel one has squares


def test_training_without_validation_yet_has_no_panel_of_scores(tmp_path):
    root = drawn(tmp_path, [epoch_entry(1), epoch_entry(2)])
    assert not [text for text in texts(root) if text and text.startswith("mIoU")]


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_picture_of_any_length_stays_inside_its_frame(tmp_path, count):
    root = drawn(tmp_path, [epoch_entry(number + 1, 0.5 + 0.4 * math.sin(number)) for number in range(count)])
    width = float(root.get("width"))
    for element in root.iter(f"{SVG}polyline"):
        xs = [float(point.split(",")[0]) for point in element.get("points").split()]
        assert min(xs) >= 0 and max(xs) <= width


def test_dark_screen_has_colours_of_its_own_and_light_needs_no_style_sheet(tmp_path):
    text = curves_svg(run_facts(tmp_path / "a-run"), [epoch_entry(1, 0.5)])
    style = re.search(r"<style>(.*?)</style>", text)[1]
    assert style.startswith("@media (prefers-color-scheme: dark) {")
    assert '<rect class="ground"' in text and 'fill="#ffffff"' in text
    assert "var(" not in text
