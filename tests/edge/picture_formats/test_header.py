from __future__ import annotations

import struct

import numpy as np
import pytest

from edge.picture_formats.header import read_header
from tests.edge.picture_files import encoded, exif, jpeg_with_exif, jpeg_with_segment, png_with_chunk, small_png, tiff

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
JPEG = encoded(".jpg", PIXELS)
CLIP = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x08" * 50


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_size_of_a_sound_file_is_read_without_decoding_it(suffix):
    header = read_header(encoded(suffix, PIXELS))
    assert (header.height, header.width, header.problem) == (24, 40, "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_file_that_is_cut_anywhere_is_called_truncated(suffix):
    data = encoded(suffix, PIXELS)
    for length in range(0, len(data), max(1, len(data) // 60)):
        header = read_header(data[:length])
        assert header is None or "truncated" in header.problem or "damaged" in header.problem, length


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_a_clip_behind_it_is_whole(progressive):
    data = encoded(".jpg", PIXELS, 2, int(progressive))  # IMWRITE_JPEG_PROGRESSIVE
    assert read_header(data + CLIP).problem == ""
    assert read_header(data[:-40] + CLIP).problem == "it is truncated"


def test_thumbnail_in_a_segment_is_not_taken_for_the_picture():
    small = encoded(".jpg", PIXELS[:8, :8])
    whole = jpeg_with_exif(JPEG, 1, thumbnail=small)
    header = read_header(whole)
    assert (header.height, header.width, header.problem) == (24, 40, "")
    # Cut behind the thumbnail: its end-of-image marker is there, that of the picture is not.
    cut = whole[: whole.index(small) + len(small)]
    assert "truncated" in read_header(cut).problem


def test_second_picture_behind_the_first_one_does_not_count():
    header = read_header(JPEG + encoded(".jpg", PIXELS[:8, :8]))
    assert (header.height, header.width, header.problem) == (24, 40, "")


def test_picture_that_is_cut_is_not_made_whole_by_the_one_behind_it():
    cut = JPEG[: len(JPEG) * 2 // 3].rstrip(b"\xff")
    assert read_header(cut + encoded(".jpg", PIXELS[:8, :8]) + b"\x00").problem == "it is truncated"


def test_tiff_whose_strip_reaches_beyond_the_file_is_truncated():
    data = tiff(PIXELS)
    field = struct.pack("<HHII", 279, 4, 1, PIXELS.nbytes)
    assert data.count(field) == 1
    longer = data.replace(field, struct.pack("<HHII", 279, 4, 1, len(data)))
    assert (read_header(data).problem, read_header(longer).problem) == ("", "it is truncated")


def test_restart_markers_are_part_of_a_scan():
    data = encoded(".jpg", PIXELS, 4, 1)  # IMWRITE_JPEG_RST_INTERVAL
    assert b"\xff\xd0" in data
    assert read_header(data).problem == ""
    assert read_header(data + CLIP).problem == ""


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_in_every_format_that_has_it(order, orientation):
    png = png_with_chunk(encoded(".png", PIXELS), b"eXIf", exif(orientation, order))
    files = [jpeg_with_exif(JPEG, orientation, order), png, tiff(PIXELS, orientation, order=order)]
    assert [read_header(data).orientation for data in files] == [orientation] * 3
    assert read_header(png).upright_size == ((40, 24) if orientation >= 5 else (24, 40))


@pytest.mark.parametrize("block", [b"", b"II*\x00", exif(0), exif(9), b"II*\x00\xff\xff\xff\xff", exif(6)[:14]])
def test_orientation_that_makes_no_sense_is_none(block):
    data = jpeg_with_segment(JPEG, 0xE1, b"Exif\x00\x00" + block)
    assert (read_header(data).orientation, read_header(data).problem) == (1, "")


def test_palette_and_depth_of_a_png_are_read():
    header = read_header(small_png(np.zeros((3, 5), np.uint8), 4, [(1, 2, 3), (4, 5, 6)]))
    assert (header.has_palette, header.bits, header.palette_rgb) == (True, 4, ((1, 2, 3), (4, 5, 6)))
    assert read_header(encoded(".png", PIXELS.astype(np.uint16))).bits == 16


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a" + bytes(20), "a GIF"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(20), "a HEIC photo"),
        (b"\x00\x00\x00\x18ftypavif" + bytes(20), "an AVIF picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x00\x05\x16\x07" + bytes(40), "macOS"),
        (b"<!DOCTYPE html><html>", "download it again"),
        (tiff(PIXELS.astype(np.float32), sample_format=3), "floating-point numbers of 32 bits"),
        (tiff(PIXELS.astype(np.int16), sample_format=2), "signed whole numbers of 16 bits"),
        (tiff(PIXELS, photometric=8), "colours other than RGB"),
    ],
)
def test_file_that_is_not_read_is_called_by_its_name(data, words):
    assert words in read_header(data).problem


def _frame_of(marker: int, bits: int, channels: int) -> bytes:
    body = struct.pack(">BHHB", bits, 24, 40, channels) + bytes(3 * channels)
    return b"\xff\xd8" + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + b"\xff\xda\x00\x02\xff\xd9"


def test_jpeg_that_opencv_does_not_decode_or_guesses_at_is_named():
    assert "12 bits a sample" in read_header(_frame_of(0xC1, 12, 1)).problem
    assert "lossless" in read_header(_frame_of(0xC3, 8, 1)).problem
    inks = _frame_of(0xC0, 8, 4)
    assert "CMYK JPEG without Adobe's marker" in read_header(inks).problem
    assert read_header(jpeg_with_segment(inks, 0xEE, b"Adobe" + bytes(7))).problem == ""


def test_unknown_format_is_left_to_the_decoder():
    assert read_header(b"P6\n1 1\n255\n...") is None
    assert read_header(b"") is None
