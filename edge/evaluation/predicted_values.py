"""What the values of a predicted label map mean: train ids, or the ids of the dataset's own label maps.

Some ids of a dataset's own list are not evaluated. A prediction may hold them all the same: such a pixel is wrong, as a
false negative of the class that is there, and a false positive of no class. For the instance score of a category they
count as the category that they are of, so they are kept apart from one another.

Source: cityscapesScripts 2.3.0, evaluation/evalPixelLevelSemanticLabeling.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.errors import InputError
from edge.labels import IGNORE_ID, ClassTable

FILE_IDS, TRAIN_IDS = "file", "train"
KINDS = (FILE_IDS, TRAIN_IDS)
"""Kinds of values: the ids of the dataset's own label maps, or train ids from 0 to the number of classes less 1."""


@dataclass(frozen=True)
class PredictedValues:
    """What each value of a predicted label map means.

    Attributes:
        to_train: (256,) int16, value -> train id; IGNORE_ID where no evaluated class has the value.
        known: (256,) bool, whether a class, evaluated or not, has the value.
        instance_categories: Name of a category of which all classes have instances -> its values.
    """

    to_train: np.ndarray
    known: np.ndarray
    instance_categories: dict[str, tuple[int, ...]]


def predicted_values(table: ClassTable, kind: str) -> PredictedValues:
    """Return what values of a kind mean.

    Args:
        table: Class table of the dataset.
        kind: One of KINDS.

    Raises:
        InputError: The kind is unknown.
    """
    if kind not in KINDS:
        raise InputError(f"values of predictions are '{kind}', expected one of: {', '.join(KINDS)}")
    if kind == FILE_IDS:
        to_train = table.raw_lookup()
    else:
        to_train = np.full(256, -1, np.int16)
        to_train[: table.class_count] = np.arange(table.class_count)
        to_train[IGNORE_ID] = IGNORE_ID
    known = to_train >= 0
    return PredictedValues(
        np.where(known, to_train, IGNORE_ID).astype(np.int16), known, _instance_categories(table, kind)
    )


def _instance_categories(table: ClassTable, kind: str) -> dict[str, tuple[int, ...]]:
    """Return the values of each category that has an instance score: all classes of it have instances."""
    categories: dict[str, tuple[int, ...]] = {}
    for category in dict.fromkeys(table.categories):
        members = [one for one in table.file_classes if one.category == category and one.ids]
        if not members or not all(one.has_instances for one in members):
            continue
        if kind == FILE_IDS:
            categories[category] = tuple(value for one in members for value in one.ids)
        else:
            categories[category] = tuple(index for index, own in enumerate(table.categories) if own == category)
    return categories
