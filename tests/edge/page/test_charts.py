"""What the charts of the INT8 report draw; those of the benchmark are in test_report.py."""

from __future__ import annotations

import re
import xml.etree.ElementTree

import numpy as np
import pytest

from edge.page.axes import Level, round_ticks
from edge.page.charts import Bar, bar_pair, bars
from edge.page.plots import Point, line_chart, scatter_chart
from edge.page.svg import BLUE, GREEN, ORANGE, RED


def tree(chart, form="for-wide"):
    """Return the SVG of a chart; one that is the same on every screen has no form."""
    root = xml.etree.ElementTree.fromstring(chart)
    return next((node for node in root.iter("svg") if node.get("class") == form), root)


def texts(root):
    return ["".join(node.itertext()) for node in root.iter("text")]


def points(*places, is_good=True):
    return [Point(x, y, str(index), f"step {index}", is_good) for index, (x, y) in enumerate(places, 1)]


def scatter(*places, limit=0.5, is_good=True):
    return tree(scatter_chart(points(*places, is_good=is_good), "share, %", "drop", "caption", limit))


def dots(root):
    return [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("circle")]


def level_of_limit(root):
    return next(float(line.get("y1")) for line in root.iter("line") if line.get("stroke") == RED)


def test_bars_of_one_name_are_all_drawn_in_their_colours():
    root = tree(bars([Bar("conv", 2.0, "2", BLUE), Bar("conv", 1.0, "1", ORANGE)], "x"))
    drawn = [(float(bar.get("width")), bar.get("fill")) for bar in root.iter("rect")]
    assert [color for _, color in drawn] == [BLUE, ORANGE]
    assert drawn[0][0] == pytest.approx(2 * drawn[1][0], abs=0.1)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_value_that_is_not_finite_has_its_text_and_no_bar(value):
    root = tree(bars([Bar("a", value, "not finite"), Bar("b", 1.0, "1")], "x"))
    assert [float(bar.get("width")) > 0 for bar in root.iter("rect")] == [False, True]
    assert "not finite" in texts(root)


def test_long_name_is_cut_in_the_middle_and_whole_when_pointed_at():
    name = "network/<branch>/" + "x" * 80 + "/last & conv"
    root = tree(bars([Bar(name, 1.0, "1")], "x"))
    label = next(node for node in root.iter("text") if node.find("title") is not None)
    assert label.find("title").text == name
    shown = label.find("title").tail
    assert len(shown) <= 44 and shown.startswith("network/<bran") and shown.endswith("/last & conv")
    # The text ends where the bar begins, and must begin inside the picture: 6.9 units a character is a wide letter.
    assert float(label.get("x")) - 6.9 * len(shown) >= 0


def test_bar_pair_shares_one_scale():
    first, second = tree(bar_pair(0.8, 0.4, 1.0)).iter("rect")
    assert float(first.get("width")) == pytest.approx(2 * float(second.get("width")), abs=0.1)
    assert (first.get("fill"), second.get("fill")) == (ORANGE, BLUE)


def test_points_lie_where_their_values_are():
    root = scatter((90, 0.1), (95, 0.2), (100, 0.4))
    (x1, y1), (x2, y2), (x3, y3) = dots(root)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.3)
    assert y2 - y3 == pytest.approx(2 * (y1 - y2), abs=0.3)


def test_limit_parts_the_points_that_hold_it_from_those_over_it():
    root = scatter((90, 0.4), (95, 0.6))
    (_, under), (_, over) = dots(root)
    assert over < level_of_limit(root) < under
    assert "budget 0.5" in texts(root)


def test_chart_without_a_limit_draws_none():
    root = scatter((90, 0.4), (95, 0.6), limit=None)
    assert not [line for line in root.iter("line") if line.get("stroke") == RED]
    assert not [text for text in texts(root) if "budget" in text]


def test_point_over_the_budget_has_another_shape_not_only_another_colour():
    root = scatter((90, 0.4), is_good=False)
    assert not dots(root)
    assert [square.get("fill") for square in root.iter("rect")] == [RED]
    assert [dot.get("fill") for dot in scatter((90, 0.4)).iter("circle")] == [GREEN]


def test_hopeless_point_does_not_press_the_others_onto_the_axis():
    root = scatter((90, 0.1), (95, 0.5), (100, 60.0))
    heights = [y for _, y in dots(root)]
    assert len(heights) == 2 and heights[0] - heights[1] > 20
    assert len(list(root.iter("polygon"))) == 1
    assert any("triangles lie above" in text for text in texts(root))


def test_gain_lies_below_zero_inside_the_chart():
    root = scatter((90, -0.4), (95, 0.3))
    zero = next(node for node in root.iter("text") if re.fullmatch(r"0(\.0+)?", node.text or ""))
    (_, gained), (_, lost) = dots(root)
    assert lost < float(zero.get("y")) < gained < float(root.get("height"))


def test_line_of_the_best_leaves_out_what_another_point_beats():
    root = scatter((100, 0.9), (95, 0.2), (92, 0.6), (90, 0.1))
    corners = next(root.iter("polyline")).get("points").split()
    places = {(round(x, 1), round(y, 1)) for x, y in dots(root)}
    touched = {tuple(map(float, corner.split(","))) for corner in corners}
    assert len(touched & places) == 3
    assert (round(dots(root)[2][0], 1), round(dots(root)[2][1], 1)) not in touched


def test_one_point_at_all_of_int8_needs_no_axis_beyond_it():
    root = scatter((100, 0.3))
    numbers = [float(text) for text in texts(root) if re.fullmatch(r"-?\d+(\.\d+)?", text)]
    assert max(numbers) == 100


def test_marks_of_crowded_points_do_not_cover_one_another():
    root = scatter((80, 0.1), *[(95 + 0.02 * index, 0.3 + 0.004 * index) for index in range(30)])
    marks = [node for group in root.iter("g") for node in group.iter("text")]
    assert 3 <= len(marks) < 30
    boxes = [(float(mark.get("x")), float(mark.get("y")), 6.9 * len(mark.text)) for mark in marks]
    for index, (x, y, size) in enumerate(boxes):
        for other_x, other_y, other_size in boxes[index + 1 :]:
            apart = x + size <= other_x + 0.2 or other_x + other_size <= x + 0.2
            assert apart or abs(y - other_y) >= 11.8


def test_pointing_at_a_point_says_what_it_is():
    chart = scatter_chart([Point(90, 0.1, "1", "<b> & more", True)], "x", "y", "c", None)
    assert [node.text for node in tree(chart).iter("title")] == ["<b> & more"]


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 27.8), (0.0, 13.9), (0.0, 0.00037), (-0.4, 0.3), (99.7, 100.0), (0.0, 98765.0), (5.0, 5.0)]
)
@pytest.mark.parametrize("most", [4, 6])
def test_ticks_are_multiples_of_one_two_or_five(low, high, most):
    ticks = round_ticks(low, high, most)
    step = ticks[1] - ticks[0]
    mantissa = step / 10 ** np.floor(np.log10(step) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6
    assert np.allclose(np.array(ticks) / step, np.round(np.array(ticks) / step), atol=1e-6)
    assert ticks[0] <= low + 1e-9 * step and ticks[-1] >= high - 1e-9 * step
    assert 2 <= len(ticks) <= most + 3


PERIOD = Level(1000 / 30, "33.3 ms of 30 fps")


@pytest.mark.parametrize("form", ["for-wide", "for-narrow"])
def test_latency_is_compared_with_the_period_of_a_camera(form):
    root = tree(line_chart([20.0, 50.0, 25.0], "ms", "x", (PERIOD,)), form)
    (level,) = (line for line in root.iter("line") if line.get("stroke") == RED)
    (_, low), (_, high), _ = (
        tuple(map(float, p.split(","))) for p in next(root.iter("polyline")).get("points").split()
    )
    assert high < float(level.get("y1")) < low
    assert "33.3 ms of 30 fps" in texts(root)


def test_fast_network_is_not_pressed_onto_the_axis_by_the_period():
    root = tree(line_chart([2.0, 3.0], "ms", "x", (PERIOD,)))
    assert not [line for line in root.iter("line") if line.get("stroke") == RED]
    assert "frame 1 to 2; 33.3 ms of 30 fps lies above" in texts(root)
    near = tree(line_chart([20.0, 21.0], "ms", "x", (PERIOD,)))
    assert [line for line in near.iter("line") if line.get("stroke") == RED]


def test_spike_among_ten_thousand_frames_is_drawn_without_ten_thousand_points():
    values = [5.0] * 10_000
    values[7_531] = 90.0
    root = tree(line_chart(values, "ms", "x"))
    places = [tuple(map(float, point.split(","))) for point in next(root.iter("polyline")).get("points").split()]
    assert len(places) < 2_000
    (spike,) = (x for x, y in places if y < min(max(y for _, y in places) - 50, 100))
    left, right = places[0][0], places[-1][0]
    assert (spike - left) / (right - left) == pytest.approx(0.7531, abs=0.002)


@pytest.mark.parametrize("form", ["for-wide", "for-narrow"])
def test_texts_of_a_chart_stay_inside_the_picture(form):
    many = [Point(99.7 + 0.01 * index, 0.1 * index, str(index), "x", True) for index in range(30)]
    charts = [
        scatter_chart(many, "multiply-adds in INT8, %", "mIoU lost, points", "c", 1.5),
        line_chart([20.0, 5000.0], "ms", "x", (PERIOD,)),
        bars([Bar("n" * 90, 12.254, "12.254 ms, 50.7%"), Bar("b", 0.0, "0")], "c"),
    ]
    for chart in charts:
        root = tree(chart, form)
        width = float(root.get("width"))
        for node in root.iter("text"):
            shown = (node.text or "") + "".join(child.tail or "" for child in node)
            size, x = 6.9 * len(shown), float(node.get("x"))
            begin = x - {"start": 0, "middle": size / 2, "end": size}[node.get("text-anchor")]
            assert begin >= -1 and begin + size <= width + 1, shown
