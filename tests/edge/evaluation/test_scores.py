"""From counts to scores."""

from __future__ import annotations

import numpy as np
import pytest

from edge.datasets.label_values import FileLabels
from edge.errors import InputError
from edge.evaluation.counts import EvaluationCounts, count_frame
from edge.evaluation.predicted_values import TRAIN_IDS, predicted_values
from edge.evaluation.scores import scores_of
from edge.labels import CAMVID, CITYSCAPES, IGNORE_ID
from edge.metrics import ConfusionMatrix


def labels_of(train_ids: np.ndarray) -> FileLabels:
    to_train = np.full(256, -1, np.int16)
    to_train[:30], to_train[IGNORE_ID] = np.arange(30), IGNORE_ID
    return FileLabels(train_ids, to_train, np.bincount(train_ids.ravel(), minlength=256))


def counted(table, *pairs, tolerance=None, instances=None) -> EvaluationCounts:
    values = predicted_values(table, TRAIN_IDS)
    counts = EvaluationCounts(table, values)
    for truth, predicted in pairs:
        counts.add(count_frame(table, values, labels_of(truth), predicted, instances, tolerance))
    return counts


def random_pair(seed: int, classes: int = 11) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, (16, 20)).astype(np.uint8)
    predicted = np.where(generator.random(truth.shape) < 0.6, truth, generator.integers(0, classes, truth.shape))
    truth[:2] = IGNORE_ID
    return truth, predicted.astype(np.uint8)


def test_iou_and_accuracy_are_those_of_the_one_count_of_pixels():
    pairs = [random_pair(seed) for seed in range(3)]
    matrix = ConfusionMatrix(CAMVID.class_count)
    for truth, predicted in pairs:
        matrix.update(truth, predicted)
    scores = scores_of(counted(CAMVID, *pairs))
    assert list(scores.class_iou) == matrix.class_iou()
    assert scores.miou == pytest.approx(matrix.miou(), abs=1e-15)
    assert scores.pixel_accuracy == matrix.pixel_accuracy()


def test_void_pixels_count_for_nothing_or_as_false_positives_as_asked():
    truth, predicted = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    truth[0] = IGNORE_ID  # 12 pixels of class 0 are right, 4 are predicted where nothing is labelled
    counts = counted(CAMVID, (truth, predicted))
    assert scores_of(counts).class_iou[0] == 1.0
    assert scores_of(counts, "false-positive").class_iou[0] == 12 / 16
    assert scores_of(counts, "false-positive").category_iou[CAMVID.categories[0]] == 12 / 16
    with pytest.raises(InputError, match="void is 'x', expected one of: ignored, false-positive"):
        scores_of(counts, "x")


def test_a_confusion_within_a_category_is_right_for_the_category():
    car, bus = CITYSCAPES.class_names.index("car"), CITYSCAPES.class_names.index("bus")
    truth, predicted = np.full((2, 4), car, np.uint8), np.full((2, 4), bus, np.uint8)
    scores = scores_of(counted(CITYSCAPES, (truth, predicted)))
    assert scores.class_iou[car] == 0.0 and scores.category_iou["vehicle"] == 1.0


def test_a_group_is_the_mean_of_its_classes_that_occur():
    truth, predicted = random_pair(0)
    scores = scores_of(counted(CAMVID, (truth, predicted)))
    members = CAMVID.groups["infrastructure"]
    existing = [scores.class_iou[train_id] for train_id in members if scores.class_iou[train_id] is not None]
    assert members and scores.group_iou["infrastructure"] == pytest.approx(np.mean(existing))


def test_every_object_weighs_the_same_whatever_its_size():
    person = CITYSCAPES.class_names.index("person")
    truth = np.zeros((10, 20), np.uint8)
    instances = np.zeros((10, 20), np.uint16)
    truth[:8, :10], instances[:8, :10] = person, 24000  # 80 pixels, found
    truth[9, 19], instances[9, 19] = person, 24001  # 1 pixel, missed
    predicted = truth.copy()
    predicted[9, 19] = 0
    scores = scores_of(counted(CITYSCAPES, (truth, predicted), instances=instances))
    assert scores.class_iou[person] == 80 / 81
    assert scores.class_iiou[person] == pytest.approx(0.5)
    assert scores.class_iiou[0] is None and scores.category_iiou["human"] == pytest.approx(0.5)


def test_without_instances_of_every_frame_there_is_no_instance_score():
    truth, predicted = random_pair(1)
    values = predicted_values(CITYSCAPES, TRAIN_IDS)
    counts = EvaluationCounts(CITYSCAPES, values)
    for instances in (np.zeros(truth.shape, np.uint16), None):
        counts.add(count_frame(CITYSCAPES, values, labels_of(truth), predicted, instances))
    assert not counts.has_instances and scores_of(counts).miiou is None


def test_boundary_f1_is_the_mean_over_the_frames_that_have_the_class():
    truth, other = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    truth[10:] = 1
    # In the first frame both are right, in the second class 1 is missed, the third has one class alone.
    scores = scores_of(counted(CAMVID, (truth, truth), (truth, other), (other, other), tolerance=0.05))
    assert scores.boundary_f1[1] == 0.5 and scores.boundary_f1[2] is None


def test_a_set_of_which_nothing_counts_has_no_score():
    truth = np.full((4, 4), IGNORE_ID, np.uint8)
    scores = scores_of(counted(CAMVID, (truth, np.zeros_like(truth))))
    assert scores.miou is None and scores.pixel_accuracy is None and scores.frequency_weighted_iou is None


def test_maps_of_other_sizes_are_refused():
    values = predicted_values(CAMVID, TRAIN_IDS)
    with pytest.raises(InputError, match="expected the same size"):
        count_frame(CAMVID, values, labels_of(np.zeros((4, 4), np.uint8)), np.zeros((4, 5), np.uint8))
