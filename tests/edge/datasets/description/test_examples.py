"""The descriptions that docs/own-data.md works through are read, and stand on the page as they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.datasets import open_dataset, read_description
from edge.imaging import write_image
from edge.labels import IGNORE_ID
from tests.edge.datasets.description.described import FRAME, IDS

DOCS = Path(__file__).resolve().parents[4] / "docs"
EXAMPLES = sorted((DOCS / "descriptions").glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_sound_and_stands_on_the_page(path):
    assert read_description(path).name == path.stem
    assert f"```json\n{path.read_text()}```" in (DOCS / "own-data.md").read_text()


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copy(DOCS / "descriptions" / f"{name}.json", folder))


def write_pair(root: Path, frame: str, labels: str, ids: np.ndarray = IDS) -> None:
    write_image(root / frame, FRAME)
    write_image(root / labels, ids)


def test_classes_of_ones_own_are_trained_and_validated(tmp_path):
    for day in ("monday", "tuesday", "wednesday"):
        write_pair(tmp_path, f"{day}/frames/0001.jpg", f"{day}/masks/0001_mask.png", np.where(IDS == 0, 9, IDS + 1))
    (tmp_path / "wednesday.txt").write_text("wednesday/frames/0001.jpg, wednesday/masks/0001_mask.png\n")
    path = copied("yard", tmp_path)
    training = open_dataset(str(path), None, "train")
    assert [sample.name for sample in training.samples] == ["monday_frames_0001", "tuesday_frames_0001"]
    validation = open_dataset(str(path), None, "val")
    np.testing.assert_array_equal(validation.read_labels(0), np.where(IDS == 0, IGNORE_ID, 1))
    assert validation.table.groups["alarm"] == (2,)


def test_folder_like_railsem19_is_divided_by_lists(tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path, f"jpgs/line/{name}.jpg", f"uint8/line/{name}.png", IDS + 16)
    (tmp_path / "train.txt").write_text("a\n")
    (tmp_path / "val.txt").write_text("b.jpg\n")
    dataset = open_dataset(str(copied("line", tmp_path)), None, "val")
    assert [sample.name for sample in dataset.samples] == ["b"]
    np.testing.assert_array_equal(dataset.read_labels(0), IDS + 16)


def test_streets_and_rails_are_joined(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGEDGE_DATA", str(tmp_path))
    rails, streets = tmp_path / "railsem19", tmp_path / "cityscapes"
    for name in ("rs00001", "rs00004"):  # the second is one of those that validate
        write_pair(rails, f"jpgs/rs19_val/{name}.jpg", f"uint8/rs19_val/{name}.png")
    ids = np.array([[10, 11, 24, 25, 28, 33]] * 4, np.uint8)  # rail track, building, person, rider, bus, bicycle
    stem = "train/aachen/aachen_000000_000019"
    write_pair(streets, f"leftImg8bit/{stem}_leftImg8bit.png", f"gtFine/{stem}_gtFine_labelIds.png", ids)
    path = copied("street-and-rail", tmp_path)
    dataset = open_dataset(str(path), None, "train")
    assert [sample.name for sample in dataset.samples] == ["rs00001", "aachen_000000_000019"]
    names = [dataset.table.class_names[label] for label in dataset.read_labels(1)[0, :5]]
    assert names == ["rail-track", "construction", "human", "human", "truck"]
    assert dataset.read_labels(1)[0, 5] == IGNORE_ID
    np.testing.assert_array_equal(dataset.read_labels(0), IDS)
    assert "railsem19" in dataset.split_source
    assert [sample.name for sample in open_dataset(str(path), None, "val").samples] == ["rs00004"]
