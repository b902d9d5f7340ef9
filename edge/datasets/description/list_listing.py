"""Frames of a file that lists a picture and its label map on each line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge.datasets.description.file import Description
from edge.datasets.description.frame import Frame, long_name, read_list, refusal
from edge.datasets.description.pictures import split_suffix
from edge.datasets.description.sources import ListSource
from edge.datasets.sample import Sample


@dataclass(frozen=True)
class _Line:
    """One line of a list of frames.

    Attributes:
        number: Number of the line in the file.
        parts: Picture and label map, or picture alone, as the file has them.
        real_path: Path of the picture without links.
    """

    number: int
    parts: tuple[str, ...]
    real_path: str


def _list_lines(description: Description, source: ListSource, base: Path) -> list[_Line]:
    path = base / source.file
    numbers: dict[str, int] = {}
    real_folders: dict[str, str] = {}
    lines = []
    for number, text in read_list(description, source, "list", path):
        parts = tuple(part.strip().replace("\\", "/") for part in text.split("\t" if "\t" in text else ","))
        if len(parts) > 2 or not all(parts):
            raise refusal(
                description,
                source,
                f"is {path}, whose line {number} is '{text}', expected a picture and its label map with a tab or a "
                "comma between them",
                "list",
            )
        above, _, name = parts[0].rpartition("/")
        if above not in real_folders:
            real_folders[above] = os.path.realpath(base / above if parts[0][0] != "/" else f"{above}/")
        real_path = f"{real_folders[above]}/{name}"
        if os.path.islink(real_path):  # noqa: PTH114 - a Path of each of ten thousand lines takes longer than the rest
            real_path = os.path.realpath(real_path)
        first = numbers.setdefault(real_path, number)
        if first != number:
            raise refusal(
                description, source, f"is {path}, whose line {number} names {parts[0]}, as line {first} does", "list"
            )
        lines.append(_Line(number, parts, real_path))
    return lines


def listed_real_paths(description: Description, source: ListSource, base: Path) -> set[str]:
    """Return the real paths of the pictures of a list, whether they are there or not.

    Raises:
        DatasetError: The file is missing, or a line cannot be understood.
    """
    return {line.real_path for line in _list_lines(description, source, base)}


def listed_frames(description: Description, source: ListSource, base: Path) -> list[Frame]:
    """Return the frames of a list in its order.

    Args:
        description: Description that the source is in.
        source: File of the list.
        base: Folder that the paths of the description and of the list are relative to.

    Raises:
        DatasetError: The file is missing, a line cannot be understood, or a file that it names is not there.
    """
    frames, missing = [], []
    for line in _list_lines(description, source, base):
        places = [base / part for part in line.parts]
        missing += [(line.number, place) for place in places if not place.is_file()]
        sample = Sample(places[0].stem, places[0].parent.name, places[0], places[1] if len(places) == 2 else None)
        frames.append(Frame(long_name(split_suffix(line.parts[0])[0]), sample, line.real_path))
    if missing:
        count = f"{len(missing)} files are" if len(missing) > 1 else "1 file is"
        number, place = missing[0]
        message = f"is {base / source.file}, of which {count} not there, the first on line {number}: {place}"
        raise refusal(description, source, message, "list")
    return frames
