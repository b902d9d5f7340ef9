"""Files that hold label maps: pictures, and polygons that are drawn when they are read."""

from __future__ import annotations

from pathlib import Path

from edge.datasets.polygons.cityscapes import draw_label_ids, polygons_size
from edge.errors import DatasetError
from edge.imaging import StoredLabels, read_file_header, read_stored_labels
from edge.picture_formats.description import PictureHeader

_POLYGONS = ".json"


def read_label_file(path: Path) -> StoredLabels:
    """Read the label map of a file without any conversion of its values.

    Raises:
        ImageError: The file is missing, damaged, or of a form that does not keep ids.
        DatasetError: The file holds polygons that cannot be drawn.
    """
    return StoredLabels(ids=draw_label_ids(path)) if path.suffix == _POLYGONS else read_stored_labels(path)


def read_label_header(path: Path) -> PictureHeader:
    """Return the size of a label map and what is wrong with its file, without decoding or drawing it."""
    if path.suffix != _POLYGONS:
        return read_file_header(path)
    try:
        height, width = polygons_size(path)
    except DatasetError as error:
        return PictureHeader("polygons", problem=str(error).replace(f"label map {path}", "it", 1))
    return PictureHeader("polygons", height=height, width=width, channels=1)
