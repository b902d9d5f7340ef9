"""Shares of classes: of the whole split, of the frames that have them, and of what counts alone."""

from __future__ import annotations

import numpy as np
import pytest

from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.labels import IGNORE_ID
from tests.train import street_set
from train.input.class_shares import class_shares

VOID = 11  # CamVid's id for what does not count


@pytest.fixture
def training(tmp_path):
    return open_dataset("camvid", street_set.write_camvid(tmp_path), "train")


def rewrite(tmp_path, labels_of) -> None:
    for index in range(6):
        street_set.write_image(tmp_path / "trainannot" / f"a_{index}.png", labels_of(index))


def test_shares_are_those_of_the_pixels(training):
    shares = class_shares(training).of_split
    labels = np.stack([training.read_labels(index) for index in range(len(training))])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(np.mean(labels == 0), abs=1e-3)
    assert 0 < shares[5] < 1e-3  # a class that is not there still has a share


def test_shares_leave_out_what_is_ignored(training, tmp_path):
    def labels_of(index):
        labels = np.full((32, 64), VOID, np.uint8)
        labels[0] = 4
        return labels

    rewrite(tmp_path, labels_of)
    assert training.read_labels(0)[5, 5] == IGNORE_ID
    shares = class_shares(training)
    counted = 6 * 64  # and one pixel more for each of the 11 classes
    assert shares.of_split[4] == pytest.approx((counted + 1) / (counted + 11))
    assert shares.where_present[4] == 1.0


def test_share_where_present_counts_the_frames_that_have_the_class(training, tmp_path):
    def labels_of(index):
        labels = np.zeros((32, 64), np.uint8)
        if index == 2:
            labels[:8] = 7  # a quarter of one frame
            labels[8:16] = VOID
        return labels

    rewrite(tmp_path, labels_of)
    shares = class_shares(training)
    assert shares.where_present[7] == pytest.approx(8 / 24)
    assert shares.where_present[0] == pytest.approx((5 * 32 + 16) / (5 * 32 + 24))
    assert np.isnan(shares.where_present[5])


def test_frames_that_are_counted_are_spread_over_the_split(training, tmp_path):
    rewrite(tmp_path, lambda index: np.full((32, 64), index, np.uint8))
    shares = class_shares(training, frame_count=3)
    assert np.flatnonzero(~np.isnan(shares.where_present)).tolist() == [0, 2, 5]


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_change_the_counts(training, threads):
    np.testing.assert_array_equal(class_shares(training).of_split, class_shares(training, threads=threads).of_split)


def test_unknown_id_is_the_readers_own_error(training, tmp_path):
    street_set.spoil(tmp_path / "trainannot" / "a_1.png")
    with pytest.raises(DatasetError, match=r"a_1\.png has unknown ids \[77\], camvid has 0 to 11"):
        class_shares(training)
