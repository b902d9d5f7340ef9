from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from edge.datasets import class_table, open_dataset
from edge.datasets.layouts.railsem19 import split_of
from edge.datasets.layouts.splits import listed_names
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import IGNORE_ID, RAILSEM19

NAMES = ("road", "sidewalk", "construction", "tram-track", "fence", "pole", "traffic-light", "traffic-sign")
NAMES += ("vegetation", "terrain", "sky", "human", "rail-track", "car", "truck", "trackbed", "on-rails")
NAMES += ("rail-raised", "rail-embedded")
"""Typed in from rs19-config.json, in the order of the ids."""

IDS = np.array([[*range(19), 255]] * 2, np.uint8)
VAL, TEST = (min(listed_names(f"railsem19_{split}")) for split in ("val", "test"))


def write_railsem19(root, names=("rs00000", VAL, TEST), labels=True, config=NAMES):
    for name in names:
        write_image(root / "jpgs/rs19_val" / f"{name}.jpg", np.zeros((2, 20, 3), np.uint8))
        if labels:
            write_image(root / "uint8/rs19_val" / f"{name}.png", IDS)
    if config is not None:
        (root / "rs19-config.json").write_text(json.dumps({"labels": [{"name": name} for name in config]}))
    return root


def test_split_is_the_order_of_the_hashes_of_all_frames():
    names = [f"rs{number:05d}" for number in range(8500)]
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode("ascii")).hexdigest())
    assert listed_names("railsem19_val") == set(order[:850])
    assert listed_names("railsem19_test") == set(order[850:1700])
    assert sum(split_of(name) == "train" for name in names) == 6800
    assert split_of("a frame of a set that grew") == "train"


def test_each_frame_is_in_one_split_and_the_record_can_say_whose_it_is(tmp_path):
    write_railsem19(tmp_path)
    found = {split: open_dataset("railsem19", tmp_path, split) for split in ("train", "val", "test")}
    assert {split: [one.name for one in dataset.samples] for split, dataset in found.items()} == {
        "train": ["rs00000"],
        "val": [VAL],
        "test": [TEST],
    }
    assert "SHA-256 of the frame's name" in found["val"].split_source


def test_ids_are_the_classes_and_255_counts_for_nothing(tmp_path):
    assert class_table("railsem19").class_names == RAILSEM19.class_names == NAMES
    labels = open_dataset("railsem19", write_railsem19(tmp_path), "val").read_labels(0)
    np.testing.assert_array_equal(labels, IDS)
    assert labels[0, 19] == IGNORE_ID


@pytest.mark.parametrize("part", ["jpgs/rs19_val", "uint8/rs19_val"])
def test_part_of_the_archive_that_is_missing_is_named_with_where_it_can_be_had(tmp_path, part):
    write_railsem19(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=rf"{part}.*rs19_val\.zip.* wilddash\.cc") as error:
        open_dataset("railsem19", tmp_path, "val")
    assert "\n" not in str(error.value)


def test_folder_in_a_folder_is_pointed_at(tmp_path):
    write_railsem19(tmp_path / "rs19_val")
    with pytest.raises(DatasetError, match=r"but rs19_val/ has\. Next: --data-dir .*rs19_val$"):
        open_dataset("railsem19", tmp_path, "val")


def test_list_of_other_classes_is_refused(tmp_path):
    write_railsem19(tmp_path, config=("road", "footpath"))
    with pytest.raises(DatasetError, match=r"rs19-config\.json has 'footpath' at id 1, expected 'sidewalk'"):
        open_dataset("railsem19", tmp_path, "val")
    (tmp_path / "rs19-config.json").write_text("{}")
    with pytest.raises(DatasetError, match=r'has no list "labels"'):
        open_dataset("railsem19", tmp_path, "val")


def test_archive_without_its_list_of_classes_is_read_with_a_note(tmp_path, capsys):
    assert len(open_dataset("railsem19", write_railsem19(tmp_path, config=None), "val")) == 1
    assert "has no rs19-config.json" in capsys.readouterr().err


def test_split_without_a_frame_says_why(tmp_path):
    write_railsem19(tmp_path, names=("rs00000",))
    with pytest.raises(
        DatasetError, match=r"split 'val' .* is empty: none of its 1 frames \(rs00000\.jpg, \.\.\.\) is in"
    ):
        open_dataset("railsem19", tmp_path, "val")
