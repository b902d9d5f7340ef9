"""Pictures of a folder and its subfolders, and lists of names; ten thousand files take a fraction of a second."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from edge.errors import DatasetError
from edge.imaging import IMAGE_SUFFIXES, is_junk
from edge.json_text import JsonTextError, decode_text


@dataclass(frozen=True)
class FoundPicture:
    """A picture file in a folder that was walked through.

    Attributes:
        name: Path in the folder without the ending; parts are joined by "/".
        path: Path of the file.
        real_path: Path of the file without links.
    """

    name: str
    path: str
    real_path: str


def find_pictures(folder: Path, apart: Path | None = None) -> Iterator[FoundPicture]:
    """Give the pictures of a folder and of its subfolders, in no order.

    Args:
        folder: Folder that is there.
        apart: Folder inside it whose pictures do not belong to it; None for no such folder.

    Raises:
        DatasetError: A folder cannot be read.
    """
    seen = set() if apart is None else {os.path.realpath(apart)}
    waiting = [(os.fspath(folder), os.path.realpath(folder), "")]
    while waiting:
        place, real_place, prefix = waiting.pop()
        if real_place in seen:  # a link to a folder above would never end
            continue
        seen.add(real_place)
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            raise DatasetError(f"folder {place} cannot be read: {error.strerror or error}") from None
        for entry in entries:
            if is_junk(entry.name):
                continue
            real_path = os.path.realpath(entry.path) if entry.is_symlink() else f"{real_place}/{entry.name}"
            stem, suffix = split_suffix(entry.name)
            if suffix in IMAGE_SUFFIXES and not entry.is_dir():
                yield FoundPicture(f"{prefix}{stem}", entry.path, real_path)
            elif entry.is_dir():
                waiting.append((entry.path, real_path, f"{prefix}{entry.name}/"))


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name or path of a file without its ending, and the ending in lower case, such as ".png"."""
    stem, point, ending = name.rpartition(".")
    return (stem, f".{ending.lower()}") if point else (name, "")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return number and text of each line of a file that a person wrote, without empty lines and those with a #.

    Raises:
        DatasetError: The file cannot be read as text.
    """
    try:
        text = decode_text(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}") from None
    except JsonTextError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
