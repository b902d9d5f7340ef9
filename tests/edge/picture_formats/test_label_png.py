"""Label maps decoded by zlib and a kernel: the pixels of OpenCV, and nothing that OpenCV would not take."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from edge.imaging import read_stored_labels
from edge.label_kernels import load_kernels
from edge.picture_formats import label_png
from edge.picture_formats.header import read_header
from tests.edge.picture_files import encoded, exif, png_chunk, png_with_chunk, small_png

BLOCKS = np.kron(np.random.default_rng(0).integers(0, 5, (7, 9)), np.ones((5, 9))).astype(np.uint8)
NOISE = np.random.default_rng(1).integers(0, 256, (21, 19), np.uint8)
MAPS = {"blocks": BLOCKS, "noise": NOISE, "flat": np.full((9, 40), 7, np.uint8), "one": np.full((1, 1), 3, np.uint8)}
MAPS["narrow"] = NOISE[:, :3]
MAPS["objects"] = BLOCKS.astype(np.uint16) * 1000 + 24
MAPS["noise of 16 bits"] = NOISE.astype(np.uint16) * 257 + 3
MAPS["one of 16 bits"] = np.full((2, 1), 26001, np.uint16)


@pytest.fixture(autouse=True)
def small_maps_are_decoded(monkeypatch):
    monkeypatch.setattr(label_png, "_LEAST_PIXELS", 1)
    if load_kernels() is None:
        pytest.skip("no C++ compiler")


def filtered(values, filters):
    """Return the rows of a map as PNG stores them, row y with filter filters[y], by the formulas of section 9.2."""
    size = values.dtype.itemsize
    stored = np.ascontiguousarray(values.astype(values.dtype.newbyteorder(">"))).view(np.uint8).astype(int)
    rows = []
    for y, row in enumerate(stored):
        above = stored[y - 1] if y else np.zeros_like(row)
        left, corner = np.r_[[0] * size, row[:-size]], np.r_[[0] * size, above[:-size]]
        guess = left + above - corner
        to_left, to_above, to_corner = abs(guess - left), abs(guess - above), abs(guess - corner)
        paeth = np.where(
            (to_left <= to_above) & (to_left <= to_corner), left, np.where(to_above <= to_corner, above, corner)
        )
        predicted = (0, left, above, (left + above) // 2, paeth)[filters[y]]
        rows.append(bytes([filters[y]]) + ((row - predicted) % 256).astype(np.uint8).tobytes())
    return b"".join(rows)


def png(values, filters, level=6, strategy=zlib.Z_DEFAULT_STRATEGY, pieces=1):
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    stream = packer.compress(filtered(values, filters)) + packer.flush()
    size = -(-len(stream) // pieces)
    chunks = [png_chunk(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)]
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 8 * values.dtype.itemsize, 0, 0, 0, 0)
    return b"".join([label_png.PNG_SIGNATURE, png_chunk(b"IHDR", header), *chunks, png_chunk(b"IEND", b"")])


def decoded(data):
    return label_png.decode_label_png(data, read_header(data))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4, "mixed"])
def test_every_filter_gives_the_pixels(name, kind):
    values = MAPS[name]
    filters = [(3 * y + 1) % 5 if kind == "mixed" else kind for y in range(len(values))]
    np.testing.assert_array_equal(decoded(png(values, filters)), values)


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE])
def test_every_kind_of_compressed_block_is_read(level, strategy):
    for values in MAPS.values():
        data = png(values, [y % 5 for y in range(len(values))], level, strategy, pieces=3)
        np.testing.assert_array_equal(decoded(data), values)


def test_label_map_that_opencv_wrote_and_one_with_a_palette_are_read_alike(tmp_path):
    palette = [[index, 255 - index, 9] for index in range(256)]
    for data in (encoded(".png", BLOCKS), small_png(BLOCKS, palette=palette)):
        (tmp_path / "a.png").write_bytes(data)
        assert decoded(data) is not None
        stored = read_stored_labels(tmp_path / "a.png")
        np.testing.assert_array_equal(stored.ids, BLOCKS)
    assert stored.palette_rgb[3] == (3, 252, 9)


def test_map_of_16_bits_has_the_byte_order_of_the_machine():
    found = decoded(encoded(".png", MAPS["objects"]))
    assert found.dtype == np.uint16 and found.dtype.isnative
    np.testing.assert_array_equal(found, MAPS["objects"])


def test_orientation_turns_the_pixels(tmp_path):
    (tmp_path / "a.png").write_bytes(png_with_chunk(encoded(".png", BLOCKS), b"eXIf", exif(6)))
    np.testing.assert_array_equal(read_stored_labels(tmp_path / "a.png").ids, np.rot90(BLOCKS, -1))


@pytest.mark.parametrize(
    "data",
    [
        small_png(BLOCKS % 2, bits=1),
        small_png(BLOCKS, interlaced=True),
        small_png(BLOCKS, transparent=True),
        encoded(".png", np.dstack([BLOCKS] * 3)),
        encoded(".bmp", BLOCKS),
    ],
    ids=["one bit", "interlaced", "transparent", "three channels", "BMP"],
)
def test_other_forms_are_left_to_opencv(data):
    assert decoded(data) is None


def test_no_damaged_file_is_taken_for_a_label_map():
    rng = np.random.default_rng(2)
    sound = png(BLOCKS, [y % 5 for y in range(len(BLOCKS))], pieces=2)
    first, end = sound.index(b"IDAT"), sound.index(b"IEND") - 4
    for _ in range(300):
        damaged = bytearray(sound)
        damaged[rng.integers(first, end)] ^= 1 << rng.integers(0, 8)
        assert decoded(bytes(damaged)) is None


def test_stream_that_is_damaged_below_a_right_checksum_is_no_label_map():
    """The chunk is whole by its CRC, so that the decompression itself is what has to notice."""
    rng = np.random.default_rng(3)
    rows = filtered(BLOCKS, [y % 5 for y in range(len(BLOCKS))])
    header = struct.pack(">IIBBBBB", BLOCKS.shape[1], BLOCKS.shape[0], 8, 0, 0, 0, 0)
    for level in (1, 6):
        stream = zlib.compress(rows, level)
        for _ in range(300):
            damaged = bytearray(stream)
            damaged[rng.integers(2, len(damaged))] ^= 1 << rng.integers(0, 8)
            damaged = damaged[: rng.integers(len(damaged) // 2, len(damaged))] if rng.integers(2) else damaged
            try:
                is_sound = zlib.decompress(bytes(damaged)) == rows
            except zlib.error:
                is_sound = False
            chunks = [(b"IHDR", header), (b"IDAT", bytes(damaged)), (b"IEND", b"")]
            found = decoded(label_png.PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks))
            assert is_sound or found is None


@pytest.mark.parametrize("rows", [b"\x07" + bytes(4), bytes(3), bytes(6)], ids=["filter", "short", "long"])
def test_pixels_of_another_number_or_an_unknown_filter_are_left_to_opencv(rows):
    header = struct.pack(">IIBBBBB", 4, 1, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    assert decoded(label_png.PNG_SIGNATURE + b"".join(png_chunk(kind, body) for kind, body in chunks)) is None


def test_without_native_code_opencv_reads_the_same(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(".png", BLOCKS))
    monkeypatch.setattr(label_png, "load_kernels", lambda: None)
    np.testing.assert_array_equal(read_stored_labels(tmp_path / "a.png").ids, BLOCKS)
