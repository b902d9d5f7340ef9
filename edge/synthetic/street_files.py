"""Files of a drawn set of streets, in the layout of Cityscapes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from edge.imaging import write_image
from edge.labels import CITYSCAPES_RAW_COLORS_RGB
from edge.synthetic.scene import draw_scene

_CITIES = {"train": ("synthburg", "synthaven", "synthfurt"), "val": ("synthstadt", "synthmouth")}


def scene_paths(out: str | os.PathLike, part: str, index: int) -> dict[str, Path]:
    """Return the paths of the files of one picture, with the keys frame, labelIds, instanceIds and color."""
    city = _CITIES[part][index % len(_CITIES[part])]
    stem = f"{city}_{index // 1000:06d}_{index % 1000:06d}"
    paths = {"frame": Path(out) / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png"}
    for kind in ("labelIds", "instanceIds", "color"):
        paths[kind] = Path(out) / "gtFine" / part / city / f"{stem}_gtFine_{kind}.png"
    return paths


class StreetFiles:
    """Writes streets into a folder in the layout of Cityscapes.

    Attributes:
        kind: What a set's manifest says that it is.
        pictures: What the pictures show, as progress names it.
        most: Most pictures of each split: as many as keep their scenes apart from those of the other.
    """

    kind = "segedge synthetic streets"
    pictures = "streets"

    def __init__(self) -> None:
        self.most = {"train": 1_000_000, "val": 1_000_000}
        self._palette = _raw_palette()

    def write_scene(
        self, root: Path, part: str, index: int, seed: int, scene_index: int, height: int, width: int
    ) -> None:
        """Draw one picture and write its files.

        Args:
            root: Folder of the set.
            part: Split, train or val.
            index: Number of the picture in its split.
            seed: Seed of the set.
            scene_index: Number of the picture in the set.
            height: Rows of the picture, in pixels.
            width: Columns of the picture, in pixels.
        """
        paths, scene = scene_paths(root, part, index), draw_scene(seed, scene_index, height, width)
        write_image(paths["labelIds"], scene.label_ids)
        write_image(paths["instanceIds"], scene.instance_ids)
        write_image(paths["color"], self._palette[scene.label_ids])
        # The frame comes last: a reader that lists frames finds labels for every one.
        write_image(paths["frame"], scene.frame_rgb)

    def write_classes(self, root: Path) -> None:
        """Write what the folder says of its classes: nothing, as Cityscapes' ids are known."""

    def clear(self, root: Path) -> None:
        """Remove the pictures of an earlier set."""
        for part, cities in _CITIES.items():
            for kind in ("leftImg8bit", "gtFine"):
                for city in cities:
                    for path in sorted((root / kind / part / city).glob(f"{city}_*.png")):
                        path.unlink()


def _raw_palette() -> np.ndarray:
    """Return the official colour of every file id, (256, 3) uint8 RGB."""
    palette = np.zeros((256, 3), np.uint8)
    for raw_id, color_rgb in CITYSCAPES_RAW_COLORS_RGB.items():
        palette[raw_id] = color_rgb
    return palette
