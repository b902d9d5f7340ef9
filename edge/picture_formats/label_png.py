"""Label maps in PNG files, decoded several times as fast as by a decoder for pictures of all kinds.

A PNG of one channel of 8 or 16 bits, grey or indices of a palette, not interlaced, is what labelling tools and
evaluation servers write. zlib-ng inflates its rows, in a tenth of the time of Python's zlib, which takes its place
where it is not installed; edge/label_kernels/label_png.cpp undoes their filters. Any other file, a file that is damaged
in any way, and a machine without a C++ compiler are left to OpenCV: nothing is read here that OpenCV refuses, and the
values are the same.
"""

from __future__ import annotations

import importlib
import zlib
from functools import lru_cache
from types import ModuleType

import numpy as np

from edge.label_kernels import load_kernels
from edge.picture_formats.description import UPRIGHT, PictureHeader
from edge.picture_formats.png import PNG_SIGNATURE, png_chunks

_INTERLACE_AT = len(PNG_SIGNATURE) + 8 + 12
"""Place of the interlace method in a PNG file (section 11.2.1 of its specification)."""

_LEAST_PIXELS, _MOST_PIXELS = 1 << 14, 1 << 28
"""Of smaller maps, decoding is the least; larger ones are left to OpenCV's own limits."""


def decode_label_png(data: bytes, header: PictureHeader) -> np.ndarray | None:
    """Return the values of a label map as its file stores them; None where OpenCV has to decode it.

    Args:
        data: Whole file.
        header: Description of the file.

    Returns:
        (height, width) uint8 or uint16 values, or indices of a palette.
    """
    is_plain = header.format == "PNG" and not header.problem and header.channels == 1 and header.bits in (8, 16)
    if not is_plain or header.has_alpha or header.orientation != UPRIGHT or data[_INTERLACE_AT]:
        return None
    height, width, value_bytes = header.height, header.width, header.bits // 8
    kernels = load_kernels() if _LEAST_PIXELS <= height * width <= _MOST_PIXELS else None
    rows = _filtered_rows(data, height * (width * value_bytes + 1)) if kernels is not None else None
    if rows is None:
        return None
    values = np.empty((height, width), f">u{value_bytes}")  # PNG has the high byte first
    if kernels.segedge_unfilter_rows(rows, height, width * value_bytes, value_bytes, values.ctypes.data):
        return None
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _filtered_rows(data: bytes, size: int) -> bytes | None:
    """Return the inflated pixel data of a file; None if they are damaged, or not of this size in bytes."""
    parts = []
    for kind, body, is_sound in png_chunks(data):
        if not is_sound:
            return None
        if kind == b"IDAT":
            parts.append(body)
    library = _inflating_library()
    inflater = library.decompressobj()
    try:
        rows = inflater.decompress(b"".join(parts), size + 1)  # one more, to see that there is no more
    except library.error:
        return None
    return rows if len(rows) == size and inflater.eof else None


@lru_cache(maxsize=None)
def _inflating_library() -> ModuleType:
    """Return zlib-ng, or zlib where it is not installed; both have the same functions."""
    try:
        return importlib.import_module("zlib_ng.zlib_ng")
    except ImportError:
        return zlib
