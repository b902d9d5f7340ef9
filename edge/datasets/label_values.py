"""What the stored values of a label map mean: ids, indices of a palette, or colours become train ids.

A file may say the same in several ways: indices with a palette of any colours, three equal channels, or a colour for
each class. Every reading under which all values of a map are known is found; where two of them disagree, the map is
refused instead of guessed at.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from edge.console import print_note_once
from edge.datasets.label_files import read_label_file
from edge.datasets.sample import LabelCoding, Sample
from edge.errors import DatasetError
from edge.imaging import StoredLabels
from edge.labels import (
    CITYSCAPES,
    CITYSCAPES_INSTANCE_NAMES,
    CITYSCAPES_RAW_IDS,
    CLASS_TABLES,
    IGNORE_ID,
    ClassTable,
    has_cityscapes_ids,
)
from edge.opencv import cv2
from edge.pixel_counts import count_values

_MANY_COLORS = 64
"""More unknown colours than this come from interpolation or lossy compression, not from other classes."""

_UNKNOWN_COLOR = 254
"""Value in a table of colours where a colour is unknown; no class has this train id."""


@dataclass(frozen=True)
class FileLabels:
    """A label map as values, and what they mean.

    Attributes:
        values: (height, width) uint8, ids of the file; train ids where the file holds colours.
        to_train: (256,) int16, value -> train id, IGNORE_ID, or -1 where it is unknown.
        counts: (256,) int64, number of pixels of each value.
    """

    values: np.ndarray
    to_train: np.ndarray
    counts: np.ndarray

    def train_ids(self) -> np.ndarray:
        """Return the label map as train ids, (height, width) uint8; IGNORE_ID where a pixel is not counted."""
        return cv2.LUT(self.values, self.to_train.astype(np.uint8))


def read_file_labels(sample: Sample, table: ClassTable) -> FileLabels:
    """Read the label map of a frame, of which every value is known.

    Args:
        sample: Frame that has a label map.
        table: Class table of its dataset.

    Raises:
        ImageError: The file is missing, damaged, or of a form that does not keep ids.
        DatasetError: The map holds ids or colours that the dataset does not have, or can be read in two ways.
    """
    stored = read_label_file(sample.label_path)
    coding = sample.coding or LabelCoding(colors=table.file_colors, ids=_file_ids(sample, table))
    if stored.colors_rgb is not None:
        return _from_colors(stored.colors_rgb, coding, sample, table)
    values = _as_bytes(stored.ids, sample, table)
    counts = count_values(values)
    used = np.flatnonzero(counts)
    readings = _readings(stored, coding, used)
    known = [to_train for to_train in readings if (to_train[used] >= 0).all()]
    if not known:
        raise DatasetError(_unknown_values(used, counts, stored, coding, sample, table))
    for other in known[1:]:
        # A class that does not count may have the colour of one that does: pole and polegroup.
        if ((other != known[0]) & (known[0] != IGNORE_ID))[used].any():
            raise DatasetError(_two_readings(stored, sample))
    return FileLabels(values, known[0], counts)


def _file_ids(sample: Sample, table: ClassTable) -> dict[int, int]:
    if not sample.labels_are_train_ids:
        return table.raw_to_train
    if has_cityscapes_ids(table) and table.class_count != CITYSCAPES.class_count:
        beyond = ", ".join(table.class_names[CITYSCAPES.class_count :])
        raise DatasetError(
            f"label map {sample.label_path} holds train ids, in which {beyond} are one with what is ignored, expected "
            "file ids. Next: name a map of ids *_gtFine_labelIds.png"
        )
    return {**{index: index for index in range(table.class_count)}, IGNORE_ID: IGNORE_ID}


def _lookup(ids: dict[int, int]) -> np.ndarray:
    to_train = np.full(256, -1, np.int16)
    for file_id, train_id in ids.items():
        to_train[file_id] = train_id
    return to_train


def _readings(stored: StoredLabels, coding: LabelCoding, used: np.ndarray) -> list[np.ndarray]:
    """Return the meanings that the values of a map may have, (256,) int16 each, the likeliest first."""
    by_id = _lookup(coding.ids)
    readings = [by_id] if coding.ids else []
    if stored.has_equal_channels and coding.colors:
        readings.append(_lookup({value: coding.colors.get((value,) * 3, -1) for value in range(256)}))
    palette = dict(enumerate(stored.palette_rgb))
    if not palette or (coding.ids and all(palette.get(index) == _voc_color(index) for index in used.tolist())):
        return readings  # PASCAL VOC's palette, which labelling tools use whatever the classes are
    if coding.colors:
        readings.append(_lookup({index: coding.colors.get(color, -1) for index, color in palette.items()}))
    if coding.ids and all(len(set(palette.get(index, (0, 1)))) == 1 for index in used.tolist()):
        # A palette of greys: indices, or the greys of a map that an optimiser packed into a palette.
        readings.append(_lookup({index: int(by_id[color[0]]) for index, color in palette.items()}))
    return readings


def _voc_color(index: int) -> tuple[int, int, int]:
    """Return the colour of an index in PASCAL VOC's palette (VOC development kit, VOClabelcolormap)."""
    red = green = blue = 0
    for bit in range(8):
        red |= (index >> (3 * bit) & 1) << (7 - bit)
        green |= (index >> (3 * bit + 1) & 1) << (7 - bit)
        blue |= (index >> (3 * bit + 2) & 1) << (7 - bit)
    return red, green, blue


def _as_bytes(ids: np.ndarray, sample: Sample, table: ClassTable) -> np.ndarray:
    """Return ids as uint8: those of a 16-bit map too, while none is above 255."""
    if ids.dtype == np.uint8:
        return ids
    if ids.max() <= 255:
        return ids.astype(np.uint8)
    unknown = np.unique(ids[ids > 255])
    objects = [CITYSCAPES_RAW_IDS[name] for name in CITYSCAPES_INSTANCE_NAMES]
    if has_cityscapes_ids(table) and np.isin(unknown // 1000, objects).all():
        likely = "it looks like an instanceIds file, 1000 times the class and a number. Next: name the labelIds file"
    else:
        likely = "16 bits hold depths, instances or scaled greys as well. Next: write ids of 8 bits"
    raise DatasetError(
        f"label map {sample.label_path} has unknown ids {unknown[:4].tolist()} in 16 bits, {table.name} has "
        f"{_ranges(_file_ids(sample, table))}: {likely}"
    )


@functools.lru_cache(maxsize=4)
def _color_table(colors: frozenset) -> np.ndarray:
    """Return the train id of every colour, (2**24,) uint8, at red * 65536 + green * 256 + blue."""
    to_train = np.full(1 << 24, _UNKNOWN_COLOR, np.uint8)
    for (red, green, blue), train_id in colors:
        to_train[red << 16 | green << 8 | blue] = train_id
    return to_train


def _from_colors(colors_rgb: np.ndarray, coding: LabelCoding, sample: Sample, table: ClassTable) -> FileLabels:
    """Return the train ids that the colours of a map stand for."""
    if not coding.colors:
        raise DatasetError(
            f"label map {sample.label_path} is in colours, and {table.name} says of no colour which class it is, "
            "expected 1 channel of ids. Next: write ids"
        )
    wide = colors_rgb.astype(np.uint32)
    packed = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    values = _color_table(frozenset(coding.colors.items()))[packed]
    is_unknown = values == _UNKNOWN_COLOR
    if is_unknown.any():
        raise DatasetError(_unknown_colors(packed[is_unknown], packed.size, sample, table))
    how = ""
    if has_cityscapes_ids(table) and not _is_described(table):
        how = "; pole and polegroup, car and license plate share one, and count as pole and car"
    elif len(table.file_colors) > table.class_count + 1 and not _is_described(table):
        classes = f"each of the {len(table.file_colors)} classes of {table.name}"
        how = f"; {classes} counts as one of {table.class_count} or for nothing (edge/labels.py)"
    print_note_once(f"label maps in {sample.label_path.parent.parent} are read by their colours{how}")
    to_train = _lookup({**{index: index for index in range(table.class_count)}, IGNORE_ID: IGNORE_ID})
    return FileLabels(values, to_train, count_values(values))


def _unknown_colors(unknown: np.ndarray, pixel_count: int, sample: Sample, table: ClassTable) -> str:
    found, counts = np.unique(unknown, return_counts=True)
    most = found[np.argsort(-counts)[:3]].tolist()
    shown = ", ".join(f"({color >> 16}, {color >> 8 & 255}, {color & 255})" for color in most)
    own = f"the {len(table.file_colors)} colours of {table.name}"
    if len(found) > _MANY_COLORS:
        likely = "it was resized with interpolation, or saved with loss. Next: make it again from the original"
    elif _is_described(table):
        likely = f"no class has this colour. Next: add it to a class or to ignore in the description of {table.name}"
    elif sample.coding is not None and not has_cityscapes_ids(table):
        names = sample.label_path.parent.parent / "class_dict.csv"
        likely = f"it is painted in other colours. Next: name the class of each in {names} (name,r,g,b)"
    else:
        likely = "it is painted in other colours, or no label map. Next: name a map of ids *_labelIds.png"
    return (
        f"label map {sample.label_path} is in colours, of which {len(found)} {'are' if len(found) > 1 else 'is'} "
        f"unknown, such as {shown} "
        f"({100 * unknown.size / pixel_count:.3g} % of the pixels), expected ids or {own}: {likely}"
    )


def _unknown_values(
    used: np.ndarray, counts: np.ndarray, stored: StoredLabels, coding: LabelCoding, sample: Sample, table: ClassTable
) -> str:
    if not coding.ids:
        hint = coding.ids_hint or f"{table.name} says of no id which class it is. Next: give its classes ids"
        return f"label map {sample.label_path} holds ids, expected colours: {hint}"
    unknown = [value for value in used.tolist() if value not in coding.ids]
    share = 100 * counts[unknown].sum() / counts.sum()
    form = " of its palette" if stored.palette_rgb else ""
    says = f" by {coding.source}" if coding.source else ""
    return (
        f"label map {sample.label_path} has unknown ids {unknown[:8]}{form}, {table.name} has "
        f"{_ranges(coding.ids)}{says} ({share:.3g} % of its pixels are unknown): "
        f"{_likely_cause(used.tolist(), unknown, coding, sample, table)}"
    )


def _likely_cause(used: list[int], unknown: list[int], coding: LabelCoding, sample: Sample, table: ClassTable) -> str:
    highest = table.class_count - 1
    raw_only = set(table.raw_to_train) - set(range(table.class_count))
    other_dataset = "another dataset's ids. Next: check that --dataset fits the folder"
    if _is_described(table) and len(used) <= _MANY_COLORS and not coding.source:
        return f"no class has this id. Next: add it to a class or to ignore in the description of {table.name}"
    if unknown == [IGNORE_ID] and has_cityscapes_ids(table) and max(set(used) - {IGNORE_ID}, default=0) <= highest:
        return "it looks like labelTrainIds under the name of labelIds. Next: rename it to *_gtFine_labelTrainIds.png"
    if sample.labels_are_train_ids and set(unknown) <= raw_only and IGNORE_ID not in used:
        return "it looks like labelIds under the name of labelTrainIds. Next: rename it to *_gtFine_labelIds.png"
    if len(used) > _MANY_COLORS:
        return "it was resized with interpolation, or is a photo. Next: make it again from the original"
    if set(used) <= {0, 255}:
        return "it is a mask in black and white. Next: write the id of a class for each pixel"
    if table.name == "camvid" and not coding.source:
        return f"{other_dataset}, or name the class of each id in codes.txt beside the folders"
    return other_dataset


def _is_described(table: ClassTable) -> bool:
    """Say whether classes are those of a dataset description, which a person can change."""
    return table.name not in CLASS_TABLES


def _two_readings(stored: StoredLabels, sample: Sample) -> str:
    if stored.has_equal_channels:
        kinds = "ids in three equal channels and the colours of classes"
    elif all(len(set(color)) == 1 for color in stored.palette_rgb):
        kinds = "indices and greys of its palette, which an optimiser of PNG files may have made,"
    else:
        kinds = "indices and colours of its palette"
    return (
        f"label map {sample.label_path} can be read in two ways: {kinds} give different classes, expected 1 channel of "
        "ids. Next: write it again as a grey PNG of ids"
    )


def _ranges(ids: dict[int, int]) -> str:
    """Return whole numbers as a text of ranges, such as "0 to 18 and 255"."""
    numbers, parts = sorted(ids), []
    while numbers:
        first = last = numbers.pop(0)
        while numbers and numbers[0] == last + 1:
            last = numbers.pop(0)
        parts.append(str(first) if first == last else f"{first} to {last}")
    return " and ".join(parts)
