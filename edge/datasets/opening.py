"""Opening a split of a dataset, by its name or by its description: frames are listed, and nothing of them is read."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from edge.datasets.dataset import Dataset, where_looked
from edge.datasets.description.file import is_description, read_description
from edge.datasets.description.joint_listing import joint_split_source
from edge.datasets.description.listing import list_description
from edge.datasets.registry import LAYOUTS, SPLITS, registered_folder
from edge.datasets.sample import Sample
from edge.errors import DatasetError
from edge.labels import ClassTable
from edge.sample_depth import SampleDepth


@dataclass(frozen=True)
class _Source:
    """What is known of a dataset before a split is listed.

    Attributes:
        name: Name of the dataset, as folders and records spell it.
        table: Classes of the dataset.
        root: Folder of the dataset.
        list_split: Function that lists a split.
        obtain: Step that gets the files, as the end of a message.
        digest: SHA-256 of the description; "" of a registered dataset.
        description: Path of the description; None for a registered dataset.
        split_source: Name of whose split the dataset has; "" for one of its own.
    """

    name: str
    table: ClassTable
    root: Path
    list_split: Callable[[str], list[Sample]]
    obtain: str
    digest: str = ""
    description: Path | None = None
    split_source: str = ""


def _find_source(dataset: str, data_dir: str | os.PathLike | None) -> _Source:
    if is_description(dataset):
        described = read_description(dataset)
        base = Path(data_dir) if data_dir is not None else described.path.parent
        return _Source(
            described.name,
            described.table,
            base,
            lambda split: list_description(described, split, base),
            "leave it out if the data lie beside the description",
            described.digest,
            described.path,
            joint_split_source(described, base),
        )
    _require_known(dataset)
    layout = LAYOUTS[dataset]
    root = Path(data_dir) if data_dir is not None else registered_folder(dataset)
    return _Source(
        dataset,
        layout.table,
        root,
        lambda split: layout.list_samples(root, split, dataset),
        layout.obtain,
        split_source=layout.split_source(root),
    )


def _require_known(dataset: str) -> None:
    if dataset not in LAYOUTS:
        raise DatasetError(
            f"dataset is '{dataset}', expected one of: {', '.join(LAYOUTS)}, or the path of a dataset description: "
            "FILE.json"
        )


def class_table(dataset: str) -> ClassTable:
    """Return the class table of a dataset.

    Args:
        dataset: Name of a dataset, a key of LAYOUTS, or path of a dataset description.

    Raises:
        InputError: The project does not know the dataset, or its description is missing or damaged.
    """
    if is_description(dataset):
        return read_description(dataset).table
    _require_known(dataset)
    return LAYOUTS[dataset].table


def recorded_name(dataset: str) -> str:
    """Return the name of a dataset as folders and records spell it: of a description the one that stands in it.

    Args:
        dataset: Name of a dataset, a key of LAYOUTS, or path of a dataset description.

    Raises:
        InputError: The description is missing or damaged.
    """
    return read_description(dataset).name if is_description(dataset) else dataset


def default_data_dir(dataset: str) -> Path:
    """Return the folder of a dataset without --data-dir.

    It is $SEGEDGE_DATA/<name>, or data/<name>; for a description it is the folder that it lies in.
    """
    return Path(dataset).parent if is_description(dataset) else registered_folder(dataset)


def open_dataset(
    name: str, data_dir: str | os.PathLike | None, split: str, labelled: bool = True, limit: int | None = None
) -> Dataset:
    """Open one split of a dataset; only the list of files is read.

    Args:
        name: Name of the dataset, a key of LAYOUTS, or path of a dataset description (*.json).
        data_dir: Folder of the dataset, or the one that paths of a description are relative to; None for the default
            folder.
        split: Name of the split, "train", "val" or "test".
        labelled: Whether a frame without a label map is an error.
        limit: Most frames that are kept, spread evenly over the split; None for all.

    Raises:
        InputError: The name is unknown, or the description is missing or damaged.
        DatasetError: The folder is missing or has another layout, or there are no frames or no labels.
    """
    source = _find_source(name, data_dir)
    root = source.root
    if not root.is_dir():
        raise DatasetError(f"{source.name} folder not found: {root}. Next: --data-dir FOLDER, or {source.obtain}")
    samples = _list_samples(source, split)
    if not samples:
        raise DatasetError(f"{source.name} split '{split}' under {root} is empty, expected pictures")
    if labelled:
        _refuse_bare(samples, source, split)
    if limit is not None and limit < len(samples):
        samples = [samples[index * len(samples) // limit] for index in range(limit)]
    return Dataset(
        source.name,
        split,
        root,
        source.table,
        tuple(samples),
        _shared_depth(name, root),
        digest=source.digest,
        description=source.description,
        split_source=source.split_source,
    )


def _list_samples(source: _Source, split: str) -> list[Sample]:
    try:
        return source.list_split(split)
    except OSError as error:
        raise DatasetError(f"{error.filename} of {source.name} cannot be read: {error.strerror}") from None


def _refuse_bare(samples: list[Sample], source: _Source, split: str) -> None:
    """Refuse a split of which frames have no label map, and say what was looked for."""
    bare = [sample for sample in samples if sample.label_path is None]
    if not bare:
        return
    groups = sorted({sample.group for sample in bare} - {sample.group for sample in samples if sample.label_path})
    whole = f" (none of {', '.join(groups[:6])}{' and more' if len(groups) > 6 else ''} has one)" if groups else ""
    looked_for = bare[0].looked_for
    next_step = f". Next: {source.obtain}" if looked_for is not None and not looked_for.parent.is_dir() else ""
    raise DatasetError(
        f"{len(bare)} of {len(samples)} frames of {source.name} {split} under {source.root} have no label map{whole}, "
        f"the first is {bare[0].image_path.name}{where_looked(bare[0])}{next_step}"
    )


@functools.lru_cache(maxsize=16)
def _shared_depth(name: str, root: Path) -> SampleDepth:
    """Return what makes 8 bits of 16-bit frames: the range is that of all splits, which are meant to be alike."""

    def list_paths() -> list[Path]:
        source = _find_source(name, root)
        paths = []
        for split in SPLITS:
            try:
                paths += [sample.image_path for sample in source.list_split(split)]
            except (DatasetError, OSError):  # few have a test split
                continue
        return sorted(set(paths))

    return SampleDepth(list_paths, f"{name} under {root}")
