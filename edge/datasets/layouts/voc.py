"""PASCAL VOC 2012 on disk, as its archive unpacks, and the training frames that SBD adds.

    ROOT/JPEGImages/<name>.jpg
    ROOT/SegmentationClass/<name>.png               indices of a palette: 0 background, 1 to 20 objects, 255 the border
    ROOT/ImageSets/Segmentation/<split>.txt         a name on each line; 1,464 train, 1,449 validate, 1,456 test

    ROOT/SegmentationClassAug/<name>.png            label maps of SBD as ids, where they are there
    ROOT/ImageSets/Segmentation/train_aug.txt       10,582 names, or trainaug.txt, or ImageSets/SegmentationAug/, or
                                                    aug.txt, which lists only what is added

Where both are there, the split train is that of SBD's. A line of a list may be a name or the paths of a frame and its
label map, as lists of several projects are. Label maps of the test split are not public.

Source: development kit of VOC 2012, section 3.3; Hariharan et al., "Semantic Contours from Inverse Detectors" (ICCV
2011).
"""

from __future__ import annotations

from pathlib import Path

from edge.console import print_note_once
from edge.datasets.sample import Sample, refuse_twins
from edge.errors import DatasetError
from edge.imaging import few_names, is_junk
from edge.json_text import JsonTextError, decode_text

_FRAMES, _LABELS, _ADDED_LABELS = "JPEGImages", "SegmentationClass", "SegmentationClassAug"
_LISTS = Path("ImageSets", "Segmentation")
_WHOLE_LISTS = (
    _LISTS / "train_aug.txt",
    _LISTS / "trainaug.txt",
    Path("ImageSets", "SegmentationAug", "train_aug.txt"),
)
_ADDED_LIST = _LISTS / "aug.txt"
_OBTAIN = "it is part of VOCtrainval_11-May-2012.tar, from host.robots.ox.ac.uk/pascal/VOC/voc2012"


def list_voc(root: Path, split: str, name: str) -> list[Sample]:
    """Return the frames of a split in the order of their names.

    Args:
        root: Folder of the dataset, VOCdevkit/VOC2012 of the archive.
        split: Name of the split.
        name: Name of the dataset for messages.

    Raises:
        DatasetError: A part of the archive is missing, a list names frames that are not there, or frames that SBD adds
            validate.
    """
    for folder in (_FRAMES, _LISTS):
        if not (root / folder).is_dir():
            raise DatasetError(_missing(root, folder, name))
    if not (root / _LABELS).is_dir() and split != "test":
        raise DatasetError(_missing(root, _LABELS, name))
    listed = root / _LISTS / f"{split}.txt"
    added = _added_names(root, split, name)
    if not listed.is_file() and added is None:
        where = _OBTAIN if split != "test" else "it is part of the test archive, from an account of the same site"
        raise DatasetError(f"{name} folder {root} has no {_LISTS / listed.name}: {where}")
    names = added if added is not None else _read_names(listed)
    frames = {path.stem: path for path in (root / _FRAMES).iterdir() if not is_junk(path.name)}
    lost = sorted(names - set(frames))
    if lost:
        raise DatasetError(
            f"{name} {split} lists {len(lost)} frames that {root / _FRAMES} lacks, the first is {lost[0]}.jpg: "
            "the archive is not whole. Next: unpack it again"
        )
    folders = [root / _ADDED_LABELS, root / _LABELS] if added is not None else [root / _LABELS]
    samples = [_sample(frames[one], folders) for one in sorted(names)]
    refuse_twins(samples, f"{name} {split}")
    return samples


def split_source(root: Path) -> str:
    """Return which split a folder has: the official one, or SBD's training frames with it."""
    has_added = any((root / path).is_file() for path in (*_WHOLE_LISTS, _ADDED_LIST))
    return "train_aug of SBD" if has_added and (root / _ADDED_LABELS).is_dir() else ""


def _added_names(root: Path, split: str, name: str) -> frozenset[str] | None:
    """Return the names that train with SBD's; None where the official split is meant."""
    lists = [root / path for path in (*_WHOLE_LISTS, _ADDED_LIST) if (root / path).is_file()]
    if split != "train" or not lists:
        return None
    if not (root / _ADDED_LABELS).is_dir():
        print_note_once(
            f"{name} folder {root} has {lists[0].name} and no {_ADDED_LABELS}, the label maps of SBD: the official "
            "split is used"
        )
        return None
    names = _read_names(lists[0])
    if lists[0].name == _ADDED_LIST.name:
        names |= _read_names(root / _LISTS / "train.txt")
    validating = root / _LISTS / "val.txt"
    both = sorted(names & _read_names(validating)) if validating.is_file() else []
    if both:
        raise DatasetError(
            f"{lists[0]} names {len(both)} frames of val.txt, the first is {both[0]}, expected frames that do not "
            "validate. Next: take them out, or remove the list to train on the official split"
        )
    print_note_once(f"{name} train under {root} is that of {lists[0].name}, {len(names)} frames with label maps of SBD")
    return names


def _sample(path: Path, folders: list[Path]) -> Sample:
    places = [folder / f"{path.stem}.png" for folder in folders]
    place = next((place for place in places if place.is_file()), None)
    return Sample(path.stem, path.stem.split("_")[0], path, place, looked_for=places[0])


def _read_names(path: Path) -> frozenset[str]:
    """Return the names of a list, whose lines may be paths of a frame and its label map."""
    try:
        lines = decode_text(path.read_bytes()).splitlines()
    except (OSError, JsonTextError) as error:
        raise DatasetError(f"{path} cannot be read as text: {error}") from None
    names = [line.split()[0].replace("\\", "/").rsplit("/", 1)[-1] for line in lines if line.strip()]
    return frozenset(one[:-4] if one.lower().endswith((".jpg", ".png")) else one for one in names)


def _missing(root: Path, folder: str | Path, name: str) -> str:
    for inner in (root / "VOC2012", root / "VOCdevkit" / "VOC2012"):
        if (inner / folder).is_dir():
            return f"{name} folder {root} has no {folder}, but {inner.relative_to(root)}/ has. Next: --data-dir {inner}"
    found = few_names(sorted(entry for entry in root.iterdir() if not is_junk(entry.name)))
    return f"{name} folder {root} has no {folder}, it has {found}: {_OBTAIN}"
