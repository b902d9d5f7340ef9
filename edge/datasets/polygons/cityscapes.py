"""Cityscapes' polygons as label maps, pixel by pixel as cityscapesScripts 2.3.0 draws labelIds (json2labelImg.py).

Objects are drawn in the order of the file, each over those before it, on "unlabeled". Deleted ones are left out, a
group such as "cargroup" is drawn as its class, and a class without an id ("license plate") is not drawn. Drawing a map
of 1024x2048 takes about as long as OpenCV takes to decode one from a PNG, so nothing is kept.

    {"imgHeight": 1024, "imgWidth": 2048, "objects": [{"label": "road", "polygon": [[column, row], ...]}, ...]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.console import MOST_PIXELS
from edge.datasets.polygons.edges import Corners
from edge.datasets.polygons.fill import fill_polygons
from edge.errors import DatasetError
from edge.json_text import JsonTextError, parse_json
from edge.labels import CITYSCAPES_RAW_IDS

_WITHOUT_ID = frozenset({"license plate"})
_GROUP = "group"


def draw_label_ids(path: Path) -> np.ndarray:
    """Draw the label map of a file of polygons.

    Returns:
        (height, width) uint8, ids of Cityscapes.

    Raises:
        DatasetError: The file cannot be read or understood, or names a class that Cityscapes does not have.
    """
    content = _read(path)
    height, width = _size(content, path)
    polygons, values = [], []
    for number, entry in enumerate(_objects(content, path)):
        name = entry["label"]
        if name not in CITYSCAPES_RAW_IDS and name not in _WITHOUT_ID and name.endswith(_GROUP):
            name = name[: -len(_GROUP)]
        if entry.get("deleted") or name in _WITHOUT_ID:
            continue
        if name not in CITYSCAPES_RAW_IDS:
            raise DatasetError(
                f"label map {path} has the class '{entry['label']}' in object {number}, expected one of Cityscapes' "
                "such as 'road'"
            )
        polygons.append(_corners(entry, number, path))
        values.append(CITYSCAPES_RAW_IDS[name])
    labels = np.full((height, width), CITYSCAPES_RAW_IDS["unlabeled"], np.uint8)
    fill_polygons(labels, polygons, values)
    return labels


def polygons_size(path: Path) -> tuple[int, int]:
    """Return the height and width of the label map that a file of polygons describes.

    Raises:
        DatasetError: The file cannot be read or understood.
    """
    return _size(_read(path), path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"label map {path} cannot be read: {error.strerror or error}") from None
    except JsonTextError as error:
        raise DatasetError(f"label map {path} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise DatasetError(f"label map {path} is a JSON {type(content).__name__}, expected an object with polygons")
    return content


def _size(content: dict[str, Any], path: Path) -> tuple[int, int]:
    height, width = content.get("imgHeight"), content.get("imgWidth")
    if not all(isinstance(side, int) and side > 0 for side in (height, width)) or height * width > MOST_PIXELS:
        raise DatasetError(f"label map {path} has imgHeight {height} and imgWidth {width}, expected a size in pixels")
    return height, width


def _objects(content: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    entries = content.get("objects")
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("label"), str) for entry in entries
    ):
        raise DatasetError(f'label map {path} has no list "objects" of a "label" and a "polygon" each, expected one')
    return entries


def _corners(entry: dict[str, Any], number: int, path: Path) -> Corners:
    corners = entry.get("polygon")
    is_sound = (
        isinstance(corners, list)
        and len(corners) >= 2
        and all(
            isinstance(corner, list)
            and len(corner) >= 2
            and all(isinstance(value, (int, float)) and abs(value) < 1 << 18 for value in corner[:2])
            for corner in corners
        )
    )
    if not is_sound:
        raise DatasetError(
            f"label map {path} has no polygon in object {number} ('{entry['label']}'), expected at least 2 corners of "
            "column and row in pixels"
        )
    return corners
