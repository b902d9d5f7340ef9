"""Text on pictures: its size follows the frame's height, and a dark backing keeps it legible."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WHITE = (255, 255, 255)
_BACKING_SHARE = 0.3  # of the picture's light that is left under a text


@dataclass(frozen=True)
class TextStyle:
    """Measures of text, all in pixels but the scale.

    Attributes:
        capital: height of a capital letter.
        scale: OpenCV's fontScale.
        thickness: of a stroke.
        line: from one line to the next.
        pad: between text and the edge of its backing.
    """

    capital: int
    scale: float
    thickness: int
    line: int
    pad: int

    def width(self, text: str) -> int:
        """Return how wide a text is."""
        return cv2.getTextSize(text, _FONT, self.scale, self.thickness)[0][0]

    def write(self, picture: np.ndarray, text: str, left: int, baseline: int) -> None:
        """Write white text in place."""
        cv2.putText(picture, text, (left, baseline), _FONT, self.scale, _WHITE, self.thickness, cv2.LINE_AA)

    def baseline(self, top: int, row: int) -> int:
        """Return the baseline of a row of text in a block that starts at `top`."""
        return top + row * self.line + (self.line + self.capital) // 2


def text_style_for_frame(height: int) -> TextStyle:
    """Return the lettering of frames of a height; letters of 8 pixels are the smallest that can be read."""
    return text_style_of_size(min(max(round(height / 62), 8), 40))


@functools.lru_cache(maxsize=64)
def text_style_of_size(capital: int) -> TextStyle:
    """Return the lettering whose capital letters have a height in pixels."""
    unit = cv2.getTextSize("H", _FONT, 10.0, 1)[0][1] / 10.0
    thickness = 1 if capital < 15 else 2
    return TextStyle(capital, capital / unit, thickness, round(1.9 * capital), max(round(0.8 * capital), 3))


def darken(picture: np.ndarray, top: int, left: int, height: int, width: int) -> None:
    """Darken a rectangle in place, as the backing of a text; what lies outside the picture is left out."""
    region = picture[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    if region.size:
        cv2.convertScaleAbs(region, region, alpha=_BACKING_SHARE)
