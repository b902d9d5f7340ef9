from __future__ import annotations

import shutil

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.imaging import read_rgb, write_image
from edge.labels import CITYSCAPES, CITYSCAPES_RAW_COLORS_RGB

FRAME = np.random.default_rng(3).integers(0, 256, (6, 34, 3), np.uint8)
IDS = np.tile(np.arange(34, dtype=np.uint8), (6, 1))


def write_city(root, city="aachen", split="val", count=2, suffix=".png", kind="labelIds", pixels=IDS):
    for index in range(count):
        stem = f"{city}_{index:06d}_000019"
        write_image(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit{suffix}", FRAME)
        if kind:
            write_image(root / "gtFine" / split / city / f"{stem}_gtFine_{kind}.png", pixels)
    return root


def open_val(root, **options):
    return open_dataset("cityscapes", root, "val", **options)


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp", ".tif"])
def test_frames_of_any_picture_format_are_found(tmp_path, suffix):
    dataset = open_val(write_city(tmp_path, suffix=suffix))
    assert [sample.name for sample in dataset.samples] == ["aachen_000000_000019", "aachen_000001_000019"]
    np.testing.assert_array_equal(dataset.read_frame(0), read_rgb(dataset.samples[0].image_path))
    assert dataset.read_labels(1).shape == IDS.shape


def test_frame_that_is_there_in_two_formats_is_named(tmp_path):
    write_city(write_city(tmp_path), suffix=".jpg")
    with pytest.raises(DatasetError, match=r"has the frame aachen_000000_000019 twice, as .*\.jpg and .*\.png"):
        open_val(tmp_path)


def test_what_macs_and_windows_leave_is_no_frame_and_no_city(tmp_path):
    write_city(tmp_path)
    for half in ("leftImg8bit", "gtFine"):
        folder = tmp_path / half / "val"
        (folder / ".DS_Store").write_bytes(b"x")
        (folder / "__MACOSX").mkdir()
        for path in list((folder / "aachen").iterdir()):
            path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
        (folder / "aachen" / "Thumbs.db").write_bytes(b"x")
    assert len(open_val(tmp_path)) == 2


def test_color_pictures_are_read_where_there_are_no_ids(tmp_path):
    colors = np.zeros((256, 3), np.uint8)
    for raw_id, color in CITYSCAPES_RAW_COLORS_RGB.items():
        colors[raw_id] = color
    ids = np.where(IDS == 18, 0, IDS)
    labels = open_val(write_city(tmp_path, kind="color", pixels=colors[ids])).read_labels(0)
    np.testing.assert_array_equal(labels, CITYSCAPES.raw_lookup().astype(np.uint8)[ids])


def test_city_without_its_folder_of_labels_is_named(tmp_path):
    write_city(write_city(tmp_path), city="bochum")
    shutil.rmtree(str(tmp_path / "gtFine" / "val" / "bochum"))
    with pytest.raises(DatasetError) as error:
        open_val(tmp_path)
    assert "2 of 4 frames" in str(error.value) and "(none of bochum has one)" in str(error.value)
    assert "expected bochum_000000_000019_gtFine_labelIds.png in" in str(error.value)
    assert "bochum, which is not there" in str(error.value)


def test_city_without_its_folder_of_frames_is_named_and_left_out(tmp_path, capsys):
    write_city(write_city(tmp_path), city="bochum")
    shutil.rmtree(str(tmp_path / "leftImg8bit" / "val" / "bochum"))
    assert len(open_val(tmp_path)) == 2
    assert "label maps of cities without a folder of frames in" in capsys.readouterr().err


def test_label_map_that_is_not_there_is_named_with_what_is(tmp_path):
    write_city(tmp_path, kind="polygons")
    with pytest.raises(DatasetError, match=r"expected \S+_gtFine_labelIds\.png in .*, which has \S+_gtFine_polygons"):
        open_val(tmp_path)


def test_folder_whose_pictures_have_other_names_is_not_called_empty(tmp_path):
    write_image(tmp_path / "leftImg8bit" / "val" / "aachen" / "000001.png", FRAME)
    with pytest.raises(DatasetError, match=r"has aachen/000001\.png and 0 other files, expected frames named"):
        open_val(tmp_path)


def test_frames_without_folders_of_cities_are_named(tmp_path):
    write_image(tmp_path / "leftImg8bit" / "val" / "aachen_000000_000019_leftImg8bit.png", FRAME)
    with pytest.raises(DatasetError, match=r"no folder of a city in .*, which has aachen_000000_000019_leftImg8bit"):
        open_val(tmp_path)


def test_folder_beside_the_right_one_is_told_the_right_one(tmp_path):
    root = write_city(tmp_path / "cityscapes")
    with pytest.raises(DatasetError, match=r"but cityscapes/ has\. Next: --data-dir .*cityscapes"):
        open_val(tmp_path)
    with pytest.raises(DatasetError, match=r"is one of its two halves; .*Next: --data-dir .*cityscapes"):
        open_val(root / "leftImg8bit")
    with pytest.raises(DatasetError, match="has no leftImg8bit/test, its leftImg8bit has val/; expected"):
        open_dataset("cityscapes", root, "test")


def test_drawn_set_that_is_not_whole_is_named(tmp_path, capsys):
    write_city(tmp_path)
    (tmp_path / ".synthetic-unfinished").touch()
    assert len(open_val(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "has 2 frames of val, and its drawing did not come to the end" in said and "python -m edge.synthetic" in said
    (tmp_path / "leftImg8bit" / "train").mkdir()
    for split in ("train", "test"):
        with pytest.raises(DatasetError, match="its drawing did not come to the end"):
            open_dataset("synthetic", tmp_path, split)


def test_folder_in_the_layout_of_the_other_dataset_is_told_which(tmp_path):
    write_city(tmp_path / "city")
    with pytest.raises(DatasetError, match=r"has leftImg8bit/ as Cityscapes .* Next: --dataset cityscapes"):
        open_dataset("camvid", tmp_path / "city", "val")
    for folder in ("val", "valannot", "train", "trainannot"):
        (tmp_path / "vid" / folder).mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"as CamVid has\. Next: --dataset camvid"):
        open_dataset("cityscapes", tmp_path / "vid", "val")
