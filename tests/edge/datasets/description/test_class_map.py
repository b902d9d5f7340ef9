from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.imaging import write_image
from edge.labels import CITYSCAPES_RAW_COLORS_RGB, IGNORE_ID
from tests.edge.datasets.description.described import FRAME, IDS, source, write_description, write_frames

CITY_IDS = np.tile(np.arange(34, dtype=np.uint8), (2, 1))


def write_city(root, kind="labelIds", stored=CITY_IDS):
    write_image(root / "leftImg8bit" / "train" / "aachen" / "aachen_0_0_leftImg8bit.png", np.resize(FRAME, (2, 34, 3)))
    write_image(root / "gtFine" / "train" / "aachen" / f"aachen_0_0_gtFine_{kind}.png", stored)
    return root


def write_joint(root, classes="railsem19", class_map=None, dataset="cityscapes"):
    classes = classes if classes != "railsem19" else ["road", "human", "traffic-light", "rail-track", "truck"]
    joint = {"dataset": dataset, "folder": "city", "split": "train"}
    return write_description(root, classes=classes, splits={"train": {**joint, "map": class_map or {}}})


def read_first(path):
    return open_dataset(path, None, "train").read_labels(0)[0]


def test_equal_names_are_taken_and_the_rest_counts_for_nothing(tmp_path, capsys):
    write_city(tmp_path / "city")
    labels = read_first(write_joint(tmp_path))
    expected = np.full(34, IGNORE_ID)
    expected[[7, 19, 10, 27]] = (
        0,
        2,
        3,
        4,
    )  # road, traffic light, rail track (which Cityscapes does not evaluate), truck
    np.testing.assert_array_equal(labels, expected)
    told = capsys.readouterr().err
    assert told.startswith("note: sidewalk, building, ") and "bicycle of cityscapes count for nothing in yard" in told


def test_merges_are_those_that_are_written_down(tmp_path):
    write_city(tmp_path / "city")
    class_map = {"person": "human", "rider": "human", "rail track": "rail-track", "truck": None}
    expected = np.full(34, IGNORE_ID)
    expected[[7, 19, 24, 25, 10]] = 0, 2, 1, 1, 3
    np.testing.assert_array_equal(read_first(write_joint(tmp_path, class_map=class_map)), expected)


def test_label_maps_in_colours_become_the_same(tmp_path):
    colors = np.array([CITYSCAPES_RAW_COLORS_RGB[one] for one in range(34)], np.uint8)[CITY_IDS]
    write_city(tmp_path / "city", "color", colors)
    labels = read_first(write_joint(tmp_path, class_map={"rail track": "rail-track", "pole": "human"}))
    assert labels[[7, 10, 17]].tolist() == [0, 3, 1]
    assert labels[11] == IGNORE_ID


def test_train_ids_do_for_classes_that_are_evaluated(tmp_path):
    stored = np.tile(np.array([0, 6, 14, 11, 255], np.uint8), (2, 7))[:, :34]
    write_city(tmp_path / "city", "labelTrainIds", stored)
    assert read_first(write_joint(tmp_path))[:5].tolist() == [0, 2, 4, IGNORE_ID, IGNORE_ID]
    with pytest.raises(
        DatasetError, match=r"takes 'rail track' of cityscapes, and .*labelTrainIds.png holds train ids"
    ):
        read_first(write_joint(tmp_path, class_map={"rail track": "rail-track"}))


def test_unknown_ids_of_a_joined_dataset_are_refused(tmp_path):
    write_city(tmp_path / "city", stored=CITY_IDS + 1)
    with pytest.raises(DatasetError, match=r"unknown ids \[34\], yard has 0 to 33 by dataset description .*splits.tr"):
        read_first(write_joint(tmp_path))


def test_missing_folder_of_a_joined_dataset_says_how_it_is_obtained(tmp_path):
    with pytest.raises(DatasetError, match=r"splits.train.folder is .*city, which is not there. Next: name its folder"):
        read_first(write_joint(tmp_path))


def test_default_folder_is_the_one_of_the_joined_dataset(tmp_path, monkeypatch):
    write_city(tmp_path / "data" / "cityscapes")
    monkeypatch.setenv("SEGEDGE_DATA", str(tmp_path / "data"))
    splits = {"train": {"dataset": "cityscapes-infrastructure"}}
    path = write_description(tmp_path, classes="cityscapes-infrastructure", splits=splits)
    assert read_first(path)[[7, 10, 14, 15, 16, 18]].tolist() == [0, 19, 20, 21, 22, IGNORE_ID]


def write_two_yards(tmp_path, **fields):
    """Write a yard whose label maps have other ids, in a folder and description of its own, and one that joins it."""
    write_frames(tmp_path / "north" / "train", labels=IDS * 10 + 100)
    classes = [{"name": "Other", "ids": [100]}, {"name": "track", "ids": [110]}, {"name": "ballast", "ids": [120]}]
    north = {"name": "north", "classes": classes[:2], "ignore": {"ids": [120]}, **fields}
    Path(write_description(tmp_path / "north", **north)).rename(tmp_path / "north" / "north.json")
    write_frames(tmp_path / "train", ("c",))
    joint = {"dataset": "north/north.json", "split": "train", "map": {"track": "rail"}}
    return write_description(tmp_path, splits={"train": [source("train"), joint]})


def test_another_description_is_joined_with_ids_of_its_own(tmp_path):
    path = write_two_yards(tmp_path)
    dataset = open_dataset(path, None, "train")
    assert [sample.name for sample in dataset.samples] == ["c", "a", "b"]
    np.testing.assert_array_equal(dataset.read_labels(0), IDS)
    np.testing.assert_array_equal(dataset.read_labels(1), np.array([0, 1, IGNORE_ID])[IDS])
    first = dataset.digest
    write_two_yards(tmp_path, ignore={"ids": [120, 121]})
    assert open_dataset(path, None, "train").digest != first


def test_descriptions_that_join_one_another_are_refused(tmp_path):
    path = write_two_yards(tmp_path, splits={"train": {"dataset": "../yard.json", "map": {"rail": "track"}}})
    with pytest.raises(
        DatasetError, match=r"splits.train joins .*yard.json, which joins .*north.json, expected no circ"
    ):
        open_dataset(path, None, "train")
