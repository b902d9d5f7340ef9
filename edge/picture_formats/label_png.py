"""Label maps in PNG files, decoded several times as fast as by a decoder for pictures of all kinds.

A PNG of one channel of 8 or 16 bits, grey or indices of a palette, not interlaced, is what labelling tools and
evaluation servers write. Its pixels are decoded by native/label_png.cpp. Any other file, a file that is damaged in any
way, and a machine without a C++ compiler are left to OpenCV, whose values are the same.
"""

from __future__ import annotations

import ctypes
import logging
import struct
import sys
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from edge.picture_formats.description import UPRIGHT, PictureHeader
from edge.picture_formats.png import PNG_SIGNATURE
from edge.postprocess.native.build import NativeUnavailable, find_or_compile, is_turned_off

_SOURCE = Path(__file__).parent / "native" / "label_png.cpp"
_FLAGS = ("-std=c++14", "-O3", "-fPIC", "-shared")
_INTERLACE_AT = len(PNG_SIGNATURE) + 8 + 12
"""Place of the interlace method in a PNG file (section 11.2.1 of its specification)."""

_log = logging.getLogger(__name__)


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
    decode = _decoder()
    joined = _pixel_data(data) if decode is not None else None
    if joined is None:
        return None
    values = np.empty((header.height, header.width), np.uint8 if header.bits == 8 else np.uint16)
    status = decode(joined, len(joined), header.height, header.width, values.itemsize, values.ctypes.data)
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


@lru_cache(maxsize=None)
def _decoder() -> ctypes._CFuncPtr | None:
    if is_turned_off() or sys.byteorder != "little":
        return None
    try:
        decode = find_or_compile((_SOURCE,), _FLAGS).segedge_decode_label_png
    except NativeUnavailable as reason:
        _log.warning("label maps are decoded by OpenCV, several times slower, since %s", reason)
        return None
    decode.restype = ctypes.c_int
    decode.argtypes = (ctypes.c_char_p, *(ctypes.c_int64,) * 4, ctypes.c_void_p)
    return decode
