"""The page and the picture of a leaderboard."""

from __future__ import annotations

import xml.etree.ElementTree

import pytest

from edge.leaderboard.board import make_leaderboard
from edge.leaderboard.leaderboard_page import leaderboard_html
from edge.leaderboard.leaderboard_pictures import leaderboard_svg
from edge.leaderboard.need import parse_need
from edge.page import plotly_library
from edge.page.markup import Html, html_to_text
from tests.edge.leaderboard.made_runs import RunMaker, accuracy, power


@pytest.fixture(autouse=True)
def without_library(monkeypatch):
    monkeypatch.setattr(plotly_library, "is_installed", lambda: False)


@pytest.fixture
def board():
    """Four engines under a need: one meets it, one is too slow, one has no accuracy, one is beaten by the first."""
    make = RunMaker()
    runs = [
        make("fast_scnn", "int8", 20.0, power=power(10.0, 200.0)),
        make("fastfcn", "float32", 400.0, accuracy=accuracy(0.75, 0.7), power=power(30.0, 9000.0)),
        make("rival <b>", "float32", 30.0, accuracy=None),
        make("pspnet", "int8", 45.0, accuracy=accuracy(0.5), power=power(20.0, 700.0)),
    ]
    return make_leaderboard(runs, parse_need("p99<=50, miou>=60"))


def test_page_answers_the_need_first_and_names_what_was_never_measured(board):
    page = leaderboard_html(board)
    text = html_to_text(Html(page))
    assert "1 of 4 engines meets the need" in text
    assert text.index("1 of 4 engines meets") < text.index("Accuracy against its price")
    assert "not measured" in text and "<b>" not in page.split("rival", 1)[1][:4]


def test_page_has_every_figure_of_every_engine(board):
    page = leaderboard_html(board)
    assert page.count('class="folded"') == len(board.rows)
    for column in board.columns:
        assert column.title in page


def test_each_front_of_engines_that_can_be_compared_has_a_picture(board):
    page = leaderboard_html(board)
    assert page.count('class="chart"') == sum(len(front.rows) > 1 for front in board.fronts) > 0


def test_page_without_a_need_asks_for_no_answer(board):
    page = html_to_text(Html(leaderboard_html(make_leaderboard([RunMaker()()]))))
    assert "meets the need" not in page and "Networks side by side" in page


def test_picture_has_both_fronts_and_the_limits_of_the_need(board):
    picture = leaderboard_svg(board)
    xml.etree.ElementTree.fromstring(picture)
    assert "mIoU against energy a frame" in picture and "mIoU against p50" in picture
    assert picture.count(">need<") == 2  # accuracy in both; the need says nothing of energy or the median
