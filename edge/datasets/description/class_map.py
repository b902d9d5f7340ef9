"""Label maps of one dataset in the classes of another: for joint training of several datasets.

Classes of equal names are taken, whatever their case and whether words are joined by blanks, "-" or "_". What the
target lacks counts for nothing. Two classes become one only where the description writes it down.
"""

from __future__ import annotations

import dataclasses
from typing import Sequence

from edge.datasets.description.fields import similar
from edge.datasets.sample import LabelCoding, Sample
from edge.errors import DatasetError
from edge.labels import IGNORE_ID, ClassTable, plain_class_name


class ClassMap:
    """Classes of a source dataset, evaluated there or not, as train ids of a target.

    Args:
        source: Class table of the dataset that is joined in.
        target: Class table of the description.
        written: Class of the source -> class of the target, or None for one that counts for nothing.
        place: Place in the description, for messages.

    Attributes:
        targets: Class of the source -> train id of the target, or IGNORE_ID.

    Raises:
        DatasetError: The written map names a class that source or target lacks.
    """

    def __init__(self, source: ClassTable, target: ClassTable, written: dict[str, str | None], place: str) -> None:
        self.source, self.place = source, place
        sources = {plain_class_name(one.name): one.name for one in source.file_classes}
        known = {plain_class_name(name): train_id for train_id, name in enumerate(target.class_names)}
        self._written = set()
        self.targets = {name: known.get(plain, IGNORE_ID) for plain, name in sources.items()}
        for from_name, to_name in written.items():
            if plain_class_name(from_name) not in sources:
                raise DatasetError(
                    f"{place}.map names '{from_name}', which {source.name} does not have, "
                    f"{similar(from_name, list(sources.values()))}"
                )
            if to_name is not None and plain_class_name(to_name) not in known:
                raise DatasetError(
                    f"{place}.map turns '{from_name}' into '{to_name}', which is no class of the description, "
                    f"{similar(to_name, list(target.class_names))}"
                )
            train_id = IGNORE_ID if to_name is None else known[plain_class_name(to_name)]
            self._written.add(sources[plain_class_name(from_name)])
            self.targets[sources[plain_class_name(from_name)]] = train_id
        if all(train_id == IGNORE_ID for train_id in self.targets.values()):
            raise DatasetError(
                f"{place} takes no class of {source.name}, expected at least one of an equal name, or a map"
            )

    def ignored(self) -> list[str]:
        """Return the classes that the source evaluates, and of which every pixel counts for nothing here."""
        return [name for name in self.source.class_names if self.targets[name] == IGNORE_ID]

    def mapped(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return frames of the source whose label maps are read as train ids of the target.

        Raises:
            DatasetError: Label maps hold train ids, in which classes that are wanted are one with the ignored ones.
        """
        codings: dict[tuple, LabelCoding] = {}
        mapped = []
        for sample in samples:
            key = (sample.labels_are_train_ids, id(sample.coding))
            if key not in codings:
                codings[key] = self._coding(sample)
            mapped.append(dataclasses.replace(sample, coding=codings[key], labels_are_train_ids=False))
        return mapped

    def _coding(self, sample: Sample) -> LabelCoding:
        by_train_id = {IGNORE_ID: IGNORE_ID}
        by_train_id.update({train_id: self.targets[name] for train_id, name in enumerate(self.source.class_names)})
        if sample.labels_are_train_ids:
            # A class of an equal name that cannot be told apart here counts for nothing, as what is ignored does.
            lost = sorted(
                name for name in self._written - set(self.source.class_names) if self.targets[name] != IGNORE_ID
            )
            if lost and sample.label_path is not None:
                raise DatasetError(
                    f"{self.place} takes '{lost[0]}' of {self.source.name}, and {sample.label_path.name} holds train "
                    "ids, in which it is one with what is ignored, expected file ids. Next: get the labelIds files"
                )
            return LabelCoding(ids=by_train_id, source=self.place)
        own = sample.coding or LabelCoding(ids=self.source.raw_to_train, colors=self.source.file_colors)
        return LabelCoding(
            ids=self._by_ids() if own.ids == self.source.raw_to_train else _through(own.ids, by_train_id),
            colors=self._by_colors() if own.colors == self.source.file_colors else _through(own.colors, by_train_id),
            ids_hint=own.ids_hint,
            source=self.place,
        )

    def _by_ids(self) -> dict[int, int]:
        ignored = {
            file_id: IGNORE_ID for file_id, train_id in self.source.raw_to_train.items() if train_id == IGNORE_ID
        }
        named = {file_id: self.targets[one.name] for one in self.source.file_classes for file_id in one.ids}
        return {**ignored, **named}

    def _by_colors(self) -> dict[tuple[int, int, int], int]:
        # What the source evaluates comes last, so that a colour that two classes share means the one that counts.
        ordered = sorted(self.source.file_classes, key=lambda one: one.name in self.source.class_names)
        ignored = {color: IGNORE_ID for color, train_id in self.source.file_colors.items() if train_id == IGNORE_ID}
        return {**ignored, **{color: self.targets[one.name] for one in ordered for color in one.colors}}


def _through(first: dict, second: dict[int, int]) -> dict:
    """Return the map that goes through both: value of a file -> train id of the source -> train id of the target."""
    return {value: second[train_id] for value, train_id in first.items()}
