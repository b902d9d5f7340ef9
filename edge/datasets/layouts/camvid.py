"""CamVid on disk, in the layouts that it is passed on in.

    SegNet tutorial   ROOT/train/<name>.png   ROOT/trainannot/<name>.png    ids 0 sky to 10 bicyclist, 11 unlabelled
    Kaggle            ROOT/train/<name>.png   ROOT/train_labels/<name>_L.png    colours; ROOT/class_dict.csv names them
    fastai            ROOT/images/<name>.png  ROOT/labels/<name>_P.png    ids in the order of ROOT/codes.txt;
                      ROOT/valid.txt lists the frames that validate, one a line
    original          ROOT/701_StillsRaw_full/<name>.png  ROOT/LabeledApproved_full/<name>_L.png    colours; split by
                      edge/datasets/layouts/camvid_split.py, or by ROOT/valid.txt where it is there

In every layout a label map may be named <name>.png, <name>_L.png or <name>_P.png. Colours are CamVid's own of 32
classes, which become the 11 as edge/labels.py says, or those of class_dict.csv. Ids are those of codes.txt where it is
there. CamVid's own *_L.png hold colours, and *_P.png ids of another order, so ids in them mean nothing without it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from edge.datasets.layouts.camvid_split import SPLIT_SOURCE, published_split
from edge.datasets.sample import LabelCoding, Sample, refuse_twins
from edge.errors import DatasetError
from edge.imaging import IMAGE_SUFFIXES, few_names, is_junk
from edge.json_text import JsonTextError, decode_text
from edge.labels import CAMVID

_LABEL_FOLDERS = ("{split}annot", "{split}_labels", "{split}_label", "{split}_annot", "{split}labels")
_LABEL_ENDS = ("", "_L", "_P")
_CODES, _COLORS, _VALID = "codes.txt", "class_dict.csv", "valid.txt"
_ORIGINAL = ("701_StillsRaw_full", "LabeledApproved_full")
_OBTAIN_ORIGINAL = (
    "both are archives of web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData, each in a folder of its name"
)


def list_camvid(root: Path, split: str, name: str) -> list[Sample]:
    """Return the frames of a split in the order of their names.

    Args:
        root: Folder of the dataset.
        split: Name of the split.
        name: Name of the dataset for messages.

    Raises:
        DatasetError: The folder has another layout, or codes.txt or class_dict.csv cannot be understood.
    """
    frames_root, labels_root = _folders(root, split, name)
    entries = sorted(path for path in frames_root.iterdir() if not is_junk(path.name))
    frames = [path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES]
    if entries and not frames:
        raise DatasetError(
            f"{name} folder {frames_root} holds no picture ({', '.join(IMAGE_SUFFIXES)}), it has {few_names(entries)}. "
            "Next: put the frames themselves there, converted to PNG or JPEG"
        )
    if frames_root == root / "images" or (frames_root == root / _ORIGINAL[0] and (root / _VALID).is_file()):
        frames = _of_valid_list(frames, root, split, name)
    elif frames_root == root / _ORIGINAL[0]:
        frames = _of_published_split(frames, root, split, name)
    codes, colors = _read_codes(root), _read_colors(root)
    labels = _label_files(labels_root)
    samples = [_sample(path, labels_root, labels, codes, colors) for path in frames]
    refuse_twins(samples, f"{name} {split}")
    return samples


def _folders(root: Path, split: str, name: str) -> tuple[Path, Path]:
    """Return the folder of a split's frames and that of its label maps."""
    frames_root = root / split
    if not frames_root.is_dir() and (root / "images").is_dir() and (root / "labels").is_dir():
        return root / "images", root / "labels"
    if not frames_root.is_dir() and any((root / folder).is_dir() for folder in _ORIGINAL):
        for folder in _ORIGINAL:
            if not (root / folder).is_dir():
                raise DatasetError(f"{name} folder {root} has no {folder}, but the other half: {_OBTAIN_ORIGINAL}")
        return root / _ORIGINAL[0], root / _ORIGINAL[1]
    places = [root / pattern.format(split=split) for pattern in _LABEL_FOLDERS]
    labels_root = next((place for place in places if place.is_dir()), None)
    if frames_root.is_dir() and labels_root is not None:
        return frames_root, labels_root
    if (root / "leftImg8bit").is_dir():
        raise DatasetError(
            f"{name} folder {root} has no {split}, it has leftImg8bit/ as Cityscapes and drawn sets have. "
            "Next: --dataset cityscapes, or --dataset synthetic"
        )
    missing = split if not frames_root.is_dir() else f"{split}annot"
    found = few_names(sorted(entry for entry in root.iterdir() if not is_junk(entry.name)), most=8)
    inner = [entry for entry in root.iterdir() if (entry / split).is_dir() and not is_junk(entry.name)]
    if inner and missing == split:
        raise DatasetError(
            f"{name} folder {root} has no {missing}, but {inner[0].name}/ has. Next: --data-dir {inner[0]}"
        )
    raise DatasetError(
        f"{name} folder {root} has no {missing}, expected {split}/<name>.png and {split}annot/<name>.png (SegNet "
        f"tutorial), {split}_labels/<name>_L.png (Kaggle), or images/, labels/, {_CODES} and {_VALID} (fastai), or "
        f"{' and '.join(_ORIGINAL)} (original); it has {found}"
    )


def split_source(root: Path) -> str:
    """Return which split a folder has: its own by folders or lists, or the published one by names."""
    is_original = (root / _ORIGINAL[0]).is_dir() and not (root / "train").is_dir() and not (root / "images").is_dir()
    return SPLIT_SOURCE if is_original and not (root / _VALID).is_file() else ""


def _of_published_split(frames: list[Path], root: Path, split: str, name: str) -> list[Path]:
    """Return the frames of a split by CamVid's own names."""
    strangers = [path for path in frames if published_split(path.stem) is None]
    if strangers:
        raise DatasetError(
            f"{name} folder {root} has {few_names(strangers)} in {_ORIGINAL[0]}, of no sequence of the published "
            f"split (0001TP, 0006R0, 0016E5, Seq05VD). Next: write {root / _VALID}, the name of a validation frame on "
            "each line"
        )
    return [path for path in frames if published_split(path.stem) == split]


def _of_valid_list(frames: list[Path], root: Path, split: str, name: str) -> list[Path]:
    """Return the frames of a split where valid.txt names those that validate, as in fastai's layout."""
    listed = root / _VALID
    if not listed.is_file():
        raise DatasetError(
            f"{name} folder {root} is of fastai's layout (images/, labels/) and has no {_VALID}, so nothing says which "
            f"frames train and which validate. Next: write {listed}, the name of a validation frame on each line"
        )
    if split not in ("train", "val"):
        raise DatasetError(f"{name} folder {root} is split by {_VALID}, which has no split '{split}'")
    names = set(_read_text(listed).split("\n"))
    validating = {entry.strip().replace("\\", "/").rsplit("/", 1)[-1] for entry in names if entry.strip()}
    unknown = validating - {path.name for path in frames}
    if unknown or not validating:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        folder = frames[0].parent.name if frames else "images"
        what = f"names {min(unknown)}{more}, which {folder}/ lacks" if unknown else "names no frame"
        raise DatasetError(f"{listed} {what}, expected the file name of a frame in {folder}/ on each line")
    chosen = [path for path in frames if (path.name in validating) == (split == "val")]
    if not chosen:
        raise DatasetError(f"{listed} names every frame, so none is left to train, expected some of them")
    return chosen


def _label_files(labels_root: Path) -> dict[str, Path]:
    """Return the pictures of a folder of label maps by their stems; of several formats PNG is taken."""
    files = [path for path in labels_root.iterdir() if not is_junk(path.name) and path.is_file()]
    pictures = sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.stem: path for path in sorted(pictures, key=lambda path: path.suffix.lower() == ".png")}


def _sample(
    path: Path,
    labels_root: Path,
    labels: dict[str, Path],
    codes: dict[int, int] | None,
    colors: dict[tuple[int, int, int], int],
) -> Sample:
    stems = [f"{path.stem}{end}" for end in _LABEL_ENDS]
    place = next((labels[stem] for stem in stems if stem in labels), None)
    is_plain = place is None or place.stem == path.stem
    ids = codes if codes is not None else CAMVID.raw_to_train if is_plain else {}
    hint = (
        "CamVid's own *_L.png hold colours, and nothing says which class an id is. Next: write them as "
        f"{labels_root.name}/{path.stem}.png if their ids are the SegNet tutorial's (0 sky to 11 unlabelled), else "
        f"name the class of each id, one a line, in {labels_root.parent / _CODES}"
    )
    coding = LabelCoding(ids, colors, "" if ids else hint, _CODES if codes is not None else "")
    return Sample(
        path.stem, path.stem.split("_")[0], path, place, coding=coding, looked_for=labels_root / f"{path.stem}.png"
    )


def _read_text(path: Path) -> str:
    try:
        return "\n".join(decode_text(path.read_bytes()).splitlines())
    except (OSError, JsonTextError) as error:
        raise DatasetError(f"{path} cannot be read as text: {error}") from None


def _train_id(class_name: str, path: Path) -> int:
    train_id = CAMVID.file_class_names.get(class_name.strip().lower())
    if train_id is None:
        raise DatasetError(
            f"{path} names the class '{class_name.strip()}', which CamVid does not have, expected names such as "
            "Building, Column_Pole or sky"
        )
    return train_id


def _read_codes(root: Path) -> dict[int, int] | None:
    """Return the train id of each id by codes.txt, which has the name of a class on each line; None without it."""
    path = root / _CODES
    if not path.is_file():
        return None
    names = _read_text(path).rstrip("\n").split("\n")
    return {index: _train_id(class_name, path) for index, class_name in enumerate(names)}


def _read_colors(root: Path) -> dict[tuple[int, int, int], int]:
    """Return the train id of each colour: CamVid's own, and those of class_dict.csv (name,r,g,b) where it is there."""
    path = root / _COLORS
    colors = dict(CAMVID.file_colors)
    if not path.is_file():
        return colors
    for number, row in enumerate(csv.reader(_read_text(path).splitlines())):
        parts = [part.strip() for part in row]
        if not any(parts) or (number == 0 and not parts[-1].isdecimal()):
            continue
        if len(parts) != 4 or not all(part.isdecimal() and int(part) <= 255 for part in parts[1:]):
            raise DatasetError(f"{path} has the line '{','.join(row)}', expected name,r,g,b with numbers up to 255")
        colors[(int(parts[1]), int(parts[2]), int(parts[3]))] = _train_id(parts[0], path)
    return colors
