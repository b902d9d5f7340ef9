"""WebP files: header and orientation, and whether all that the container announces is there.

Source: RFC 9649 (WebP), sections 2 (container) and 2.7 (extended format); RFC 6386, section 9.1 (size in VP8).
"""

from __future__ import annotations

import struct

from edge.picture_formats.description import TRUNCATED, PictureHeader, exif_orientation

_ANIMATED, _ALPHA = 0x02, 0x10


def parse_webp(data: bytes) -> PictureHeader:
    """Return the description of a WebP file, whose `problem` says where it ends too early, or what it holds."""
    (announced,) = struct.unpack_from("<I", data, 4) if len(data) >= 8 else (1 << 32,)
    if announced + 8 > len(data):
        return PictureHeader("WebP", problem=TRUNCATED)
    size, orientation, flags, is_lossy = (0, 0), 1, 0, False
    place = 12
    while place + 8 <= announced + 8:
        kind, length = struct.unpack_from("<4sI", data, place)
        body = bytes(data[place + 8 : place + 8 + min(length, 16)])
        if kind == b"VP8X" and len(body) >= 10:
            flags = body[0]
            size = int.from_bytes(body[7:10], "little") + 1, int.from_bytes(body[4:7], "little") + 1
        elif kind == b"VP8 " and len(body) >= 10:
            is_lossy = True
            columns, rows = struct.unpack_from("<HH", body, 6)
            size = size if size[0] else (rows & 0x3FFF, columns & 0x3FFF)
        elif kind == b"VP8L" and len(body) >= 5 and not size[0]:
            packed = int.from_bytes(body[1:5], "little")
            size = (packed >> 14 & 0x3FFF) + 1, (packed & 0x3FFF) + 1
        elif kind == b"EXIF":
            block = bytes(data[place + 8 : place + 8 + length])
            orientation = exif_orientation(block[6:] if block.startswith(b"Exif\x00\x00") else block)
        place += 8 + length + length % 2
    problem = ""
    if flags & _ANIMATED:
        problem = "it is an animated WebP. Next: convert its frames to PNG"
    elif not size[0]:
        problem = "it has no picture header: it is truncated or damaged"
    return PictureHeader(
        format="WebP",
        height=size[0],
        width=size[1],
        orientation=orientation,
        has_alpha=bool(flags & _ALPHA),
        is_lossy=is_lossy,
        problem=problem,
    )
