"""Label maps in PNG files of one channel of 8 bits, decoded and counted by own C++, a quarter of OpenCV's time.

A label map is long runs of one value, which a decoder for photographs computes byte by byte. The C++ is
native/png_ids.cpp, over native/inflate.h. Whatever it does not take, OpenCV decodes as before: other forms of PNG,
damaged files, and all files where there is no compiler or SEGEDGE_NATIVE=0. So nothing is read by it that OpenCV
refuses, and the pixels are the same.

Source: PNG Specification, Third Edition (W3C), sections 5.3 (chunks and their CRC) and 11.2.1 (IHDR).
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import zlib
from functools import lru_cache

import numpy as np

from edge.picture_formats.description import PictureHeader
from edge.picture_formats.native import SOURCE
from edge.picture_formats.png import PNG_SIGNATURE

_FLAGS = ("-std=c++14", "-O3", "-fPIC", "-shared")
_LEAST_PIXELS, _MOST_PIXELS = 1 << 16, 1 << 28
"""Of smaller maps, decoding is the least; larger ones are left to OpenCV's own limits."""

_HEADER_BYTES, _INTERLACE_AT = 33, 28
_GREY, _INDEXED = 0, 3

_loading = threading.Lock()


def decode_ids(data: bytes, header: PictureHeader) -> tuple[np.ndarray, np.ndarray] | None:
    """Decode a PNG of grey values, or of indices into a palette, as it is stored.

    Args:
        data: Whole file.
        header: What the file says of itself.

    Returns:
        (height, width) uint8 values, and (256,) int64 with the pixels of each; None for a file that is left to OpenCV.
    """
    height, width = header.height, header.width
    is_plain = header.format == "PNG" and header.bits == 8 and header.channels == 1 and not header.problem
    if not is_plain or not _LEAST_PIXELS <= height * width <= _MOST_PIXELS:
        return None
    kernel = _kernel()
    stream = _image_data(data, header.has_alpha) if kernel is not None else None
    if stream is None:
        return None
    pixels = np.empty(height * (width + 1), np.uint8)
    counts = np.zeros(256, np.int64)
    if kernel(stream, len(stream), height, width, pixels.ctypes.data, counts.ctypes.data):
        return None
    return pixels[: height * width].reshape(height, width), counts


def _image_data(data: bytes, has_alpha: bool) -> bytes | None:
    """Return the compressed pixels of a file; None if a chunk is damaged, or the pixels have another form."""
    color_type = data[25]
    if data[12:16] != b"IHDR" or data[_INTERLACE_AT] or color_type not in (_GREY, _INDEXED):
        return None
    if has_alpha and color_type == _GREY:  # OpenCV gives such a file four channels
        return None
    place, parts = len(PNG_SIGNATURE), []
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if kind[0] & 0x20 == 0:  # a chunk that a decoder must understand
            (crc,) = struct.unpack_from(">I", data, end)
            if zlib.crc32(memoryview(data)[place + 4 : end]) != crc:
                return None
        if kind == b"IDAT":
            parts.append(data[place + 8 : end])
        if kind == b"IEND":
            return b"".join(parts)
        place = end + 4
    return None


def _kernel() -> ctypes._CFuncPtr | None:
    with _loading:  # several threads read the first maps
        return _load()


@lru_cache(maxsize=None)
def _load() -> ctypes._CFuncPtr | None:
    if os.environ.get("SEGEDGE_NATIVE", "1") == "0":
        return None
    # Imported here: most commands read no label map.
    from edge.compiled_library import NativeUnavailable, find_or_compile

    try:
        kernel = find_or_compile([SOURCE], _FLAGS).segedge_png_ids
    except NativeUnavailable:
        return None
    kernel.restype = ctypes.c_int
    kernel.argtypes = (
        ctypes.c_char_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    return kernel
