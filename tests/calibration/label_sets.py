"""Label maps that a test draws, and the figures of them that a budget is judged by."""

from __future__ import annotations

import numpy as np

from calibration.budget.label_cost import label_cost
from calibration.budget.regions import count_regions
from calibration.budget.set_labels import SetLabels
from calibration.results import ClassCost, LabelCost
from edge.metrics import ConfusionMatrix, label_agreement

NAMES = ("road", "car", "person")


def set_labels(float_maps, maps, truths=None, classes=3):
    """Return the SetLabels of label maps, as an AccuracySet counts those of a network."""
    overlaps, regions, matrices = [], [], []
    for first, second in zip(float_maps, maps):
        both = second[first == second]
        overlaps.append(np.stack([np.bincount(each.ravel(), minlength=classes) for each in (first, second, both)], 1))
        regions.append(count_regions(first, second, classes))
    for truth, labels in zip(truths or (), maps):
        matrix = ConfusionMatrix(classes)
        matrix.update(truth, labels)
        matrices.append(matrix.counts)
    agreements = np.array([label_agreement(*pair) for pair in zip(float_maps, maps)])
    return SetLabels(agreements, np.array(matrices) if matrices else None, np.array(overlaps), np.array(regions))


def cost_of(float_maps, maps, truths=None, names=NAMES, **settings):
    """Return what `maps` cost against `float_maps`."""
    before, after = (set_labels(float_maps, each, truths, len(names)) for each in (float_maps, maps))
    return label_cost(before, after, names, **settings)


def streets(count, size=(100, 100), person=(10, 10), persons=None):
    """Return label maps of a road with a car, and a person on the first `persons` of them."""
    maps = []
    for index in range(count):
        labels = np.zeros(size, np.uint8)
        labels[60:90, 10:50] = 1
        if persons is None or index < persons:
            top, left = 5 + index % 7, 20 + 3 * (index % 11)
            labels[top : top + person[0], left : left + person[1]] = 2
        maps.append(labels)
    return maps


def without(maps, label, instead=0):
    """Return copies of label maps in which a class has become another one."""
    return [np.where(labels == label, instead, labels).astype(np.uint8) for labels in maps]


def class_cost(name="person", **changes):
    """Return the cost of a class that a test writes down itself; nothing of it is lost."""
    figures = {
        "float_share": 0.01,
        "most_share": 0.02,
        "true_share": None,
        "image_count": 50,
        "float_iou": None,
        "iou": None,
        "agreement_iou": 1.0,
        "drop_points": None,
        "drop_high": None,
        "change_points": 0.0,
        "change_high": 0.0,
        "regions": 0,
        "regions_found": 0,
        "regions_new": 0,
    }
    return ClassCost(name, **{**figures, **changes})


def labelled_class(name="person", lost=0.0, high=0.0, **changes):
    """Return the cost of a class of which the truth is known: some points of an IoU of 60 % are lost."""
    figures = {"true_share": 0.01, "float_iou": 0.6, "iou": 0.6 - lost / 100, "drop_points": lost, "drop_high": high}
    return class_cost(name, **{**figures, **changes})


def network_cost(*classes, agreement=1.0, change_high=0.0, drop=None, low=None, high=None, images=50):
    """Return the cost of a network that a test writes down itself."""
    return LabelCost(images, agreement, change_high, drop, low, high, 0.95, classes)
