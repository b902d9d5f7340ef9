"""Calibration images come from the training split alone, evenly from every sequence, always the same."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from calibration.select_images import (
    SYNTHETIC_SEED,
    CalibrationManifest,
    calibration_frames,
    main,
    select_indices,
)
from edge.artifacts import sha256_file
from edge.datasets import Dataset, Sample, open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import CAMVID
from edge.records import read_record

GENERATOR = np.random.default_rng(0)


def dataset_of(tmp_path, **group_sizes) -> Dataset:
    samples = [
        Sample(f"{group}_{index:03d}", group, tmp_path / f"{group}_{index:03d}.png", None)
        for group, size in sorted(group_sizes.items())
        for index in range(size)
    ]
    return Dataset("camvid", "train", tmp_path, CAMVID, tuple(samples))


def groups_of(dataset, indices):
    return Counter(dataset.samples[index].group for index in indices)


@pytest.fixture
def camvid(tmp_path):
    root = tmp_path / "camvid"
    for split, sequences in (("train", ("a", "b")), ("val", ("c",))):
        for sequence in sequences:
            for index in range(4):
                frame = GENERATOR.integers(0, 256, (8, 8, 3)).astype(np.uint8)
                write_image(root / split / f"{sequence}_{index}.png", frame)
        (root / f"{split}annot").mkdir()
    return root


def test_selection_is_spread_over_groups(tmp_path):
    dataset = dataset_of(tmp_path, berlin=100, bonn=10, ulm=50)
    assert groups_of(dataset, select_indices(dataset, 12)) == {"berlin": 4, "bonn": 4, "ulm": 4}


def test_small_group_gives_all_and_the_others_share_the_rest(tmp_path):
    dataset = dataset_of(tmp_path, berlin=100, bonn=2, ulm=50)
    assert groups_of(dataset, select_indices(dataset, 20)) == {"berlin": 9, "bonn": 2, "ulm": 9}


def test_selection_is_spread_within_a_group(tmp_path):
    dataset = dataset_of(tmp_path, berlin=100)
    assert select_indices(dataset, 4) == [0, 25, 50, 75]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 159, 160])
def test_selection_has_the_wanted_number_of_different_frames(tmp_path, count):
    dataset = dataset_of(tmp_path, berlin=100, bonn=10, ulm=50)
    indices = select_indices(dataset, count)
    assert len(set(indices)) == len(indices) == count
    assert indices == sorted(indices)


def test_more_than_there_are_gives_all(tmp_path):
    dataset = dataset_of(tmp_path, berlin=3, bonn=2)
    assert select_indices(dataset, 64) == [0, 1, 2, 3, 4]


def test_selection_is_the_same_every_time(tmp_path):
    first, second = (select_indices(dataset_of(tmp_path, berlin=40, ulm=60), 16) for _ in range(2))
    assert first == second


def test_images_come_from_the_training_split_without_needing_labels(camvid):
    frames, manifest = calibration_frames("camvid", camvid, 64, 8, 8)
    assert manifest.images_from == frames.description == "camvid train"
    assert len(manifest.names) == 8
    assert {name[0] for name in manifest.names} == {"a", "b"}


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
    assert manifest.images_from == "synthetic scenes"
    assert all(str(SYNTHETIC_SEED) in name for name in manifest.names)
    assert frames.read(0).shape == (64, 128, 3)
    assert calibration_frames("cityscapes", None, 2, 64, 160)[1].digest() != manifest.digest()


def test_wrong_layout_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="leftImg8bit/train"):
        calibration_frames("cityscapes", tmp_path, 2, 8, 8)


def test_command_prints_the_manifest(camvid, capsys):
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--images", "2"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["names"]) == len(printed["sha256"]) == 2


def test_command_writes_the_manifest(camvid, tmp_path):
    path = tmp_path / "manifest.json"
    assert main(["--dataset", "camvid", "--data-dir", str(camvid), "--images", "2", "--output", str(path)]) == 0
    assert read_record(CalibrationManifest, path) == calibration_frames("camvid", camvid, 2, 1, 1)[1]


def test_command_refuses_a_missing_folder_in_one_line(tmp_path, capsys):
    assert main(["--dataset", "camvid", "--data-dir", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
