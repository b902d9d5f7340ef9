"""Writing of a set of street scenes in the layout of Cityscapes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Mapping

import numpy as np

from edge.artifacts import read_json, write_json
from edge.console import print_note, storage_error
from edge.datasets.layouts.unfinished import UNFINISHED_FILE
from edge.errors import ContractError, InputError
from edge.imaging import write_image
from edge.labels import CITYSCAPES_RAW_COLORS_RGB
from edge.synthetic.scene import Scene, check_size, draw_scene

MANIFEST_NAME = "synthetic.json"
MANIFEST_KIND = "segedge synthetic streets"
SCHEMA = 1
_CITIES = {"train": ("synthburg", "synthaven", "synthfurt"), "val": ("synthstadt", "synthmouth")}
_VAL_FIRST_INDEX = 1_000_000
"""Number of the first validation picture, so that neither split depends on the size of the other."""


def scene_paths(out: str | os.PathLike, part: str, index: int) -> dict[str, Path]:
    """Return the paths of the files of one picture, with the keys frame, labelIds, instanceIds and color."""
    city = _CITIES[part][index % len(_CITIES[part])]
    stem = f"{city}_{index // 1000:06d}_{index % 1000:06d}"
    paths = {"frame": Path(out) / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png"}
    for kind in ("labelIds", "instanceIds", "color"):
        paths[kind] = Path(out) / "gtFine" / part / city / f"{stem}_gtFine_{kind}.png"
    return paths


def write_dataset(
    out: str | os.PathLike,
    train_count: int,
    val_count: int,
    height: int,
    width: int,
    seed: int,
    progress: Callable[[], None] | None = None,
) -> None:
    """Write a set of street scenes in the layout of Cityscapes.

    Every file is whole or absent. `synthetic.json` comes last, so a folder that has it is complete.

    Args:
        out: Folder of the set: an empty or new one, or a synthetic set, which is replaced.
        train_count: Number of pictures in the training split.
        val_count: Number of pictures in the validation split.
        height: Rows of a picture in pixels, 64 to 1024.
        width: Columns of a picture in pixels, 128 to 2048.
        seed: Seed of the set, 0 or more.
        progress: Function that is called after each picture.

    Raises:
        InputError: The folder holds something that is no synthetic set.
        SizeError: A side is out of range.
        StorageError: A file cannot be written.
    """
    check_size(height, width)
    root = Path(out)
    manifest = {
        "schema": SCHEMA,
        "kind": MANIFEST_KIND,
        "seed": seed,
        "height": height,
        "width": width,
        "train_count": train_count,
        "val_count": val_count,
    }
    _clear_previous(root, manifest)
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / UNFINISHED_FILE).touch()
    except OSError as error:
        raise storage_error(error, root) from error
    try:
        palette = _raw_palette()
        for part, count, first in (("train", train_count, 0), ("val", val_count, _VAL_FIRST_INDEX)):
            for index in range(count):
                _write_scene(scene_paths(root, part, index), draw_scene(seed, first + index, height, width), palette)
                if progress is not None:
                    progress()
    except BaseException:
        _remove_if_nothing_is_drawn(root)
        raise
    write_json(root / MANIFEST_NAME, manifest)
    (root / UNFINISHED_FILE).unlink()


def _remove_if_nothing_is_drawn(root: Path) -> None:
    """Remove a folder that holds nothing but the mark of a drawing that did not come to its first picture."""
    if [path.name for path in root.iterdir()] == [UNFINISHED_FILE]:
        (root / UNFINISHED_FILE).unlink()
        root.rmdir()


def read_manifest(root: str | os.PathLike) -> dict:
    """Read the manifest of a complete synthetic set.

    Raises:
        InputError: There is no manifest, since the folder is no synthetic set, or an unfinished one.
        ContractError: The manifest is damaged, or of an unknown schema.
    """
    path = Path(root) / MANIFEST_NAME
    manifest = read_json(path, "manifest of the synthetic set", "python -m edge.synthetic")
    if manifest.get("kind") != MANIFEST_KIND or manifest.get("schema") != SCHEMA:
        raise ContractError(
            f"{path} is '{manifest.get('kind')}' schema {manifest.get('schema')}, expected '{MANIFEST_KIND}' schema "
            f"{SCHEMA}. Next: draw the set again with python -m edge.synthetic"
        )
    return manifest


def _write_scene(paths: dict[str, Path], scene: Scene, palette: np.ndarray) -> None:
    write_image(paths["labelIds"], scene.label_ids)
    write_image(paths["instanceIds"], scene.instance_ids)
    write_image(paths["color"], palette[scene.label_ids])
    # The frame comes last: a reader that lists frames finds labels for every one.
    write_image(paths["frame"], scene.frame_rgb)


def _raw_palette() -> np.ndarray:
    """Return the official colour of every file id, (256, 3) uint8 RGB."""
    palette = np.zeros((256, 3), np.uint8)
    for raw_id, color_rgb in CITYSCAPES_RAW_COLORS_RGB.items():
        palette[raw_id] = color_rgb
    return palette


def _manifest_words(manifest: Mapping[str, object]) -> str:
    counts = f"{manifest.get('train_count')} training and {manifest.get('val_count')} validation pictures"
    return f"{counts} of {manifest.get('height')}x{manifest.get('width')}, seed {manifest.get('seed')}"


def _clear_previous(root: Path, manifest: Mapping[str, object]) -> None:
    """Remove the pictures of a synthetic set; refuse a folder of anything else, and name a set unlike the new one."""
    if root.exists() and not root.is_dir():
        raise InputError(f"output {root} is a file, expected a folder. Next: choose another OUT")
    if not root.is_dir() or not any(root.iterdir()):
        return
    ours = (root / UNFINISHED_FILE).exists()
    if not ours and (root / MANIFEST_NAME).exists():
        try:
            earlier = read_manifest(root)
            ours = True
            if earlier != manifest:
                print_note(f"the earlier set in {root} is replaced: {_manifest_words(earlier)}")
        except ContractError:
            ours = False
    if not ours:
        raise InputError(
            f"output folder {root} is not empty and holds no synthetic set. Next: choose an empty or a new folder"
        )
    try:
        (root / UNFINISHED_FILE).touch()
        (root / MANIFEST_NAME).unlink(missing_ok=True)
        for part, cities in _CITIES.items():
            for kind in ("leftImg8bit", "gtFine"):
                for city in cities:
                    for path in sorted((root / kind / part / city).glob(f"{city}_*.png")):
                        path.unlink()
    except OSError as error:
        raise storage_error(error, root) from error
