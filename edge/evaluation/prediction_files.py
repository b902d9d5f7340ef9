"""Predicted label maps in files: those of an official upload are written and found, and any of them is read.

The server of Cityscapes takes one PNG a frame, of ids as in the dataset's own label maps, whose name begins with
<city>_<sequence>_<frame>; where in the folder it lies does not matter. RailSem19, CamVid and others have no server, and
their maps hold train ids as uint8. A frame's map has the frame's name.

Source: cityscapesScripts 2.3.0, evaluation/evalPixelLevelSemanticLabeling.py, function getPrediction.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterable, Sequence

import numpy as np

from edge.console import storage_error
from edge.errors import ImageError, InputError
from edge.evaluation.predicted_values import FILE_IDS, TRAIN_IDS
from edge.imaging import few_names, is_junk, read_stored_labels, write_image
from edge.labels import IGNORE_ID, ClassTable, has_cityscapes_ids
from edge.opencv import cv2

_MOST_NAMED = 3


class PredictionWriter:
    """Writes predicted label maps as PNG, one a frame, in the form of an official upload.

    Args:
        folder: Folder of the maps; it is made with the first.
        table: Class table of the dataset.
    """

    def __init__(self, folder: Path, table: ClassTable) -> None:
        self.folder, self.written = folder, 0
        self.kind = official_kind(table)
        self._end = "_predicted_labelIds.png" if self.kind == FILE_IDS else ".png"
        self._to_file = np.arange(256, dtype=np.uint8)
        if self.kind == FILE_IDS:
            self._to_file[:] = 0  # "unlabeled", which no score counts as right
            for file_id, train_id in sorted(table.raw_to_train.items(), reverse=True):
                if train_id != IGNORE_ID:
                    self._to_file[train_id] = file_id

    def write(self, name: str, labels: np.ndarray) -> Path:
        """Write the labels of a frame and return the path.

        Args:
            name: Name of the frame.
            labels: (height, width) uint8 train ids.

        Raises:
            StorageError: The file cannot be written.
        """
        path = self.folder / f"{name}{self._end}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        write_image(path, cv2.LUT(labels, self._to_file))
        self.written += 1
        return path


def official_kind(table: ClassTable) -> str:
    """Return the kind of values that predictions for a dataset have by its official rules, one of KINDS."""
    return FILE_IDS if has_cityscapes_ids(table) else TRAIN_IDS


def find_predictions(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the file of each frame under a folder.

    A file belongs to a frame whose name it has, or with whose name it begins, followed by "_", "-" or ".".

    Args:
        folder: Folder of the maps, which may lie in folders below it.
        names: Names of the frames.

    Raises:
        InputError: The folder is not there, a frame has no file, or several.
    """
    if not folder.is_dir():
        raise InputError(f"folder of predictions not found: {folder}")
    wanted, found = set(names), {}
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            if is_junk(file) or not file.lower().endswith(".png"):
                continue
            name = next((begin for begin in _beginnings(file[: -len(".png")]) if begin in wanted), None)
            if name is not None:
                found.setdefault(name, []).append(Path(root, file))
    missing = [name for name in names if name not in found]
    if missing:
        there = few_names(sorted(folder.iterdir()))
        raise InputError(
            f"{len(missing)} of {len(names)} frames have no prediction under {folder}, such as "
            f"{', '.join(missing[:_MOST_NAMED])}: expected {missing[0]}*.png, found {there}"
        )
    twice = next((paths for paths in found.values() if len(paths) > 1), None)
    if twice is not None:
        raise InputError(f"{twice[0]} and {twice[1]} are predictions of one frame, expected one. Next: remove one")
    return [found[name][0] for name in names]


def _beginnings(stem: str) -> Iterable[str]:
    """Yield a name, and what it begins with before each separator, the longest first."""
    yield stem
    for place in range(len(stem) - 1, 0, -1):
        if stem[place] in "_-.":
            yield stem[:place]


def read_prediction(path: Path) -> np.ndarray:
    """Return the values of a predicted label map, (height, width) uint8.

    Raises:
        ImageError: The file cannot be read, or holds colours, or values over 255.
    """
    stored = read_stored_labels(path)
    if stored.ids is None:
        raise ImageError(f"prediction {path} is in colours, expected 1 channel of ids. Next: write ids of classes")
    if stored.ids.dtype != np.uint8:
        if stored.ids.max() > 255:
            raise ImageError(f"prediction {path} holds the value {stored.ids.max()}, expected ids from 0 to 255")
        return stored.ids.astype(np.uint8)
    return stored.ids
