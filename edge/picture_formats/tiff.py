"""TIFF files: the first picture's header, and whether its strips or tiles lie within the file.

Source: TIFF Revision 6.0, sections 2 (structure), 8 (baseline fields), 15 (tiles) and 19 (SampleFormat); BigTIFF as
libtiff describes it.
"""

from __future__ import annotations

import struct

from edge.picture_formats.description import TRUNCATED, PictureHeader

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_STRIPS, _STRIP_BYTES, _CHANNELS, _TILES, _TILE_BYTES, _ALPHA, _FORMAT = 273, 279, 277, 324, 325, 338, 339
_PALETTE, _JPEG, _OLD_JPEG = 3, 7, 6
_KNOWN_COLORS = (0, 1, 2, _PALETTE, 5, 6)
"""White is zero, black is zero, RGB, palette, CMYK and YCbCr: what OpenCV converts as others do."""

_UNSIGNED = 1
_MOST_VALUES = 1 << 20


class _Directory:
    """The fields of the first picture of a TIFF file.

    Attributes:
        order: Order of bytes for struct, "<" or ">".
        places: Tag -> place of the field's values in the file.
    """

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[0] == 0x49 else ">"
        self._data = data
        self.places: dict[int, int] = {}
        self._fields: dict[int, tuple[int, int]] = {}
        (version,) = struct.unpack_from(self.order + "H", data, 2)
        is_big = version == 43
        first_at, first_code = (8, "Q") if is_big else (4, "I")
        count_code, entry, inline = ("Q", 20, 8) if is_big else ("H", 12, 4)
        (first,) = struct.unpack_from(self.order + first_code, data, first_at)
        (count,) = struct.unpack_from(self.order + count_code, data, first)
        place = first + struct.calcsize(count_code)
        for index in range(min(count, 4096)):
            at = place + entry * index
            tag, kind, number = struct.unpack_from(self.order + ("HHQ" if is_big else "HHI"), data, at)
            value_at = at + entry - inline
            if _SIZES.get(kind, 1) * number > inline:
                (value_at,) = struct.unpack_from(self.order + first_code, data, value_at)
            self.places[tag], self._fields[tag] = value_at, (kind, number)

    def values(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a field; none where it is not there or of another type."""
        kind, number = self._fields.get(tag, (0, 0))
        if kind not in _CODES:
            return ()
        return struct.unpack_from(
            f"{self.order}{min(number, _MOST_VALUES)}{_CODES[kind]}", self._data, self.places[tag]
        )

    def value(self, tag: int, default: int) -> int:
        """Return the first number of a field, or a default."""
        return next(iter(self.values(tag)), default)


def parse_tiff(data: bytes) -> PictureHeader:
    """Return the description of a TIFF file, whose `problem` says where it ends too early, or what it holds."""
    try:
        directory = _Directory(data)
        height, width = directory.value(_HEIGHT, 0), directory.value(_WIDTH, 0)
        bits, sample_format = directory.value(_BITS, 1), directory.value(_FORMAT, _UNSIGNED)
        starts = directory.values(_TILES) or directory.values(_STRIPS)
        sizes = directory.values(_TILE_BYTES) or directory.values(_STRIP_BYTES)
    except struct.error:
        return PictureHeader("TIFF", problem=TRUNCATED)
    problem = ""
    if not starts or any(start + size > len(data) for start, size in zip(starts, sizes)):
        problem = TRUNCATED if starts else "it holds no pixels"
    elif sample_format != _UNSIGNED or bits not in (1, 2, 4, 8, 16):
        kind = {2: "signed whole", 3: "floating-point"}.get(sample_format, "whole")
        problem = (
            f"it is a TIFF of {kind} numbers of {bits} bits, and nothing says which value is white. "
            "Next: convert it to 8 or 16 bits without a sign"
        )
    elif directory.value(_PHOTOMETRIC, 1) not in _KNOWN_COLORS:
        problem = "it is a TIFF in colours other than RGB, grey or CMYK. Next: convert it to RGB"
    orientation = directory.value(_ORIENTATION, 1)
    return PictureHeader(
        format="TIFF",
        height=height,
        width=width,
        bits=bits,
        channels=directory.value(_CHANNELS, 1),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        orientation_at=directory.places.get(_ORIENTATION),
        is_little_endian=directory.order == "<",
        has_palette=directory.value(_PHOTOMETRIC, 1) == _PALETTE,
        has_alpha=bool(directory.values(_ALPHA)),
        is_lossy=directory.value(_COMPRESSION, 1) in (_JPEG, _OLD_JPEG),
        problem=problem,
    )
