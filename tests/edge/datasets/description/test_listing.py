from __future__ import annotations

import shutil

import numpy as np
import pytest

from edge.datasets import default_data_dir, open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import IGNORE_ID
from tests.edge.datasets.description.described import FRAME, IDS, source, write_description, write_frames


def names(dataset) -> list[str]:
    return [sample.name for sample in dataset.samples]


def test_pairs_of_two_folders_are_found_by_their_names(tmp_path):
    write_frames(tmp_path / "train", ("b", "a"), end="_mask")
    dataset = open_dataset(
        write_description(tmp_path, splits={"train": source("train", label_end="_mask")}), None, "train"
    )
    assert (dataset.name, dataset.table.name, dataset.split, names(dataset)) == ("yard", "yard", "train", ["a", "b"])
    assert dataset.root == tmp_path and dataset.description == tmp_path / "yard.json" and len(dataset.digest) == 64
    frame, labels = dataset.read_pair(0)
    np.testing.assert_array_equal(frame, FRAME)
    np.testing.assert_array_equal(labels, IDS)


def test_registered_dataset_has_no_digest(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    assert (dataset.digest, dataset.description) == ("", None)


def test_pictures_of_subfolders_belong_to_a_folder(tmp_path):
    write_frames(tmp_path / "train", ("mon/a", "tue/a", "tue/b"))
    dataset = open_dataset(write_description(tmp_path), None, "train")
    assert names(dataset) == ["train_frames_mon_a", "train_frames_tue_a", "b"]
    assert [sample.group for sample in dataset.samples] == ["mon", "tue", "tue"]
    assert dataset.samples[1].label_path == tmp_path / "train" / "masks" / "tue" / "a.png"


def test_label_maps_may_lie_beside_their_pictures(tmp_path):
    write_image(tmp_path / "all" / "a.png", FRAME)
    write_image(tmp_path / "all" / "a_L.png", IDS)
    splits = {"train": {"images": "all", "labels": "all", "label_end": "_L"}}
    assert names(open_dataset(write_description(tmp_path, splits=splits), None, "train")) == ["a"]
    splits = {"train": {"images": "all", "labels": "all"}}
    with pytest.raises(DatasetError, match=r"splits.train has pictures and label maps in one folder, expected label_e"):
        open_dataset(write_description(tmp_path, splits=splits), None, "train")


def test_label_maps_in_a_folder_inside_are_no_pictures(tmp_path):
    write_image(tmp_path / "all" / "a.png", FRAME)
    write_image(tmp_path / "all" / "masks" / "a.png", IDS)
    splits = {"train": {"images": "all", "labels": "all/masks"}}
    assert names(open_dataset(write_description(tmp_path, splits=splits), None, "train")) == ["a"]


def test_file_of_names_divides_one_folder(tmp_path):
    write_frames(tmp_path / "all", ("a", "b", "c"))
    (tmp_path / "val.txt").write_text("# of the second day\n\nc.png\n")
    (tmp_path / "train.txt").write_text("b\na\n")
    path = write_description(
        tmp_path, splits={"train": source("all", names="train.txt"), "val": source("all", names="val.txt")}
    )
    assert names(open_dataset(path, None, "train")) == ["a", "b"]
    assert names(open_dataset(path, None, "val")) == ["c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nd\n", r"splits.train.names is .*names.txt, whose line 2 is 'd', no picture of images"),
        ("a\na.png\n", r"names is .*names.txt, whose line 2 is 'a.png', as line 1 is"),
        ("\n", r"names is .*names.txt, which is empty, expected a frame on each line"),
    ],
)
def test_file_of_names_that_makes_no_sense_is_refused(tmp_path, text, message):
    write_frames(tmp_path / "all", ("a", "b"))
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_dataset(write_description(tmp_path, splits={"train": source("all", names="names.txt")}), None, "train")


@pytest.mark.parametrize("mark", ["\t", ",", ", "])
def test_list_names_a_picture_and_its_label_map_on_each_line(tmp_path, mark):
    write_frames(tmp_path / "x", ("b", "a"))
    (tmp_path / "train.txt").write_text(f"x/frames/b.png{mark}x/masks/b.png\nx\\frames\\a.png{mark}x/masks/a.png\n")
    dataset = open_dataset(write_description(tmp_path, splits={"train": {"list": "train.txt"}}), None, "train")
    assert names(dataset) == ["b", "a"]
    np.testing.assert_array_equal(dataset.read_labels(1), IDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x/frames/a.png\nx/frames/b.png,,\n",
            r"list is .*train.txt, whose line 2 is 'x/frames/b.png,,', expected",
        ),
        ("x/frames/a.png\nx/frames/z.png\ny.png\n", r"of which 2 files are not there, the first on line 2: .*z.png"),
        ("x/frames/a.png\nx/frames/../frames/a.png\n", r"whose line 2 names x/frames/../frames/a.png, as line 1 does"),
    ],
)
def test_list_that_makes_no_sense_is_refused(tmp_path, text, message):
    write_frames(tmp_path / "x")
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_dataset(write_description(tmp_path, splits={"train": {"list": "train.txt"}}), None, "train")


def test_frames_of_several_sources_keep_names_of_their_own(tmp_path):
    for folder in ("north", "south"):
        write_frames(tmp_path / folder, ("a", folder))
    path = write_description(tmp_path, splits={"train": [source("north"), source("south")]})
    assert names(open_dataset(path, None, "train")) == ["north_frames_a", "north", "south_frames_a", "south"]


def test_split_that_shares_a_frame_with_another_is_refused(tmp_path):
    write_frames(tmp_path / "train", ("a", "b"))
    write_frames(tmp_path / "val", ("c",))
    (tmp_path / "val" / "frames" / "d.png").symlink_to(tmp_path / "train" / "frames" / "b.png")
    write_image(tmp_path / "val" / "masks" / "d.png", IDS)
    path = write_description(tmp_path, splits={"train": source("train"), "val": source("val")})
    for split in ("train", "val"):
        with pytest.raises(
            DatasetError, match=rf"splits.{split} and splits.\w+ share 1 frame, the first is .*\.png, exp"
        ):
            open_dataset(path, None, split)


def test_frame_that_two_sources_of_a_split_have_is_refused(tmp_path):
    write_frames(tmp_path / "train", ("a",))
    path = write_description(tmp_path, splits={"train": [source("train"), source("train")]})
    with pytest.raises(DatasetError, match=r"splits.train\[1\] has .*a.png, as splits.train\[0\] has, expected a fram"):
        open_dataset(path, None, "train")


def test_split_is_opened_where_the_frames_of_another_are_not_there(tmp_path):
    write_frames(tmp_path / "val", ("c",))
    path = write_description(tmp_path, splits={"train": source("train"), "val": source("val")})
    assert names(open_dataset(path, None, "val")) == ["c"]


def test_data_may_lie_elsewhere(tmp_path):
    write_frames(tmp_path / "disk" / "train")
    path = write_description(tmp_path / "repository")
    assert default_data_dir(path) == tmp_path / "repository"
    assert len(open_dataset(path, tmp_path / "disk", "train")) == 2
    with pytest.raises(DatasetError, match=r"yard folder not found: .*gone. Next: --data-dir FOLDER, or leave it out"):
        open_dataset(path, tmp_path / "gone", "train")


def test_missing_folder_is_named_with_what_is_there(tmp_path):
    write_frames(tmp_path / "train")
    shutil.move(tmp_path / "train" / "masks", tmp_path / "train" / "labels")
    path = write_description(tmp_path)
    message = r"yard.json: splits.train.labels is .*train/masks, which is not there, .*train has frames/, labels/"
    with pytest.raises(DatasetError, match=message):
        open_dataset(path, None, "train")


def test_folder_without_pictures_is_refused(tmp_path):
    write_frames(tmp_path / "train", ())
    (tmp_path / "train" / "frames").mkdir(parents=True)
    (tmp_path / "train" / "masks").mkdir()
    (tmp_path / "train" / "frames" / "a.npy").touch()
    with pytest.raises(DatasetError, match=r"splits.train.images has no picture \(.png.*\): .*frames has a.npy"):
        open_dataset(write_description(tmp_path), None, "train")


def test_picture_in_two_formats_is_refused(tmp_path):
    write_frames(tmp_path / "train")
    write_image(tmp_path / "train" / "frames" / "a.jpg", FRAME)
    with pytest.raises(DatasetError, match=r"splits.train.images has .*a\.\w+ and .*a\.\w+, expected one of them"):
        open_dataset(write_description(tmp_path), None, "train")


def test_frame_without_a_label_map_is_named_with_the_file_that_was_looked_for(tmp_path):
    write_frames(tmp_path / "train", end="_L")
    (tmp_path / "train" / "masks" / "b_L.png").rename(tmp_path / "train" / "masks" / "b_l.png")
    path = write_description(tmp_path, splits={"train": source("train", label_end="_L")})
    with pytest.raises(DatasetError, match=r"1 of 2 frames of yard train .* is b.png: expected b_L.png in .*masks, w"):
        open_dataset(path, None, "train")
    assert open_dataset(path, None, "train", labelled=False).samples[1].label_path is None


def test_pictures_need_no_labels_where_none_are_used(tmp_path):
    write_frames(tmp_path / "train", labels=None)
    path = write_description(tmp_path, splits={"test": {"images": "train/frames"}})
    assert len(open_dataset(path, None, "test", labelled=False)) == 2
    with pytest.raises(DatasetError, match=r"2 of 2 frames of yard test under .* have no label map"):
        open_dataset(path, None, "test")


def test_unknown_split_is_refused_with_those_there_are(tmp_path):
    write_frames(tmp_path / "train")
    with pytest.raises(DatasetError, match=r"yard has no split 'val', .*yard.json has train. Next: add val to its "):
        open_dataset(write_description(tmp_path), None, "val")


def test_label_maps_of_colours_are_read_by_the_description(tmp_path):
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 0]], np.uint8)
    write_frames(tmp_path / "train", labels=colors[IDS])
    classes = [{"name": "rail", "colors": [[255, 0, 0]]}, {"name": "other", "colors": [[0, 255, 0]]}]
    path = write_description(tmp_path, classes=classes, ignore={"colors": [[0, 0, 0]]})
    np.testing.assert_array_equal(open_dataset(path, None, "train").read_labels(0), np.array([0, 1, IGNORE_ID])[IDS])
    path = write_description(tmp_path, classes=classes)
    with pytest.raises(
        DatasetError, match=r"1 is unknown, such as \(0, 0, 0\) .*: no class has this colour. Next: add it"
    ):
        open_dataset(path, None, "train").read_labels(0)


def test_ids_that_no_class_has_are_refused(tmp_path):
    write_frames(tmp_path / "train", labels=IDS + 1)
    with pytest.raises(
        DatasetError, match=r"unknown ids \[3\], yard has 0 to 2 and 255 .*: no class has this id. Next: ad"
    ):
        open_dataset(write_description(tmp_path), None, "train").read_labels(0)
