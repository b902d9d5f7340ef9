"""Frames that nothing was trained or calibrated on: of the validation split, else drawn.

This module is part of the device set: nothing here needs TensorFlow.
"""

from __future__ import annotations

from pathlib import Path

from edge.datasets import default_data_dir, is_description, open_dataset
from edge.frames import DatasetFrames, FrameSet, SyntheticFrames
from edge.picture_check import checked_dataset

PARITY_IMAGES = 4
"""Images of the Keras-to-ONNX check: the error hardly varies from one to the next."""

SYNTHETIC_HELD_OUT_SEED = 7_000_000
"""Seed of the scenes that are drawn where there is no dataset; nothing trains or calibrates on them."""


def held_out_frames(
    dataset: str, data_dir: Path | None, height: int, width: int, count: int, skip_bad: bool | None = None
) -> FrameSet:
    """Return frames spread over the validation split; drawn scenes where there is no dataset.

    Args:
        dataset: key in edge.datasets.LAYOUTS, or path of a dataset description.
        data_dir: folder of the dataset; None for the default one, or for drawn scenes where that is not there.
        height: rows of drawn scenes.
        width: columns of drawn scenes.
        count: largest number of frames.
        skip_bad: True to leave out frames that cannot be read, instead of refusing them; None where the command has no
            option for it.

    Raises:
        DatasetError: the split cannot be opened, or frames or label maps cannot be used.
    """
    if data_dir is None and not _is_there(dataset):
        return SyntheticFrames(count, height, width, SYNTHETIC_HELD_OUT_SEED)
    folder = data_dir or default_data_dir(dataset)
    opened = open_dataset(dataset, folder, "val", labelled=False, limit=count)
    return DatasetFrames(checked_dataset(opened, needs_labels=True, skip_bad=skip_bad))


def _is_there(dataset: str) -> bool:
    """Return whether a dataset lies in its default folder, which that of a description always does."""
    return Path(dataset).is_file() if is_description(dataset) else default_data_dir(dataset).is_dir()
