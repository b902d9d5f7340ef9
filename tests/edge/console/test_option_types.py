from __future__ import annotations

import argparse

import pytest

from edge.console import parse_size, positive_int, size_argument
from edge.errors import SizeError


@pytest.mark.parametrize(
    ("text", "size"), [("512x1024", (512, 1024)), (" 64X128 ", (64, 128)), ("1x99999", (1, 99999))]
)
def test_size_is_height_then_width(text, size):
    assert parse_size(text) == size
    assert size_argument(text) == size


@pytest.mark.parametrize("text", ["", "512", "512x", "x512", "0x10", "10x0", "-1x4", "1.5x2", "512*1024", "100000x1"])
def test_size_of_another_form_is_refused(text):
    with pytest.raises(SizeError, match="expected HEIGHTxWIDTH"):
        parse_size(text)
    with pytest.raises(argparse.ArgumentTypeError, match="expected HEIGHTxWIDTH"):
        size_argument(text)


def test_positive_int_takes_whole_numbers_from_1():
    assert positive_int("1") == 1
    for text in ("0", "-3", "two", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            positive_int(text)
