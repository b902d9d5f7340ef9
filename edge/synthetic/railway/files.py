"""Files of a drawn set of railway lines, in the layout of RailSem19."""

from __future__ import annotations

import os
from pathlib import Path

from edge.artifacts import write_json, write_text
from edge.imaging import write_image
from edge.labels import RAILSEM19
from edge.synthetic.railway.scene import draw_rail_scene

_FIRST_NAMES = {"train": 0, "val": 50_000}
"""Number in the name of a split's first picture, so that neither split depends on the size of the other."""
CONFIG_NAME = "rs19-config.json"


def rail_name(part: str, index: int) -> str:
    """Return the name of a picture without its ending, such as rs00012."""
    return f"rs{_FIRST_NAMES[part] + index:05d}"


def rail_paths(out: str | os.PathLike, part: str, index: int) -> tuple[Path, Path]:
    """Return the paths of the frame and of the label map of one picture."""
    name = rail_name(part, index)
    return Path(out) / "jpgs" / "rs19_val" / f"{name}.jpg", Path(out) / "uint8" / "rs19_val" / f"{name}.png"


def list_path(out: str | os.PathLike, part: str) -> Path:
    """Return the path of the list that names the pictures of a split, one a line."""
    return Path(out) / "splits" / f"{part}.txt"


class RailFiles:
    """Writes railway lines into a folder in the layout of RailSem19, which has lists of its splits beside it.

    Attributes:
        kind: What a set's manifest says that it is.
        pictures: What the pictures show, as progress names it.
        most: Most pictures of a split, since a name has five digits.
    """

    kind = "segedge synthetic railway lines"
    pictures = "railway lines"
    most = 50_000

    def write_scene(
        self, root: Path, part: str, index: int, seed: int, scene_index: int, height: int, width: int
    ) -> None:
        """Draw one picture and write its files; the arguments are those of StreetFiles.write_scene."""
        frame, labels = rail_paths(root, part, index)
        scene = draw_rail_scene(seed, scene_index, height, width)
        write_image(labels, scene.label_ids)
        # The frame comes last: a reader that lists frames finds labels for every one.
        write_image(frame, scene.frame_rgb)

    def write_lists(self, root: Path, train_count: int, val_count: int) -> None:
        """Write the lists of both splits, and the names and colours of the classes."""
        for part, count in (("train", train_count), ("val", val_count)):
            write_text(list_path(root, part), "".join(f"{rail_name(part, index)}\n" for index in range(count)))
        labels = [
            {"color": list(color), "instances": False, "readable": name, "name": name, "evaluate": True}
            for name, color in zip(RAILSEM19.class_names, RAILSEM19.colors_rgb)
        ]
        write_json(root / CONFIG_NAME, {"labels": labels})

    def clear(self, root: Path) -> None:
        """Remove the pictures of an earlier set and its lists."""
        for folder, end in (("jpgs", "jpg"), ("uint8", "png")):
            for path in sorted((root / folder / "rs19_val").glob(f"rs[0-9][0-9][0-9][0-9][0-9].{end}")):
                path.unlink()
        for path in (list_path(root, "train"), list_path(root, "val"), root / CONFIG_NAME):
            path.unlink(missing_ok=True)
