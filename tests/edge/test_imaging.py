from __future__ import annotations

import errno
import os

import cv2
import numpy as np
import pytest

from edge.errors import ImageError, StorageError
from edge.imaging import (
    is_junk,
    list_images,
    read_file_header,
    read_ids,
    read_rgb,
    read_stored_labels,
    silence_opencv_log,
    turn_upright,
    write_image,
)
from tests.edge.picture_files import encoded, exif, jpeg_with_exif, png_with_chunk, small_png, tiff

LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".PNG")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_picture_comes_back_with_red_first(tmp_path, frame_rgb, suffix):
    path = tmp_path / f"frame{suffix}"
    write_image(path, frame_rgb)
    np.testing.assert_array_equal(read_rgb(path), frame_rgb)
    np.testing.assert_array_equal(cv2.imread(str(path)), frame_rgb[..., ::-1])


def test_path_with_spaces_and_letters_of_any_script_is_read(tmp_path, frame_rgb):
    path = tmp_path / "Köln street 道路" / "frame №1.png"
    write_image(path, frame_rgb)
    np.testing.assert_array_equal(read_rgb(path), frame_rgb)


@pytest.mark.parametrize("pixels", ["grey", "alpha", "sixteen"])
def test_any_stored_form_is_read_as_rgb_bytes(tmp_path, frame_rgb, pixels):
    stored = {
        "grey": frame_rgb[..., 0],
        "alpha": np.dstack([frame_rgb[..., ::-1], np.full(frame_rgb.shape[:2], 128, np.uint8)]),
        "sixteen": frame_rgb[..., ::-1].astype(np.uint16) * 256,
    }[pixels]
    (tmp_path / "f.png").write_bytes(cv2.imencode(".png", stored)[1].tobytes())
    expected = np.repeat(frame_rgb[..., :1], 3, 2) if pixels == "grey" else frame_rgb
    read = read_rgb(tmp_path / "f.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ids_come_back_as_they_were(tmp_path, dtype):
    ids = np.arange(6 * 50, dtype=np.uint16).reshape(6, 50).astype(dtype)
    write_image(tmp_path / "ids.png", ids)
    read = read_ids(tmp_path / "ids.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, ids)


def test_colour_picture_is_no_label_map(tmp_path, frame_rgb):
    write_image(tmp_path / "color.png", frame_rgb)
    with pytest.raises(ImageError, match=r"label map .*color\.png has 3 channels, expected 1"):
        read_ids(tmp_path / "color.png")


@pytest.mark.parametrize("read", [read_rgb, read_ids])
def test_missing_picture_is_named(tmp_path, read):
    (tmp_path / "file.png").write_bytes(b"x")
    for path in (tmp_path / "none.png", tmp_path / "file.png" / "inside.png"):
        with pytest.raises(ImageError, match=r"image not found: .*png"):
            read(path)


def test_folder_is_no_picture(tmp_path):
    with pytest.raises(ImageError, match="cannot be read: Is a directory"):
        read_rgb(tmp_path)


def test_picture_without_permission_is_an_image_error(tmp_path, monkeypatch):
    def refused(*_arguments, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refused)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        read_rgb(tmp_path / "frame.png")


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_file_that_is_no_picture_is_refused_with_its_size(tmp_path, data):
    (tmp_path / "frame.png").write_bytes(data)
    with pytest.raises(ImageError, match=rf"frame\.png cannot be decoded \({len(data)} bytes\)"):
        read_rgb(tmp_path / "frame.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_truncated_picture_is_refused_without_a_word_of_opencv(tmp_path, capfd, suffix, share):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_rgb(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_bytes_behind_the_end_do_no_harm(tmp_path, frame_rgb, suffix):
    # Some cameras write their own records there.
    data = cv2.imencode(suffix, frame_rgb)[1].tobytes()
    path = tmp_path / f"frame{suffix}"
    path.write_bytes(data)
    whole = read_rgb(path)
    path.write_bytes(data + bytes(1000))
    np.testing.assert_array_equal(read_rgb(path), whole)


def test_progressive_jpeg_is_read(tmp_path, frame_rgb):
    data = cv2.imencode(".jpg", frame_rgb, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 100])[1]
    (tmp_path / "frame.jpg").write_bytes(data.tobytes())
    assert read_rgb(tmp_path / "frame.jpg").shape == frame_rgb.shape


def test_users_choice_of_opencv_messages_is_kept(monkeypatch):
    calls = []
    logging = getattr(cv2.utils, "logging", None)  # OpenCV 4.10 has none
    target = logging if hasattr(logging, "setLogLevel") else cv2
    monkeypatch.setattr(target, "setLogLevel", calls.append)
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "DEBUG")
    silence_opencv_log()
    assert calls == []
    monkeypatch.delenv("OPENCV_LOG_LEVEL")
    silence_opencv_log()
    assert calls == [0]


@pytest.mark.parametrize("name", ["picture", "picture.xyz", "picture.txt"])
def test_unknown_picture_format_is_refused_before_anything_is_written(tmp_path, frame_rgb, name):
    with pytest.raises(ImageError, match=r"has the suffix '.*', expected one of: \.png"):
        write_image(tmp_path / name, frame_rgb)
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_full_disk_leaves_the_old_picture(tmp_path, frame_rgb, monkeypatch):
    path = tmp_path / "frame.png"
    write_image(path, frame_rgb)

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="free some space"):
        write_image(path, frame_rgb[:10])
    np.testing.assert_array_equal(read_rgb(path), frame_rgb)
    assert [entry.name for entry in tmp_path.iterdir()] == ["frame.png"]


def test_pictures_are_listed_by_name_and_nothing_else_is(tmp_path, frame_rgb):
    for name in ("b.png", "a.jpg", "c.PNG", ".writing-x.png", "._a.jpg"):
        write_image(tmp_path / name, frame_rgb)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.png", "c.PNG"]


def test_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImageError, match="holds no picture"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="folder not found"):
        list_images(tmp_path / "none")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright_alike_in_every_format(tmp_path, frame_rgb, orientation):
    """Rows and columns of a stored picture are where EXIF's table says that the 0th row and column are seen."""
    upright = {
        1: frame_rgb,
        2: frame_rgb[:, ::-1],
        3: frame_rgb[::-1, ::-1],
        4: frame_rgb[::-1],
        5: frame_rgb.swapaxes(0, 1),
        6: np.rot90(frame_rgb, -1),
        7: frame_rgb.swapaxes(0, 1)[::-1, ::-1],
        8: np.rot90(frame_rgb),
    }[orientation]
    files = {
        "a.png": png_with_chunk(encoded(".png", frame_rgb), b"eXIf", exif(orientation)),
        "b.tif": tiff(frame_rgb, orientation),
        "c.tif": tiff(frame_rgb.astype(np.uint16) * 257, orientation, order=">"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_rgb(tmp_path / name), upright, err_msg=name)
    jpeg = encoded(".jpg", frame_rgb)
    (tmp_path / "plain.jpg").write_bytes(jpeg)
    (tmp_path / "turned.jpg").write_bytes(jpeg_with_exif(jpeg, orientation))
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "turned.jpg"), turn_upright(read_rgb(tmp_path / "plain.jpg"), orientation)
    )


def test_label_map_is_turned_as_its_own_tag_says(tmp_path, frame_rgb):
    ids = frame_rgb[..., 0]
    for name, data in {
        "grey.png": png_with_chunk(encoded(".png", ids), b"eXIf", exif(6)),
        "palette.png": png_with_chunk(small_png(ids, 8, [(i, 0, 9) for i in range(256)]), b"eXIf", exif(6)),
        "ids.tif": tiff(ids, 6),
    }.items():
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_ids(tmp_path / name), np.rot90(ids, -1), err_msg=name)


def test_motion_photo_and_thumbnail_are_read_and_a_cut_one_is_not(tmp_path, frame_rgb):
    jpeg = encoded(".jpg", frame_rgb)
    (tmp_path / "plain.jpg").write_bytes(jpeg)
    photo = jpeg_with_exif(jpeg, 1, thumbnail=encoded(".jpg", frame_rgb[:8, :8])) + b"\xff\xda\xff\xd8ftypmp42" * 9
    (tmp_path / "photo.jpg").write_bytes(photo)
    np.testing.assert_array_equal(read_rgb(tmp_path / "photo.jpg"), read_rgb(tmp_path / "plain.jpg"))
    (tmp_path / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    with pytest.raises(ImageError, match="it is truncated"):
        read_rgb(tmp_path / "cut.jpg")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_of_a_palette_are_its_indices(tmp_path, bits, transparent, interlaced):
    count = min(1 << bits, 200)
    ids = np.random.default_rng(bits).integers(0, count, (21, 37), np.uint8)
    palette = np.random.default_rng(9).integers(0, 256, (count, 3), np.uint8)
    (tmp_path / "ids.png").write_bytes(small_png(ids, bits, palette.tolist(), transparent, interlaced))
    stored = read_stored_labels(tmp_path / "ids.png")
    np.testing.assert_array_equal(stored.ids, ids)
    assert stored.palette_rgb == tuple(map(tuple, palette.tolist()))
    np.testing.assert_array_equal(read_rgb(tmp_path / "ids.png"), palette[ids])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_ids_of_few_bits_are_not_spread(tmp_path, bits):
    ids = np.random.default_rng(bits).integers(0, 1 << bits, (21, 37), np.uint8)
    (tmp_path / "ids.png").write_bytes(small_png(ids, bits))
    np.testing.assert_array_equal(read_ids(tmp_path / "ids.png"), ids)


def test_three_equal_channels_are_one_channel_of_ids(tmp_path, frame_rgb):
    ids = frame_rgb[..., 0]
    write_image(tmp_path / "ids.png", np.dstack([ids] * 3))
    (tmp_path / "alpha.png").write_bytes(encoded(".png", np.dstack([ids, ids, ids, np.full_like(ids, 255)])))
    for name in ("ids.png", "alpha.png"):
        stored = read_stored_labels(tmp_path / name)
        np.testing.assert_array_equal(stored.ids, ids)
        assert stored.has_equal_channels


def test_colours_of_a_label_map_come_red_first(tmp_path, frame_rgb):
    write_image(tmp_path / "color.png", frame_rgb)
    stored = read_stored_labels(tmp_path / "color.png")
    assert stored.ids is None
    np.testing.assert_array_equal(stored.colors_rgb, frame_rgb)


def test_label_map_that_does_not_keep_ids_is_refused(tmp_path, frame_rgb):
    write_image(tmp_path / "ids.jpg", frame_rgb[..., 0])
    with pytest.raises(ImageError, match=r"ids\.jpg is a JPEG with lossy compression, which changes ids"):
        read_ids(tmp_path / "ids.jpg")
    write_image(tmp_path / "deep.png", frame_rgb.astype(np.uint16))
    with pytest.raises(ImageError, match="3 channels of 16 bits"):
        read_ids(tmp_path / "deep.png")


def test_transparent_tiff_is_refused_and_an_opaque_one_is_read(tmp_path, frame_rgb):
    opaque = np.dstack([frame_rgb, np.full(frame_rgb.shape[:2], 255, np.uint8)])
    (tmp_path / "opaque.tif").write_bytes(tiff(opaque))
    np.testing.assert_array_equal(read_rgb(tmp_path / "opaque.tif"), frame_rgb)
    opaque[3, 4, 3] = 7
    (tmp_path / "clear.tif").write_bytes(tiff(opaque))
    with pytest.raises(ImageError, match="transparent pixels, which OpenCV darkens"):
        read_rgb(tmp_path / "clear.tif")


@pytest.mark.parametrize("name", ["._a.png", ".DS_Store", "Thumbs.db", "thumbs.DB", "desktop.ini", ".hidden.png"])
def test_what_systems_leave_in_folders_is_junk(name):
    assert is_junk(name)


@pytest.mark.parametrize("name", ["a.png", "desktop.png", "_a.png", "a._b.png"])
def test_picture_is_no_junk(name):
    assert not is_junk(name)


def test_folder_of_something_else_is_refused_with_what_it_has(tmp_path):
    for index in range(6):
        (tmp_path / f"a{index}").mkdir()
    with pytest.raises(ImageError, match=r"it has a0/, a1/, a2/, a3/ and 2 more\. Next: name the folder"):
        list_images(tmp_path)


def test_pictures_of_formats_that_are_not_read_are_named(tmp_path, frame_rgb, capsys):
    write_image(tmp_path / "a.png", frame_rgb)
    for name in ("b.HEIC", "c.dng", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]
    list_images(tmp_path)
    err = capsys.readouterr().err
    assert err.count("note: ") == 1 and "has b.HEIC, c.dng, of formats that are not read" in err


def test_header_of_a_file_is_read_with_its_problem(tmp_path, frame_rgb):
    write_image(tmp_path / "a.png", frame_rgb)
    assert read_file_header(tmp_path / "a.png").upright_size == frame_rgb.shape[:2]
    assert read_file_header(tmp_path / "none.png").problem == "not found"
    (tmp_path / "empty.png").touch()
    assert read_file_header(tmp_path / "empty.png").problem == "it is empty"
    (tmp_path / "text.png").write_bytes(b"some text")
    assert read_file_header(tmp_path / "text.png").problem == "it is damaged, or no image"
    (tmp_path / "other.png").write_bytes(encoded(".ppm", frame_rgb))
    header = read_file_header(tmp_path / "other.png")
    assert (header.problem, header.height, header.width) == ("", *frame_rgb.shape[:2])


def test_link_to_nothing_is_a_picture_that_cannot_be_read(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "b.png").symlink_to(tmp_path / "objects" / "b.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png"]
    with pytest.raises(ImageError, match=r"b\.png is a link to .*objects/b\.png, which is not there"):
        read_rgb(tmp_path / "b.png")
