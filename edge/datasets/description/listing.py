"""The frames of a described split, and whether two splits share any.

Folders are listed and names compared; no file is opened but lists of names.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

from edge.datasets.description.file import Description
from edge.datasets.description.folder_listing import folder_frames, folder_real_paths
from edge.datasets.description.frame import Frame, refusal
from edge.datasets.description.joint_listing import joint_frames
from edge.datasets.description.list_listing import listed_frames, listed_real_paths
from edge.datasets.description.sources import FolderSource, JointSource, ListSource, Source
from edge.datasets.sample import Sample, refuse_twins
from edge.errors import DatasetError


def list_description(description: Description, split: str, base: Path) -> list[Sample]:
    """Return the frames of a split, source by source, in the order of their names.

    A frame has the name of its file, or as much of its path as tells it from others.

    Args:
        description: Description of the dataset.
        split: Name of the split.
        base: Folder that the paths of the description are relative to.

    Raises:
        DatasetError: The description has no such split, a folder or file is missing, a source has no picture, or two
            splits share a frame.
    """
    if split not in description.splits:
        raise DatasetError(
            f"{description.name} has no split '{split}', {description.path} has {', '.join(description.splits)}. "
            f"Next: add {split} to its splits"
        )
    frames = _frames(description, split, base)
    for other in description.splits:
        if other != split:
            _refuse_shared(description, split, other, base, frames)
    counts = Counter(frame.sample.name for frame in frames)
    samples = [
        frame.sample if counts[frame.sample.name] == 1 else dataclasses.replace(frame.sample, name=frame.long_name)
        for frame in frames
    ]
    refuse_twins(samples, f"{description.name} {split}")
    return samples


def _frames(description: Description, split: str, base: Path) -> list[Frame]:
    """Return the frames of all sources of a split, none of them twice."""
    listers = {FolderSource: folder_frames, ListSource: listed_frames, JointSource: _joint_frames}
    frames: list[Frame] = []
    holders: dict[str, Source] = {}
    for source in description.splits[split]:
        for frame in listers[type(source)](description, source, base):
            first = holders.setdefault(frame.real_path, source)
            if first is not source:
                raise refusal(
                    description, source, f"has {frame.sample.image_path}, as {first.place} has, expected a frame once"
                )
            frames.append(frame)
    return frames


def _refuse_shared(description: Description, split: str, other: str, base: Path, frames: list[Frame]) -> None:
    """Refuse a split that shares frames with another: a score on frames that were learnt says nothing."""
    others: set[str] = set()
    for source in description.splits[other]:
        try:
            others |= _real_paths(description, source, base)
        except DatasetError:  # a device may have the frames of one split alone
            continue
    shared = [frame for frame in frames if frame.real_path in others]
    if shared:
        count = f"{len(shared)} frames" if len(shared) > 1 else "1 frame"
        raise DatasetError(
            f"dataset description {description.path}: splits.{split} and splits.{other} share {count}, the first is "
            f"{shared[0].sample.image_path}, expected each frame in one split"
        )


def _real_paths(description: Description, source: Source, base: Path) -> set[str]:
    """Return the pictures of a source by their real paths; label maps are not looked for."""
    if isinstance(source, FolderSource):
        return folder_real_paths(description, source, base)
    if isinstance(source, ListSource):
        return listed_real_paths(description, source, base)
    return {frame.real_path for frame in _joint_frames(description, source, base)}


def _joint_frames(description: Description, source: JointSource, base: Path) -> list[Frame]:
    return joint_frames(description, source, base, list_description)
