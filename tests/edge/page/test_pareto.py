"""Pareto pictures: places on a logarithmic axis, marks of groups, names and limits."""

from __future__ import annotations

import re
import xml.etree.ElementTree

import pytest

from edge.page.pareto import Choice, ParetoAxes, draw_pareto
from edge.page.svg import NARROW, WIDE

AXES = ParetoAxes("ms", "mIoU (%)")


def choice(name, group, x, y, is_best=True):
    return Choice(name, group, x, y, None, None, is_best, f"{name} text")


def centres(picture):
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', picture)]


def test_equal_ratios_are_equal_distances():
    picture = draw_pareto([choice("a", "g", x, 50.0 + x / 10) for x in (10.0, 100.0, 1000.0)], AXES, "c", WIDE)
    first, second, third = sorted(centres(picture))[-3:]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.3)


def test_beaten_choice_is_pale_and_groups_differ_in_shape():
    picture = draw_pareto([choice("a", "float32", 10, 60), choice("b", "int8", 20, 50, False)], AXES, "c", WIDE)
    pale = re.findall(r"<(\w+) [^>]*fill-opacity", picture)
    assert pale == ["rect"] and "<circle" in picture


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_names_of_the_best_have_room_first_and_no_two_lie_on_each_other(width):
    many = [choice(f"network {index}", "g", 10 + index / 100, 50 + index / 100, index == 7) for index in range(12)]
    named = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>(network \d+)<', draw_pareto(many, AXES, "c", width))
    assert "network 7" in {name for _, _, name in named}
    assert len({(x, y) for x, y, _ in named}) == len(named)


def test_need_is_drawn_at_its_place_although_no_choice_is_near():
    axes = ParetoAxes("ms", "mIoU (%)", x_limit=500.0, y_limit=80.0)
    picture = draw_pareto([choice("a", "g", 10, 50)], axes, "c", WIDE)
    assert picture.count(">need<") == 2
    xml.etree.ElementTree.fromstring(picture)


def test_interval_is_a_fine_line_through_the_mark():
    one = Choice("a", "g", 10.0, 50.0, (8.0, 12.5), (45.0, 55.0), True, "t")
    picture = draw_pareto([one], AXES, "c", WIDE)
    plain = draw_pareto([choice("a", "g", 10.0, 50.0)], AXES, "c", WIDE)
    assert picture.count("<line") == plain.count("<line") + 2
