"""One frame of a dataset, and what the values of its label map mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from edge.errors import DatasetError


@dataclass(frozen=True)
class LabelCoding:
    """What the values of label maps mean, where the class table of the dataset does not say it.

    Attributes:
        ids: Id in the file -> train id, or IGNORE_ID; empty where the maps are colour-coded alone.
        colors: Colour (red, green, blue) in the file -> train id, or IGNORE_ID.
        ids_hint: What to do about a map of ids where `ids` is empty, as the end of a message.
        source: Name of the file that says what the values mean, such as "codes.txt"; "" for the dataset itself.
    """

    ids: dict[int, int] = field(default_factory=dict)
    colors: dict[tuple[int, int, int], int] = field(default_factory=dict)
    ids_hint: str = ""
    source: str = ""


@dataclass(frozen=True)
class Sample:
    """One frame of a dataset and the place of its label map.

    Attributes:
        name: Name of the frame, unique within its split and the same on every machine.
        group: City or sequence in which the frame was taken.
        image_path: Path of the frame's image file.
        label_path: Path of the label map; None where the split has none.
        labels_are_train_ids: Whether the label map on disk holds train ids instead of file ids.
        coding: What the values of the label map mean; None for what the class table says.
        looked_for: Path that the label map was looked for at first; None where nothing was looked for.
    """

    name: str
    group: str
    image_path: Path
    label_path: Path | None
    labels_are_train_ids: bool = False
    coding: LabelCoding | None = None
    looked_for: Path | None = None


def refuse_twins(samples: Sequence[Sample], where: str) -> None:
    """Refuse a split that has a frame in two files, such as a.png and a.jpg.

    Args:
        samples: Frames of the split.
        where: Name of dataset and split, for the message.

    Raises:
        DatasetError: Two frames have the same name.
    """
    places: dict[str, Path] = {}
    for sample in samples:
        twin = places.setdefault(sample.name, sample.image_path)
        if twin != sample.image_path:
            raise DatasetError(
                f"{where} has the frame {sample.name} twice, as {twin} and {sample.image_path}, expected one. "
                "Next: remove one of them"
            )
