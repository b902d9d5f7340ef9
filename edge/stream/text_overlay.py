"""Text on pictures, whose size follows the frame's height, on a dark backing that keeps it legible."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from edge.opencv import cv2
from edge.stream.lettering import FONT, text_width, write_text

_WHITE = (255, 255, 255)
_BACKING_SHARE = 0.3  # of the picture's light that is left under a text


@dataclass(frozen=True)
class TextStyle:
    """Measures of text, all in pixels except the scale.

    Attributes:
        capital: Height of a capital letter.
        scale: Value of OpenCV's fontScale.
        thickness: Thickness of a stroke.
        line: Distance from one line to the next.
        pad: Distance between text and the edge of its backing.
    """

    capital: int
    scale: float
    thickness: int
    line: int
    pad: int

    def width(self, text: str) -> int:
        """Return the width of a text in pixels."""
        return text_width(text, self.scale, self.thickness)

    def write(self, picture: np.ndarray, text: str, left: int, baseline: int) -> None:
        """Draw white text on a picture, in place."""
        write_text(picture, text, (left, baseline), self.capital, self.scale, self.thickness, _WHITE)

    def baseline(self, top: int, row: int) -> int:
        """Return the baseline of a row of text in a block that starts at row `top` of the picture."""
        return top + row * self.line + (self.line + self.capital) // 2


def text_style_for_frame(height: int) -> TextStyle:
    """Return the text style for frames of a height; capital letters have at least 8 pixels, to be legible."""
    return text_style_of_size(min(max(round(height / 62), 8), 40))


@functools.lru_cache(maxsize=64)
def text_style_of_size(capital: int) -> TextStyle:
    """Return the text style whose capital letters have a given height in pixels."""
    unit = cv2.getTextSize("H", FONT, 10.0, 1)[0][1] / 10.0
    thickness = 1 if capital < 15 else 2
    return TextStyle(capital, capital / unit, thickness, round(1.9 * capital), max(round(0.8 * capital), 3))


def darken(picture: np.ndarray, top: int, left: int, height: int, width: int) -> None:
    """Darken a rectangle of a picture in place as the backing of a text; parts outside the picture are ignored."""
    region = picture[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if region.size:
        cv2.convertScaleAbs(region, region, alpha=_BACKING_SHARE)
