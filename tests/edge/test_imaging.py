from __future__ import annotations

import errno
import os

import cv2
import numpy as np
import pytest

from edge.errors import ImageError, StorageError
from edge.imaging import list_images, read_ids, read_rgb, silence_opencv_log, write_image

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
