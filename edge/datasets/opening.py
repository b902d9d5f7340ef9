"""Opening a split of a dataset: its frames are listed, and nothing of them is read."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from edge.datasets.dataset import Dataset, where_looked
from edge.datasets.registry import LAYOUTS, SPLITS, class_table, default_data_dir
from edge.datasets.sample import Sample
from edge.errors import DatasetError
from edge.sample_depth import SampleDepth


def open_dataset(
    name: str, data_dir: str | os.PathLike | None, split: str, labelled: bool = True, limit: int | None = None
) -> Dataset:
    """Open one split of a dataset; only the list of files is read.

    Args:
        name: Name of the dataset, a key of LAYOUTS.
        data_dir: Folder of the dataset; None for the default folder.
        split: Name of the split, "train", "val" or "test".
        labelled: Whether a frame without a label map is an error.
        limit: Most frames that are kept, spread evenly over the split; None for all.

    Raises:
        DatasetError: The name is unknown, the folder is missing or has another layout, or there are no frames or no
            labels.
    """
    table = class_table(name)
    root = Path(data_dir) if data_dir is not None else default_data_dir(name)
    if not root.is_dir():
        raise DatasetError(f"{name} folder not found: {root}. Next: --data-dir FOLDER, or {LAYOUTS[name].obtain}")
    samples = _list_samples(name, root, split)
    if not samples:
        raise DatasetError(f"{name} split '{split}' under {root} is empty, expected pictures")
    if labelled:
        _refuse_bare(samples, name, split, root)
    if limit is not None and limit < len(samples):
        samples = [samples[index * len(samples) // limit] for index in range(limit)]
    return Dataset(name, split, root, table, tuple(samples), _shared_depth(name, root))


def _list_samples(name: str, root: Path, split: str) -> list[Sample]:
    try:
        return LAYOUTS[name].list_samples(root, split, name)
    except OSError as error:
        raise DatasetError(f"{error.filename} of {name} cannot be read: {error.strerror}") from None


def _refuse_bare(samples: list[Sample], name: str, split: str, root: Path) -> None:
    """Refuse a split of which frames have no label map, and say what was looked for."""
    bare = [sample for sample in samples if sample.label_path is None]
    if not bare:
        return
    groups = sorted({sample.group for sample in bare} - {sample.group for sample in samples if sample.label_path})
    whole = f" (none of {', '.join(groups[:6])}{' and more' if len(groups) > 6 else ''} has one)" if groups else ""
    raise DatasetError(
        f"{len(bare)} of {len(samples)} frames of {name} {split} under {root} have no label map{whole}, "
        f"the first is {bare[0].image_path.name}{where_looked(bare[0])}"
    )


@functools.lru_cache(maxsize=16)
def _shared_depth(name: str, root: Path) -> SampleDepth:
    """Return what makes 8 bits of 16-bit frames: the range is that of all splits, which are meant to be alike."""

    def list_paths() -> list[Path]:
        paths = []
        for split in SPLITS:
            try:
                paths += [sample.image_path for sample in LAYOUTS[name].list_samples(root, split, name)]
            except (DatasetError, OSError):  # few have a test split
                continue
        return sorted(set(paths))

    return SampleDepth(list_paths, f"{name} under {root}")
