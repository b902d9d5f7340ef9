"""The decoder of label maps gives what OpenCV gives, and leaves to it whatever is not plain and whole."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from edge.imaging import read_stored_labels
from edge.label_kernels import load_kernels
from edge.picture_formats.header import read_header
from edge.picture_formats.label_png import decode_label_png

pytestmark = pytest.mark.skipif(load_kernels() is None, reason="there is no C++ compiler here")

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def filtered(values: np.ndarray, kinds: list[int]) -> bytes:
    """Return rows with the filters of the PNG specification, one kind a row in turn."""
    size = values.itemsize
    rows = [row.astype(">u2").tobytes() if size == 2 else row.tobytes() for row in values]
    above, out = bytes(len(rows[0])), b""
    for number, row in enumerate(rows):
        kind = kinds[number % len(kinds)]
        line = bytearray()
        for place, byte in enumerate(row):
            left = row[place - size] if place >= size else 0
            corner = above[place - size] if place >= size else 0
            guess = [0, left, above[place], (left + above[place]) // 2, None][kind]
            if guess is None:
                distances = [
                    (abs(left + above[place] - corner - one), order, one)
                    for order, one in enumerate((left, above[place], corner))
                ]
                guess = min(distances)[2]
            line.append((byte - guess) % 256)
        out += bytes([kind]) + bytes(line)
        above = row
    return out


def png(
    values: np.ndarray,
    kinds=(0,),
    level: int = 6,
    strategy: int = zlib.Z_DEFAULT_STRATEGY,
    parts: int = 1,
    color_type: int = 0,
    palette: bytes = b"",
) -> bytes:
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    data = packer.compress(filtered(values, list(kinds))) + packer.flush()
    step = -(-len(data) // parts)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8 * values.itemsize, color_type, 0, 0, 0)
    body = b"".join(chunk(b"IDAT", data[first : first + step]) for first in range(0, len(data), step))
    return (
        SIGNATURE + chunk(b"IHDR", header) + (chunk(b"PLTE", palette) if palette else b"") + body + chunk(b"IEND", b"")
    )


def label_map(dtype, seed: int = 0, height: int = 23, width: int = 37) -> np.ndarray:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 34 if dtype == np.uint8 else 34000, (height // 4 + 1, width // 5 + 1)).astype(dtype)
    values = coarse.repeat(4, 0).repeat(5, 1)[:height, :width].copy()
    values[3:6, 4:20] = generator.integers(0, 200, (3, 16))
    return values


def decoded(data: bytes) -> np.ndarray | None:
    return decode_label_png(data, read_header(data))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kinds", [(0,), (1,), (2,), (3,), (4,), (4, 1, 0, 2, 3)], ids=str)
def test_every_filter_is_undone(dtype, kinds):
    values = label_map(dtype)
    found = decoded(png(values, kinds))
    assert found.dtype == dtype and np.array_equal(found, values)


@pytest.mark.parametrize(
    "level, strategy", [(0, 0), (1, zlib.Z_RLE), (9, 0), (6, zlib.Z_HUFFMAN_ONLY), (6, zlib.Z_FIXED)]
)
def test_every_kind_of_block_is_inflated(level, strategy):
    values = label_map(np.uint16, 1)
    assert np.array_equal(decoded(png(values, (1, 4), level, strategy, parts=3)), values)


def test_maps_that_opencv_writes_are_read_alike():
    for seed, dtype in ((2, np.uint8), (3, np.uint16)):
        values = label_map(dtype, seed, 300, 500)
        data = cv2.imencode(".png", values)[1].tobytes()
        assert np.array_equal(decoded(data), values)


def test_indices_of_a_palette_are_the_values():
    values = label_map(np.uint8) % 20
    data = png(values, (0,), color_type=3, palette=bytes(range(60)))
    assert np.array_equal(decoded(data), values)


def test_what_is_not_plain_is_left_to_opencv(tmp_path):
    color = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    one_bit = cv2.imencode(".png", np.zeros((4, 8), np.uint8), [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()
    interlaced = bytearray(png(label_map(np.uint8)))
    interlaced[28] = 1
    for data in (color, one_bit, bytes(interlaced)):
        assert decoded(data) is None


@pytest.mark.parametrize("seed", range(40))
def test_damaged_streams_end_without_a_crash_and_are_left_to_opencv(seed):
    values = label_map(np.uint16, seed)
    packed = bytearray(zlib.compress(filtered(values, [1, 2, 4])))
    generator = np.random.default_rng(seed)
    if seed % 2:
        packed = packed[: int(generator.integers(0, len(packed)))]
    else:
        for place in generator.integers(0, len(packed), 3):
            packed[place] = int(generator.integers(0, 256))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 0, 0, 0, 0)
    # With checksums that are right, so that the stream itself is reached.
    data = SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")
    found = decoded(data)
    assert found is None or found.shape == values.shape


def test_a_chunk_with_another_checksum_is_left_to_opencv():
    data = bytearray(png(label_map(np.uint8)))
    data[60] ^= 1
    assert decoded(bytes(data)) is None


def test_a_stream_of_another_length_than_the_header_says_is_left_to_opencv():
    values = label_map(np.uint8)
    for other in (values[:-1], np.concatenate((values, values[:1]))):
        packed = zlib.compress(filtered(other, [0]))
        header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8, 0, 0, 0, 0)
        data = SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        assert decoded(data) is None


def test_a_label_map_is_read_alike_without_the_kernel(tmp_path, monkeypatch):
    values = label_map(np.uint16, 4)
    (tmp_path / "map.png").write_bytes(png(values, (4,)))
    first = read_stored_labels(tmp_path / "map.png")
    monkeypatch.setattr("edge.picture_formats.label_png.load_kernels", lambda: None)
    assert np.array_equal(first.ids, read_stored_labels(tmp_path / "map.png").ids)


@pytest.mark.parametrize("period", range(1, 18))
def test_patterns_of_every_period_are_repeated(period):
    pattern = np.random.default_rng(period).integers(0, 256, period).astype(np.uint8)
    values = np.tile(pattern, 600 // period + 1)[None, :600]
    assert np.array_equal(decoded(png(values, (0,), 9)), values)
