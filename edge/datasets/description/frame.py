"""A frame that a source of a description has on disk, and the errors that name the source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.datasets.description.file import Description
from edge.datasets.description.pictures import read_lines
from edge.datasets.description.sources import Source
from edge.datasets.sample import Sample
from edge.errors import DatasetError


@dataclass(frozen=True)
class Frame:
    """A frame that a source has.

    Attributes:
        long_name: Name with as much of the path as the source knows; parts are joined by "_".
        sample: The frame, named by its file alone.
        real_path: Path of the picture without links, by which frames of two splits are compared.
    """

    long_name: str
    sample: Sample
    real_path: str


def long_name(path: str) -> str:
    """Return the name of a frame that tells where it lies: the parts of its path, joined by "_"."""
    return "_".join(part for part in path.replace("\\", "/").split("/") if part.strip("."))


def refusal(description: Description, source: Source, message: str, field: str = "") -> DatasetError:
    """Return the error about a source of a description, or about one of its fields."""
    place = f"{source.place}.{field}" if field else source.place
    return DatasetError(f"dataset description {description.path}: {place} {message}")


def read_list(description: Description, source: Source, field: str, path: Path) -> list[tuple[int, str]]:
    """Return number and text of each line of a file that a field of a source names.

    Raises:
        DatasetError: The file is missing, empty, or cannot be read as text.
    """
    if not path.is_file():
        raise refusal(description, source, f"is {path}, which is not there, expected a text file", field)
    lines = read_lines(path)
    if not lines:
        raise refusal(description, source, f"is {path}, which is empty, expected a frame on each line", field)
    return lines
