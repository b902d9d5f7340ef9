"""Which class of other weights is which class of a network, and how a classifier's channels go from one to the other.

Classes are the same by their names, however these are written ("traffic light", "traffic-light"), or where the list of
one side has the other's name as another name of the class ("person" of a "pedestrian"). The same number of classes says
nothing: Cityscapes and RailSem19 both have 19.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

import keras
import numpy as np

from edge.network_class import NetworkClass
from train.checkpoint_import.importer import BUILD_SIZE
from train.models.base import ModelSpec


@dataclass(frozen=True)
class ClassMatch:
    """One class of a network that other weights know.

    Attributes:
        ours: train id of the class in the network.
        theirs: train id of the class in the other weights.
        name: name of the class in the network.
        their_name: name of the class in the other weights.
    """

    ours: int
    theirs: int
    name: str
    their_name: str

    def words(self) -> str:
        """Return the class for people, with its other name where the other weights call it otherwise."""
        return self.name if _plain(self.name) == _plain(self.their_name) else f"{self.name} (from {self.their_name})"


def match_classes(ours: Sequence[NetworkClass], theirs: Sequence[NetworkClass]) -> tuple[ClassMatch, ...]:
    """Return the classes of a network that other weights know, in the order of the network's train ids.

    A class of the same name comes before one that is called otherwise; of several of these, the one whose name stands
    first in the list of other names. A class of the other weights may stand for several of the network's.

    Args:
        ours: classes of the network.
        theirs: classes of the other weights.
    """
    by_name = {_plain(each.name): train_id for train_id, each in reversed(list(enumerate(theirs)))}
    by_other_name = {
        _plain(other): train_id for train_id, each in reversed(list(enumerate(theirs))) for other in each.other_names
    }
    matches = []
    for train_id, each in enumerate(ours):
        candidates = [by_name.get(_plain(name)) for name in (each.name, *each.other_names)]
        candidates.append(by_other_name.get(_plain(each.name)))
        found = next((candidate for candidate in candidates if candidate is not None), None)
        if found is not None:
            matches.append(ClassMatch(train_id, found, each.name, theirs[found].name))
    return tuple(matches)


def class_axes(
    spec: ModelSpec, network: keras.Model, options: Mapping[str, Any], class_count: int
) -> dict[str, list[tuple[int, ...]]]:
    """Return the layers of a network whose weights have an axis of classes: name -> those axes of each weight.

    The network is built once more for another number of classes: what has another shape there depends on it.

    Args:
        spec: the architecture.
        network: model of it.
        options: every option of the architecture that the network was built with.
        class_count: number of its classes.
    """
    other = spec.build(*BUILD_SIZE, class_count + 1, **options)
    shapes = {layer.name: [tuple(weight.shape) for weight in layer.weights] for layer in other.layers}
    found = {}
    for layer in network.layers:
        own = [tuple(weight.shape) for weight in layer.weights]
        axes = [different_axes(one, another) for one, another in zip(own, shapes[layer.name])]
        if any(axes):
            found[layer.name] = axes
    return found


def different_axes(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    """Return the axes along which two shapes of as many axes differ."""
    return tuple(axis for axis, (first, second) in enumerate(zip(one, other)) if first != second)


def with_channels(
    fresh: np.ndarray, given: np.ndarray, axes: Sequence[int], matches: Sequence[ClassMatch]
) -> np.ndarray:
    """Return one weight of a classifier with the channels of the classes that other weights know.

    Args:
        fresh: the weight as it is made anew, with as many channels as the network has classes along `axes`.
        given: the same weight of the other classifier.
        axes: axes of the classes; empty for a weight that has none, which is taken as it is.
        matches: classes that both know.
    """
    if not axes:
        return given
    mixed = fresh.copy()
    ours, theirs = [each.ours for each in matches], [each.theirs for each in matches]
    target = np.ix_(*(ours if axis in axes else range(size) for axis, size in enumerate(fresh.shape)))
    source = np.ix_(*(theirs if axis in axes else range(size) for axis, size in enumerate(given.shape)))
    mixed[target] = given[source]
    return mixed


def _plain(name: str) -> str:
    """Return a name without what lists write differently: case, blanks and signs."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) or name
