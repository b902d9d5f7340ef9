"""PNG files: header, palette and orientation, and whether every chunk up to the end is there.

Source: PNG Specification, Third Edition (W3C), sections 5.3 (chunks), 11.2.1 (IHDR), 11.2.2 (PLTE), 11.3.2.2 (tRNS)
and 11.3.4.5 (eXIf).
"""

from __future__ import annotations

import struct
import zlib
from typing import Iterator

from edge.picture_formats.description import TRUNCATED, PictureHeader, exif_orientation

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _INDEXED = 0, 3
_CHANNELS = {_GREY: 1, 2: 3, _INDEXED: 1, 4: 2, 6: 4}
_HEADER_BYTES = 13


def parse_png(data: bytes) -> PictureHeader:
    """Return the description of a PNG file, whose `problem` says where it ends too early."""
    place, end = len(PNG_SIGNATURE), len(data)
    fields, palette, orientation, has_alpha, seen_end = None, (), 1, False, False
    while not seen_end and place + 12 <= end:
        length, kind = struct.unpack_from(">I4s", data, place)
        body = place + 8
        if body + length + 4 > end:
            break
        if kind == b"IHDR" and length == _HEADER_BYTES:
            fields = struct.unpack_from(">IIBB", data, body)
        elif kind == b"PLTE":
            colors = bytes(data[body : body + length])
            palette = tuple((colors[i], colors[i + 1], colors[i + 2]) for i in range(0, length - 2, 3))
        elif kind == b"tRNS":
            has_alpha = True
        elif kind == b"eXIf":
            orientation = exif_orientation(bytes(data[body : body + length]))
        seen_end = kind == b"IEND"
        place = body + length + 4
    if fields is None:
        return PictureHeader("PNG", problem="it has no PNG header: it is truncated or damaged")
    width, height, bits, color_type = fields
    return PictureHeader(
        format="PNG",
        height=height,
        width=width,
        bits=bits,
        channels=_CHANNELS.get(color_type, 3),
        orientation=orientation,
        has_palette=color_type == _INDEXED,
        palette_rgb=palette if color_type == _INDEXED else (),
        has_alpha=has_alpha or color_type in (4, 6),
        problem="" if seen_end else TRUNCATED,
    )


def png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Yield the chunks of a PNG up to its end: the kind, the content, and whether that is what its checksum says.

    A chunk that a decoder may pass over, such as a comment, spoils no pixel and is always sound.
    """
    place, whole = len(PNG_SIGNATURE), memoryview(data)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 8 + length
        if end + 4 > len(data):
            return
        is_optional = bool(kind[0] & 0x20)
        is_sound = is_optional or zlib.crc32(whole[place + 4 : end]) == struct.unpack_from(">I", data, end)[0]
        yield kind, whole[place + 8 : end], is_sound
        if kind == b"IEND":
            return
        place = end + 4


def png_checksum_problem(data: bytes) -> str:
    """Return what is wrong with a PNG by the checksums of its chunks, as part of a sentence; "" where nothing is."""
    kind = b""
    for kind, _, is_sound in png_chunks(data):
        if not is_sound:
            return f"it is damaged: the checksum of its chunk {kind.decode('ascii', 'replace')} is wrong"
    return "" if kind == b"IEND" else TRUNCATED


def indexed_as_grey(data: bytes) -> bytes:
    """Return a PNG whose indices into a palette are declared to be grey values, so that a decoder leaves them alone.

    Pixels are stored alike for both colour types, interlaced or not; only the header and the chunks of the palette
    differ. A decoder spreads values of less than 8 bits over 0 to 255.

    Args:
        data: Whole PNG file of colour type 3.
    """
    place, parts = len(PNG_SIGNATURE), [PNG_SIGNATURE]
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if kind == b"IHDR":
            body = bytearray(data[place + 8 : place + 8 + length])
            body[9] = _GREY
            parts.append(struct.pack(">I", length) + kind + bytes(body) + struct.pack(">I", zlib.crc32(kind + body)))
        elif kind not in (b"PLTE", b"tRNS", b"sBIT", b"bKGD", b"hIST", b"eXIf"):
            parts.append(data[place:end])
        if kind == b"IEND":
            break
        place = end
    return b"".join(parts)
