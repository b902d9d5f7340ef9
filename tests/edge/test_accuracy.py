"""Accuracy over a split: the same whoever reads the frames, over parts that add up, and none without a pixel."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge.accuracy import accuracy_of, count_labels, measure_accuracy
from edge.datasets import open_dataset
from edge.errors import DatasetError, ImageError
from edge.imaging import write_image
from edge.metrics import ConfusionMatrix

FRAMES = 9


@pytest.fixture
def validation(tmp_path):
    generator = np.random.default_rng(4)
    for index in range(FRAMES):
        labels = generator.integers(0, 12, (20 + index, 30)).astype(np.uint8)  # 11 does not count
        write_image(tmp_path / "val" / f"f{index}.png", np.full((*labels.shape, 3), index, np.uint8))
        write_image(tmp_path / "valannot" / f"f{index}.png", labels)
    return open_dataset("camvid", tmp_path, "val")


def label_by_number(frame_rgb, height, width):
    """Label a frame with one class, which its colour says: a frame that is exchanged for another is counted wrongly."""
    return np.full((height, width), frame_rgb[0, 0, 0], np.uint8)


def expected_counts(dataset, indices):
    matrix = ConfusionMatrix(11)
    for index in indices:
        frame_rgb, truth = dataset.read_pair(index)
        matrix.update(truth, label_by_number(frame_rgb, *truth.shape))
    return matrix.counts


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_counts_do_not_depend_on_the_threads(validation, threads):
    counts = count_labels(label_by_number, validation, threads=threads).counts
    np.testing.assert_array_equal(counts, expected_counts(validation, range(FRAMES)))


def test_parts_of_a_split_add_up(validation):
    parts = [count_labels(label_by_number, validation, range(first, FRAMES, 2)).counts for first in range(2)]
    np.testing.assert_array_equal(parts[1], expected_counts(validation, (1, 3, 5, 7)))
    np.testing.assert_array_equal(sum(parts), expected_counts(validation, range(FRAMES)))


def test_frames_are_labelled_in_their_order_by_the_callers_thread(validation):
    seen = []

    def label_frame(frame_rgb, height, width):
        seen.append((int(frame_rgb[0, 0, 0]), threading.current_thread()))
        return label_by_number(frame_rgb, height, width)

    measure_accuracy(label_frame, validation, threads=4)
    assert seen == [(index, threading.current_thread()) for index in range(FRAMES)]


def test_figures_are_those_of_the_counts(validation):
    accuracy = measure_accuracy(label_by_number, validation)
    matrix = count_labels(label_by_number, validation)
    assert accuracy == accuracy_of(matrix, validation)
    assert (accuracy.frame_count, accuracy.miou) == (FRAMES, matrix.miou())
    assert accuracy.class_iou == dict(zip(validation.table.class_names, matrix.class_iou()))


def test_split_of_which_nothing_counts_has_no_accuracy(tmp_path):
    write_image(tmp_path / "val" / "f.png", np.zeros((20, 30, 3), np.uint8))
    write_image(tmp_path / "valannot" / "f.png", np.full((20, 30), 11, np.uint8))
    with pytest.raises(DatasetError, match="camvid val has no pixel that counts: every label is ignored"):
        measure_accuracy(label_by_number, open_dataset("camvid", tmp_path, "val"))


def test_damaged_frame_is_its_own_error(validation, tmp_path):
    (tmp_path / "val" / "f4.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"f4\.png"):
        measure_accuracy(label_by_number, validation)
