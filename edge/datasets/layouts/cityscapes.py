"""Cityscapes on disk, and synthetic scenes, which edge.synthetic draws in the same layout.

ROOT/leftImg8bit/<split>/<city>/<city>_<seq>_<frame>_leftImg8bit.png      or another picture format, such as .jpg
ROOT/gtFine/<split>/<city>/<city>_<seq>_<frame>_gtFine_labelIds.png
                       or ..._gtFine_labelTrainIds.png, as cityscapesScripts derives it
                       or ..._gtFine_polygons.json, which is drawn as cityscapesScripts draws labelIds
                       or ..._gtFine_color.png, whose colours do not tell pole from polegroup
"""

from __future__ import annotations

from pathlib import Path

from edge.console import print_note_once
from edge.datasets.layouts.unfinished import if_unfinished, warn_if_unfinished
from edge.datasets.sample import LabelCoding, Sample, refuse_twins
from edge.errors import DatasetError
from edge.imaging import IMAGE_SUFFIXES, few_names, is_junk
from edge.labels import CITYSCAPES

_FRAME_END = "_leftImg8bit"
_KINDS = {"labelIds": ".png", "labelTrainIds": ".png", "polygons": ".json", "color": ".png"}
_COLORS = LabelCoding(colors=CITYSCAPES.file_colors, ids_hint="Next: name a map of ids *_gtFine_labelIds.png")


def list_cityscapes(root: Path, split: str, name: str) -> list[Sample]:
    """Return the frames of a split in the order of their cities and names.

    Args:
        root: Folder of the dataset.
        split: Name of the split.
        name: Name of the dataset for messages.

    Raises:
        DatasetError: The folder has another layout, or no frame has the name that Cityscapes gives.
    """
    frames_root, labels_root = root / "leftImg8bit" / split, root / "gtFine" / split
    if not frames_root.is_dir():
        raise DatasetError(_no_frames_folder(root, split, name) + if_unfinished(root))
    samples, strangers = [], []
    for city in _folders(frames_root):
        for path in sorted(entry for entry in city.iterdir() if not is_junk(entry.name)):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.endswith(_FRAME_END):
                samples.append(_sample(path, labels_root / city.name))
            else:
                strangers.append(path)
    refuse_twins(samples, f"{name} {split}")
    if not samples and strangers:
        raise DatasetError(
            f"{name} split '{split}' under {root} has {strangers[0].relative_to(frames_root)} and "
            f"{len(strangers) - 1} other files, expected frames named "
            f"<city>/<city>_<seq>_<frame>{_FRAME_END}.png (or {', '.join(IMAGE_SUFFIXES[1:])})"
        )
    if not samples and not _folders(frames_root) and any(not is_junk(entry.name) for entry in frames_root.iterdir()):
        raise DatasetError(
            f"{name} split '{split}' under {root} has no folder of a city in {frames_root}, which has "
            f"{few_names(sorted(frames_root.iterdir()))}, expected <city>/*{_FRAME_END}.png"
        )
    _name_missing_cities(frames_root, labels_root, name, split)
    if not samples and if_unfinished(root):
        raise DatasetError(f"{name} split '{split}' under {root} is empty{if_unfinished(root)}")
    warn_if_unfinished(root, f"{name} under {root} has {len(samples)} frames of {split}")
    return samples


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not is_junk(entry.name))


def _sample(path: Path, labels_folder: Path) -> Sample:
    stem = path.stem[: -len(_FRAME_END)]
    places = {kind: labels_folder / f"{stem}_gtFine_{kind}{suffix}" for kind, suffix in _KINDS.items()}
    kind = next((kind for kind in _KINDS if places[kind].is_file()), None)
    return Sample(
        stem,
        path.parent.name,
        path,
        places[kind] if kind else None,
        labels_are_train_ids=kind == "labelTrainIds",
        coding=_COLORS if kind == "color" else None,
        looked_for=places["labelIds"],
    )


def _no_frames_folder(root: Path, split: str, name: str) -> str:
    wanted = (
        f"expected the official layout: leftImg8bit/{split}/<city>/*{_FRAME_END}.png and "
        f"gtFine/{split}/<city>/*_gtFine_labelIds.png"
    )
    found = few_names(sorted(entry for entry in root.iterdir() if not is_junk(entry.name)))
    frames = root / "leftImg8bit"
    if frames.is_dir():
        inside = few_names(sorted(entry for entry in frames.iterdir() if not is_junk(entry.name)))
        return f"{name} folder {root} has no leftImg8bit/{split}, its leftImg8bit has {inside}; {wanted}"
    for inner in _folders(root):
        if (inner / "leftImg8bit" / split).is_dir():
            return f"{name} folder {root} has no leftImg8bit/{split}, but {inner.name}/ has. Next: --data-dir {inner}"
    if root.name in ("leftImg8bit", "gtFine"):
        return f"{name} folder {root} is one of its two halves; {wanted}. Next: --data-dir {root.parent}"
    if any((root / folder).is_dir() for folder in ("trainannot", "train_labels", "labels")):
        return f"{name} folder {root} has no leftImg8bit/{split}, it has {found}, as CamVid has. Next: --dataset camvid"
    return f"{name} folder {root} has no leftImg8bit/{split}, it has {found}; {wanted}"


def _name_missing_cities(frames_root: Path, labels_root: Path, name: str, split: str) -> None:
    """Say which cities have label maps and no frames: the download, or a copy, was not finished."""
    with_frames = {folder.name for folder in _folders(frames_root)}
    bare = [folder.name for folder in _folders(labels_root) if folder.name not in with_frames]
    if bare and with_frames:
        print_note_once(
            f"{name} {split} has label maps of cities without a folder of frames in {frames_root}: "
            f"{', '.join(bare[:8])}{f' and {len(bare) - 8} more' if len(bare) > 8 else ''}; they are left out"
        )
