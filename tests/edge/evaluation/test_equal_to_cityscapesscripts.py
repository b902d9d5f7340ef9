"""Our scores are those of cityscapesScripts 2.3.0, to the last bit, on the same files.

`make environments` makes the environment that the official evaluation runs in; without it the figures that it gave once
are compared (official_scores.json).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.evaluation.predicted_values import FILE_IDS, predicted_values
from edge.imaging import write_image
from edge.labels import CITYSCAPES
from tests.edge.evaluation.official_set import (
    PYTHON,
    as_official,
    of_evaluated,
    official_scores,
    own_scores,
    write_set,
)

GOLDEN = Path(__file__).with_name("official_scores.json")
NAMES = CITYSCAPES.class_names

needs_official = pytest.mark.skipif(
    not PYTHON.is_file(), reason="cityscapesScripts 2.3.0 is not here: make environments"
)


def test_scores_are_those_that_the_official_evaluation_gave(tmp_path):
    dataset, predictions = write_set(tmp_path)
    scores, _ = own_scores(dataset, predictions)
    assert as_official(scores, NAMES) == json.loads(GOLDEN.read_text())


@needs_official
def test_scores_equal_those_of_the_official_evaluation_to_the_last_bit(tmp_path):
    dataset, predictions = write_set(tmp_path)
    scores, measured = own_scores(dataset, predictions)
    official = official_scores(dataset, predictions, tmp_path / "official.json")
    assert as_official(scores, NAMES) == of_evaluated(official, NAMES)
    assert of_evaluated(official, NAMES) == json.loads(GOLDEN.read_text())
    # The confusion matrix too: the rows of evaluated classes, with every id that was predicted.
    rows = np.array(official["confMatrix"])
    file_ids = [file_id for file_id, train_id in sorted(CITYSCAPES.raw_to_train.items()) if train_id != 255]
    assert np.array_equal(rows[file_ids], measured.counts.pairs[: len(NAMES), : rows.shape[1]])
    # What makes the set worth comparing.
    assert official["classScores"]["train"] != official["classScores"]["train"]  # nan: does not occur
    assert official["classScores"]["wall"] == 0.0  # is predicted, and is not there


@needs_official
def test_scores_of_drawn_scenes_equal_the_official_ones(tmp_path):
    from edge.datasets import open_dataset
    from edge.synthetic.dataset import write_dataset

    write_dataset(tmp_path / "drawn", 0, 2, 128, 256, 3)
    dataset = open_dataset("synthetic", tmp_path / "drawn", "val")
    for index, sample in enumerate(dataset.samples):
        stored = dataset.read_file_labels(index).values
        predicted = np.repeat(np.repeat(stored[::4, ::4], 4, 0), 4, 1)
        write_image(tmp_path / "results" / f"{sample.name}.png", predicted)
    scores, measured = own_scores(dataset, tmp_path / "results")
    official = official_scores(dataset, tmp_path / "results", tmp_path / "official.json")
    assert as_official(scores, NAMES) == of_evaluated(official, NAMES)
    assert measured.counts.instances.object_count > 0


def test_a_file_that_the_official_evaluation_ends_at_gives_figures(tmp_path):
    # An id over 33: "IndexError: index 77 is out of bounds". It is of no class, and so a false negative.
    dataset, predictions = write_set(tmp_path)
    before, _ = own_scores(dataset, predictions)
    path = sorted(predictions.iterdir())[0]
    from edge.imaging import read_ids

    labels = read_ids(path).copy()
    truth = dataset.read_labels(0)
    place = tuple(np.argwhere((truth == 0) & (labels == 7))[0])  # road, and found
    labels[place] = 77
    write_image(path, labels)
    after, measured = own_scores(dataset, predictions)
    assert measured.unknown_pixels == 1
    assert after.class_iou[0] < before.class_iou[0] and after.class_iou[1:] == before.class_iou[1:]


def test_ids_that_are_not_evaluated_are_no_false_positives_but_of_the_category_of_an_object():
    values = predicted_values(CITYSCAPES, FILE_IDS)
    assert values.to_train[29] == 255 and values.known[29]  # caravan
    assert 29 in values.instance_categories["vehicle"] and 30 in values.instance_categories["vehicle"]
    assert set(values.instance_categories) == {"human", "vehicle"}
