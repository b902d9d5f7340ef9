from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edge.accuracy import measure_accuracy
from edge.datasets import open_dataset
from edge.errors import DatasetError, InputError
from edge.imaging import write_image
from edge.labels import IGNORE_ID
from edge.metrics import ConfusionMatrix, group_iou, label_agreement


def naive_iou(truths, predictions, classes):
    """By the definition, pixel after pixel."""
    values = []
    for wanted in range(classes):
        both = either = 0
        for truth, predicted in zip(truths, predictions):
            for true_id, label in zip(truth.ravel().tolist(), predicted.ravel().tolist()):
                if true_id == 255:
                    continue
                both += true_id == wanted and label == wanted
                either += true_id == wanted or label == wanted
        values.append(both / either if either else None)
    return values


def random_maps(seed, classes, shape=(13, 17), frames=3):
    rng = np.random.default_rng(seed)
    # Two classes are never true; one of them is predicted. One pixel in five is ignored.
    truths = rng.integers(0, classes - 2, (frames, *shape)).astype(np.uint8)
    predictions = np.where(rng.random(truths.shape) < 0.6, truths, rng.integers(0, classes - 1, truths.shape))
    truths[rng.random(truths.shape) < 0.2] = IGNORE_ID
    return truths, predictions.astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [3, 11, 19])
def test_iou_is_that_of_a_plain_loop(seed, classes):
    truths, predictions = random_maps(seed, classes)
    matrix = ConfusionMatrix(classes)
    for truth, predicted in zip(truths, predictions):
        matrix.update(truth, predicted)
    expected = naive_iou(truths, predictions, classes)
    assert matrix.class_iou() == pytest.approx(expected)
    present = [value for value in expected if value is not None]
    assert matrix.miou() == pytest.approx(sum(present) / len(present))
    counted = truths != IGNORE_ID
    assert matrix.pixel_accuracy() == pytest.approx((truths == predictions)[counted].mean())
    assert matrix.counts.sum() == counted.sum()


def test_class_that_is_nowhere_has_no_iou_and_does_not_count():
    matrix = ConfusionMatrix(4)
    matrix.update(np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8))
    assert matrix.class_iou() == [1.0, 1.0, None, None]
    assert matrix.miou() == 1.0


def test_class_that_is_predicted_but_never_true_counts_as_zero():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([[0, 0]], np.uint8), np.array([[0, 2]], np.uint8))
    assert matrix.class_iou() == [0.5, None, 0.0]
    assert matrix.miou() == 0.25


def test_prediction_on_ignored_pixels_counts_for_nothing():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([[0, 255, 255]], np.uint8), np.array([[0, 1, 77]], np.uint8))
    assert matrix.counts.tolist() == [[1, 0], [0, 0]]


def test_nothing_counted_is_none_and_not_zero():
    matrix = ConfusionMatrix(2)
    matrix.update(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    assert matrix.miou() is None
    assert matrix.pixel_accuracy() is None
    assert matrix.class_iou() == [None, None]


def test_maps_of_two_sizes_are_refused():
    with pytest.raises(InputError, match=r"labels are \(2, 4\), the truth is \(2, 3\)"):
        ConfusionMatrix(2).update(np.zeros((2, 3), np.uint8), np.zeros((2, 4), np.uint8))
    with pytest.raises(InputError, match="expected the same size"):
        label_agreement(np.zeros((2, 3)), np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("truth", "predicted", "outside"), [([2, 0], [0, 0], 1), ([0, 0], [0, 2], 1), ([2, 2], [3, 0], 2), ([0], [255], 1)]
)
def test_labels_outside_the_classes_are_counted_and_refused(truth, predicted, outside):
    matrix = ConfusionMatrix(2)
    with pytest.raises(InputError, match=rf"^{outside} pixels have labels outside 0\.\.1"):
        matrix.update(np.array([truth], np.uint8), np.array([predicted], np.uint8))
    assert not matrix.counts.any()


def test_agreement_is_the_share_of_equal_labels():
    assert label_agreement(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]])) == 0.75


def test_accuracy_of_perfect_labels_is_1_and_of_wrong_ones_less(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    truths = iter([dataset.read_labels(index) for index in range(len(dataset))])
    perfect = measure_accuracy(lambda frame, height, width: next(truths), dataset)
    assert (perfect.miou, perfect.pixel_accuracy, perfect.frame_count) == (1.0, 1.0, 3)
    assert list(perfect.class_iou) == list(dataset.table.class_names)

    constant = measure_accuracy(lambda frame, height, width: np.full((height, width), 3, np.uint8), dataset)
    pixels = np.concatenate([dataset.read_labels(index).ravel() for index in range(len(dataset))])
    share = (pixels == 3).sum() / (pixels != IGNORE_ID).sum()
    assert constant.class_iou["road"] == pytest.approx(share)
    assert constant.pixel_accuracy == pytest.approx(share)
    assert constant.miou == pytest.approx(share / 11)


def test_labels_are_asked_for_at_the_size_of_the_truth(make_camvid):
    dataset = open_dataset("camvid", make_camvid(), "val")
    asked = []

    def label(frame, height, width):
        asked.append((frame.shape, height, width))
        return np.zeros((height, width), np.uint8)

    measure_accuracy(label, dataset)
    assert asked == [((20, 44, 3), 20, 44)] * 3


def test_split_where_every_pixel_is_ignored_has_no_accuracy(tmp_path):
    write_image(tmp_path / "val" / "a.png", np.zeros((4, 4, 3), np.uint8))
    write_image(tmp_path / "valannot" / "a.png", np.full((4, 4), 11, np.uint8))
    dataset = open_dataset("camvid", tmp_path, "val")
    with pytest.raises(DatasetError, match="no pixel that counts"):
        measure_accuracy(lambda frame, height, width: np.zeros((4, 4), np.uint8), dataset)


def test_progress_is_shown_on_request_alone(make_camvid, capsys):
    dataset = open_dataset("camvid", make_camvid(), "val")
    for shown in (False, True):
        measure_accuracy(lambda frame, h, w: np.zeros((h, w), np.uint8), dataset, show_progress=shown)
        assert ("measure mIoU: 3/3 frame" in capsys.readouterr().err) == shown


def test_group_scores_are_means_over_their_own_classes():
    table = SimpleNamespace(
        name="rail", class_count=4, groups={"infrastructure": (0, 1), "people": (2,), "alarm": (2, 3)}
    )
    assert group_iou(table, [0.5, 1.0, None, 0.25]) == {"infrastructure": 0.75, "people": None, "alarm": 0.25}


def test_group_scores_need_one_iou_a_class():
    with pytest.raises(InputError, match="3 IoUs for table rail, which has 4 classes"):
        group_iou(SimpleNamespace(name="rail", class_count=4, groups={}), [0.5, 1.0, None])
