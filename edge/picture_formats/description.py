"""The description of a picture file, which the reader of each format gives."""

from __future__ import annotations

import struct
from dataclasses import dataclass

TRUNCATED = "it is truncated"
"""Problem of a file that ends before its picture does."""

UPRIGHT = 1
"""Orientation of a picture that is stored as it is meant to be seen (EXIF, tag 0x0112)."""

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class PictureHeader:
    """What a picture file says of itself.

    Attributes:
        format: Name of the format, "PNG", "JPEG", "TIFF", "WebP" or "BMP"; "" for one that is not read.
        height: Rows as stored, before the orientation is applied, in pixels.
        width: Columns as stored, in pixels.
        bits: Bits of a stored sample, such as 8 or 16; of an index where there is a palette.
        channels: Number of stored channels; 1 where there is a palette.
        orientation: Orientation of the stored picture, 1 to 8 as in EXIF.
        orientation_at: Place of the orientation's two bytes in a TIFF file; None where the file has none.
        is_little_endian: Whether a TIFF file's numbers are in little endian order.
        has_palette: Whether the samples are indices into a palette.
        palette_rgb: Colours of the palette of a PNG, one (red, green, blue) for each index; empty without one.
        has_alpha: Whether a channel of transparency is stored.
        is_lossy: Whether the compression changes values, so that the file cannot hold ids.
        problem: What is wrong with the file, as part of a sentence; "" where nothing is.
    """

    format: str
    height: int = 0
    width: int = 0
    bits: int = 8
    channels: int = 3
    orientation: int = UPRIGHT
    orientation_at: int | None = None
    is_little_endian: bool = True
    has_palette: bool = False
    palette_rgb: tuple[tuple[int, int, int], ...] = ()
    has_alpha: bool = False
    is_lossy: bool = False
    problem: str = ""

    @property
    def upright_size(self) -> tuple[int, int]:
        """Height and width of the picture as it is meant to be seen."""
        return (self.width, self.height) if self.orientation >= 5 else (self.height, self.width)


def exif_orientation(block: bytes) -> int:
    """Return the orientation that an EXIF block holds, 1 to 8; 1 where it holds none that makes sense.

    Args:
        block: EXIF data, a TIFF header and its directories, without "Exif" before it.

    Source: EXIF 2.32, section 4.6.2 (the header) and 4.6.4 (tag Orientation).
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        return UPRIGHT
    (first,) = struct.unpack_from(order + "I", block, 4)
    if first + 2 > len(block):
        return UPRIGHT
    (count,) = struct.unpack_from(order + "H", block, first)
    for index in range(count):
        place = first + 2 + 12 * index
        if place + 12 > len(block):
            break
        tag, kind, _, value = struct.unpack_from(order + "HHIH", block, place)
        if tag == _ORIENTATION_TAG:
            return value if kind == 3 and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
