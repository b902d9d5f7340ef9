"""What the tags of a drawn railway scene mean in RailSem19's classes.

Everything that a street has too (people, cars, houses, trees) keeps the tag of its Cityscapes class, because the same
functions draw it; what only a railway has gets a tag of its own. One table translates both.

Source: Zendel, Murschitz, Zeilinger, Steininger, Abbasi, Beleznai, "RailSem19: A Dataset for Semantic Rail Scene
Understanding", CVPR Workshops 2019, and the archive's rs19-config.json. A rail that stands up is rail-raised, one whose
head is level with a road is rail-embedded; between the two rails of a track is rail-track, or tram-track where road
vehicles share it; the ballast around is trackbed; whatever runs on rails is on-rails. The archive's example-vis.py
paints platforms in the colour of sidewalk, buffer stops in that of construction, crossings in that of road: so they are
labelled here, a platform with its edge. For the rest RailSem19 has no word, and the choices are this project's:

- walls, noise barriers, bridges and tunnels are construction; guard rails and the booms of a crossing are fence;
- buses are truck; riders are human; their bicycles and motorcycles are void, as are boxes, rocks and other objects;
- overhead wires have the class of what is behind them; the masts and arms that carry them are pole.
"""

from __future__ import annotations

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS, IGNORE_ID, RAILSEM19

RAIL_TRACK, TRAM_TRACK, TRACKBED, RAIL_RAISED, RAIL_EMBEDDED = 40, 41, 42, 43, 44

_OWN = {
    RAIL_TRACK: "rail-track",
    TRAM_TRACK: "tram-track",
    TRACKBED: "trackbed",
    RAIL_RAISED: "rail-raised",
    RAIL_EMBEDDED: "rail-embedded",
}
_SHARED = {
    "road": "road",
    "parking": "road",
    "sidewalk": "sidewalk",
    "building": "construction",
    "wall": "construction",
    "bridge": "construction",
    "tunnel": "construction",
    "fence": "fence",
    "guard rail": "fence",
    "pole": "pole",
    "polegroup": "pole",
    "traffic light": "traffic-light",
    "traffic sign": "traffic-sign",
    "vegetation": "vegetation",
    "terrain": "terrain",
    "ground": "terrain",
    "sky": "sky",
    "person": "human",
    "rider": "human",
    "car": "car",
    "truck": "truck",
    "bus": "truck",
    "train": "on-rails",
}
"""Cityscapes class -> RailSem19 class; a class that is not here is void."""


def _table() -> np.ndarray:
    table = np.full(256, IGNORE_ID, np.uint8)
    for tag, name in _OWN.items():
        table[tag] = RAILSEM19.class_names.index(name)
    for shared, name in _SHARED.items():
        table[CITYSCAPES_RAW_IDS[shared]] = RAILSEM19.class_names.index(name)
    return table


_CLASS_OF_TAG = _table()


def label_ids_of(tags: np.ndarray) -> np.ndarray:
    """Return the labels of a drawn picture.

    Args:
        tags: (H, W) uint16: a tag of this module or a Cityscapes file id, or such an id * 1000 + instance number.

    Returns:
        (H, W) uint8 RailSem19 ids, 0 to 18, or 255 for void.
    """
    return _CLASS_OF_TAG[np.where(tags >= 1000, tags // 1000, tags)]
