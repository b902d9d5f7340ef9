from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.images.frames import read_manifest_frames
from calibration.images.selection import calibration_frames
from edge.datasets import open_dataset, opening
from edge.errors import DatasetError, InputError
from edge.frames import FolderFrames
from edge.imaging import read_rgb, write_image
from edge.records import write_record
from edge.sample_depth import PICTURE_BITS_VARIABLE
from edge.stream.file_sources import PictureSource


@pytest.fixture(autouse=True)
def no_given_bits(monkeypatch):
    monkeypatch.delenv(PICTURE_BITS_VARIABLE, raising=False)


def write_deep(path, frame_rgb, bits, share=1.0):
    """Write a picture whose 8-bit form is `frame_rgb` where `share` is 1, as a camera of `bits` bits does."""
    deep = (frame_rgb.astype(np.float64) * share).astype(np.uint16) << (bits - 8)
    write_image(path, deep)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_picture_of_a_camera_is_scaled_by_its_real_range(tmp_path, frame_rgb, capsys, bits, suffix):
    bright = np.maximum(frame_rgb, 0)
    bright[0, 0] = 255
    write_deep(tmp_path / f"a{suffix}", bright, bits)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), bright)
    assert f"read as {bits} bits, so that {(1 << bits) - 1} is white" in capsys.readouterr().err


def test_grey_picture_of_12_bits_becomes_three_equal_channels(tmp_path, frame_rgb):
    grey = frame_rgb[..., 0].copy()
    grey[0, 0] = 255
    write_image(tmp_path / "a.png", grey.astype(np.uint16) << 4)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), np.dstack([grey] * 3))


def test_values_in_the_upper_bits_are_of_16_bits(tmp_path, frame_rgb):
    bright = frame_rgb.copy()
    bright[0, 0] = 255
    write_image(tmp_path / "a.png", (bright.astype(np.uint16) << 8) | 0x80)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), bright)


def test_range_is_that_of_the_folder_and_named_once(tmp_path, frame_rgb, capsys):
    frame_rgb[0, 0] = 255
    write_deep(tmp_path / "bright.png", frame_rgb, 12)
    write_deep(tmp_path / "dark.png", frame_rgb, 12, share=0.1)
    write_image(tmp_path / "plain.png", frame_rgb)
    frames = FolderFrames(tmp_path)
    assert frames.names == ["bright", "dark", "plain"]
    dark = (frame_rgb * 0.1).astype(np.uint8)
    np.testing.assert_array_equal(frames.read(1), dark)
    np.testing.assert_array_equal(frames.read(0), frame_rgb)
    np.testing.assert_array_equal(frames.read(2), frame_rgb)
    again = FolderFrames(tmp_path)
    np.testing.assert_array_equal(again.subset([1]).read(0), dark)
    err = capsys.readouterr().err
    assert err.count("note:") == 1
    assert f"2 pictures of {tmp_path} have 16 bits a sample, with values up to 4080: read as 12 bits" in err


def test_demo_shows_the_frames_that_calibrate(tmp_path, frame_rgb):
    frame_rgb[0, 0] = 255
    write_deep(tmp_path / "a.png", frame_rgb, 12, share=0.1)
    write_deep(tmp_path / "b.png", frame_rgb, 12)
    frames = FolderFrames(tmp_path)
    with PictureSource([tmp_path / "a.png", tmp_path / "b.png"], "folder") as source:
        for index in range(2):
            shown = cv2.cvtColor(source.read().pixels_bgr, cv2.COLOR_BGR2RGB)
            np.testing.assert_array_equal(shown, frames.read(index))


def test_range_of_a_dataset_is_that_of_all_splits(make_camvid, frame_rgb):
    root = make_camvid(count=2)
    frame_rgb[0, 0] = 255
    for split, share in (("train", 1.0), ("val", 0.1)):
        for path in (root / split).iterdir():
            write_deep(path, frame_rgb, 14, share)
    dark = open_dataset("camvid", root, "val", limit=1).read_frame(0)
    np.testing.assert_array_equal(dark, (frame_rgb * 0.1).astype(np.uint8))


def test_digest_of_a_deep_picture_changes_with_the_range(tmp_path, frame_rgb):
    write_deep(tmp_path / "one" / "a.png", frame_rgb // 4, 12)
    write_deep(tmp_path / "two" / "a.png", frame_rgb // 4, 12)
    frame_rgb[0, 0] = 255
    write_deep(tmp_path / "two" / "b.png", frame_rgb, 16)
    one, two = FolderFrames(tmp_path / "one"), FolderFrames(tmp_path / "two")
    assert one.digest(0) != two.digest(0)


def test_user_says_how_many_bits_the_camera_has(tmp_path, frame_rgb, monkeypatch, capsys):
    write_deep(tmp_path / "a.png", frame_rgb // 16, 12)
    monkeypatch.setenv(PICTURE_BITS_VARIABLE, "12")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), frame_rgb // 16)
    assert capsys.readouterr().err == ""


def test_number_of_bits_that_no_camera_has_is_refused(tmp_path, frame_rgb, monkeypatch):
    write_deep(tmp_path / "a.png", frame_rgb, 12)
    monkeypatch.setenv(PICTURE_BITS_VARIABLE, "11")
    with pytest.raises(InputError, match="SEGEDGE_PICTURE_BITS is '11', expected one of: 8, 10, 12, 14, 16"):
        read_rgb(tmp_path / "a.png")


def test_manifest_of_deep_frames_holds_while_their_range_does(make_camvid, frame_rgb, tmp_path, monkeypatch):
    root = make_camvid(count=3)
    for path in (root / "train").iterdir():
        write_deep(path, frame_rgb, 12)
    _, manifest = calibration_frames("camvid", root, 2, 8, 8)
    write_record(tmp_path / "manifest.json", manifest)
    frames, again = read_manifest_frames(tmp_path / "manifest.json", "camvid", root)
    assert again.digest() == manifest.digest() and frames.names == list(manifest.names)
    monkeypatch.setenv(PICTURE_BITS_VARIABLE, "14")
    opening._shared_depth.cache_clear()
    with pytest.raises(DatasetError, match="has changed since"):
        read_manifest_frames(tmp_path / "manifest.json", "camvid", root)
