"""RailSem19 on disk, as its archive unpacks.

    ROOT/jpgs/rs19_val/rsNNNNN.jpg     frames of 1920x1080
    ROOT/uint8/rs19_val/rsNNNNN.png    ids 0 to 18, and 255 where a pixel counts for nothing
    ROOT/rs19-config.json              names of the ids in their order; the ids mean what this project thinks, or the
                                       folder is refused

jsons/ (shapes as the annotators drew them) is not read. The archive has no split: edge/datasets/layouts/splits has the
lists, and what is in none of them trains.

Source: Zendel et al., "RailSem19: A Dataset for Semantic Rail Scene Understanding" (CVPR Workshops 2019), and the
example-vis.py of the archive.
"""

from __future__ import annotations

from pathlib import Path

from edge.console import print_note_once
from edge.datasets.layouts.splits import listed_names
from edge.datasets.layouts.unfinished import if_unfinished, warn_if_unfinished
from edge.datasets.sample import Sample, refuse_twins
from edge.errors import DatasetError
from edge.imaging import IMAGE_SUFFIXES, few_names, is_junk
from edge.json_text import JsonTextError, parse_json
from edge.labels import RAILSEM19

FRAMES_FOLDER, LABELS_FOLDER = Path("jpgs", "rs19_val"), Path("uint8", "rs19_val")
CONFIG_FILE = "rs19-config.json"

_OBTAIN = "it is part of rs19_val.zip, from wilddash.cc"


def split_source(root: Path) -> str:
    """Return whose split a folder has: the archive has none."""
    return "committed lists by SHA-256 of the frame's name, 6800/850/850 frames"


def split_of(frame_name: str) -> str:
    """Return the split that a frame is in, "train", "val" or "test"; a name of no list is one of "train"."""
    return next((split for split in ("val", "test") if frame_name in listed_names(f"railsem19_{split}")), "train")


def list_railsem19(root: Path, split: str, name: str) -> list[Sample]:
    """Return the frames of a split in the order of their names.

    Args:
        root: Folder of the dataset.
        split: Name of the split.
        name: Name of the dataset for messages.

    Raises:
        DatasetError: A part of the archive is missing, or its ids mean other classes.
    """
    frames_root, labels_root = root / FRAMES_FOLDER, root / LABELS_FOLDER
    if not frames_root.is_dir():
        raise DatasetError(_missing(root, FRAMES_FOLDER, name) + if_unfinished(root))
    _check_config(root, name)
    entries = sorted(path for path in frames_root.iterdir() if not is_junk(path.name))
    frames = [path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES]
    if not frames:
        raise DatasetError(
            f"{name} folder {frames_root} holds no picture, it has {few_names(entries)}, expected rsNNNNN.jpg: "
            f"{_OBTAIN}{if_unfinished(root)}"
        )
    if not labels_root.is_dir() and split != "test":
        print_note_once(f"{_missing(root, LABELS_FOLDER, name)}; without it frames have no labels")
    samples = [_sample(path, labels_root) for path in frames if split_of(path.stem) == split]
    refuse_twins(samples, f"{name} {split}")
    if not samples:
        raise DatasetError(
            f"{name} split '{split}' under {root} is empty: none of its {len(frames)} frames ({frames[0].name}, ...) "
            "is in the list of it (edge/datasets/layouts/splits). Next: unpack the whole archive, or another split"
        )
    warn_if_unfinished(root, f"{name} under {root} has {len(samples)} frames of {split}")
    return samples


def _sample(path: Path, labels_root: Path) -> Sample:
    place = labels_root / f"{path.stem}.png"
    return Sample(path.stem, "rs19_val", path, place if place.is_file() else None, looked_for=place)


def _missing(root: Path, folder: Path, name: str) -> str:
    found = few_names(sorted(entry for entry in root.iterdir() if not is_junk(entry.name)))
    inner = [entry for entry in root.iterdir() if (entry / folder).is_dir() and not is_junk(entry.name)]
    if inner:
        return f"{name} folder {root} has no {folder}, but {inner[0].name}/ has. Next: --data-dir {inner[0]}"
    return f"{name} folder {root} has no {folder}, it has {found}: {_OBTAIN}"


def _check_config(root: Path, name: str) -> None:
    """Refuse a folder whose own list of classes has other names or another order."""
    path = root / CONFIG_FILE
    if not path.is_file():
        print_note_once(
            f"{name} folder {root} has no {CONFIG_FILE}, so nothing says that its ids are RailSem19's: {_OBTAIN}"
        )
        return
    try:
        content = parse_json(path.read_bytes())
        names = tuple(entry["name"] for entry in content["labels"])
    except JsonTextError as error:
        raise DatasetError(f"{path} is no JSON: {error}") from None
    except (KeyError, TypeError):
        raise DatasetError(f'{path} has no list "labels" of classes with a "name", expected RailSem19\'s') from None
    wanted = RAILSEM19.class_names
    if names[: len(wanted)] != wanted:
        at = next(place for place in range(len(wanted)) if names[place : place + 1] != wanted[place : place + 1])
        found = f"'{names[at]}'" if at < len(names) else "no class"
        raise DatasetError(f"{path} has {found} at id {at}, expected '{wanted[at]}': these are not RailSem19's ids")
