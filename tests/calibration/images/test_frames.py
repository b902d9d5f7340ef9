"""Images named by a manifest file are found by name and hash; validation images are refused, and marked if forced."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from calibration.images.frames import read_manifest_frames
from calibration.images.manifest import CalibrationManifest, manifest_note
from calibration.images.selection import calibration_frames
from edge.artifacts import sha256_file
from edge.errors import ContractError, DatasetError, InputError
from edge.imaging import read_rgb, write_image
from edge.records import write_record


@pytest.fixture
def camvid(make_camvid):
    return make_camvid(count=4)


@pytest.fixture
def write_manifest(camvid, tmp_path):
    """Return a function that writes a manifest of pictures, each given as "split/name", perhaps under other names."""

    def write(*pictures, names=None, **changes):
        manifest = CalibrationManifest(
            images_from="camvid train",
            split="train",
            method="by hand",
            names=tuple(names or (picture.split("/")[1] for picture in pictures)),
            sha256=tuple(sha256_file(camvid / f"{picture}.png") for picture in pictures),
            classes={},
            groups={},
            lights={},
        )
        path = tmp_path / "manifest.json"
        write_record(path, dataclasses.replace(manifest, **changes))
        return path

    return write


def test_manifest_that_was_written_gives_the_same_images(camvid, tmp_path):
    frames, manifest = calibration_frames("camvid", camvid, 3, 1, 1)
    write_record(tmp_path / "manifest.json", manifest)
    found, read = read_manifest_frames(tmp_path / "manifest.json", "camvid", camvid)
    assert read == manifest
    assert (found.names, found.description) == (frames.names, "camvid train")
    for index in range(3):
        np.testing.assert_array_equal(found.read(index), frames.read(index))


def test_images_stay_in_the_order_of_the_file(camvid, write_manifest):
    frames, manifest = read_manifest_frames(write_manifest("train/t1_003", "train/t0_000"), "camvid", camvid)
    assert tuple(frames.names) == manifest.names == ("t1_003", "t0_000")
    np.testing.assert_array_equal(frames.read(0), read_rgb(camvid / "train" / "t1_003.png"))


def test_name_that_the_split_lacks_is_refused(camvid, write_manifest):
    path = write_manifest("train/t0_000", "train/t1_001", names=("t0_000", "t9_999"))
    with pytest.raises(DatasetError, match="names t9_999, which is not there: camvid train"):
        read_manifest_frames(path, "camvid", camvid)


def test_image_that_changed_is_refused(camvid, write_manifest):
    path = write_manifest("train/t0_000")
    write_image(camvid / "train" / "t0_000.png", np.zeros((20, 44, 3), np.uint8))
    with pytest.raises(DatasetError, match="names t0_000, which has changed since"):
        read_manifest_frames(path, "camvid", camvid)


def test_validation_image_is_refused_by_its_name(camvid, write_manifest):
    path = write_manifest("train/t0_000", "val/v1_001")
    with pytest.raises(InputError, match=r"names v1_001 of camvid val: validation images .*--force-validation-images"):
        read_manifest_frames(path, "camvid", camvid)


def test_validation_image_is_refused_by_its_name_though_its_file_changed(camvid, write_manifest):
    path = write_manifest("val/v1_001")
    write_image(camvid / "val" / "v1_001.png", np.zeros((20, 44, 3), np.uint8))
    with pytest.raises(InputError, match="validation images"):
        read_manifest_frames(path, "camvid", camvid)
    with pytest.raises(DatasetError, match="names v1_001, which has changed since: camvid val"):
        read_manifest_frames(path, "camvid", camvid, allow_validation=True)


@pytest.mark.parametrize("name", ["t9_999", "t0_000"])  # unknown, and one that the training split has as well
def test_validation_image_is_refused_by_its_content(camvid, write_manifest, name):
    path = write_manifest("val/v1_001", names=(name,))
    with pytest.raises(InputError, match=f"names {name}, which is v1_001 by its content, of camvid val"):
        read_manifest_frames(path, "camvid", camvid)


def test_name_of_both_splits_is_decided_by_content(camvid, write_manifest):
    shutil.copy(camvid / "val" / "v1_001.png", camvid / "val" / "t0_000.png")
    frames, _ = read_manifest_frames(write_manifest("train/t0_000"), "camvid", camvid)
    np.testing.assert_array_equal(frames.read(0), read_rgb(camvid / "train" / "t0_000.png"))
    with pytest.raises(InputError, match="names t0_000 of camvid val"):
        read_manifest_frames(write_manifest("val/t0_000"), "camvid", camvid)


def test_training_image_that_is_the_same_in_validation_is_refused(camvid, write_manifest):
    shutil.copy(camvid / "train" / "t0_000.png", camvid / "val" / "t0_000.png")
    with pytest.raises(InputError, match="names t0_000 of camvid val"):
        read_manifest_frames(write_manifest("train/t0_000"), "camvid", camvid)


def test_test_split_is_held_out_too(camvid, write_manifest):
    shutil.copytree(camvid / "val", camvid / "test")
    shutil.copytree(camvid / "valannot", camvid / "testannot")
    (camvid / "test" / "v0_000.png").rename(camvid / "test" / "x0_000.png")
    with pytest.raises(InputError, match="x0_000 of camvid test: test images"):
        read_manifest_frames(write_manifest("test/x0_000"), "camvid", camvid)


def test_forced_validation_images_are_read_and_marked(camvid, write_manifest):
    path = write_manifest("train/t0_000", "val/v1_001")
    frames, manifest = read_manifest_frames(path, "camvid", camvid, allow_validation=True)
    np.testing.assert_array_equal(frames.read(1), read_rgb(camvid / "val" / "v1_001.png"))
    assert (manifest.split, manifest.images_from, frames.description) == ("val", *["camvid train and val"] * 2)
    assert "validation images (camvid train and val)" in manifest_note(manifest)


def test_manifest_that_says_validation_is_refused_before_any_image_is_looked_for(camvid, write_manifest, tmp_path):
    path = write_manifest("val/v1_001", split="val", images_from="camvid val")
    with pytest.raises(InputError, match="is of camvid val: validation images"):
        read_manifest_frames(path, "camvid", tmp_path / "no-such-folder")
    _, manifest = read_manifest_frames(path, "camvid", camvid, allow_validation=True)
    assert manifest.split == "val"


def test_training_split_alone_is_enough(camvid, write_manifest):
    path = write_manifest("train/t0_000")
    for folder in ("val", "valannot"):
        shutil.rmtree(camvid / folder)
    assert len(read_manifest_frames(path, "camvid", camvid)[0]) == 1


def test_drawn_scenes_are_in_no_folder(camvid, write_manifest):
    with pytest.raises(InputError, match="drawn scenes"):
        read_manifest_frames(write_manifest("train/t0_000", split="drawn"), "camvid", camvid)


@pytest.mark.parametrize(
    "changes",
    [{"names": (), "sha256": ()}, {"names": ("t0_000", "t0_000")}, {"sha256": ("1" * 64,)}],
    ids=["empty", "twice", "without a hash"],
)
def test_manifest_that_does_not_name_images_by_hash_is_refused(camvid, write_manifest, changes):
    path = write_manifest("train/t0_000", "train/t1_001", **changes)
    with pytest.raises(ContractError, match="expected at least one name, each once and with its hash"):
        read_manifest_frames(path, "camvid", camvid)


def test_missing_manifest_is_named(camvid, tmp_path):
    with pytest.raises(InputError, match=r"calibration manifest not found: .*none\.json"):
        read_manifest_frames(tmp_path / "none.json", "camvid", camvid)
