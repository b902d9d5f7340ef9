"""Makers of picture files as cameras, phones and labelling tools write them, for tests."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    """Return pixels, red first where there are three channels, as a file."""
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels
    return cv2.imencode(suffix, stored, list(options))[1].tobytes()


def exif(orientation: int, order: str = "<", thumbnail: bytes = b"") -> bytes:
    """Return an EXIF block with an orientation, and with bytes behind the directory as thumbnails are."""
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 1) + entry + struct.pack(order + "I", 0) + thumbnail


def jpeg_with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """Return a JPEG with one more segment behind its start."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def jpeg_with_exif(jpeg: bytes, orientation: int, order: str = "<", thumbnail: bytes = b"") -> bytes:
    """Return a JPEG with EXIF data that hold an orientation, and perhaps a thumbnail."""
    return jpeg_with_segment(jpeg, 0xE1, b"Exif\x00\x00" + exif(orientation, order, thumbnail))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """Return a PNG with one more chunk behind its header."""
    return png[:33] + png_chunk(kind, body) + png[33:]


def _packed_rows(values: np.ndarray, bits: int) -> bytes:
    width = -(-values.shape[1] * bits // 8) * 8 // bits
    padded = np.zeros((values.shape[0], width), np.uint8)
    padded[:, : values.shape[1]] = values
    per_byte = 8 // bits
    rows = np.zeros((values.shape[0], width // per_byte), np.uint8)
    for place in range(per_byte):
        rows |= padded[:, place::per_byte] << (8 - bits * (place + 1))
    return b"".join(b"\x00" + row.tobytes() for row in rows)


def small_png(
    values: np.ndarray, bits: int = 8, palette: list | None = None, transparent: bool = False, interlaced: bool = False
) -> bytes:
    """Return a PNG of values of 1, 2, 4 or 8 bits: grey, or indices into a palette.

    Args:
        values: (height, width) uint8.
        bits: Bits of a value.
        palette: Colours of the indices, (red, green, blue) each; None for grey.
        transparent: Whether a chunk tRNS says that index 0 is transparent.
        interlaced: Whether the rows are stored in the seven passes of Adam7.
    """
    height, width = values.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 0 if palette is None else 3, 0, 0, int(interlaced))
    parts = [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", header)]
    if palette is not None:
        parts.append(png_chunk(b"PLTE", np.array(palette, np.uint8).tobytes()))
    if transparent:
        parts.append(png_chunk(b"tRNS", b"\x00"))
    passes = [values]
    if interlaced:
        starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        passes = [values[y::dy, x::dx] for y, x, dy, dx in starts]
    rows = b"".join(_packed_rows(part, bits) for part in passes if part.size)
    return b"".join([*parts, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")])


def tiff(
    pixels: np.ndarray, orientation: int = 1, sample_format: int = 1, photometric: int | None = None, order: str = "<"
) -> bytes:
    """Return an uncompressed TIFF of one strip: (height, width) or (height, width, channels) numbers."""
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    bits = 8 * pixels.dtype.itemsize
    directory = 8 + len(data)
    count = 12 if channels == 4 else 11
    bits_at = directory + 2 + 12 * count + 4
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, bits if channels == 1 else bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, photometric if photometric is not None else (1 if channels == 1 else 2)),
        (273, 4, 1, 8),
        (274, 3, 1, orientation),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
        *([(338, 3, 1, 2)] if channels == 4 else []),
        (339, 3, 1, sample_format),
    ]
    out = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", directory) + data
    out += struct.pack(order + "H", count)
    for tag, kind, number, value in fields:
        out += struct.pack(order + "HHI", tag, kind, number)
        out += struct.pack(order + "HH", value, 0) if kind == 3 and number == 1 else struct.pack(order + "I", value)
    return out + struct.pack(order + "I", 0) + struct.pack(f"{order}{channels}H", *[bits] * channels)


def damaged_inside(png: bytes) -> bytes:
    """Return a PNG whose chunks are all there, and whose pixels cannot be decompressed."""
    place = png.index(b"IDAT") + 4
    return png[:place] + b"\xff" * 8 + png[place + 8 :]
