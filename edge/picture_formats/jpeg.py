"""JPEG files: header and orientation, and whether the last scan is followed by the end-of-image marker.

Segments are followed by their lengths, so that a thumbnail inside one of them, or a clip behind the end (a motion
photo), is not taken for the picture itself. Within a scan 0xFF is stuffed by 0x00 or is a restart marker; any other
marker ends the scan.

Source: ITU-T T.81, annex B (markers, segments and scans).
"""

from __future__ import annotations

import re
import struct

from edge.picture_formats.description import TRUNCATED, PictureHeader, exif_orientation

_FRAME_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_LOSSLESS_MARKERS = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
_START, _END, _SCAN, _EXIF, _ADOBE = 0xD8, 0xD9, 0xDA, 0xE1, 0xEE
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN_END = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


def parse_jpeg(data: bytes) -> PictureHeader:
    """Return the description of a JPEG file, whose `problem` says where it ends too early, or what it holds."""
    walk = _Walk(data)
    is_whole = walk.run()
    if walk.frame is None:
        return PictureHeader("JPEG", is_lossy=True, problem="it has no picture header: it is truncated or damaged")
    marker, bits, height, width, channels = walk.frame
    problem = "" if is_whole else TRUNCATED
    if bits != 8 or marker in _LOSSLESS_MARKERS:
        kind = f"{bits} bits a sample" if bits != 8 else "lossless or hierarchical coding"
        problem = f"it is a JPEG of {kind}, which OpenCV does not decode. Next: convert it to PNG"
    elif channels == 4 and not walk.is_adobe:
        problem = (
            "it is a CMYK JPEG without Adobe's marker, so nothing says whether its inks are inverted. "
            "Next: convert it to RGB"
        )
    return PictureHeader(
        format="JPEG",
        height=height,
        width=width,
        channels=channels,
        orientation=walk.orientation,
        is_lossy=True,
        problem=problem,
    )


class _Walk:
    """A walk along the segments of a JPEG file, which notes the picture's header, orientation and colours.

    Attributes:
        frame: Marker, bits of a sample, height, width and number of components; None until they are found.
        orientation: Orientation of the EXIF data, 1 to 8.
        is_adobe: Whether Adobe's marker is there, with which inks are stored inverted.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._length = data, len(data)
        self.frame: tuple[int, int, int, int, int] | None = None
        self.orientation: int | None = None
        self.is_adobe = False

    def run(self) -> bool:
        """Walk to the end of the image; return whether it was reached."""
        place = 2
        is_whole = False
        while True:
            marker, place = self._next_marker(place)
            if marker is None or marker == _START:
                break
            if marker == _END:
                is_whole = True
                break
            if marker in _BARE_MARKERS:
                continue
            end = self._segment(marker, place)
            if end is None:
                break
            place = end
            # Nothing in a scan looks like the end of the image, so one that ends the file ends the picture, and
            # what lies between need not be read.
            if marker == _SCAN and bytes(self._data[self._length - 2 : self._length]) == b"\xff\xd9":
                is_whole = self.frame is not None
                break
            if marker == _SCAN:
                found = _SCAN_END.search(self._data, place)
                place = found.start() if found else self._length
        self.orientation = self.orientation or 1
        return is_whole

    def _next_marker(self, place: int) -> tuple[int | None, int]:
        """Return the next marker and the place behind it; stray bytes before it are passed over, as decoders do."""
        while place + 1 < self._length:
            if self._data[place] == 0xFF and self._data[place + 1] not in (0x00, 0xFF):
                return self._data[place + 1], place + 2
            place += 1
        return None, place

    def _segment(self, marker: int, place: int) -> int | None:
        """Note what a segment says, and return the place behind it; None where the file ends before it does."""
        if place + 2 > self._length:
            return None
        (size,) = struct.unpack_from(">H", self._data, place)
        end = place + size
        if size < 2 or end > self._length:
            return None
        if marker in _FRAME_MARKERS and size >= 8 and self.frame is None:
            self.frame = (marker, *struct.unpack_from(">BHHB", self._data, place + 2))
        elif marker == _EXIF and self.orientation is None:
            body = bytes(self._data[place + 2 : end])
            if body.startswith(b"Exif\x00\x00"):
                self.orientation = exif_orientation(body[6:])
        elif marker == _ADOBE and bytes(self._data[place + 2 : place + 7]) == b"Adobe":
            self.is_adobe = True
        return end
