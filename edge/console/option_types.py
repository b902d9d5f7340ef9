"""Types of options: sizes, and numbers with their limits and units."""

from __future__ import annotations

import argparse
import math
import re

from edge.errors import SizeError

MOST_PIXELS = 2**28
"""Most pixels of a frame; a float tensor of one channel at this size has 1 GiB."""


def parse_size(text: str) -> tuple[int, int]:
    """Read a size written `HEIGHTxWIDTH`.

    Returns:
        (height, width) in pixels.

    Raises:
        SizeError: the text has another form, a side is zero, or the frame has more than MOST_PIXELS.
    """
    match = re.fullmatch(r"([0-9]{1,5})[xX]([0-9]{1,5})", text.strip())
    if not match or int(match[1]) == 0 or int(match[2]) == 0:
        raise SizeError(f"size is '{text}', expected HEIGHTxWIDTH in pixels, for example 512x1024")
    if int(match[1]) * int(match[2]) > MOST_PIXELS:
        raise SizeError(f"size is '{text}', expected at most {MOST_PIXELS} pixels in all, such as 16384x16384")
    return int(match[1]), int(match[2])


def size_argument(text: str) -> tuple[int, int]:
    """Read a size `HEIGHTxWIDTH` for argparse; a wrong one raises the error type that argparse expects."""
    try:
        return parse_size(text)
    except SizeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


LARGEST_COUNT = 1_000_000_000
"""Largest whole number that an option takes: more frames, epochs or seconds than any machine will see."""


class WholeNumber:
    """Type of an option that takes a whole number; argparse calls it with the text.

    Args:
        least: Smallest number.
        most: Largest number.
        unit: Unit behind the default in a help text, such as "MiB"; "" for a count.
    """

    def __init__(self, least: int, most: int = LARGEST_COUNT, unit: str = "") -> None:
        self.least, self.most, self.unit = least, most, unit

    def __call__(self, text: str) -> int:
        """Return the number.

        Raises:
            argparse.ArgumentTypeError: The text is no whole number, or the number is out of range.
        """
        number = None
        if re.fullmatch(r"[+-]?[0-9]+", text.strip()):
            number = int(text) if len(text) < 19 else (-math.inf if "-" in text else math.inf)
        if number is None or not self.least <= number <= self.most:
            is_open = self.most == LARGEST_COUNT and (number is None or number < self.least)
            limits = f"of at least {self.least}" if is_open else f"from {self.least} to {self.most}"
            raise argparse.ArgumentTypeError(f"got '{text}', expected a whole number {limits}")
        return number


class RealNumber:
    """Type of an option that takes a finite number; argparse calls it with the text.

    Args:
        least: Smallest number.
        most: Largest number.
        unit: Unit of the number, behind the default in a help text; "share" for one from 0 to 1, "" for a plain factor.
        above: Whether the number has to be more than `least`, such as a step that may not be 0.
    """

    def __init__(self, least: float, most: float, unit: str, above: bool = False) -> None:
        self.least, self.most, self.unit, self.above = least, most, unit, above

    def __call__(self, text: str) -> float:
        """Return the number.

        Raises:
            argparse.ArgumentTypeError: The text is no number, is NaN, or the number is out of range.
        """
        try:
            value = float(text) if "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most or (self.above and value == self.least):
            least = f"over {self.least:g} and at most" if self.above else f"from {self.least:g} to"
            most = f"{self.most:.0f}" if self.most == int(self.most) else f"{self.most:g}"
            unit = f" ({self.unit})" if self.unit else ""
            raise argparse.ArgumentTypeError(f"got '{text}', expected a number {least} {most}{unit}")
        return value


positive_int = WholeNumber(1)
non_negative_int = WholeNumber(0)
seed_argument = WholeNumber(0, 999_999_999)
share_argument = RealNumber(0.0, 1.0, "share")
positive_seconds = RealNumber(1e-3, 1e9, "s")
seconds_argument = RealNumber(0.0, 1e9, "s")
