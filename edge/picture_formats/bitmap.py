"""BMP files: header, and whether every row is there.

Source: Microsoft, "Bitmap Storage" and BITMAPINFOHEADER (Windows GDI documentation).
"""

from __future__ import annotations

import struct

from edge.picture_formats.description import TRUNCATED, PictureHeader

_UNCOMPRESSED = (0, 3, 6)


def parse_bmp(data: bytes) -> PictureHeader:
    """Return the description of a BMP file, whose `problem` says where it ends too early."""
    if len(data) < 34:
        return PictureHeader("BMP", problem=TRUNCATED)
    (pixels_at, header_bytes) = struct.unpack_from("<II", data, 10)
    if header_bytes == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    row_bytes = (abs(width) * bits + 31) // 32 * 4
    is_short = compression in _UNCOMPRESSED and pixels_at + row_bytes * abs(height) > len(data)
    return PictureHeader(
        format="BMP",
        height=abs(height),
        width=abs(width),
        bits=min(bits, 8),
        channels=1 if bits <= 8 else bits // 8,
        has_palette=bits <= 8,
        has_alpha=bits == 32,
        problem=TRUNCATED if is_short else "",
    )
