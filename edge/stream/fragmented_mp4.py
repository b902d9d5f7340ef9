"""Fragmented MP4 files: what is in the file can be played, whenever its writer is killed.

A plain MP4 file has its index (moov) at the end, and is worth nothing without. A fragmented one begins with an index
without frames, and each fragment (moof and mdat) brings the index of its own frames. OpenCV writes plain files only; so
a recording is a row of short plain files, each of which becomes one fragment.

Source: ISO/IEC 14496-12:2015, clause 8.8 (movie fragments) and 8.7 (sample tables).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO, Iterator

_TABLES = (b"stts", b"ctts", b"stsz", b"stss", b"stsc", b"stco", b"co64", b"sgpd", b"sbgp", b"sdtp")
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_NOT_SYNC, _SYNC = 0x01010000, 0x02000000  # sample flags: depends on others and is no sync sample; depends on none


@dataclass(frozen=True)
class Sample:
    """One coded frame.

    Attributes:
        data: Bytes of the frame.
        duration: Time to the next frame, in units of the track's time scale.
        shift: Composition time less decoding time, in the same units.
        is_sync: Whether decoding may start here.
    """

    data: bytes
    duration: int
    shift: int
    is_sync: bool


class FragmentWriter:
    """Writes plain MP4 files of one video track, one after the other, as fragments of one file.

    Args:
        file: Open file that can be written and moved in; it is not closed.

    Raises:
        ValueError: What was appended is no MP4 file of one video track.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fragments = self._time = 0
        self._duration_at = 0

    def append(self, plain: bytes) -> int:
        """Append the frames of a plain MP4 file as one fragment, and return their number."""
        samples = read_samples(plain)
        if not samples:
            return 0
        if not self._fragments:
            self._file.write(self._head(plain))
        self._fragments += 1
        self._file.write(_fragment(self._fragments, self._time, samples))
        self._time += sum(sample.duration for sample in samples)
        self._file.flush()
        return len(samples)

    def finish(self) -> None:
        """Write the whole duration into the head, so that a player need not look for it."""
        if self._duration_at:
            self._file.seek(self._duration_at)
            self._file.write(struct.pack(">Q", self._time))
            self._file.seek(0, io.SEEK_END)
            self._file.flush()

    def _head(self, plain: bytes) -> bytes:
        ftyp = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso5iso6mp41")
        track = dict(_boxes(dict(_boxes(plain))[b"moov"]))[b"trak"]
        scale = _time_scale(track)
        extends = _box(b"mehd", struct.pack(">IQ", 1 << 24, 0)) + _box(b"trex", struct.pack(">6I", 0, 1, 1, 0, 0, 0))
        movie = _movie_header(scale) + _box(b"trak", _without_samples(track)) + _box(b"mvex", extends)
        head = ftyp + _box(b"moov", movie)
        self._duration_at = head.rindex(b"mehd") + 8
        return head


def read_samples(plain: bytes) -> list[Sample]:
    """Return the coded frames of a plain MP4 file of one video track.

    Raises:
        ValueError: It is no such file.
    """
    try:
        tables = dict(_boxes(_descend(plain, b"moov", b"trak", b"mdia", b"minf", b"stbl")))
        sizes = _sizes(tables[b"stsz"])
        durations = _expanded(tables[b"stts"])
        shifts = _expanded(tables[b"ctts"], signed=True) if b"ctts" in tables else [0] * len(sizes)
        count = struct.unpack_from(">I", tables[b"stss"], 4)[0] if b"stss" in tables else None
        sync = set(struct.unpack_from(f">{count}I", tables[b"stss"], 8)) if count is not None else None
        return [
            Sample(plain[start : start + size], duration, shift, sync is None or number + 1 in sync)
            for number, (start, size, duration, shift) in enumerate(
                zip(_offsets(tables, sizes), sizes, durations, shifts)
            )
        ]
    except (KeyError, struct.error, IndexError) as error:
        raise ValueError(f"no MP4 file of one video track ({error!r})") from None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the type and the content of each box of a file or of a box."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        size = size or len(data) - at
        if size < head:
            raise ValueError(f"box {kind!r} has {size} bytes")
        yield kind, data[at + head : at + size]
        at += size


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _descend(data: bytes, *path: bytes) -> bytes:
    for kind in path:
        data = dict(_boxes(data))[kind]
    return data


def _time_scale(track: bytes) -> int:
    header = _descend(track, b"mdia", b"mdhd")
    return struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)[0]


def _movie_header(scale: int) -> bytes:
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    times = struct.pack(">5I", 0, 0, 0, scale, 0)
    return _box(
        b"mvhd", times + struct.pack(">IHHII", 0x10000, 0x100, 0, 0, 0) + matrix + bytes(24) + struct.pack(">I", 2)
    )


def _without_samples(track: bytes) -> bytes:
    """Return the content of a track box without its samples, its duration and its edit list."""
    content = b""
    for kind, inner in _boxes(track):
        if kind in _CONTAINERS:
            inner = _without_samples(inner)
        elif kind in (b"mdhd", b"tkhd"):
            at = {b"mdhd": (16, 24), b"tkhd": (20, 28)}[kind][inner[0]]
            width = 8 if inner[0] == 1 else 4
            inner = inner[:at] + bytes(width) + inner[at + width :]
        if kind not in (*_TABLES, b"edts", b"udta"):
            content += _box(kind, inner)
        if kind == b"stsd":
            content += b"".join(_box(table, bytes(12 if table == b"stsz" else 8)) for table in _TABLES_EMPTY)
    return content


_TABLES_EMPTY = (b"stts", b"stsc", b"stsz", b"stco")


def _sizes(table: bytes) -> list[int]:
    _, same, count = struct.unpack_from(">3I", table)
    return [same] * count if same else list(struct.unpack_from(f">{count}I", table, 12))


def _expanded(table: bytes, signed: bool = False) -> list[int]:
    """Return one value a sample from a table of runs."""
    values: list[int] = []
    for index in range(struct.unpack_from(">I", table, 4)[0]):
        count, value = struct.unpack_from(">Ii" if signed else ">II", table, 8 + 8 * index)
        values += [value] * count
    return values


def _offsets(tables: dict[bytes, bytes], sizes: list[int]) -> list[int]:
    """Return the place of each sample in the file."""
    table, kind = (tables[b"co64"], "Q") if b"co64" in tables else (tables[b"stco"], "I")
    chunks = struct.unpack_from(f">{struct.unpack_from('>I', table, 4)[0]}{kind}", table, 8)
    runs = [
        struct.unpack_from(">3I", tables[b"stsc"], 8 + 12 * index)
        for index in range(struct.unpack_from(">I", tables[b"stsc"], 4)[0])
    ]
    offsets: list[int] = []
    for number, at in enumerate(chunks, start=1):
        per_chunk = [count for first, count, _ in runs if first <= number][-1]
        for size in sizes[len(offsets) : len(offsets) + per_chunk]:
            offsets.append(at)
            at += size
    return offsets


def _fragment(number: int, time: int, samples: list[Sample]) -> bytes:
    rows = b"".join(
        struct.pack(">IIIi", sample.duration, len(sample.data), _SYNC if sample.is_sync else _NOT_SYNC, sample.shift)
        for sample in samples
    )
    header = _box(b"mfhd", struct.pack(">II", 0, number))
    # Data offsets count from the moof box; rows have duration, size, flags and a signed composition shift.
    track = _box(b"tfhd", struct.pack(">II", 0x020000, 1)) + _box(b"tfdt", struct.pack(">IQ", 1 << 24, time))
    run_size = 8 + 12 + len(rows)
    moof_size = 8 + len(header) + 8 + len(track) + run_size
    run = _box(b"trun", struct.pack(">IIi", 1 << 24 | 0x000F01, len(samples), moof_size + 8) + rows)
    moof = _box(b"moof", header + _box(b"traf", track + run))
    return moof + _box(b"mdat", b"".join(sample.data for sample in samples))
