"""One split of a dataset on disk: its frames, and label maps as train ids.

A label map is read as train ids: 0 .. classes-1, and 255 where a pixel counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.datasets.label_values import FileLabels, read_file_labels
from edge.datasets.sample import Sample
from edge.errors import DatasetError
from edge.imaging import few_names, is_junk, read_rgb
from edge.labels import ClassTable
from edge.sample_depth import SampleDepth


@dataclass(frozen=True)
class Dataset:
    """One split of a dataset on disk.

    Attributes:
        name: Name of the dataset, a key of LAYOUTS, or the one in its description.
        split: Name of the split, "train", "val" or "test".
        root: Folder of the dataset.
        table: Class table of the dataset.
        samples: Frames of the split in the order of their names.
        depth: What makes 8 bits of 16-bit frames, alike in all splits; None to go by each frame alone.
        skipped: Names of the frames that were left out since they, or their label maps, cannot be used.
        digest: SHA-256 of what the dataset's description says; "" for a registered dataset.
        description: Path of the dataset's description; None for a registered dataset.
        split_source: Name of whose split it is, where the dataset is passed on without one; "" for one of its own.
    """

    name: str
    split: str
    root: Path
    table: ClassTable
    samples: tuple[Sample, ...]
    depth: SampleDepth | None = field(default=None, compare=False, repr=False)
    skipped: tuple[str, ...] = ()
    digest: str = ""
    description: Path | None = None
    split_source: str = ""

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
        return self.read_file_labels(index).train_ids()

    def count_labels(self, index: int) -> np.ndarray:
        """Return the number of pixels of each train id in frame `index`; this is faster than reading the label map.

        Returns:
            (256,) int64; the pixels that are not counted are at IGNORE_ID.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        return self.count_both(index)[1]

    def count_both(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of each value in the file of frame `index`'s label map, and of each train id.

        Returns:
            (256,) int64 each. The values are train ids where the file holds colours; train ids that are not counted
            are at IGNORE_ID.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
        stored = self.read_file_labels(index)
        counts = np.zeros(256, np.int64)
        known = stored.to_train >= 0
        np.add.at(counts, stored.to_train[known], stored.counts[known])
        return stored.counts, counts

    def read_file_labels(self, index: int) -> FileLabels:
        """Return the label map of frame `index` as its file stores it, and what its values mean.

        Raises:
            DatasetError: There is no label map, or it holds ids that the dataset does not have.
        """
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
