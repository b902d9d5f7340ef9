from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.stream import lettering
from edge.stream.lettering import ascii_text
from edge.stream.text_overlay import text_style_of_size

NAMES = (
    "Straße",
    "Gleisbett für Züge",
    "Łódź tory żółte ąęśćń",
    "příliš žluťoučký kůň ďábel",
    "Űrhajó",
    "Ærø",
    "Đorđe",
)


@pytest.fixture(params=["as OpenCV 4", "as installed"], autouse=True)
def opencv(request, monkeypatch):
    if request.param == "as OpenCV 4":
        monkeypatch.setattr(lettering, "writes_unicode", False)
    return request.param


def _written(text, capital=16):
    style = text_style_of_size(capital)
    picture = np.zeros((3 * capital, style.width(text) + 2 * capital, 3), np.uint8)
    style.write(picture, text, capital // 2, 2 * capital)
    return picture.max(axis=2)


@pytest.mark.parametrize("text", [*NAMES, "Путь 2", "Σταθμός", "线路", "plain"])
def test_any_name_is_written_without_question_marks_inside_its_width(text):
    written = _written(text)
    assert (written[:, 8:-16] > 100).any()
    assert (written[:, -6:] < 30).all(), "the width that a legend reserves is enough"
    assert "?" not in ascii_text(text) and ascii_text(text).isascii()


@pytest.mark.parametrize(
    ("plain", "marked"), [("a", "ä"), ("c", "č"), ("e", "ę"), ("l", "ł"), ("u", "ů"), ("B", "ß"), ("d", "ď")]
)
@pytest.mark.parametrize("capital", [8, 16])
def test_marks_are_seen(plain, marked, capital):
    first, second = _written(plain, capital), _written(marked, capital)
    width = min(first.shape[1], second.shape[1])
    assert np.abs(first[:, :width].astype(int) - second[:, :width]).max() > 100


def test_names_that_differ_in_their_marks_alone_look_different():
    pictures = [_written(text) for text in ("most", "mošt", "móst", "mőst")]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            width = min(picture.shape[1], other.shape[1])
            assert not np.array_equal(picture[:, :width], other[:, :width])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Straße", "Strasse"),
        ("Łódź", "Lodz"),
        ("Ærø", "AEro"),
        ("Поезд Щука", "Poezd Shchuka"),
        ("café ﬁ ½", "cafe fi 1/2"),
        ("车 道", "U+8F66 U+9053"),
        ("drive.mp4", "drive.mp4"),
    ],
)
def test_title_is_readable_ascii(text, plain):
    assert ascii_text(text) == plain


def test_decomposed_names_are_those_that_are_composed():
    assert np.array_equal(_written("Zu\u0308ge"), _written("Züge")) or lettering.writes_unicode


def test_opencv_5_is_known_by_what_it_writes():
    probe = np.zeros((60, 200, 3), np.uint8)
    marks = probe.copy()
    cv2.putText(probe, "ä", (5, 40), lettering.FONT, 1.0, (255, 255, 255), 1)
    cv2.putText(marks, "??", (5, 40), lettering.FONT, 1.0, (255, 255, 255), 1)
    assert np.array_equal(probe, marks) is (int(cv2.__version__.split(".")[0]) < 5)
