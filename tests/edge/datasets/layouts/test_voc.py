from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.datasets.label_values import _voc_color
from edge.errors import DatasetError
from edge.imaging import write_image
from tests.edge.picture_files import small_png

IDS = np.array([[*range(21), 255]] * 2, np.uint8)
PALETTE = tuple(map(_voc_color, range(256)))


def write_voc(root, lists=(("train", ("2007_1", "2007_2")), ("val", ("2008_1",)))):
    for split, names in lists:
        listed = root / "ImageSets/Segmentation" / f"{split}.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("".join(f"{name}\n" for name in names))
        for name in names:
            write_image(root / "JPEGImages" / f"{name}.jpg", np.zeros((2, 22, 3), np.uint8))
            (root / "SegmentationClass").mkdir(exist_ok=True)
            (root / "SegmentationClass" / f"{name}.png").write_bytes(small_png(IDS, palette=list(PALETTE)))
    return root


def write_added(root, names=("2007_1", "2007_2", "2009_1"), spell="{}\n", listed="train_aug.txt", labels=True):
    (root / "ImageSets/Segmentation" / listed).write_text("".join(spell.format(name) for name in names))
    for name in names:
        write_image(root / "JPEGImages" / f"{name}.jpg", np.zeros((2, 22, 3), np.uint8))
        if labels:
            write_image(root / "SegmentationClassAug" / f"{name}.png", IDS)


def names_of(root, split):
    return [sample.name for sample in open_dataset("voc", root, split).samples]


def test_splits_are_those_of_the_lists(tmp_path):
    write_voc(tmp_path)
    assert (names_of(tmp_path, "train"), names_of(tmp_path, "val")) == (["2007_1", "2007_2"], ["2008_1"])


@pytest.mark.parametrize("form", ["indices", "ids", "colours"])
def test_label_maps_are_read_as_indices_ids_or_colours_and_the_border_counts_for_nothing(tmp_path, form):
    place = write_voc(tmp_path) / "SegmentationClass/2008_1.png"
    if form != "indices":
        colors = np.array([*PALETTE[:255], (224, 224, 192)], np.uint8)
        write_image(place, IDS if form == "ids" else colors[IDS])
    np.testing.assert_array_equal(open_dataset("voc", tmp_path, "val").read_labels(0), IDS)


@pytest.mark.parametrize("spell", ["{}\n", "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png\n"])
def test_frames_that_sbd_adds_train_where_their_label_maps_are_there(tmp_path, spell, capsys):
    write_added(write_voc(tmp_path), spell=spell)
    training = open_dataset("voc", tmp_path, "train")
    assert [sample.name for sample in training.samples] == ["2007_1", "2007_2", "2009_1"]
    assert {sample.label_path.parent.name for sample in training.samples} == {"SegmentationClassAug"}
    assert training.split_source == "train_aug of SBD"
    assert "3 frames with label maps of SBD" in capsys.readouterr().err
    assert names_of(tmp_path, "val") == ["2008_1"]


def test_list_of_what_is_added_alone_goes_with_the_official_one(tmp_path):
    write_added(write_voc(tmp_path), names=("2009_1",), listed="aug.txt")
    training = open_dataset("voc", tmp_path, "train")
    assert [sample.name for sample in training.samples] == ["2007_1", "2007_2", "2009_1"]
    assert training.samples[0].label_path.parent.name == "SegmentationClass"


def test_list_without_its_label_maps_leaves_the_official_split(tmp_path, capsys):
    write_added(write_voc(tmp_path), labels=False)
    assert names_of(tmp_path, "train") == ["2007_1", "2007_2"]
    assert "no SegmentationClassAug" in capsys.readouterr().err


def test_added_frames_that_validate_are_refused(tmp_path):
    write_added(write_voc(tmp_path), names=("2007_1", "2008_1"))
    with pytest.raises(DatasetError, match=r"train_aug\.txt names 1 frames of val\.txt, the first is 2008_1"):
        open_dataset("voc", tmp_path, "train")


@pytest.mark.parametrize("part", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
def test_part_of_the_archive_that_is_missing_is_named_with_where_it_can_be_had(tmp_path, part):
    write_voc(tmp_path)
    (tmp_path / part).rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match=rf"has no {part}, it has .*VOCtrainval_11-May-2012\.tar"):
        open_dataset("voc", tmp_path, "val")


def test_frame_of_a_list_that_is_not_there_is_named(tmp_path):
    (write_voc(tmp_path) / "JPEGImages/2007_2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"lists 1 frames that .*JPEGImages lacks, the first is 2007_2\.jpg"):
        open_dataset("voc", tmp_path, "train")


def test_test_split_has_no_label_maps_and_an_archive_of_its_own(tmp_path):
    write_voc(tmp_path)
    with pytest.raises(DatasetError, match=r"has no ImageSets/Segmentation/test\.txt: it is part of the test archive"):
        open_dataset("voc", tmp_path, "test", labelled=False)


def test_folder_in_the_development_kit_is_pointed_at(tmp_path):
    write_voc(tmp_path / "VOCdevkit/VOC2012")
    with pytest.raises(DatasetError, match=r"but VOCdevkit/VOC2012/ has\. Next: --data-dir"):
        open_dataset("voc", tmp_path, "val")
