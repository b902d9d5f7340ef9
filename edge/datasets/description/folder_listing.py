"""Frames of a source of folders: pictures, and label maps of the same names in another folder or beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge.datasets.description.file import Description
from edge.datasets.description.frame import Frame, long_name, read_list, refusal
from edge.datasets.description.pictures import FoundPicture, find_pictures, split_suffix
from edge.datasets.description.sources import FolderSource
from edge.datasets.sample import Sample
from edge.imaging import IMAGE_SUFFIXES, few_names, is_junk


@dataclass(frozen=True)
class _Folder:
    """What a source of folders has.

    Attributes:
        images: Folder of the pictures.
        labels: Folder of the label maps; None where there are none.
        found: Every picture file in the folder of the pictures; label maps too, where they lie there.
        pictures: Name of a picture -> its file.
    """

    images: Path
    labels: Path | None
    found: list[FoundPicture]
    pictures: dict[str, FoundPicture]

    @property
    def is_one(self) -> bool:
        """Whether pictures and label maps lie in one folder."""
        return self.labels is not None and os.path.realpath(self.images) == os.path.realpath(self.labels)


def _find_folder(description: Description, source: FolderSource, base: Path) -> _Folder:
    images = _folder(description, source, "images", base / source.images)
    labels = _folder(description, source, "labels", base / source.labels) if source.labels is not None else None
    folder = _Folder(images, labels, [], {})
    if folder.is_one and not source.label_end:
        raise refusal(description, source, "has pictures and label maps in one folder, expected label_end as well")
    folder.found.extend(find_pictures(images, None if folder.is_one else labels))
    for one in folder.found:
        if folder.is_one and one.name.endswith(source.label_end):
            continue
        twin = folder.pictures.setdefault(one.name, one)
        if twin is not one:
            raise refusal(description, source, f"has {twin.path} and {one.path}, expected one of them", "images")
    if not folder.pictures:
        there = few_names(sorted(entry for entry in images.iterdir() if not is_junk(entry.name)))
        raise refusal(
            description, source, f"has no picture ({', '.join(IMAGE_SUFFIXES)}): {images} has {there}", "images"
        )
    return folder


def folder_real_paths(description: Description, source: FolderSource, base: Path) -> set[str]:
    """Return the real paths of the pictures of a source; label maps are not looked for.

    Raises:
        DatasetError: A folder or file is missing, or there is no picture.
    """
    pictures = _find_folder(description, source, base).pictures
    names = pictures if source.names is None else _chosen(description, source, base, pictures)
    return {pictures[name].real_path for name in names}


def folder_frames(description: Description, source: FolderSource, base: Path) -> list[Frame]:
    """Return the frames of a source in the order of their names.

    Args:
        description: Description that the source is in.
        source: Folders, and which of their pictures are taken.
        base: Folder that the paths of the description are relative to.

    Raises:
        DatasetError: A folder or file is missing, or there is no picture.
    """
    folder = _find_folder(description, source, base)
    maps = folder.found if folder.is_one else find_pictures(folder.labels) if folder.labels is not None else []
    # Of several formats of a label map PNG is taken.
    by_name = {one.name: one.path for one in sorted(maps, key=lambda one: one.path.lower().endswith(".png"))}
    names = sorted(folder.pictures)
    if source.names is not None:
        names = _chosen(description, source, base, folder.pictures)
    return [_folder_frame(source, folder, folder.pictures[name], by_name) for name in names]


def _folder_frame(source: FolderSource, folder: _Folder, picture: FoundPicture, maps: dict[str, str]) -> Frame:
    above, _, stem = picture.name.rpartition("/")
    label_path, looked_for = None, None
    if folder.labels is not None:
        place = maps.get(picture.name + source.label_end)
        label_path = Path(place) if place is not None else None
        looked_for = None if place is not None else folder.labels / f"{picture.name}{source.label_end}.png"
    sample = Sample(stem, above or folder.images.name, Path(picture.path), label_path, looked_for=looked_for)
    return Frame(long_name(f"{source.images}/{picture.name}"), sample, picture.real_path)


def _folder(description: Description, source: FolderSource, field: str, path: Path) -> Path:
    if path.is_dir():
        return path
    if path.exists():
        raise refusal(description, source, f"is {path}, which is a file, expected a folder", field)
    parent, there = path.parent, ""
    if parent.is_dir():
        there = f", {parent} has {few_names(sorted(entry for entry in parent.iterdir() if not is_junk(entry.name)))}"
    raise refusal(description, source, f"is {path}, which is not there{there}", field)


def _chosen(description: Description, source: FolderSource, base: Path, pictures: dict[str, FoundPicture]) -> list[str]:
    """Return the names of the pictures that a file of names takes, with their ending or without, sorted."""
    path = base / str(source.names)
    chosen: dict[str, int] = {}
    for number, line in read_list(description, source, "names", path):
        plain = line.replace("\\", "/")
        stem, suffix = split_suffix(plain)
        name = stem if suffix in IMAGE_SUFFIXES and stem in pictures else plain
        if name not in pictures:
            raise refusal(
                description, source, f"is {path}, whose line {number} is '{line}', no picture of images", "names"
            )
        if name in chosen:
            raise refusal(
                description, source, f"is {path}, whose line {number} is '{line}', as line {chosen[name]} is", "names"
            )
        chosen[name] = number
    return sorted(chosen)
