"""Intervals of IoU: they hold the true value as often as they say, and are absent where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from edge.accuracy_interval import CONFIDENCE, LEAST_FRAMES, iou_intervals

CLASSES = ("road", "person")
GROUPS = {"people": (1,), "vehicles": ()}


def frames_of(hit_shares, pixels=1000):
    """Counts of frames in which a share of the pixels of each class is hit, and the rest taken for the other."""
    hits = np.rint(np.asarray(hit_shares) * pixels).astype(int)
    return np.array([[[hit, pixels - hit], [pixels - hit, hit]] for hit in hits])


def test_intervals_hold_the_truth_as_often_as_they_say():
    random, held, count = np.random.default_rng(1), 0, 200
    for seed in range(count):
        shares = 0.8 + 0.1 * random.standard_normal(64).clip(-2, 2)
        interval = iou_intervals(frames_of(shares), CLASSES, GROUPS, seed)["miou"]
        held += interval.low <= 0.8 / 1.2 <= interval.high
    assert 0.9 * count <= held <= 0.99 * count


def test_neighbours_that_are_alike_make_the_interval_wider():
    shares = 0.8 + 0.1 * np.random.default_rng(2).standard_normal(16).clip(-2, 2)
    independent = iou_intervals(frames_of(np.tile(shares, 4)), CLASSES, GROUPS)["miou"]
    alike = iou_intervals(frames_of(np.repeat(shares, 4)), CLASSES, GROUPS)["miou"]
    assert alike.high - alike.low > 1.3 * (independent.high - independent.low)


def test_every_figure_has_an_interval_around_it():
    intervals = iou_intervals(frames_of(np.linspace(0.6, 0.9, 40)), CLASSES, GROUPS)
    assert set(intervals) == {"miou", "miou(people)", "iou(road)", "iou(person)"}
    for interval in intervals.values():
        assert interval.low < 0.75 / 1.25 < interval.high and interval.confidence == CONFIDENCE


def test_few_frames_and_rare_classes_have_no_interval():
    counts = frames_of(np.full(40, 0.8))
    assert iou_intervals(counts[: LEAST_FRAMES - 1], CLASSES, GROUPS) == {}
    rare = np.zeros((40, 3, 3), int)
    rare[:, :2, :2], rare[7, 2, 2] = counts, 5
    intervals = iou_intervals(rare, (*CLASSES, "train"), GROUPS)
    assert "iou(train)" not in intervals and intervals["iou(road)"].low == pytest.approx(0.8 / 1.2)
