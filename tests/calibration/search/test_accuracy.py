"""What INT8 costs is counted over a set of images, against the truth and against the float graph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from calibration.budget.regions import count_regions
from calibration.budget.set_labels import SetLabels
from calibration.search.accuracy import (
    AccuracySet,
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
    assert unlabelled.cost(labels).drop_points is None


def test_picture_for_the_report_has_the_size_of_its_labels(camvid, labelled):
    with Worse(4) as active:
        frame_rgb, labels = labelled.labels_of(active, 2)
    assert (frame_rgb.shape, labels.shape) == ((24, 40, 3), (24, 40))
    assert np.mean(labels == labelled.float_of(2)) == labelled.evaluate(Worse(4), "worse").agreements[2]
    np.testing.assert_array_equal(labelled.truth_of(2), camvid.read_labels(2))


def test_set_without_images_is_refused():
    with pytest.raises(InputError, match="no images to measure accuracy on in test frames"):
        AccuracySet(hostile.ArrayFrames([]), None, runner())


# What it costs


def test_cost_of_a_form_is_that_of_its_labels_against_the_float_graphs(camvid, labelled):
    worse = labelled.evaluate(Worse(4), "worse")
    cost = labelled.cost(worse)
    assert (cost.image_count, cost.label_agreement, cost.confidence) == (5, worse.agreement, 0.95)
    assert cost.drop_points == pytest.approx(drop_points(labelled.float_labels, worse))
    assert cost.drop_points > 5 and cost.drop_low < cost.drop_points < cost.drop_high
    assert labelled.cost(worse, 0.99).drop_high > cost.drop_high
    assert [each.name for each in cost.classes] == list(CONTRACT.class_names)
    with Worse(4) as active:
        said = [Segmenter(active, "rgb")(camvid.read_frame(index), 24, 40).labels.copy() for index in range(5)]
    floats = [labelled.float_of(index) for index in range(5)]
    for label, each in enumerate(cost.classes):
        both, either = (
            sum(np.count_nonzero(join(one == label, other == label)) for one, other in zip(said, floats))
            for join in (np.logical_and, np.logical_or)
        )
        assert each.agreement_iou == (pytest.approx(both / either) if either else None)


def test_regions_of_every_image_are_counted(labelled):
    worse = labelled.evaluate(Worse(4), "worse")
    for index in range(5):
        with Worse(4) as active:
            labels = labelled.labels_of(active, index)[1]
        np.testing.assert_array_equal(worse.regions[index], count_regions(labelled.float_of(index), labels, CLASSES))
    assert (labelled.float_labels.regions[:, :, 0] == labelled.float_labels.regions[:, :, 1]).all()
    assert worse.regions[:, :, 1].sum() < worse.regions[:, :, 0].sum()


def test_float_graph_labels_the_images_when_that_is_first_asked_for(camvid):
    class Counting(Worse):
        activations = 0

        def _activate_impl(self):
            Counting.activations += 1
            super()._activate_impl()

    lazy = AccuracySet(DatasetFrames(camvid), camvid, Counting(0))
    assert (lazy.has_truth, len(lazy.digests()), Counting.activations) == (True, 10, 0)
    assert (lazy.float_of(0).shape, lazy.float_labels.agreement) == ((24, 40), 1.0)
    assert Counting.activations == 1


# Images


def test_images_that_calibrate_are_left_out_by_their_content(tmp_path):
    for name, frame in zip(("a", "b", "c", "copy_of_a"), hostile.street_frames(3)[[0, 1, 2, 0]]):
        write_image(tmp_path / f"{name}.png", frame)
    frames = FolderFrames(tmp_path)
    assert without_frames(frames, frozenset([frames.digest(0)])) == [1, 2]
    assert without_frames(frames, frozenset()) == [0, 1, 2, 3]


def test_worst_images_come_first_and_equal_ones_in_order():
    nothing = np.zeros((5, CLASSES, 3), np.int64)
    labels = SetLabels(np.array([0.9, 0.5, 1.0, 0.5, 0.7]), None, nothing, nothing)
    assert worst_images(labels, 4) == [1, 3, 4, 0]
    assert worst_images(labels, 9) == [1, 3, 4, 0, 2]
