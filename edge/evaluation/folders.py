"""Pictures of a plain folder, and label maps of another, as a split of a dataset whose classes they have."""

from __future__ import annotations

from pathlib import Path

from edge.datasets import Dataset, Sample
from edge.errors import DatasetError
from edge.imaging import few_names, list_images
from edge.labels import ClassTable
from edge.sample_depth import SampleDepth

_FRAME_END = "_leftImg8bit"


def open_folder(images: Path, labels: Path | None, name: str, table: ClassTable, limit: int | None = None) -> Dataset:
    """Open a folder of pictures as a split, of which only the lists of files are read.

    A label map belongs to the picture whose name it has, or with whose name it begins, followed by "_".

    Args:
        images: Folder of the pictures.
        labels: Folder of the label maps; None where there are none.
        name: Name of the dataset whose classes and ids the label maps have.
        table: Class table of that dataset.
        limit: Most pictures that are kept, spread evenly over the folder; None for all.

    Raises:
        ImageError: The folder of the pictures is missing, or holds none.
        DatasetError: The folder of the label maps is missing, or a picture has none in it, or several.
    """
    listed = tuple(list_images(images))
    maps = _maps_by_name(labels) if labels is not None else {}
    samples = [_sample(path, labels, maps) for path in listed]
    if limit is not None and limit < len(samples):
        samples = [samples[index * len(samples) // limit] for index in range(limit)]
    depth = SampleDepth(lambda: list(listed), str(images))
    return Dataset(name, f"folder {images.name}", images, table, tuple(samples), depth)


def _maps_by_name(folder: Path) -> dict[str, list[Path]]:
    """Return the label maps of a folder by their whole names, and by what these begin with before each "_"."""
    if not folder.is_dir():
        raise DatasetError(f"folder of label maps not found: {folder}")
    maps: dict[str, list[Path]] = {}
    for path in list_images(folder):
        parts = path.stem.split("_")
        for count in range(1, len(parts) + 1):
            maps.setdefault("_".join(parts[:count]), []).append(path)
    return maps


def _sample(path: Path, labels: Path | None, maps: dict[str, list[Path]]) -> Sample:
    name = path.stem[: -len(_FRAME_END)] if path.stem.endswith(_FRAME_END) else path.stem
    if labels is None:
        return Sample(name, "", path, None)
    found = maps.get(path.stem) or maps.get(name) or []
    exact = [one for one in found if one.stem in (name, path.stem)] or found
    # A folder in the layout of Cityscapes has several maps of a frame.
    ids = [one for one in exact if one.stem.endswith("labelIds")] or exact
    if len(ids) == 1:
        return Sample(name, "", path, ids[0], ids[0].stem.endswith("labelTrainIds"))
    if ids:
        raise DatasetError(f"{path.name} has {len(ids)} label maps in {labels}, {few_names(ids)}, expected one")
    raise DatasetError(
        f"{path.name} has no label map: expected {name}.png in {labels}, which has "
        f"{few_names(sorted(labels.iterdir()))}. Next: leave --labels out to predict alone"
    )
