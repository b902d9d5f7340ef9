"""Pixels of classes: of the whole split, and of the frames that have them."""

from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.labels import IGNORE_ID
from tests.train import street_set
from train.input.class_pixels import count_class_pixels

VOID = 11  # CamVid's id for what does not count


@pytest.fixture
def training(tmp_path):
    return open_dataset("camvid", street_set.write_camvid(tmp_path), "train")


def rewrite(tmp_path, labels_of) -> None:
    for index in range(6):
        street_set.write_image(tmp_path / "trainannot" / f"a_{index}.png", labels_of(index))


def test_pixels_of_every_class_are_counted(training):
    labels = np.stack([training.read_labels(index) for index in range(len(training))])
    assert count_class_pixels(training).of_class.tolist() == [int((labels == index).sum()) for index in range(11)]


def test_ignored_pixels_belong_to_no_class_and_to_their_frames(training, tmp_path):
    def labels_of(index):
        labels = np.zeros((32, 64), np.uint8)
        if index == 2:
            labels[:8] = 7  # a quarter of one frame
            labels[8:16] = VOID
        return labels

    rewrite(tmp_path, labels_of)
    assert training.read_labels(2)[9, 5] == IGNORE_ID
    pixels = count_class_pixels(training)
    assert (pixels.of_class[7], pixels.of_frames[7]) == (8 * 64, 32 * 64)
    assert (pixels.of_class[0], pixels.of_frames[0]) == ((5 * 32 + 16) * 64, 6 * 32 * 64)
    assert (pixels.of_class[5], pixels.of_frames[5]) == (0, 0)


def test_frames_that_are_counted_are_spread_over_the_split(training, tmp_path):
    rewrite(tmp_path, lambda index: np.full((32, 64), index, np.uint8))
    assert np.flatnonzero(count_class_pixels(training, frame_count=3).of_class).tolist() == [0, 2, 5]


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_change_the_counts(training, threads):
    counted = count_class_pixels(training, threads=threads)
    np.testing.assert_array_equal(count_class_pixels(training).of_class, counted.of_class)


def test_unknown_id_is_the_readers_own_error(training, tmp_path):
    street_set.spoil(tmp_path / "trainannot" / "a_1.png")
    with pytest.raises(DatasetError, match=r"a_1\.png has unknown ids \[77\], camvid has 0 to 11"):
        count_class_pixels(training)
