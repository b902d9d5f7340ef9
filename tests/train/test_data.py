"""The training pipeline: batches without end, the same for equal seeds, and readable errors."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from edge.datasets import open_dataset
from edge.errors import DatasetError, ImageError
from edge.labels import IGNORE_ID
from tests.train import street_set
from train.augment import Augmentation
from train.data import TrainingPipeline, class_shares


@pytest.fixture
def training(tmp_path):
    return open_dataset("camvid", street_set.write_camvid(tmp_path), "train")


def pipeline_of(dataset, batch_size=2, seed=0):
    return TrainingPipeline(dataset, 32, 64, batch_size, Augmentation(), seed)


def batches_of(pipeline, count):
    return [(frames.numpy(), labels.numpy()) for frames, labels in pipeline.batches.take(count)]


def test_batches_have_static_shapes(training):
    frames, labels = batches_of(pipeline_of(training), 1)[0]
    assert (frames.shape, frames.dtype) == ((2, 32, 64, 3), np.float32)
    assert (labels.shape, labels.dtype) == ((2, 32, 64), np.uint8)
    specs = pipeline_of(training).batches.element_spec
    assert [tuple(spec.shape) for spec in specs] == [(2, 32, 64, 3), (2, 32, 64)]


def test_batches_never_end_and_a_split_smaller_than_a_batch_serves(training):
    assert len(batches_of(pipeline_of(training, batch_size=8), 3)) == 3


def test_equal_seeds_give_equal_batches_and_others_do_not(training):
    first, again, other = (batches_of(pipeline_of(training, seed=seed), 4) for seed in (1, 1, 2))
    for one, two in zip(first, again):
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])
    assert not all(np.array_equal(one[0], two[0]) for one, two in zip(first, other))


def test_frame_looks_different_in_every_epoch(training):
    batches = batches_of(pipeline_of(training, batch_size=6), 2)
    assert not np.array_equal(np.sort(batches[0][0].mean((1, 2, 3))), np.sort(batches[1][0].mean((1, 2, 3))))


@pytest.mark.parametrize("damage", ["unknown id", "size", "not an image"])
def test_error_of_the_reader_is_kept_as_it_was(training, tmp_path, damage):
    path = tmp_path / "trainannot" / "a_3.png"
    if damage == "unknown id":
        street_set.spoil(path)
    elif damage == "size":
        street_set.write_image(path, np.zeros((8, 8), np.uint8))
    else:
        path.write_bytes(b"no image")
    pipeline = pipeline_of(training, batch_size=6)
    with pytest.raises(tf.errors.OpError):
        batches_of(pipeline, 2)
    assert isinstance(pipeline.failure, ImageError if damage == "not an image" else DatasetError)
    assert "a_3.png" in str(pipeline.failure)


def test_shares_are_those_of_the_pixels(training):
    shares = class_shares(training)
    labels = np.stack([training.read_labels(index) for index in range(len(training))])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(np.mean(labels == 0), abs=1e-3)
    assert 0 < shares[5] < 1e-3  # a class that is not there still has a share


def test_shares_leave_out_what_is_ignored(training, tmp_path):
    for path in (tmp_path / "trainannot").iterdir():
        labels = np.full((32, 64), 11, np.uint8)  # CamVid's id for what does not count
        labels[0] = 4
        street_set.write_image(path, labels)
    assert training.read_labels(0)[5, 5] == IGNORE_ID
    counted = 6 * 64  # and one pixel more for each of the 11 classes
    assert class_shares(training)[4] == pytest.approx((counted + 1) / (counted + 11))
