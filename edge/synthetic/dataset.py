"""Writing of a set of drawn scenes: streets in the layout of Cityscapes, railway lines in the layout of RailSem19."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, Mapping

from edge.artifacts import read_json, write_json
from edge.console import print_note, storage_error
from edge.datasets.layouts.unfinished import UNFINISHED_FILE
from edge.errors import ContractError, InputError
from edge.synthetic.railway.files import RailFiles
from edge.synthetic.scene import check_size
from edge.synthetic.street_files import StreetFiles

MANIFEST_NAME = "synthetic.json"
SCHEMA = 1
WORLDS = {"streets": StreetFiles, "rail": RailFiles}
"""Name of a world that can be drawn -> what writes its pictures."""
_KINDS = tuple(files.kind for files in WORLDS.values())
_VAL_FIRST_INDEX = 1_000_000
"""Number of the first validation picture, so that neither split depends on the size of the other."""


def write_dataset(
    out: str | os.PathLike,
    train_count: int,
    val_count: int,
    height: int,
    width: int,
    seed: int,
    progress: Callable[[], None] | None = None,
    world: str = "streets",
) -> None:
    """Write a set of drawn scenes.

    Every file is whole or absent. `synthetic.json` comes last, so a folder that has it is complete.

    Args:
        out: Folder of the set: an empty or new one, or a synthetic set, which is replaced.
        train_count: Number of pictures in the training split.
        val_count: Number of pictures in the validation split.
        height: Rows of a picture in pixels, 64 to 1024.
        width: Columns of a picture in pixels, 128 to 2048.
        seed: Seed of the set, 0 or more.
        progress: Function that is called after each picture.
        world: What is drawn, a key of WORLDS.

    Raises:
        InputError: The folder holds something that is no synthetic set, or there are not so many names.
        SizeError: A side is out of range.
        StorageError: A file cannot be written.
    """
    check_size(height, width)
    root, files = Path(out), WORLDS[world]()
    for part, count in (("train", train_count), ("val", val_count)):
        if count > files.most[part]:
            raise InputError(
                f"{count} {files.pictures} of {part} cannot be named, expected at most {files.most[part]}. "
                "Next: draw several sets, each with a seed of its own"
            )
    manifest = {
        "schema": SCHEMA,
        "kind": files.kind,
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
        for part, count, first in (("train", train_count, 0), ("val", val_count, _VAL_FIRST_INDEX)):
            for index in range(count):
                files.write_scene(root, part, index, seed, first + index, height, width)
                if progress is not None:
                    progress()
    except BaseException:
        _remove_if_nothing_is_drawn(root)
        raise
    files.write_classes(root)
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
    if manifest.get("kind") not in _KINDS or manifest.get("schema") != SCHEMA:
        raise ContractError(
            f"{path} is '{manifest.get('kind')}' schema {manifest.get('schema')}, expected one of {_KINDS} and schema "
            f"{SCHEMA}. Next: draw the set again with python -m edge.synthetic"
        )
    return manifest


def _manifest_words(manifest: Mapping[str, object]) -> str:
    counts = f"{manifest.get('train_count')} training and {manifest.get('val_count')} validation pictures"
    world = f", {manifest.get('kind')}" if manifest.get("kind") != StreetFiles.kind else ""
    return f"{counts} of {manifest.get('height')}x{manifest.get('width')}, seed {manifest.get('seed')}{world}"


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
        for files in WORLDS.values():  # the earlier set may be of another world
            files().clear(root)
    except OSError as error:
        raise storage_error(error, root) from error
