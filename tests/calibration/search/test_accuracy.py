"""What INT8 costs is counted over a set, with an interval that holds it, and held against the right budget."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.search.accuracy import (
    AccuracySet,
    Budget,
    SetLabels,
    _mious,
    drop_interval,
    drop_points,
    graph_runner,
    without_frames,
    worst_images,
)
from edge.datasets import open_dataset
from edge.errors import InputError
from edge.frames import DatasetFrames, FolderFrames
from edge.imaging import write_image
from edge.metrics import ConfusionMatrix
from edge.runtime.base import Runner
from edge.segmenter import Segmenter
from tests.calibration import hostile_graphs as hostile

NETWORK = hostile.hostile_network(readers=1)
CONTRACT = hostile.contract_of(NETWORK)
CLASSES = hostile.CLASSES


def runner() -> Runner:
    return graph_runner(NETWORK.SerializeToString(), CONTRACT)


class Worse(Runner):
    """The network, which says `wrong` in the upper rows of every frame."""

    backend = "onnxruntime"

    def __init__(self, rows, wrong=0):
        super().__init__(CONTRACT)
        self._inner, self._rows, self._wrong = runner(), rows, wrong

    def describe(self):
        return {}

    def _activate_impl(self):
        self._inner.activate()

    def _deactivate_impl(self):
        self._inner.deactivate()

    def _infer_impl(self, frame):
        logits = self._inner.infer(frame)[None].copy()
        logits[:, self._wrong, : self._rows] = logits.max() + 1
        return {"logits": logits}


@pytest.fixture(scope="module")
def camvid(tmp_path_factory):
    """A dataset whose labels are some of the network's and some at random, with void."""
    root = tmp_path_factory.mktemp("camvid")
    generator = np.random.default_rng(3)
    with runner() as active:
        segmenter = Segmenter(active, "rgb")
        for index, frame in enumerate(hostile.street_frames(5)):
            labels = segmenter(frame, 24, 40).labels.copy()
            blocks = generator.integers(0, 12, (3, 5)).repeat(8, 0).repeat(8, 1)
            labels = np.where(generator.random((24, 40)) < 0.3, blocks, labels).astype(np.uint8)
            write_image(root / "val" / f"a_{index}.png", frame)
            write_image(root / "valannot" / f"a_{index}.png", labels)
    return open_dataset("camvid", root, "val")


@pytest.fixture(scope="module")
def labelled(camvid):
    return AccuracySet(DatasetFrames(camvid), camvid, runner())


# Counting


def test_miou_is_counted_over_the_set_as_edge_metrics_counts_it(camvid, labelled):
    matrix, per_image = ConfusionMatrix(CLASSES), []
    with runner() as active:
        segmenter = Segmenter(active, "rgb")
        for index in range(len(camvid)):
            truth = camvid.read_labels(index)
            predicted = segmenter(camvid.read_frame(index), *truth.shape).labels
            matrix.update(truth, predicted)
            alone = ConfusionMatrix(CLASSES)
            alone.update(truth, predicted)
            per_image.append(alone.miou())
    assert labelled.float_labels.miou() == matrix.miou()
    assert labelled.float_labels.miou() != pytest.approx(np.mean(per_image), abs=1e-3)
    figures = labelled.float_labels.figures(CONTRACT.class_names)
    assert list(figures.class_iou.values()) == matrix.class_iou()
    assert list(figures.class_iou) == list(CONTRACT.class_names)
    assert (figures.miou, figures.label_agreement) == (matrix.miou(), 1.0)


def test_labels_of_the_float_graph_are_kept_and_compared_pixel_by_pixel(camvid, labelled):
    again = labelled.evaluate(runner(), "again")
    np.testing.assert_array_equal(again.agreements, 1.0)
    np.testing.assert_array_equal(again.matrices, labelled.float_labels.matrices)
    worse = labelled.evaluate(Worse(4), "worse")
    with Worse(4) as active:
        said = Segmenter(active, "rgb")(camvid.read_frame(1), 24, 40).labels
    assert labelled.float_of(1).shape == (24, 40)
    assert worse.agreements[1] == np.mean(said == labelled.float_of(1))
    assert 0.3 < worse.agreement < 1
    assert worse.agreement == worse.agreements.mean()


def test_some_images_are_judged_as_they_are_among_all(labelled):
    everything = labelled.evaluate(Worse(4), "worse")
    some = labelled.evaluate(Worse(4), "worse", range(1, 4, 2))
    np.testing.assert_array_equal(some.agreements, everything.agreements[[1, 3]])
    np.testing.assert_array_equal(some.matrices, everything.matrices[[1, 3]])


def test_set_without_truth_has_agreement_alone_at_the_size_of_the_network(camvid):
    unlabelled = AccuracySet(DatasetFrames(camvid), None, runner())
    assert (unlabelled.has_truth, unlabelled.truth_of(0)) == (False, None)
    assert unlabelled.float_of(0).shape == (hostile.SIZE, hostile.SIZE)
    labels = unlabelled.evaluate(Worse(4), "worse")
    assert (labels.matrices, labels.miou()) == (None, None)
    assert labels.figures(CONTRACT.class_names) == dataclasses.replace(
        unlabelled.float_labels.figures(CONTRACT.class_names), label_agreement=labels.agreement
    )
    assert labels.figures(CONTRACT.class_names).class_iou == {}
    assert drop_points(unlabelled.float_labels, labels) is None
    assert drop_interval(unlabelled.float_labels, labels) is None


def test_picture_for_the_report_has_the_size_of_its_labels(camvid, labelled):
    with Worse(4) as active:
        frame_rgb, labels = labelled.labels_of(active, 2)
    assert (frame_rgb.shape, labels.shape) == ((24, 40, 3), (24, 40))
    assert np.mean(labels == labelled.float_of(2)) == labelled.evaluate(Worse(4), "worse").agreements[2]
    np.testing.assert_array_equal(labelled.truth_of(2), camvid.read_labels(2))


def test_set_without_images_is_refused():
    with pytest.raises(InputError, match="no images to measure accuracy on in test frames"):
        AccuracySet(hostile.ArrayFrames([]), None, runner())


# The drop and its interval


def random_labels(images, generator, right=0.8, classes=CLASSES):
    """Confusion matrices of noisy predictions; some classes are absent in some images."""
    matrices = np.zeros((images, classes, classes), np.int64)
    for matrix in matrices:
        present = generator.random(classes) < 0.6
        pixels = generator.integers(20, 400, classes) * present
        for truth in np.flatnonzero(present):
            matrix[truth, truth] = int(pixels[truth] * right)
            others = generator.multinomial(pixels[truth] - matrix[truth, truth], np.full(classes, 1 / classes))
            matrix[truth] += others
    return SetLabels(np.full(images, right), matrices)


def test_drop_is_in_points_of_miou_counted_over_the_set():
    generator = np.random.default_rng(0)
    before, after = random_labels(9, generator, 0.9), random_labels(9, generator, 0.7)
    assert drop_points(before, after) == pytest.approx(100 * (before.miou() - after.miou()))
    assert drop_points(before, after) > 5
    assert drop_points(before, before) == 0.0
    assert drop_points(after, before) == -drop_points(before, after)


def paired_labels(images, generator):
    """A network, and a form of it that is a little worse on every image, as INT8 is."""
    before = random_labels(images, generator, 0.9)
    matrices = before.matrices.copy()
    for matrix in matrices:
        for truth in range(CLASSES):
            lost = generator.binomial(matrix[truth, truth], 0.05)
            matrix[truth, truth] -= lost
            matrix[truth, (truth + 1) % CLASSES] += lost
    return before, SetLabels(before.agreements, matrices)


def test_interval_holds_the_drop_is_the_same_each_time_and_shrinks_with_more_images():
    widths = []
    for images in (8, 32, 128):
        before, after = paired_labels(images, np.random.default_rng(images))
        low, high = drop_interval(before, after)
        assert low < drop_points(before, after) < high
        assert drop_interval(before, after) == (low, high)
        widths.append(high - low)
    # A standard error halves with four times the images; what is drawn moves it by less than a factor of 1.6.
    assert widths[1] < widths[0] / 1.25
    assert widths[2] < widths[1] / 1.25


def test_interval_of_a_drop_that_is_sure_lies_above_zero_since_both_forms_see_the_same_images():
    before, after = paired_labels(16, np.random.default_rng(1))
    low, high = drop_interval(before, after)
    assert low > 0
    # Drawn apart, the difference between images would drown that of the forms.
    shuffled = dataclasses.replace(after, matrices=after.matrices[::-1])
    apart_low, apart_high = drop_interval(before, shuffled)
    assert apart_high - apart_low > high - low


def test_interval_of_equal_networks_is_zero():
    labels = random_labels(6, np.random.default_rng(2))
    assert drop_interval(labels, labels) == (0.0, 0.0)


def test_one_image_has_no_interval():
    labels = random_labels(1, np.random.default_rng(2))
    assert drop_interval(labels, labels) is None


def test_miou_of_a_draw_is_that_of_its_images_counted_together():
    generator = np.random.default_rng(5)
    labels = random_labels(7, generator)
    matrices = labels.matrices.copy()
    matrices[:, 4], matrices[:, :, 4] = 0, 0  # a class that no image has, and nobody predicts
    matrices[:, 5] = 0  # one that is only predicted, and counts with 0
    assert matrices[:, :, 5].sum() > 0
    draws = generator.multinomial(7, np.full(7, 1 / 7), 40)
    for draw, miou in zip(draws, _mious(draws, matrices)):
        matrix = ConfusionMatrix(CLASSES)
        matrix.counts = np.concatenate([matrices[[image] * count] for image, count in enumerate(draw)]).sum(0)
        assert miou == pytest.approx(matrix.miou(), abs=1e-12)


# Budgets


def test_budget_of_points_holds_up_to_its_limit_and_needs_labels():
    budget = Budget(0.5, None)
    assert budget.is_enforced
    assert budget.holds(0.5, 0.0) and budget.holds(-3.0, 0.0)
    assert not budget.holds(0.501, 1.0)
    assert not budget.holds(None, 1.0)
    assert budget.sentence() == "at most 0.5 points of mIoU"


def test_budget_of_labels_holds_from_its_limit_on():
    budget = Budget(None, 0.95)
    assert budget.is_enforced
    assert budget.holds(None, 0.95) and budget.holds(80.0, 1.0)
    assert not budget.holds(0.0, 0.9499)
    assert budget.sentence() == "at most 5 % of labels changed"


def test_budget_that_is_not_enforced_holds_whatever_is_lost():
    budget = Budget(None, None)
    assert not budget.is_enforced
    assert budget.holds(None, 0.0) and budget.holds(99.0, 0.0)
    assert budget.sentence() == "none"


# Images


def test_images_that_calibrate_are_left_out_by_their_content(tmp_path):
    for name, frame in zip(("a", "b", "c", "copy_of_a"), hostile.street_frames(3)[[0, 1, 2, 0]]):
        write_image(tmp_path / f"{name}.png", frame)
    frames = FolderFrames(tmp_path)
    assert without_frames(frames, frozenset([frames.digest(0)])) == [1, 2]
    assert without_frames(frames, frozenset()) == [0, 1, 2, 3]


def test_worst_images_come_first_and_equal_ones_in_order():
    labels = SetLabels(np.array([0.9, 0.5, 1.0, 0.5, 0.7]), None)
    assert worst_images(labels, 4) == [1, 3, 4, 0]
    assert worst_images(labels, 9) == [1, 3, 4, 0, 2]
