"""Names of any language on pictures: what OpenCV 4's putText cannot write is drawn or transliterated.

OpenCV 5 writes Unicode. OpenCV 4 has the letters of ASCII alone, and two or three question marks for any other. There a
letter with marks (ä, č, ą, ł) is the letter of ASCII with its marks drawn as strokes, so German, Polish, Czech and most
other names in Latin letters are exact. Cyrillic and Greek are transliterated, and what is left becomes its code point,
such as "U+8ECA", so that two names never look the same.

Source: Unicode Standard Annex #15 (decomposition into a letter and its combining marks).
"""

from __future__ import annotations

import functools
import unicodedata
from typing import NamedTuple, Tuple

import numpy as np

from edge.opencv import cv2

FONT = cv2.FONT_HERSHEY_SIMPLEX

writes_unicode = int(getattr(cv2, "__version__", "0").split(".")[0]) >= 5  # without OpenCV nothing is written
"""Whether putText of this OpenCV writes other letters than those of ASCII."""

_X_HEIGHT = 0.67  # of a small letter without an ascender, in heights of a capital

# Strokes of the combining marks above a letter: x from its middle, y from its top, in heights of a capital.
_ABOVE = {
    "\u0300": (((-0.16, 0.34), (0.08, 0.14)),),  # grave
    "\u0301": (((-0.08, 0.14), (0.16, 0.34)),),  # acute
    "\u0302": (((-0.18, 0.14), (0.0, 0.34), (0.18, 0.14)),),  # circumflex
    "\u0303": (((-0.22, 0.16), (-0.1, 0.28), (0.08, 0.18), (0.2, 0.3)),),  # tilde
    "\u0304": (((-0.2, 0.22), (0.2, 0.22)),),  # macron
    "\u0306": (((-0.18, 0.34), (-0.08, 0.18), (0.08, 0.18), (0.18, 0.34)),),  # breve
    "\u0307": (((0.0, 0.16), (0.0, 0.28)),),  # dot above
    "\u0308": (((-0.17, 0.16), (-0.17, 0.28)), ((0.17, 0.16), (0.17, 0.28))),  # diaeresis
    "\u030a": (((-0.11, 0.26), (0.0, 0.37), (0.11, 0.26), (0.0, 0.14), (-0.11, 0.26)),),  # ring
    "\u030b": (((-0.18, 0.14), (-0.02, 0.34)), ((0.06, 0.14), (0.22, 0.34))),  # double acute
    "\u030c": (((-0.18, 0.34), (0.0, 0.14), (0.18, 0.34)),),  # caron
}
_BELOW = {
    "\u0327": (((0.0, 0.0), (0.06, -0.12), (-0.1, -0.22)),),  # cedilla
    "\u0326": (((0.02, -0.08), (-0.08, -0.24)),),  # comma
    "\u0328": (((0.16, 0.0), (0.04, -0.14), (0.2, -0.22)),),  # ogonek
    "\u0323": (((0.0, -0.16), (0.0, -0.2)),),  # dot
}
_APOSTROPHE = (((0.32, 0.06), (0.26, -0.14)),)  # the caron of a letter with an ascender on its right: ď, ť, ľ

# Letters that have no decomposition: a letter of ASCII, and strokes from its middle on the baseline.
_BARRED = {
    "ł": ("l", (((-0.18, 0.38), (0.18, 0.62)),)),
    "Ł": ("L", (((-0.4, 0.38), (0.0, 0.64)),)),
    "ø": ("o", (((-0.28, -0.08), (0.28, 0.76)),)),
    "Ø": ("O", (((-0.36, -0.06), (0.36, 1.06)),)),
    "đ": ("d", (((0.0, 0.82), (0.42, 0.82)),)),
    "Đ": ("D", (((-0.5, 0.5), (-0.05, 0.5)),)),
    "ħ": ("h", (((-0.45, 0.82), (0.0, 0.82)),)),
}
_SHARP_S = (
    ((-0.26, 0.0), (-0.26, 0.76), (-0.2, 0.94), (-0.04, 1.0), (0.12, 0.96), (0.18, 0.82), (0.12, 0.66), (-0.06, 0.56)),
    ((-0.06, 0.56), (0.14, 0.5), (0.25, 0.34), (0.24, 0.15), (0.12, 0.02), (-0.06, 0.0)),
)
_SPELT = {
    **dict(zip("æÆœŒþÞðÐı", ["ae", "AE", "oe", "OE", "th", "Th", "d", "D", "i"])),
    **dict(zip("·–—…„“”‘’«»", [".", "-", "-", "...", '"', '"', '"', "'", "'", "<<", ">>"])),
    **dict(zip("°²³µ×−€ẞ", ["deg", "2", "3", "u", "x", "-", "EUR", "SS"])),
    **dict(zip("абвгдежзийклмноп", ["a", "b", "v", "g", "d", "e", "zh", "z", "i", "y", "k", "l", "m", "n", "o", "p"])),
    **dict(zip("рстуфхцчшщ", ["r", "s", "t", "u", "f", "kh", "ts", "ch", "sh", "shch"])),
    **dict(zip("ъыьэюя", ["'", "y", "'", "e", "yu", "ya"])),
    **dict(zip("іїєґў", ["i", "yi", "ye", "g", "u"])),
    **dict(zip("αβγδεζηθικλμνξοπ", ["a", "v", "g", "d", "e", "z", "i", "th", "i", "k", "l", "m", "n", "x", "o", "p"])),
    **dict(zip("ρσςτυφχψω", ["r", "s", "s", "t", "y", "f", "ch", "ps", "o"])),
}

_Strokes = Tuple[Tuple[Tuple[float, float], ...], ...]


class Glyph(NamedTuple):
    """One letter as OpenCV 4 can draw it.

    Attributes:
        text: Characters of ASCII that are written, and whose width the glyph has.
        is_written: Whether the text is written; False where strokes alone make the letter.
        marks: Strokes above and below the letter and through it, in heights of a capital, each from an origin: its
            middle on the baseline, or its middle at the top for those that are listed in `_ABOVE`.
        above: Strokes that begin at the top of the letter.
    """

    text: str
    is_written: bool = True
    marks: _Strokes = ()
    above: _Strokes = ()


def ascii_text(text: str) -> str:
    """Return a text in ASCII: letters without their marks, other scripts transliterated or as code points."""
    return "".join("ss" if glyph.text == "b" and not glyph.is_written else glyph.text for glyph in glyphs(text))


@functools.lru_cache(maxsize=512)
def glyphs(text: str) -> tuple[Glyph, ...]:
    """Return the letters of a text as OpenCV 4 can draw them."""
    return tuple(_glyph(character) for character in unicodedata.normalize("NFC", text))


def text_width(text: str, scale: float, thickness: int) -> int:
    """Return the width of a text in pixels."""
    if writes_unicode or text.isascii():
        return cv2.getTextSize(text, FONT, scale, thickness)[0][0]
    return cv2.getTextSize("".join(glyph.text for glyph in glyphs(text)), FONT, scale, thickness)[0][0]


def write_text(
    picture: np.ndarray,
    text: str,
    left_baseline: tuple[int, int],
    capital: int,
    scale: float,
    thickness: int,
    color: tuple[int, int, int],
) -> None:
    """Draw a text of any language on a picture, in place.

    Args:
        picture: (height, width, 3) uint8.
        text: Text without line breaks.
        left_baseline: Column at which the text begins, and row of its baseline.
        capital: Height of a capital letter in pixels, to which `scale` belongs.
        scale: Value of OpenCV's fontScale.
        thickness: Thickness of a stroke in pixels.
        color: Colour in the picture's channel order.
    """
    left, baseline = left_baseline
    if writes_unicode or text.isascii():
        cv2.putText(picture, text, left_baseline, FONT, scale, color, thickness, cv2.LINE_AA)
        return
    before = ""
    start = text_width("", scale, thickness)
    for glyph in glyphs(text):
        at = left + text_width(before, scale, thickness) - start
        width = text_width(before + glyph.text, scale, thickness) - text_width(before, scale, thickness)
        if glyph.is_written:
            cv2.putText(picture, glyph.text, (at, baseline), FONT, scale, color, thickness, cv2.LINE_AA)
        middle = at + width / 2.0
        is_tall = glyph.text.isupper() or glyph.text in "bdfhkltij"
        top = baseline - capital * (1.0 if is_tall else _X_HEIGHT)
        for strokes, origin in ((glyph.marks, baseline), (glyph.above, top)):
            _draw_strokes(picture, strokes, (middle, origin), capital, thickness, color)
        before += glyph.text


def _draw_strokes(
    picture: np.ndarray,
    strokes: _Strokes,
    origin_xy: tuple[float, float],
    capital: int,
    thickness: int,
    color: tuple[int, int, int],
) -> None:
    for stroke in strokes:
        # Sixteenths of a pixel: marks are a few pixels large.
        points = np.array([(origin_xy[0] + x * capital, origin_xy[1] - y * capital) for x, y in stroke])
        shifted = np.round(points * 16).astype(np.int32)
        for _ in range(2 if capital < 12 else 1):  # a short stroke of one pixel is faint
            cv2.polylines(picture, [shifted[:, None]], False, color, thickness, cv2.LINE_AA, 4)


def _glyph(character: str) -> Glyph:
    if character.isascii():
        return Glyph(character)
    if character == "ß":
        return Glyph("b", False, _SHARP_S)
    if character in _BARRED:
        return Glyph(_BARRED[character][0], marks=_BARRED[character][1])
    letter, *marks = unicodedata.normalize("NFD", character)
    if letter.isascii() and marks and all(mark in _ABOVE or mark in _BELOW for mark in marks):
        if marks == ["\u030c"] and letter in "dtlL":
            return Glyph(letter, above=_APOSTROPHE)
        above = tuple(stroke for mark in marks for stroke in _ABOVE.get(mark, ()))
        below = tuple(stroke for mark in marks for stroke in _BELOW.get(mark, ()))
        return Glyph(letter, marks=below, above=above)
    return Glyph(_spelt(character) or _spelt(letter) or f"U+{ord(character):04X}")


def _spelt(character: str) -> str:
    """Return a character in ASCII; an empty text where none is known."""
    if character in _SPELT:
        return _SPELT[character]
    small = character.lower()
    if small in _SPELT:
        return _SPELT[small].capitalize()
    compatible = unicodedata.normalize("NFKD", character).replace("\u2044", "/")
    return "".join(part for part in compatible if part.isascii())
