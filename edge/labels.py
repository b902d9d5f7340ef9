"""Class tables: names, colours, id maps, categories and groups of the datasets that the project knows.

What the classes of a dataset are is data, one JSON file each in edge/class_tables/, with its source. A dataset may have
several label sets: classes that are evaluated, in the order of their train ids.
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

import numpy as np

from edge.class_tables import read_class_list

_GOLDEN_RATIO = 0.618034

IGNORE_ID = 255
"""Train id of the pixels that are not counted, in a label map that has been read."""

GROUPS = ("infrastructure", "people", "vehicles", "alarm")
"""Groups that every table has, also where no class of it belongs to one.

They are what an owner of tracks, roads and buildings watches over, people, everything that drives, and what means an
incident on a track: people, animals and vehicles that do not run on rails.
"""

OTHER_CATEGORY = "other"
"""Category of a class of which nothing is said."""

_LEAST_LUMA = 80.0
"""Least luma of a made up colour, 0 to 255, so that it is seen over a black frame."""


def distinct_palette(class_count: int) -> np.ndarray:
    """Return colours that are easy to tell apart.

    Returns:
        (256, 3) uint8 RGB; black from `class_count` on. Hues follow one another by the golden ratio,
        so that any number of them is spread evenly; dark ones are lightened until they are seen at night.
    """
    palette = np.zeros((256, 3), np.uint8)
    for index in range(min(class_count, 256)):
        value = (1.0, 0.75, 0.5)[index % 3]
        color = 255.0 * np.array(colorsys.hsv_to_rgb((index * _GOLDEN_RATIO) % 1.0, 0.85, value))
        luma = float(color @ (0.299, 0.587, 0.114))
        white = max((_LEAST_LUMA - luma) / (255.0 - luma), 0.0)
        palette[index] = np.round((1.0 - white) * color + white * 255.0)
    return palette


def plain_class_name(name: str) -> str:
    """Return the name of a class as names are compared: "Traffic_Light" and "traffic-light" are one."""
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))


@dataclass(frozen=True)
class FileClass:
    """A class of a dataset's own list, evaluated or not, and how label maps spell it.

    Attributes:
        name: Name of the class.
        ids: Ids in label maps of ids.
        colors: Colours (red, green, blue) in label maps of colours.
        has_instances: Whether label maps tell the objects of the class apart.
        category: Category of the class, such as "flat" or "vehicle".
        mean_instance_pixels: Mean size of an object of the class over the training split, in pixels; None where it is
            not known.
    """

    name: str
    ids: tuple[int, ...]
    colors: tuple[tuple[int, int, int], ...] = ()
    has_instances: bool = False
    category: str = OTHER_CATEGORY
    mean_instance_pixels: float | None = None


@dataclass(frozen=True)
class ClassTable:
    """The classes of one dataset in the order of their train ids.

    Attributes:
        name: Name of the table, as contracts and cards spell it.
        class_names: Names of the classes, one for each train id.
        colors_rgb: Colours of the classes, one (red, green, blue) for each train id, 0 to 255.
        raw_to_train: File id -> train id, or IGNORE_ID; a file id that is not here is unknown.
        file_colors: Colour (red, green, blue) in a colour-coded label map of the dataset -> train id, or IGNORE_ID;
            empty for a dataset that has none. Where classes share a colour, it means the one that is evaluated.
        file_class_names: Name of a class in the dataset's own lists -> train id, or IGNORE_ID; in lower case.
        painted_rgb: Colours in which labels are painted over pictures, one (red, green, blue) for each train id;
            made up where none are given.
        categories: Categories of the classes, such as "flat" or "vehicle", one for each train id.
        groups: Name of a group -> train ids of its classes; every name of GROUPS is there.
        instance_classes: Train ids of the classes whose objects label maps tell apart.
        file_classes: Every class of the dataset's own list, evaluated or not.
        label_set: Name of the label set; "" where the dataset has one alone.
    """

    name: str
    class_names: tuple[str, ...]
    colors_rgb: tuple[tuple[int, int, int], ...]
    raw_to_train: dict[int, int]
    file_colors: dict[tuple[int, int, int], int] = field(default_factory=dict)
    file_class_names: dict[str, int] = field(default_factory=dict)
    painted_rgb: tuple[tuple[int, int, int], ...] = ()
    categories: tuple[str, ...] = ()
    groups: dict[str, tuple[int, ...]] = field(default_factory=dict)
    instance_classes: tuple[int, ...] = ()
    file_classes: tuple[FileClass, ...] = ()
    label_set: str = ""

    def __post_init__(self) -> None:
        made_up = {
            "painted_rgb": tuple(tuple(color) for color in distinct_palette(self.class_count).tolist())[
                : self.class_count
            ],
            "categories": (OTHER_CATEGORY,) * self.class_count,
        }
        for name, value in made_up.items():
            if not getattr(self, name):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "groups", {**dict.fromkeys(GROUPS, ()), **self.groups})

    @property
    def class_count(self) -> int:
        """Number of classes without the ignored ones."""
        return len(self.class_names)

    def raw_lookup(self) -> np.ndarray:
        """Return the table from file ids to train ids.

        Returns:
            (256,) int16: the train id, IGNORE_ID where the file id is ignored, -1 where it is unknown.
        """
        table = np.full(256, -1, np.int16)
        for raw_id, train_id in self.raw_to_train.items():
            table[raw_id] = train_id
        return table

    def palette_rgb(self) -> np.ndarray:
        """Return the colour of every uint8 label.

        Returns:
            (256, 3) uint8 RGB; black for IGNORE_ID and for labels beyond the classes.
        """
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.class_count] = self.colors_rgb
        return palette


def build_class_table(
    name: str,
    classes: Sequence[Mapping[str, Any]],
    ignored: Sequence[Mapping[str, Any]] = (),
    evaluated: Sequence[str] | None = None,
    label_set: str = "",
) -> ClassTable:
    """Build the table of a list of classes, as files in edge/class_tables/ and dataset descriptions spell them.

    Args:
        name: Name of the table.
        classes: Classes with the fields name, ids, colors, palette, painted, category, groups, instances,
            mean_instance_pixels and other_names, of which all but the name may be left out; in the order of the ids.
        ignored: Classes that are not evaluated, with name, ids, colors, category, instances, mean_instance_pixels and
            other_names.
        evaluated: Names of the classes that are evaluated, in the order of their train ids; None for all classes.
        label_set: Name of the label set that these are.
    """
    by_name = {entry["name"]: entry for entry in classes}
    chosen = [by_name[one] for one in (evaluated if evaluated is not None else by_name)]
    train_ids = {entry["name"]: train_id for train_id, entry in enumerate(chosen)}
    # Evaluated classes come last, so that a colour that two share means the one that counts.
    entries = sorted([*ignored, *classes], key=lambda entry: entry["name"] in train_ids)
    made_up = distinct_palette(len(chosen)).tolist()
    groups: dict[str, tuple[int, ...]] = {}
    for train_id, entry in enumerate(chosen):
        for group in entry.get("groups", ()):
            groups[group] = (*groups.get(group, ()), train_id)

    def train_id_of(entry: Mapping[str, Any]) -> int:
        return train_ids.get(entry["name"], IGNORE_ID)

    file_classes = [
        FileClass(
            entry["name"],
            tuple(entry.get("ids", ())),
            tuple(tuple(color) for color in entry.get("colors", ())),
            entry.get("instances", False),
            entry.get("category", OTHER_CATEGORY),
            entry.get("mean_instance_pixels"),
        )
        for entry in [*classes, *ignored]
    ]
    return ClassTable(
        name=name,
        class_names=tuple(train_ids),
        colors_rgb=tuple(
            tuple(entry.get("palette") or (entry.get("colors") or [made_up[train_id]])[0])
            for train_id, entry in enumerate(chosen)
        ),
        raw_to_train={raw_id: train_id_of(entry) for entry in entries for raw_id in entry.get("ids", ())},
        file_colors={tuple(color): train_id_of(entry) for entry in entries for color in entry.get("colors", ())},
        file_class_names={
            spelled.lower(): train_id_of(entry)
            for entry in entries
            for spelled in (*entry.get("other_names", ()), entry["name"])
        },
        painted_rgb=tuple(tuple(entry.get("painted") or made_up[train_id]) for train_id, entry in enumerate(chosen)),
        categories=tuple(entry.get("category", OTHER_CATEGORY) for entry in chosen),
        groups=groups,
        instance_classes=tuple(train_id for train_id, entry in enumerate(chosen) if entry.get("instances")),
        file_classes=tuple(sorted(file_classes, key=lambda one: one.ids[:1])),
        label_set=label_set,
    )


def _read_tables(name: str) -> list[ClassTable]:
    """Return the table of each label set of a dataset: the dataset's own has its name, others NAME-SET."""
    content = read_class_list(name)
    label_sets = content.get("label_sets", {"": None})
    return [
        build_class_table(
            name if position == 0 else f"{name}-{label_set}",
            content["classes"],
            content["ignored"],
            evaluated,
            label_set,
        )
        for position, (label_set, evaluated) in enumerate(label_sets.items())
    ]


CITYSCAPES, CITYSCAPES_INFRASTRUCTURE = _read_tables("cityscapes")
(CAMVID,) = _read_tables("camvid")
(RAILSEM19,) = _read_tables("railsem19")
(VOC,) = _read_tables("voc")

CLASS_TABLES: dict[str, ClassTable] = {
    table.name: table for table in (CITYSCAPES, CITYSCAPES_INFRASTRUCTURE, CAMVID, RAILSEM19, VOC)
}

CITYSCAPES_RAW_IDS: dict[str, int] = {one.name: one.ids[0] for one in CITYSCAPES.file_classes}
"""Cityscapes class name -> id in a labelIds file."""

CITYSCAPES_RAW_COLORS_RGB: dict[int, tuple[int, int, int]] = {
    one.ids[0]: one.colors[0] for one in CITYSCAPES.file_classes
}
"""Id in a labelIds file -> colour in a gtFine_color picture, of all classes, evaluated or not."""

CITYSCAPES_INSTANCE_NAMES: tuple[str, ...] = tuple(one.name for one in CITYSCAPES.file_classes if one.has_instances)
"""Cityscapes classes whose objects are told apart in an instanceIds file."""


def has_cityscapes_ids(table: ClassTable) -> bool:
    """Say whether label maps of a table are those of Cityscapes, whatever classes are evaluated."""
    return table.file_classes == CITYSCAPES.file_classes


def palette_for(class_names: tuple[str, ...]) -> np.ndarray:
    """Return the colours in which a network's labels are painted over pictures.

    They are ClassTable.painted_rgb where a class table has these names, else distinct colours. The colours of a
    dataset's own label maps are ClassTable.palette_rgb.

    The official colours are made for label maps. Painted over a frame with a share of 0.55, Cityscapes' car, truck, bus
    and train differ by as little as 3.6 in CIEDE2000 for a viewer who lacks a kind of cone, and over a night scene they
    are black. So people, vehicles, rail tracks and raised rails have colours of their own, which were searched for the
    largest distances: at least 14 between any two of them (at least 6 in a simulation of each kind of colour
    blindness), and at least 9 (5) from road, sidewalk, building, trackbed, vegetation, terrain and sky, over frames
    from black to nearly white. Other classes keep the official colour, or one close to it, and the same thing has the
    same colour in every table. `tests/edge/test_painted_colors.py` measures.

    Returns:
        (256, 3) uint8 RGB; black beyond the classes.

    Sources: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005); Machado, Oliveira and Fernandes,
    "A physiologically-based model for simulation of color vision deficiency" (2009).
    """
    names = tuple(class_names)
    table = next((table for table in CLASS_TABLES.values() if table.class_names == names), None)
    if table is None:
        return distinct_palette(len(names))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(names)] = table.painted_rgb
    return palette
