"""A float network that labels no better than chance is told from one that does, with labels and without."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from calibration.budget.set_labels import SetLabels
from calibration.search.plausibility import (
    best_constant_miou,
    doubt,
    one_map_miou,
    reordered_miou,
    shuffled_miou,
)
from calibration.search.soundness import agreement_beyond_chance, shared_information
from edge.frames import FrameSet
from edge.metrics import ConfusionMatrix

NAMES = ("ground", "wall", "person")
SIZE = (64, 128)


class Frames(FrameSet):
    def __init__(self, frames):
        super().__init__("drawn val", [str(index) for index in range(len(frames))])
        self._frames = frames

    def read(self, index):
        return self._frames[index]

    def digest(self, index):
        return self.names[index]


class Labelled:
    """An AccuracySet of given label maps."""

    def __init__(self, given, frames, truths=None):
        none = np.zeros((len(given), len(NAMES), 3), np.int64)
        self.frames, self._given, self._truths = Frames(frames), given, truths
        matrices = None
        if truths is not None:
            matrices = []
            for truth, labels in zip(truths, given):
                matrix = ConfusionMatrix(len(NAMES))
                matrix.update(truth, labels)
                matrices.append(matrix.counts)
        self.has_truth = truths is not None
        self.float_labels = SetLabels(
            np.ones(len(given)), np.array(matrices) if truths is not None else None, none, none
        )

    def float_of(self, index):
        return self._given[index]

    def truth_of(self, index):
        return self._truths[index] if self._truths is not None else None


def blocks(count, seed=1, classes=3):
    """Return label maps of blocks, each another one."""
    generator = np.random.default_rng(seed)
    return list(generator.integers(0, classes, (count, 8, 16)).astype(np.uint8).repeat(8, 1).repeat(8, 2))


def frames_of(maps):
    """Return frames on which each class has a brightness of its own."""
    return [np.repeat((80 * labels + 20)[..., None], 3, 2).astype(np.uint8) for labels in maps]


def noisy(maps, share, seed=2):
    generator = np.random.default_rng(seed)
    return [
        np.where(generator.random(labels.shape) < share, generator.integers(0, 3, labels.shape), labels).astype(
            np.uint8
        )
        for labels in maps
    ]


# With labels


def test_network_that_finds_the_classes_is_plausible():
    maps = blocks(6)
    assert doubt(Labelled(noisy(maps, 0.3), frames_of(maps), maps), NAMES) == ""


def test_network_at_the_miou_of_one_class_is_named_with_both_figures():
    maps = blocks(6)
    sentence = doubt(Labelled(blocks(6, seed=9), frames_of(maps), maps), NAMES)
    assert sentence.startswith("the float network's mIoU is 2") and " % on 6 images of drawn val, " in sentence
    assert ", little or no better than labels that need no network: one class everywhere has 1" in sentence


def test_network_above_chance_and_below_one_label_map_for_all_images_is_implausible():
    usual, others = blocks(1, seed=4)[0], blocks(9, seed=5)
    rare = [np.random.default_rng(index).random((8, 16)).repeat(8, 0).repeat(8, 1) < 0.6 for index in range(9)]
    truths = [np.where(is_rare, other, usual) for is_rare, other in zip(rare, others)]  # often the usual class
    one_map = one_map_miou(truths, 3)
    assert 0.3 < one_map < 0.5
    poor = Labelled(noisy(truths, 0.85), frames_of(truths), truths)
    assert 0.25 < poor.float_labels.miou() < one_map  # two independent maps have 0.2
    assert "one label map for all images " in doubt(poor, NAMES)
    assert doubt(Labelled(noisy(truths, 0.4), frames_of(truths), truths), NAMES) == ""


def test_images_of_one_scene_do_not_make_a_fair_network_implausible():
    truths = blocks(1) * 6
    fair = noisy(truths, 0.5)
    assert one_map_miou(truths, 3) == 1.0
    assert doubt(Labelled(fair, frames_of(truths), truths), NAMES) == ""


def test_one_map_for_an_image_is_made_from_the_others():
    maps = blocks(3, classes=11, seed=5)
    assert one_map_miou(maps, 11) < 0.15  # its own label map among them would give a third and more
    assert one_map_miou(maps[:2], 11) is None


def test_best_constant_is_the_largest_class_over_those_that_occur():
    matrix = np.array([[10, 50, 0], [20, 20, 0], [0, 0, 0]])
    assert best_constant_miou(matrix) == pytest.approx(0.6 / 2)


def test_labels_at_other_pixels_have_what_two_independent_maps_have():
    generator = np.random.default_rng(6)
    truth, given = generator.integers(0, 3, (2, 400, 400)).astype(np.uint8)
    given[given == 2] = 0
    matrix = ConfusionMatrix(4)
    matrix.update(truth, given)
    assert shuffled_miou(matrix.counts) == pytest.approx(matrix.miou(), abs=0.005)


def test_network_that_finds_a_little_of_a_rare_class_is_plausible():
    truths = [np.zeros(SIZE, np.uint8) for _ in range(6)]
    given = [np.zeros(SIZE, np.uint8) for _ in range(6)]
    for index, (truth, labels) in enumerate(zip(truths, given)):
        truth[10:20, 16 * index : 16 * index + 10] = 2  # 1.2 % of pixels
        labels[10:13, 16 * index : 16 * index + 10] = 2
    assert doubt(Labelled(given, frames_of(truths), truths), NAMES) == ""
    assert "that need no network" in doubt(Labelled([np.zeros(SIZE, np.uint8)] * 6, frames_of(truths), truths), NAMES)


def test_outputs_in_another_order_are_recognised():
    matrix = np.array([[0, 9, 1], [1, 0, 9], [9, 1, 0]])
    miou, order = reordered_miou(matrix)
    assert order == {1: 0, 2: 1, 0: 2} and miou == pytest.approx(9 / 11)
    assert reordered_miou(np.diag([4, 5, 6])) == (1.0, {0: 0, 1: 1, 2: 2})


# Without labels


def test_one_class_alone_is_named():
    maps = blocks(4)
    sentence = doubt(Labelled([np.ones(SIZE, np.uint8)] * 4, frames_of(maps)), NAMES)
    assert sentence == "the float network gives one class alone, wall, on 100.00 % of pixels on 4 images of drawn val"


def test_one_class_alone_is_right_where_the_truth_is_one():
    truths = [np.ones(SIZE, np.uint8)] * 4
    assert doubt(Labelled(truths, frames_of(blocks(4)), truths), NAMES) == ""


def test_small_things_in_a_large_background_are_plausible():
    maps = [np.zeros(SIZE, np.uint8) for _ in range(4)]
    for index, labels in enumerate(maps):
        labels[10:16, 20 * index : 20 * index + 8] = 2
    assert np.mean(maps) / 2 < 0.01
    assert doubt(Labelled(maps, frames_of(blocks(4))), NAMES) == ""


def test_same_labels_on_different_images_are_implausible_and_on_a_fixed_camera_they_are_not():
    fixed = blocks(1) * 5
    assert "whatever the image shows" in doubt(Labelled(fixed, frames_of(blocks(5, seed=7))), NAMES)
    assert doubt(Labelled(fixed, frames_of(fixed)), NAMES) == ""
    assert doubt(Labelled(blocks(5), frames_of(blocks(5))), NAMES) == ""


def test_network_of_one_class_has_no_other_to_give():
    assert doubt(Labelled([np.zeros(SIZE, np.uint8)] * 3, frames_of(blocks(3))), ("ground",)) == ""


# Classes that it never finds


# Agreement of label maps


def test_agreement_beyond_chance():
    first, second = blocks(1)[0], blocks(1, seed=50)[0]
    assert agreement_beyond_chance([(first, first)]) == pytest.approx(1.0)
    assert abs(agreement_beyond_chance([(first, second)])) < 0.2
    assert agreement_beyond_chance([(np.zeros(SIZE, np.uint8),) * 2]) == 0.0


def test_shared_information_is_the_entropy_of_equal_maps_and_nothing_of_one_class():
    half = np.zeros(SIZE, np.uint8)
    half[32:] = 1
    for other in (half, 1 - half):  # left and right change places in a mirror
        information, share = shared_information([(half, other)])
        assert information == pytest.approx(np.log(2)) and share == pytest.approx(1.0)
    assert shared_information([(np.zeros(SIZE, np.uint8),) * 2]) == (0.0, 0.0)
    information, share = shared_information([(half, np.ascontiguousarray(cv2.rotate(half, cv2.ROTATE_180)))])
    assert share == pytest.approx(1.0)
    assert shared_information([(half, (np.indices(SIZE)[1] % 2).astype(np.uint8))])[1] == pytest.approx(0.0, abs=1e-9)
