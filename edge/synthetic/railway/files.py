"""Files of a drawn set of railway lines, in the layout of RailSem19."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from edge.artifacts import write_json
from edge.datasets.layouts.splits import listed_names
from edge.imaging import write_image
from edge.labels import RAILSEM19
from edge.synthetic.railway.scene import draw_rail_scene

CONFIG_NAME = "rs19-config.json"
_ALL_NAMES = tuple(f"rs{number:05d}" for number in range(100_000))


@functools.lru_cache(maxsize=None)
def rail_names(part: str) -> tuple[str, ...]:
    """Return the names that pictures of a split may have, such as rs00012, in their order.

    RailSem19's archive has no split, and edge.datasets goes by committed lists of names. Drawn pictures take their
    names from the same lists, so that they are read as the archive is.
    """
    validate = listed_names("railsem19_val")
    others = validate | listed_names("railsem19_test")
    return tuple(name for name in _ALL_NAMES if (name in validate if part == "val" else name not in others))


def rail_paths(out: str | os.PathLike, part: str, index: int) -> tuple[Path, Path]:
    """Return the paths of the frame and of the label map of one picture."""
    name = rail_names(part)[index]
    return Path(out) / "jpgs" / "rs19_val" / f"{name}.jpg", Path(out) / "uint8" / "rs19_val" / f"{name}.png"


class RailFiles:
    """Writes railway lines into a folder in the layout of RailSem19.

    Attributes:
        kind: What a set's manifest says that it is.
        pictures: What the pictures show, as progress names it.
        most: Most pictures of each split: as many as there are names.
    """

    kind = "segedge synthetic railway lines"
    pictures = "railway lines"

    def __init__(self) -> None:
        self.most = {part: len(rail_names(part)) for part in ("train", "val")}

    def write_scene(
        self, root: Path, part: str, index: int, seed: int, scene_index: int, height: int, width: int
    ) -> None:
        """Draw one picture and write its files; the arguments are those of StreetFiles.write_scene."""
        frame, labels = rail_paths(root, part, index)
        scene = draw_rail_scene(seed, scene_index, height, width)
        write_image(labels, scene.label_ids)
        # The frame comes last: a reader that lists frames finds labels for every one.
        write_image(frame, scene.frame_rgb)

    def write_classes(self, root: Path) -> None:
        """Write the names and colours of the classes."""
        labels = [
            {"color": list(color), "instances": False, "readable": name, "name": name, "evaluate": True}
            for name, color in zip(RAILSEM19.class_names, RAILSEM19.colors_rgb)
        ]
        write_json(root / CONFIG_NAME, {"labels": labels})

    def clear(self, root: Path) -> None:
        """Remove the pictures of an earlier set and its list of classes."""
        for folder, end in (("jpgs", "jpg"), ("uint8", "png")):
            for path in sorted((root / folder / "rs19_val").glob(f"rs[0-9][0-9][0-9][0-9][0-9].{end}")):
                path.unlink()
        (root / CONFIG_NAME).unlink(missing_ok=True)
