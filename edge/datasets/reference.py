"""Which dataset a command or a record means: one that the project knows by name, or one that its owner describes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edge.datasets.description.file import is_description, read_description
from edge.datasets.opening import class_table
from edge.datasets.registry import LAYOUTS
from edge.errors import DatasetError
from edge.network_class import NetworkClass, network_classes
from edge.provenance import DescribedData


@dataclass(frozen=True)
class DatasetReference:
    """A dataset, as it is named and as it is found.

    Attributes:
        name: Name of the dataset, as folders and records spell it: a key of LAYOUTS, or the name in its description.
        path: Path of the dataset description; None for a dataset that the project knows by name.
    """

    name: str
    path: Path | None = None

    @property
    def option(self) -> str:
        """Value of --dataset that means this dataset, as `open_dataset` and `class_table` take it."""
        return self.name if self.path is None else str(self.path)

    @property
    def is_here(self) -> bool:
        """Whether its classes are known here: by its name, or since its description is there."""
        return self.name in LAYOUTS if self.path is None else self.path.is_file()

    def require_here(self) -> None:
        """Refuse a dataset whose description is not there any more.

        Raises:
            DatasetError: It is not, or nobody knows the dataset.
        """
        if self.is_here:
            return
        if self.path is None:
            class_table(self.name)  # says which there are
        raise DatasetError(
            f"dataset description of {self.name} not found: {self.path}, where it was when it was used. "
            "Next: --dataset FILE, where it is now"
        )

    def classes(self) -> tuple[NetworkClass, ...]:
        """Return the classes of the dataset, as records carry them.

        Raises:
            DatasetError: The dataset is not known, or its description says something that it cannot mean.
            InputError: Its description is not there.
        """
        return network_classes(class_table(self.option))

    def described(self) -> DescribedData | None:
        """Return the description as records name it; None for a dataset that the project knows by name.

        Raises:
            DatasetError: The description says something that it cannot mean.
            InputError: The description is not there.
        """
        if self.path is None:
            return None
        return DescribedData(os.path.abspath(self.path), read_description(self.path).digest)


def dataset_reference(dataset: str) -> DatasetReference:
    """Return the dataset that a user names.

    Args:
        dataset: Key of LAYOUTS, or path of a dataset description.

    Raises:
        DatasetError: The description says something that it cannot mean.
        InputError: There is no such description.
    """
    if not is_description(dataset):
        return DatasetReference(dataset)
    return DatasetReference(read_description(dataset).name, Path(dataset))


def recorded_dataset(name: str, described: DescribedData | None) -> DatasetReference:
    """Return the dataset that a record names; its description may have moved since.

    Args:
        name: Name of the dataset in the record.
        described: Description in the same record; None where it has none.
    """
    return DatasetReference(name, None if described is None else Path(described.path))


def change_sentence(reference: DatasetReference, described: DescribedData | None, since: str) -> str:
    """Return a sentence on a description that says something else than it did; "" where it says the same, or is away.

    Args:
        reference: The dataset now.
        described: Its description as a record names it; None where the record has none.
        since: What was done with it then, such as "the training".
    """
    if described is None or reference.path is None or not reference.is_here:
        return ""
    now = reference.described()
    if now.sha256 == described.sha256:
        return ""
    moved = "" if now.path == described.path else f" (then {described.path})"
    return (
        f"{reference.path}{moved} says something else than at {since}: "
        f"got {now.sha256[:12]}, expected {described.sha256[:12]}"
    )
