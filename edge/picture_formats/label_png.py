"""Label maps in PNG files, decoded in a quarter of the time that a decoder for pictures of all kinds takes.

A PNG of one channel of 8 or 16 bits, grey or indices of a palette, not interlaced, is what labelling tools and
evaluation servers write. edge/label_kernels/inflate.h decompresses its rows: zlib copies runs byte by byte, and takes
most of the time. edge/label_kernels/label_png.cpp undoes their filters. Any other file, a file that is damaged in any
way, and a machine without a C++ compiler are left to OpenCV: nothing is read here that OpenCV refuses, and the values
are the same.
"""

from __future__ import annotations

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
    stream = _image_data(data) if kernels is not None else None
    if stream is None:
        return None
    rows = np.empty(height * (width * value_bytes + 1), np.uint8)
    if kernels.segedge_inflate(stream, len(stream), rows.ctypes.data, rows.size):
        return None
    values = np.empty((height, width), f">u{value_bytes}")  # PNG has the high byte first
    if kernels.segedge_unfilter_rows(rows.ctypes.data, height, width * value_bytes, value_bytes, values.ctypes.data):
        return None
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _image_data(data: bytes) -> bytes | None:
    """Return the compressed pixel data of a file; None if a chunk is damaged."""
    parts = []
    for kind, body, is_sound in png_chunks(data):
        if not is_sound:
            return None
        if kind == b"IDAT":
            parts.append(body)
    return b"".join(parts)
