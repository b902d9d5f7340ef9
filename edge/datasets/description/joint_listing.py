"""Frames of another dataset, whose label maps are read in the classes of the description."""

from __future__ import annotations

import os
from pathlib import Path

from edge.console import print_note_once
from edge.datasets.description.file import Description
from edge.datasets.description.frame import Frame, refusal
from edge.datasets.description.sources import JointSource
from edge.datasets.registry import LAYOUTS, registered_folder


def joint_frames(description: Description, source: JointSource, base: Path) -> list[Frame]:
    """Return the frames of a split of another dataset.

    Args:
        description: Description that the source is in.
        source: Split of the other dataset, and how its classes become those of the description.
        base: Folder that the paths of the description are relative to.

    Raises:
        DatasetError: The folder is missing or of another layout, or label maps do not tell wanted classes apart.
    """
    layout = LAYOUTS[source.dataset]
    root = base / source.folder if source.folder is not None else registered_folder(source.dataset)
    if not root.is_dir():
        raise refusal(
            description,
            source,
            f"is {root}, which is not there. Next: name its folder, or {layout.obtain}",
            "folder",
        )
    samples = layout.list_samples(root, source.split, source.dataset)
    if not samples:
        raise refusal(description, source, f"has no picture: {source.dataset} {source.split} under {root} is empty")
    class_map = description.class_map(source)
    names = ", ".join(class_map.ignored())
    if names:
        print_note_once(
            f"{names} of {source.dataset} count for nothing in {description.name}: no class is "
            f"called so, and {source.place}.map does not name them"
        )
    real_root = os.path.realpath(root)
    return [
        Frame(f"{source.dataset}_{sample.name}", sample, _real_path(sample.image_path, root, real_root))
        for sample in class_map.mapped(samples)
    ]


def _real_path(path: Path, root: Path, real_root: str) -> str:
    """Return a path without links; links are looked for in the file alone, since a layout's folders rarely are."""
    if path.is_symlink():
        return os.path.realpath(path)
    return f"{real_root}/{path.relative_to(root).as_posix()}"
