"""Calibration images come from the training split alone, cover what it has, and are always the same."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from calibration.images import selection
from calibration.images.manifest import HELD_OUT, CalibrationManifest, ClassCoverage
from calibration.images.selection import SYNTHETIC_SEED, calibration_frames, read_manifest_frames
from calibration.select_images import main
from edge.artifacts import sha256_file
from edge.datasets import open_dataset
from edge.errors import DatasetError, ImageError, InputError
from edge.imaging import write_image
from edge.labels import CAMVID
from edge.records import read_record, write_record
from tests.edge.picture_files import damaged_inside

CAR, SKY, ROAD = CAMVID.class_names.index("car"), 0, CAMVID.class_names.index("road")


@pytest.fixture
def camvid(tmp_path):
    """Frames of 8x8: sequence a is dark, b bright, all of road and sky; b_2 alone has a car."""
    rng = np.random.default_rng(0)
    root = tmp_path / "camvid"
    for split, sequences in (("train", ("a", "b")), ("val", ("c",))):
        for sequence in sequences:
            for index in range(4):
                frame = rng.integers(0, 100, (8, 8, 3)) + (100 if sequence == "b" else 0)
                labels = np.full((8, 8), ROAD)
                labels[:2] = SKY
                if (sequence, index) == ("b", 2):
                    labels[7, 7] = CAR
                write_image(root / split / f"{sequence}_{index}.png", frame.astype(np.uint8))
                write_image(root / f"{split}annot" / f"{sequence}_{index}.png", labels.astype(np.uint8))
    return root


@pytest.fixture
def without_labels(camvid):
    for path in (camvid / "trainannot").iterdir():
        path.unlink()
    return camvid


@pytest.fixture
def count_looks(monkeypatch):
    """Return a list that grows by one with every look at a split."""
    looks = []

    def read_image_statistics(*arguments, **options):
        looks.append(arguments)
        return original(*arguments, **options)

    original = selection.read_image_statistics
    monkeypatch.setattr(selection, "read_image_statistics", read_image_statistics)
    return looks


def test_images_come_from_the_training_split(camvid):
    frames, manifest = calibration_frames("camvid", camvid, 64, 8, 8)
    assert manifest.images_from == frames.description == "camvid train"
    assert manifest.split == "train"
    assert len(manifest.names) == 8
    assert {name[0] for name in manifest.names} == {"a", "b"}


def test_few_images_show_every_class_sequence_and_light(camvid):
    manifest = calibration_frames("camvid", camvid, 2, 8, 8)[1]
    assert "b_2" in manifest.names
    assert manifest.groups == {"a": 1, "b": 1}
    assert sum(count > 0 for count in manifest.lights.values()) == 2
    assert manifest.classes["car"] == ClassCoverage(1, 1 / 128, 1)
    assert manifest.classes["road"].images_in_split == 8
    assert manifest.classes["bicyclist"] == ClassCoverage(0, 0.0, 0)


def test_images_without_label_maps_are_chosen_by_place_and_light(without_labels):
    manifest = calibration_frames("camvid", without_labels, 2, 8, 8)[1]
    assert manifest.groups == {"a": 1, "b": 1}
    assert manifest.classes == {name: ClassCoverage() for name in CAMVID.class_names}


def test_even_spread_looks_at_the_chosen_images_alone(camvid):
    for name in ("a_1", "a_3", "b_1", "b_3"):
        path = camvid / "train" / f"{name}.png"
        path.write_bytes(damaged_inside(path.read_bytes()))  # sound for the check, which decodes nothing
    manifest = calibration_frames("camvid", camvid, 4, 8, 8, method="even")[1]
    assert manifest.names == ("a_0", "a_2", "b_0", "b_2")
    assert (manifest.classes["car"].images, manifest.classes["car"].images_in_split) == (1, None)
    assert manifest.lights == {}
    with pytest.raises(ImageError, match="a_1"):
        calibration_frames("camvid", camvid, 4, 8, 8)


def test_manifest_names_each_image_by_hash(camvid):
    frames, manifest = calibration_frames("camvid", camvid, 3, 8, 8)
    assert tuple(frames.names) == manifest.names
    assert manifest.sha256 == tuple(sha256_file(camvid / "train" / f"{name}.png") for name in manifest.names)
    training = open_dataset("camvid", camvid, "train", labelled=False)
    index = [sample.name for sample in training.samples].index(manifest.names[1])
    np.testing.assert_array_equal(frames.read(1), training.read_frame(index))


def test_digest_follows_images_and_their_number(camvid):
    digest = calibration_frames("camvid", camvid, 4, 8, 8)[1].digest()
    assert calibration_frames("camvid", camvid, 4, 8, 8)[1].digest() == digest
    assert calibration_frames("camvid", camvid, 5, 8, 8)[1].digest() != digest
    name = calibration_frames("camvid", camvid, 4, 8, 8)[1].names[0]
    write_image(camvid / "train" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    assert calibration_frames("camvid", camvid, 4, 8, 8)[1].digest() != digest


def test_without_a_dataset_scenes_are_drawn_and_named_so():
    frames, manifest = calibration_frames("cityscapes", None, 2, 64, 128)
    assert (manifest.images_from, manifest.split, manifest.method) == ("synthetic scenes", "drawn", "drawn")
    assert all(str(SYNTHETIC_SEED) in name for name in manifest.names)
    assert frames.read(0).shape == (64, 128, 3)
    assert calibration_frames("cityscapes", None, 2, 64, 160)[1].digest() != manifest.digest()


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_images_are_refused_unless_forced(camvid, split):
    with pytest.raises(InputError, match=rf"camvid {HELD_OUT[split]} images .*--force-validation-images"):
        calibration_frames("camvid", camvid, 2, 8, 8, split=split)


def test_forced_validation_images_are_marked(camvid):
    frames, manifest = calibration_frames("camvid", camvid, 2, 8, 8, split="val", allow_validation=True)
    assert (manifest.split, manifest.images_from) == ("val", "camvid val")
    assert all(name.startswith("c_") for name in frames.names)


def test_unknown_method_is_refused(camvid):
    with pytest.raises(InputError, match="'best', expected one of: cover, even"):
        calibration_frames("camvid", camvid, 2, 8, 8, method="best")


def test_wrong_layout_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="leftImg8bit/train"):
        calibration_frames("cityscapes", tmp_path, 2, 8, 8)


def test_empty_split_is_refused(tmp_path):
    for folder in ("train", "trainannot"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DatasetError, match=r"camvid split 'train' .* is empty"):
        calibration_frames("camvid", tmp_path, 2, 8, 8)


def test_earlier_choice_of_the_same_split_is_taken_without_looking_again(camvid, tmp_path, count_looks):
    path = tmp_path / "calibration.json"
    frames, manifest = calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)
    assert len(count_looks) == 1
    write_record(path, manifest)
    again, same = calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)
    assert len(count_looks) == 1
    assert same == manifest
    np.testing.assert_array_equal(again.read(2), frames.read(2))


def test_earlier_choice_is_made_again_once_anything_changed(camvid, tmp_path, count_looks):
    path = tmp_path / "calibration.json"
    manifest = calibration_frames("camvid", camvid, 3, 8, 8)[1]
    write_record(path, manifest)
    calibration_frames("camvid", camvid, 4, 8, 8, earlier=path)
    assert len(count_looks) == 2
    calibration_frames("camvid", camvid, 3, 8, 8, method="even", earlier=path)
    assert len(count_looks) == 3
    calibration_frames("camvid", camvid, 3, 8, 8, split="val", allow_validation=True, earlier=path)
    assert len(count_looks) == 4
    # A picture of the choice, with its size kept to the byte; then a label map that has become larger.
    picture = camvid / "train" / f"{manifest.names[0]}.png"
    stored = picture.read_bytes()
    picture.write_bytes(stored + b"\0")
    grown = calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)[1]
    write_record(path, grown)
    picture.write_bytes(stored + b"\1")
    assert calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)[1].digest() != grown.digest()
    assert len(count_looks) == 6
    picture.write_bytes(stored + b"\0")
    labels = camvid / "trainannot" / "a_1.png"
    labels.write_bytes(labels.read_bytes() + b"\0")
    calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)
    assert len(count_looks) == 7


def test_earlier_choice_of_another_version_is_made_again(camvid, tmp_path, count_looks):
    path = tmp_path / "calibration.json"
    manifest = calibration_frames("camvid", camvid, 3, 8, 8)[1]
    write_record(path, dataclasses.replace(manifest, method="greedy, version 0"))
    assert calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)[1] == manifest
    path.write_text('{"schema": 1}')
    assert calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)[1] == manifest
    assert len(count_looks) == 3


@pytest.mark.parametrize(("code", "got"), [("5" * 64, "555555555555"), (None, "unknown")])
def test_earlier_choice_of_other_code_is_made_again_with_one_line(camvid, tmp_path, count_looks, capsys, code, got):
    path = tmp_path / "calibration.json"
    manifest = calibration_frames("camvid", camvid, 3, 8, 8)[1]
    write_record(path, dataclasses.replace(manifest, code_sha256=code))
    capsys.readouterr()
    assert calibration_frames("camvid", camvid, 3, 8, 8, earlier=path)[1] == manifest
    assert len(count_looks) == 2
    line = f"calibration images are chosen anew: calibration.json is of other code: got {got}, expected "
    assert line in capsys.readouterr().err


def test_manifest_without_the_code_that_chose_is_read(camvid, tmp_path):
    path = tmp_path / "calibration.json"
    manifest = calibration_frames("camvid", camvid, 3, 8, 8)[1]
    write_record(path, manifest)
    content = json.loads(path.read_text())
    del content["code_sha256"]
    path.write_text(json.dumps(content))
    assert read_manifest_frames(path, "camvid", camvid)[1].digest() == manifest.digest()


def test_command_prints_what_the_images_cover(camvid, capsys):
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--images", "2"]) == 0
    printed, told = capsys.readouterr()
    (car,) = [line.split() for line in printed.splitlines() if line.startswith("car")]
    assert car == ["car", "1", "1", "0.781", "%"]
    assert "groups: 2 of 2 covered (a 1, b 1)" in printed
    assert printed.splitlines()[-1] == "b_2"
    assert "warning: 2 calibration images are fewer than the 11 classes" in told
    assert "warning: no calibration image shows building, " in told


def test_command_says_what_is_unmeasured(without_labels, capsys):
    assert main(["--dataset", "camvid", "--data-dir", str(without_labels), "--images", "2"]) == 0
    printed, told = capsys.readouterr()
    assert [line.split() for line in printed.splitlines() if line.startswith("car")] == [["car", "-", "-", "-"]]
    assert "warning: camvid train has no label maps" in told


def test_command_prints_the_manifest_as_json(camvid, capsys):
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--images", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["names"]) == len(printed["sha256"]) == 2
    assert printed["classes"]["car"]["images"] == 1


def test_command_writes_the_manifest(camvid, tmp_path):
    path = tmp_path / "manifest.json"
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--images", "2", "--output", str(path)]) == 0
    assert read_record(CalibrationManifest, path) == calibration_frames("camvid", camvid, 2, 1, 1)[1]


def test_command_refuses_validation_images_in_one_line(camvid, capsys, one_line):
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--split", "val"]) == 2
    assert "--force-validation-images" in one_line(capsys.readouterr().err)


def test_command_warns_of_forced_validation_images(camvid, capsys):
    arguments = ["--dataset", "camvid", "--data-dir", str(camvid), "--split", "val", "--force-validation-images"]
    assert main(arguments) == 0
    assert "warning: ranges come from validation images (camvid val)" in capsys.readouterr().err


def test_command_refuses_a_missing_folder_in_one_line(tmp_path, capsys, one_line):
    assert main(["--dataset", "camvid", "--data-dir", str(tmp_path / "none")]) == 2
    assert "camvid folder not found" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("method", ["cover", "even"])
def test_command_names_bad_images_or_leaves_them_out_and_counts_them(camvid, tmp_path, capsys, one_line, method):
    bad = camvid / "train" / "a_1.png"
    bad.write_bytes(bad.read_bytes()[:-9])
    command = ["--dataset", "camvid", "--data-dir", str(camvid), "--images", "3", "--method", method]
    assert main(command) == 2
    assert "1 of 8 pictures of camvid train" in one_line(capsys.readouterr().err)
    path = tmp_path / "manifest.json"
    assert main([*command, "--skip-bad", "--output", str(path)]) == 0
    manifest = read_record(CalibrationManifest, path)
    assert manifest.skipped == ("a_1",) and "a_1" not in manifest.names
    captured = capsys.readouterr()
    assert "1 of the images of camvid train cannot be read and were left out (--skip-bad): a_1" in captured.out
    assert "1 of 8 pictures of camvid train" in captured.err
