"""Label maps in PNG files, decoded several times as fast as by a decoder for pictures of all kinds.

A PNG of one channel of 8 or 16 bits, grey or indices of a palette, not interlaced, is what labelling tools and
evaluation servers write. Its pixels are decoded by edge/label_kernels/label_png.cpp. Any other file, a file that is
damaged in any way, and a machine without a C++ compiler are left to OpenCV, whose values are the same.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from edge.label_kernels import load_kernels
from edge.picture_formats.description import UPRIGHT, PictureHeader
from edge.picture_formats.png import PNG_SIGNATURE

_INTERLACE_AT = len(PNG_SIGNATURE) + 8 + 12
"""Place of the interlace method in a PNG file (section 11.2.1 of its specification)."""


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
    kernels = load_kernels()
    joined = _pixel_data(data) if kernels is not None else None
    if joined is None:
        return None
    values = np.empty((header.height, header.width), np.uint8 if header.bits == 8 else np.uint16)
    place = values.ctypes.data
    status = kernels.segedge_decode_label_png(joined, len(joined), *values.shape, values.itemsize, place)
    return values if status == 0 else None


def _pixel_data(data: bytes) -> bytes | None:
    """Return the joined contents of the IDAT chunks; None where a chunk is not what its checksum says."""
    place, parts = len(PNG_SIGNATURE), []
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if zlib.crc32(data[place + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return None
        if kind == b"IDAT":
            parts.append(data[place + 8 : end])
        if kind == b"IEND":
            break
        place = end + 4
    return b"".join(parts)
