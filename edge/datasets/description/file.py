"""Reading of a dataset description; nothing of the data itself is looked at."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from edge.artifacts import read_json
from edge.datasets.description.class_map import ClassMap
from edge.datasets.description.classes import read_classes
from edge.datasets.description.fields import Fields, spell
from edge.datasets.description.sources import SUFFIX, JointSource, Source, read_splits
from edge.datasets.registry import LAYOUTS
from edge.labels import ClassTable

_FIELDS = ("name", "classes", "ignore", "splits")
_NOTES = ("$schema", "comment")
"""Fields that may stand in a description and say nothing to the project."""

_LONGEST_NAME = 64
_TAKEN_NAMES = ("own",)
"""Names that records use for something else."""


@dataclass(frozen=True)
class Description:
    """A dataset as its owner describes it.

    Attributes:
        path: Path of the file.
        name: Name of the dataset, as folders and records spell it.
        table: Classes of the dataset.
        splits: Name of a split -> where its frames lie.
        digest: SHA-256 of what the file says, and the descriptions that it joins; the same however they are indented.
        joined: File of a description that is joined in, as the description spells it -> that description.
    """

    path: Path
    name: str
    table: ClassTable
    splits: dict[str, tuple[Source, ...]]
    digest: str
    joined: dict[str, Description] = field(default_factory=dict)

    def class_map(self, source: JointSource) -> ClassMap:
        """Return how the classes of a dataset that is joined in become those of the description.

        Raises:
            DatasetError: The map names a class that one of the two lacks.
        """
        inner = self.joined.get(source.dataset)
        table = inner.table if inner is not None else LAYOUTS[source.dataset].table
        return ClassMap(table, self.table, source.class_map, f"dataset description {self.path}: {source.place}")


def is_description(dataset: str) -> bool:
    """Say whether the name of a dataset is the path of a description, by its form alone."""
    return dataset not in LAYOUTS and dataset.endswith(SUFFIX)


def read_description(path: str | os.PathLike) -> Description:
    """Read a dataset description and check all of it that can be checked without the data.

    Args:
        path: Path of the file.

    Raises:
        InputError: The file does not exist, or cannot be read.
        ContractError: The file is no JSON object.
        DatasetError: A field is missing, unknown, damaged, or contradicts another.
    """
    return _read(Path(path), ())


def _read(path: Path, outer: tuple[Path, ...]) -> Description:
    """Read a description that others, from the outermost on, join in."""
    content = read_json(path, "dataset description")
    fields = Fields(content, "", os.fspath(path), (*_FIELDS, *_NOTES))
    name = fields.text("name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or len(name) > _LONGEST_NAME:
        raise fields.refuse(
            "name",
            f"is {spell(name)}, expected at most {_LONGEST_NAME} letters, digits, '-' and '_': folders are named by it",
        )
    if name in LAYOUTS or name in _TAKEN_NAMES:
        raise fields.refuse("name", f"is '{name}', which the project uses for something else, expected another name")
    table, splits = read_classes(fields, name), read_splits(fields)
    joints = [source for sources in splits.values() for source in sources if isinstance(source, JointSource)]
    above = (*outer, path.resolve())
    joined: dict[str, Description] = {}
    for source in joints:
        if source.dataset not in LAYOUTS and source.dataset not in joined:
            inner = path.parent / source.dataset
            if inner.resolve() in above:
                raise fields.refuse(source.place, f"joins {inner}, which joins {path}, expected no circle")
            joined[source.dataset] = _read(inner, above)
    said = [{field: content.get(field) for field in _FIELDS}, *(inner.digest for inner in joined.values())]
    digest = hashlib.sha256(json.dumps(said, separators=(",", ":"), sort_keys=True).encode()).hexdigest()
    description = Description(path, name, table, splits, digest, joined)
    for source in joints:
        description.class_map(source)
    return description
