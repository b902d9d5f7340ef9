"""Where the frames of a split lie, as a dataset description says it; nothing on disk is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from edge.datasets.description.fields import Fields, similar, spell
from edge.datasets.registry import LAYOUTS, SPLITS


@dataclass(frozen=True)
class FolderSource:
    """Pictures of a folder, with label maps of the same names in another.

    Attributes:
        place: Place in the description, for messages.
        images: Folder of the pictures; those in its subfolders belong to it.
        labels: Folder of the label maps; None where there are none.
        label_end: End of a label map's name behind the name of its picture, such as "_mask".
        names: File that names the pictures that are taken, one a line; None for all.
    """

    place: str
    images: str
    labels: str | None = None
    label_end: str = ""
    names: str | None = None


@dataclass(frozen=True)
class ListSource:
    """Pictures and label maps that a file lists.

    Attributes:
        place: Place in the description, for messages.
        file: File with a picture and its label map on each line.
    """

    place: str
    file: str


@dataclass(frozen=True)
class JointSource:
    """A split of another dataset, whose classes become those of the description.

    Attributes:
        place: Place in the description, for messages.
        dataset: Name of a dataset of the project, or file of another description.
        folder: Folder of that dataset; None for its default folder.
        split: Split of that dataset.
        class_map: Class of that dataset -> class of the description, or None for a class that counts for nothing.
    """

    place: str
    dataset: str
    folder: str | None
    split: str
    class_map: dict[str, str | None] = field(default_factory=dict)


SUFFIX = ".json"
"""Ending of the name of a description's file, by which it is told from the name of a dataset."""

Source = Union[FolderSource, ListSource, JointSource]

_FORMS = {
    "list": ("list",),
    "dataset": ("dataset", "folder", "split", "map"),
    "images": ("images", "labels", "label_end", "names"),
}
"""Field that says of which form a source is -> fields that it may have."""


def read_splits(description: Fields) -> dict[str, tuple[Source, ...]]:
    """Return name of a split -> its sources.

    Args:
        description: Fields of the file, of which `splits` is read.

    Raises:
        DatasetError: There is no split, one has no source, or a source cannot be understood.
    """
    fields = Fields(description.value("splits"), "splits", description.file, SPLITS)
    splits = {}
    for split in SPLITS:
        if not fields.has(split):
            continue
        given = fields.value(split)
        sources = given if isinstance(given, list) else [given]
        if not sources:
            raise fields.refuse(split, "is an empty list, expected where its frames lie")
        is_list = isinstance(given, list)
        splits[split] = tuple(
            _read_source(one, f"splits.{split}[{index}]" if is_list else f"splits.{split}", description.file)
            for index, one in enumerate(sources)
        )
    if not splits:
        raise description.refuse("splits", f"has no split, expected at least one of {', '.join(SPLITS)}")
    return splits


def _read_source(value: Any, place: str, file: str) -> Source:
    form = next((form for form in _FORMS if isinstance(value, dict) and form in value), "")
    every_field = [name for names in _FORMS.values() for name in names]
    fields = Fields(value, place, file, _FORMS.get(form, every_field))
    if not form:
        raise fields.refuse("", "says not where its frames lie, expected images and labels, or list, or dataset")
    if form == "list":
        return ListSource(place, fields.text("list"))
    if form == "dataset":
        return _read_joint(fields)
    label_end = fields.value("label_end") if fields.has("label_end") else ""
    if not isinstance(label_end, str):
        raise fields.refuse("label_end", f"is {spell(label_end)}, expected a text, such as '_mask'")
    if label_end and not fields.has("labels"):
        raise fields.refuse("", "has label_end and no labels, expected the folder of the label maps")
    return FolderSource(
        place,
        fields.text("images"),
        fields.text("labels") if fields.has("labels") else None,
        label_end,
        fields.text("names") if fields.has("names") else None,
    )


def _read_joint(fields: Fields) -> JointSource:
    dataset, split = fields.text("dataset"), fields.text("split", "train")
    if dataset not in LAYOUTS and not dataset.endswith(SUFFIX):
        wanted = f"{similar(dataset, list(LAYOUTS))}, or the file of a description"
        raise fields.refuse("dataset", f"is '{dataset}', which is not known, {wanted}")
    if split not in SPLITS:
        raise fields.refuse("split", f"is '{split}', expected one of {', '.join(SPLITS)}")
    class_map = fields.value("map") if fields.has("map") else {}
    if not isinstance(class_map, dict):
        raise fields.refuse("map", f'is {spell(class_map)}, expected class names, such as {{"person": "human"}}')
    for source, target in class_map.items():
        if target is not None and not isinstance(target, str):
            raise fields.refuse(f"map['{source}']", f"is {spell(target)}, expected the name of a class, or null")
    folder = fields.text("folder") if fields.has("folder") else None
    return JointSource(fields.place, dataset, folder, split, class_map)
