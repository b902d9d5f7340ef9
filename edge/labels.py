"""Class tables: names, colours and id maps of the datasets that the project knows.

Sources: Cityscapes ids, train ids and colours are those of the official
cityscapesScripts (helpers/labels.py). CamVid's 11 classes are those of the SegNet
tutorial split (Badrinarayanan et al., arXiv 1511.00561, section 4); its colours are
CamVid's own (Brostow et al. 2009), merged classes taking the colour of the largest.
CamVid's own label maps have 32 classes, each a colour (its file label_colors.txt). They are
grouped into the 11 as MathWorks' example "Semantic Segmentation Using Deep Learning" does after
SegNet: cones are poles, text and lights are signs, lane markings are road, children, animals and
prams are pedestrians, scooters are bicyclists, and everything else that drives is a car.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

_GOLDEN_RATIO = 0.618034

IGNORE_ID = 255
"""Train id of the pixels that are not counted, in a label map that has been read."""


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
    """

    name: str
    class_names: tuple[str, ...]
    colors_rgb: tuple[tuple[int, int, int], ...]
    raw_to_train: dict[int, int]
    file_colors: dict[tuple[int, int, int], int] = field(default_factory=dict)
    file_class_names: dict[str, int] = field(default_factory=dict)

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


# file id, name, train id (IGNORE_ID: not evaluated), has instances, colour
_CITYSCAPES = (
    (0, "unlabeled", 255, False, (0, 0, 0)),
    (1, "ego vehicle", 255, False, (0, 0, 0)),
    (2, "rectification border", 255, False, (0, 0, 0)),
    (3, "out of roi", 255, False, (0, 0, 0)),
    (4, "static", 255, False, (0, 0, 0)),
    (5, "dynamic", 255, False, (111, 74, 0)),
    (6, "ground", 255, False, (81, 0, 81)),
    (7, "road", 0, False, (128, 64, 128)),
    (8, "sidewalk", 1, False, (244, 35, 232)),
    (9, "parking", 255, False, (250, 170, 160)),
    (10, "rail track", 255, False, (230, 150, 140)),
    (11, "building", 2, False, (70, 70, 70)),
    (12, "wall", 3, False, (102, 102, 156)),
    (13, "fence", 4, False, (190, 153, 153)),
    (14, "guard rail", 255, False, (180, 165, 180)),
    (15, "bridge", 255, False, (150, 100, 100)),
    (16, "tunnel", 255, False, (150, 120, 90)),
    (17, "pole", 5, False, (153, 153, 153)),
    (18, "polegroup", 255, False, (153, 153, 153)),
    (19, "traffic light", 6, False, (250, 170, 30)),
    (20, "traffic sign", 7, False, (220, 220, 0)),
    (21, "vegetation", 8, False, (107, 142, 35)),
    (22, "terrain", 9, False, (152, 251, 152)),
    (23, "sky", 10, False, (70, 130, 180)),
    (24, "person", 11, True, (220, 20, 60)),
    (25, "rider", 12, True, (255, 0, 0)),
    (26, "car", 13, True, (0, 0, 142)),
    (27, "truck", 14, True, (0, 0, 70)),
    (28, "bus", 15, True, (0, 60, 100)),
    (29, "caravan", 255, True, (0, 0, 90)),
    (30, "trailer", 255, True, (0, 0, 110)),
    (31, "train", 16, True, (0, 80, 100)),
    (32, "motorcycle", 17, True, (0, 0, 230)),
    (33, "bicycle", 18, True, (119, 11, 32)),
)

CITYSCAPES_RAW_IDS: dict[str, int] = {name: raw_id for raw_id, name, *_ in _CITYSCAPES}
"""Cityscapes class name -> id in a labelIds file."""

CITYSCAPES_RAW_COLORS_RGB: dict[int, tuple[int, int, int]] = {row[0]: row[4] for row in _CITYSCAPES}
"""Id in a labelIds file -> colour in a gtFine_color picture, of all classes, evaluated or not."""

CITYSCAPES_INSTANCE_NAMES: tuple[str, ...] = tuple(row[1] for row in _CITYSCAPES if row[3])
"""Cityscapes classes whose objects are told apart in an instanceIds file."""

_evaluated = sorted((row for row in _CITYSCAPES if row[2] != IGNORE_ID), key=lambda row: row[2])

CITYSCAPES = ClassTable(
    name="cityscapes",
    class_names=tuple(row[1] for row in _evaluated),
    colors_rgb=tuple(row[4] for row in _evaluated),
    raw_to_train={row[0]: row[2] for row in _CITYSCAPES},
    # Evaluated classes come last: "pole" has the colour of "polegroup", and "car" that of "license plate".
    file_colors={row[4]: row[2] for row in sorted(_CITYSCAPES, key=lambda row: row[2] != IGNORE_ID)},
    file_class_names={row[1]: row[2] for row in _CITYSCAPES},
)

# name, colour, train id of the class that it belongs to
_CAMVID_ORIGINAL = (
    ("Animal", (64, 128, 64), 9),
    ("Archway", (192, 0, 128), 1),
    ("Bicyclist", (0, 128, 192), 10),
    ("Bridge", (0, 128, 64), 1),
    ("Building", (128, 0, 0), 1),
    ("Car", (64, 0, 128), 8),
    ("CartLuggagePram", (64, 0, 192), 9),
    ("Child", (192, 128, 64), 9),
    ("Column_Pole", (192, 192, 128), 2),
    ("Fence", (64, 64, 128), 7),
    ("LaneMkgsDriv", (128, 0, 192), 3),
    ("LaneMkgsNonDriv", (192, 0, 64), 3),
    ("Misc_Text", (128, 128, 64), 6),
    ("MotorcycleScooter", (192, 0, 192), 10),
    ("OtherMoving", (128, 64, 64), 8),
    ("ParkingBlock", (64, 192, 128), 4),
    ("Pedestrian", (64, 64, 0), 9),
    ("Road", (128, 64, 128), 3),
    ("RoadShoulder", (128, 128, 192), 4),
    ("Sidewalk", (0, 0, 192), 4),
    ("SignSymbol", (192, 128, 128), 6),
    ("Sky", (128, 128, 128), 0),
    ("SUVPickupTruck", (64, 128, 192), 8),
    ("TrafficCone", (0, 0, 64), 2),
    ("TrafficLight", (0, 64, 64), 6),
    ("Train", (192, 64, 128), 8),
    ("Tree", (128, 128, 0), 5),
    ("Truck_Bus", (192, 128, 192), 8),
    ("Tunnel", (64, 0, 64), 1),
    ("VegetationMisc", (192, 192, 0), 5),
    ("Void", (0, 0, 0), IGNORE_ID),
    ("Wall", (64, 192, 0), 1),
)

_CAMVID_NAMES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)

CAMVID = ClassTable(
    name="camvid",
    class_names=_CAMVID_NAMES,
    colors_rgb=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    raw_to_train={**{index: index for index in range(11)}, 11: IGNORE_ID},
    file_colors={color: train_id for _, color, train_id in _CAMVID_ORIGINAL},
    file_class_names={
        **{name: index for index, name in enumerate(_CAMVID_NAMES)},
        **{name.lower(): train_id for name, _, train_id in _CAMVID_ORIGINAL},
        "unlabelled": IGNORE_ID,
    },
)

CLASS_TABLES: dict[str, ClassTable] = {table.name: table for table in (CITYSCAPES, CAMVID)}


PAINTED_COLORS_RGB: dict[str, tuple[int, int, int]] = {
    **dict(zip(CITYSCAPES.class_names, CITYSCAPES.colors_rgb)),
    "sidewalk": (200, 90, 190),
    "building": (104, 104, 104),
    "person": (255, 64, 128),
    "rider": (255, 128, 96),
    "car": (96, 96, 255),
    "truck": (255, 255, 224),
    "bus": (32, 192, 255),
    "train": (32, 255, 255),
    "motorcycle": (224, 160, 192),
    "bicycle": (192, 255, 64),
}
"""Class -> colour that is painted over pictures, which is not always that of the dataset.

The official colours are made for label maps. Painted over a frame with a share of 0.55, car, truck, bus and train
differ by as little as 3.6 in CIEDE2000 for a viewer who lacks a kind of cone, and over a night scene they are black. So
road users have colours of their own, light ones, which were searched for the largest distances: at least 14 between any
two of them (at least 6 in a simulation of each kind of colour blindness), and at least 9 (5) from road, sidewalk,
building, vegetation, terrain and sky, over frames from black to nearly white. Other classes keep the official colour,
or one close to it. `tests/edge/test_painted_colors.py` measures.

Sources: Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula" (2005); Machado, Oliveira and Fernandes,
"A physiologically-based model for simulation of color vision deficiency" (2009).
"""

_CAMVID_AS_CITYSCAPES = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign": "traffic sign",
    "pedestrian": "person",
    "bicyclist": "rider",
}

_LEAST_LUMA = 80.0
"""Least luma of a made up colour, 0 to 255, so that it is seen over a black frame."""


def palette_for(class_names: tuple[str, ...]) -> np.ndarray:
    """Return the colours in which a network's labels are painted over pictures.

    They are PAINTED_COLORS_RGB where a class table has these names, else distinct colours. The colours of a
    dataset's own label maps are ClassTable.palette_rgb.

    Returns:
        (256, 3) uint8 RGB; black beyond the classes.
    """
    names = tuple(class_names)
    if all(table.class_names != names for table in CLASS_TABLES.values()):
        return distinct_palette(len(names))
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(names)] = [PAINTED_COLORS_RGB[_CAMVID_AS_CITYSCAPES.get(name, name)] for name in names]
    return palette


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
