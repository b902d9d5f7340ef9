"""Statistics of images that a split on disk holds: pixels of each class, luma and group."""

from __future__ import annotations

import time

import numpy as np
import pytest

from calibration.images import image_statistics
from calibration.images.coverage import ImageStatistics
from calibration.images.image_statistics import read_image_statistics
from edge.datasets import Dataset, Sample, open_dataset
from edge.errors import DatasetError, ImageError
from edge.imaging import write_image
from edge.labels import CAMVID


@pytest.fixture
def camvid(tmp_path):
    """Three training frames: grey with labels, pure green with labels, and black without."""
    root = tmp_path / "camvid"
    for name, color in (("s1_0", (80, 80, 80)), ("s1_1", (0, 200, 0)), ("s2_0", (0, 0, 0))):
        write_image(root / "train" / f"{name}.png", np.full((4, 6, 3), color, np.uint8))
    for name, road in (("s1_0", 5), ("s1_1", 24)):
        labels = np.full(24, 11, np.uint8)  # 11 is what CamVid ignores
        labels[:road] = 3
        write_image(root / "trainannot" / f"{name}.png", labels.reshape(4, 6))
    return root


def test_statistics_are_what_pictures_and_label_maps_hold(camvid):
    read = read_image_statistics(open_dataset("camvid", camvid, "train", labelled=False))
    road = (0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
    assert read == [
        ImageStatistics("s1_0", "s1", 80, tuple(5 * one for one in road), 24),
        ImageStatistics("s1_1", "s1", 117, tuple(24 * one for one in road), 24),  # 0.587 * 200, by ITU-R BT.601
        ImageStatistics("s2_0", "s2", 0),
    ]


def test_some_images_alone_are_read_in_the_wanted_order(camvid):
    (camvid / "train" / "s1_1.png").write_bytes(b"damaged")
    read = read_image_statistics(open_dataset("camvid", camvid, "train", labelled=False), [2, 0])
    assert [one.name for one in read] == ["s2_0", "s1_0"]


def test_progress_shows_the_time_left_unless_it_is_not_wanted(camvid, capsys):
    dataset = open_dataset("camvid", camvid, "train", labelled=False)
    read_image_statistics(dataset, show_progress=False)
    assert capsys.readouterr() == ("", "")
    read_image_statistics(dataset)
    assert "3/3 image" in capsys.readouterr().err


def test_damaged_picture_is_named(camvid):
    (camvid / "train" / "s1_1.png").write_bytes(b"damaged")
    with pytest.raises(ImageError, match=r"s1_1\.png cannot be decoded"):
        read_image_statistics(open_dataset("camvid", camvid, "train", labelled=False))


def test_label_map_of_another_dataset_is_named(camvid):
    write_image(camvid / "trainannot" / "s1_1.png", np.full((4, 6), 33, np.uint8))
    with pytest.raises(DatasetError, match=r"s1_1\.png has unknown ids \[33\]"):
        read_image_statistics(open_dataset("camvid", camvid, "train", labelled=False))


def test_nobody_waits_for_the_other_images_after_an_error(tmp_path, monkeypatch):
    read = []

    def statistics_of(dataset, index):
        if index == 0:
            raise ImageError("damaged")
        read.append(index)
        time.sleep(0.02)

    samples = tuple(Sample(f"{index}", "a", tmp_path / f"{index}.png", None) for index in range(200))
    monkeypatch.setattr(image_statistics, "_image_statistics", statistics_of)
    monkeypatch.setattr(image_statistics, "MOST_THREADS", 1)
    with pytest.raises(ImageError, match="damaged"):
        read_image_statistics(Dataset("camvid", "train", tmp_path, CAMVID, samples))
    # All others would take 4 s; the few that were begun before the error was seen are done.
    assert len(read) < 100
