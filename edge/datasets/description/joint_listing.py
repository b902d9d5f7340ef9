"""Frames of another dataset, whose label maps are read in the classes of the description."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from edge.console import print_note_once
from edge.datasets.description.file import Description
from edge.datasets.description.frame import Frame, refusal
from edge.datasets.description.sources import JointSource
from edge.datasets.registry import LAYOUTS, registered_folder
from edge.datasets.sample import Sample

ListSplit = Callable[[Description, str, Path], "list[Sample]"]
"""Function that lists a split of a description, of its paths' base folder."""


def joint_frames(description: Description, source: JointSource, base: Path, list_description: ListSplit) -> list[Frame]:
    """Return the frames of a split of another dataset.

    Args:
        description: Description that the source is in.
        source: Split of the other dataset, and how its classes become those of the description.
        base: Folder that the paths of the description are relative to.
        list_description: Function that lists a split of a description, where the other dataset has one.

    Raises:
        DatasetError: The folder is missing or of another layout, or label maps do not tell wanted classes apart.
    """
    root, inner = _root(description, source, base), description.joined.get(source.dataset)
    if not root.is_dir():
        obtain = "" if inner is not None else f", or {LAYOUTS[source.dataset].obtain}"
        raise refusal(description, source, f"is {root}, which is not there. Next: name its folder{obtain}", "folder")
    if inner is not None:
        samples = list_description(inner, source.split, root)
    else:
        samples = LAYOUTS[source.dataset].list_samples(root, source.split, source.dataset)
    if not samples:
        raise refusal(description, source, f"has no picture: {source.dataset} {source.split} under {root} is empty")
    class_map = description.class_map(source)
    names, name = ", ".join(class_map.ignored()), inner.name if inner is not None else source.dataset
    if names:
        print_note_once(
            f"{names} of {name} count for nothing in {description.name}: no class is called so, and "
            f"{source.place}.map does not name them"
        )
    real_folders: dict[Path, str] = {}
    frames = []
    for sample in class_map.mapped(samples):
        path = sample.image_path
        if path.parent not in real_folders:
            real_folders[path.parent] = os.path.realpath(path.parent)
        real_path = os.path.realpath(path) if path.is_symlink() else f"{real_folders[path.parent]}/{path.name}"
        frames.append(Frame(f"{name}_{sample.name}", sample, real_path))
    return frames


def joint_split_source(description: Description, base: Path) -> str:
    """Return whose splits the joined datasets have where these are not their own; "" where all are."""
    told: dict[str, str] = {}
    for source in (source for sources in description.splits.values() for source in sources):
        if isinstance(source, JointSource):
            root, inner = _root(description, source, base), description.joined.get(source.dataset)
            if inner is None:
                told[source.dataset] = LAYOUTS[source.dataset].split_source(root)
            else:
                told[inner.name] = joint_split_source(inner, root)
    return "; ".join(f"{dataset}: {words}" for dataset, words in told.items() if words)


def _root(description: Description, source: JointSource, base: Path) -> Path:
    if source.folder is not None:
        return base / source.folder
    inner = description.joined.get(source.dataset)
    return inner.path.parent if inner is not None else registered_folder(source.dataset)
