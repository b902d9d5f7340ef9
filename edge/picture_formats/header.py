"""The header of a picture file: format, size, depth and orientation, and whether the file is whole.

Only headers and the chain of segments are read, no pixel is decoded, so that thousands of files are checked in
seconds. Decoders of some releases fill up what is missing with grey and call it a picture; this reader does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.picture_formats.bitmap import parse_bmp
from edge.picture_formats.description import PictureHeader
from edge.picture_formats.jpeg import parse_jpeg
from edge.picture_formats.png import PNG_SIGNATURE, parse_png
from edge.picture_formats.tiff import parse_tiff
from edge.picture_formats.webp import parse_webp

__all__ = ["PictureHeader", "read_header"]


@dataclass(frozen=True)
class _Stranger:
    """A format that this project does not read: how its files begin, and what they are called."""

    offset: int
    magic: bytes
    name: str


_CONVERT = "convert it to PNG or JPEG"

_STRANGERS = (
    _Stranger(0, b"GIF8", "a GIF"),
    _Stranger(4, b"ftyphei", "a HEIC photo"),
    _Stranger(4, b"ftypmif1", "a HEIC photo"),
    _Stranger(4, b"ftyphev", "a HEIC photo"),
    _Stranger(4, b"ftypavi", "an AVIF picture"),
    _Stranger(4, b"ftyp", "a video (MP4 or MOV)"),
    _Stranger(0, b"\xff\x0a", "a JPEG XL picture"),
    _Stranger(4, b"JXL ", "a JPEG XL picture"),
    _Stranger(4, b"jP  ", "a JPEG 2000 picture"),
    _Stranger(0, b"8BPS", "a Photoshop document"),
    _Stranger(0, b"%PDF", "a PDF document"),
    _Stranger(0, b"PK\x03\x04", "a ZIP archive"),
)
"""Formats that some releases of OpenCV read and others do not, and files that often have a picture's suffix.

They are refused by name, so that a folder gives the same frames on every machine.
"""

_NO_PICTURES = (
    _Stranger(0, b"version https://git-lfs", "a pointer of Git LFS. Next: git lfs pull"),
    _Stranger(0, b"\x00\x05\x16\x07", "what macOS leaves beside a picture. Next: remove the files that begin with ._"),
    _Stranger(0, b"<!DOCTYPE", "a web page, so that the download failed. Next: download it again"),
    _Stranger(0, b"<html", "a web page, so that the download failed. Next: download it again"),
)


def read_header(data: bytes) -> PictureHeader | None:
    """Read the header of a picture file and follow its segments to the end of the picture.

    Args:
        data: Whole file: bytes, or an mmap of the file, of which only the pages that are looked at are read.

    Returns:
        The header; its `problem` says what is wrong with the file. None for a format that is not known here.
    """
    start = bytes(data[:32])
    if start.startswith(PNG_SIGNATURE):
        return parse_png(data)
    if start.startswith(b"\xff\xd8\xff"):
        return parse_jpeg(data)
    if start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return parse_tiff(data)
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return parse_webp(data)
    if start.startswith(b"BM"):
        return parse_bmp(data)
    for stranger in _STRANGERS:
        if start[stranger.offset :].startswith(stranger.magic):
            return PictureHeader(format="", problem=f"it is {stranger.name}. Next: {_CONVERT}")
    for stranger in _NO_PICTURES:
        if start.startswith(stranger.magic):
            return PictureHeader(format="", problem=f"it is {stranger.name}")
    return None
