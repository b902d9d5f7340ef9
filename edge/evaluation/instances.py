"""Objects that label maps tell apart, and how much of each was found: the counts behind iIoU.

A large object has more pixels than a small one, and a plain IoU is of the large ones. In iIoU the pixels of an object
weigh the mean size of its class over the size of the object, so that each object has the same weight. False positives
have no object and keep their number.

Source: Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (2016), section 4.1, and
cityscapesScripts 2.3.0, evaluation/evalPixelLevelSemanticLabeling.py, whose order of additions is kept, so that the
sums are equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.datasets import Sample
from edge.errors import InputError
from edge.evaluation.predicted_values import PredictedValues
from edge.imaging import read_ids
from edge.labels import IGNORE_ID, ClassTable
from edge.pixel_counts import ObjectPixels, count_objects

INSTANCES_OF_A_CLASS = 1000
"""Ids of objects of one class: an object has the class's id times this, and its number."""

_LABEL_KINDS = ("labelIds", "labelTrainIds")


def instance_path(sample: Sample) -> Path | None:
    """Return the path of the map that tells the objects of a frame apart; None where there is none.

    Args:
        sample: Frame whose label map is named as in Cityscapes, `*_labelIds.png`.
    """
    if sample.label_path is None:
        return None
    for kind in _LABEL_KINDS:
        if sample.label_path.stem.endswith(kind):
            path = sample.label_path.with_name(sample.label_path.name.replace(kind, "instanceIds"))
            return path if path.is_file() else None
    return None


class InstanceCounts:
    """Weighted pixels of objects, found and not found, of each class and category.

    Attributes:
        classes: Train id of a class with instances -> [found, not found], in pixels, weighted.
        categories: Name of a category with instances -> [found, not found], likewise.
        object_count: Number of objects that were counted.
    """

    def __init__(self, table: ClassTable, values: PredictedValues) -> None:
        self._values = values
        self._classes = {
            one.ids[0]: _InstanceClass(
                table.raw_to_train[one.ids[0]],
                one.mean_instance_pixels,
                one.category,
                np.flatnonzero(values.to_train == table.raw_to_train[one.ids[0]]),
            )
            for one in table.file_classes
            if one.has_instances and one.mean_instance_pixels and table.raw_to_train[one.ids[0]] != IGNORE_ID
        }
        self.classes = {one.train_id: [0.0, 0.0] for one in self._classes.values()}
        self.categories = {name: [0.0, 0.0] for name in values.instance_categories}
        self.object_count = 0

    def update(self, objects: ObjectPixels) -> None:
        """Add the objects of one frame."""
        counts, sizes = objects.counts, objects.counts.sum(1).tolist()
        in_category = {
            name: counts[:, list(members)].sum(1).tolist() for name, members in self._values.instance_categories.items()
        }
        for row, file_id in enumerate((objects.ids // INSTANCES_OF_A_CLASS).tolist()):
            described = self._classes.get(file_id)
            if described is None:  # of a class that is not evaluated, or has no instances
                continue
            weight = described.mean_pixels / float(sizes[row])
            self.object_count += 1
            found = int(counts[row, described.values].sum())
            _add(self.classes[described.train_id], found, sizes[row], weight)
            if described.category in self.categories:
                _add(self.categories[described.category], in_category[described.category][row], sizes[row], weight)


@dataclass(frozen=True)
class _InstanceClass:
    """A class with instances: its mean size in pixels, and the values of a predicted map that are right for it."""

    train_id: int
    mean_pixels: float
    category: str
    values: np.ndarray


def _add(sums: list[float], found: int, size: int, weight: float) -> None:
    sums[0] += float(found) * weight
    sums[1] += float(size - found) * weight


def pixels_of_instances(instance_ids: np.ndarray, predicted: np.ndarray) -> ObjectPixels:
    """Return how many pixels of each object have each predicted value.

    Args:
        instance_ids: (height, width) uint16, class * 1000 + number where an object is, a smaller value elsewhere.
        predicted: (height, width) uint8 values of a predicted label map.

    Raises:
        InputError: The two differ in size.
    """
    if instance_ids.shape != predicted.shape:
        raise InputError(f"predicted map is {predicted.shape}, instances are {instance_ids.shape}, expected one size")
    return count_objects(instance_ids, predicted, INSTANCES_OF_A_CLASS)


def read_instance_ids(sample: Sample) -> np.ndarray | None:
    """Return the map that tells the objects of a frame apart, (height, width) uint8 or uint16; None without one.

    Raises:
        ImageError: The map cannot be read.
    """
    path = instance_path(sample)
    return None if path is None else read_ids(path)
