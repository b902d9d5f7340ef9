from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from edge.labels import (
    CAMVID,
    CITYSCAPES,
    CITYSCAPES_INSTANCE_NAMES,
    CITYSCAPES_RAW_IDS,
    CLASS_TABLES,
    IGNORE_ID,
    RAILSEM19,
    palette_for,
)

REPOSITORY = Path(__file__).resolve().parents[2]

# Typed in from the table of the Cityscapes class definitions: id, name, train id, colour.
OFFICIAL = """
0 unlabeled 255 0,0,0
1 ego_vehicle 255 0,0,0
2 rectification_border 255 0,0,0
3 out_of_roi 255 0,0,0
4 static 255 0,0,0
5 dynamic 255 111,74,0
6 ground 255 81,0,81
7 road 0 128,64,128
8 sidewalk 1 244,35,232
9 parking 255 250,170,160
10 rail_track 255 230,150,140
11 building 2 70,70,70
12 wall 3 102,102,156
13 fence 4 190,153,153
14 guard_rail 255 180,165,180
15 bridge 255 150,100,100
16 tunnel 255 150,120,90
17 pole 5 153,153,153
18 polegroup 255 153,153,153
19 traffic_light 6 250,170,30
20 traffic_sign 7 220,220,0
21 vegetation 8 107,142,35
22 terrain 9 152,251,152
23 sky 10 70,130,180
24 person 11 220,20,60
25 rider 12 255,0,0
26 car 13 0,0,142
27 truck 14 0,0,70
28 bus 15 0,60,100
29 caravan 255 0,0,90
30 trailer 255 0,0,110
31 train 16 0,80,100
32 motorcycle 17 0,0,230
33 bicycle 18 119,11,32
"""
ROWS = [line.split() for line in OFFICIAL.strip().splitlines()]


def test_cityscapes_has_the_34_official_ids_and_names():
    assert {name.replace(" ", "_"): raw for name, raw in CITYSCAPES_RAW_IDS.items()} == {
        name: int(raw) for raw, name, _, _ in ROWS
    }


def test_cityscapes_train_ids_are_the_official_ones():
    assert CITYSCAPES.raw_to_train == {int(raw): int(train) for raw, _, train, _ in ROWS}
    assert CITYSCAPES.class_count == 19


@pytest.mark.parametrize(("name", "train", "color"), [row[1:] for row in ROWS if row[2] != "255"])
def test_cityscapes_class_has_its_name_and_colour_at_its_train_id(name, train, color):
    assert CITYSCAPES.class_names[int(train)].replace(" ", "_") == name
    assert CITYSCAPES.colors_rgb[int(train)] == tuple(int(part) for part in color.split(","))


def test_cityscapes_tells_objects_of_10_classes_apart():
    assert set(CITYSCAPES_INSTANCE_NAMES) == {
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "caravan",
        "trailer",
        "train",
        "motorcycle",
        "bicycle",
    }


def test_camvid_has_11_classes_and_ignores_id_11():
    assert CAMVID.class_names == (
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
    assert CAMVID.raw_to_train == {**{index: index for index in range(11)}, 11: IGNORE_ID}


RAILSEM19_NAMES = """
road sidewalk construction tram-track fence pole traffic-light traffic-sign vegetation terrain sky human rail-track car
truck trackbed on-rails rail-raised rail-embedded
"""


def test_railsem19_has_its_19_classes_in_the_order_of_their_ids():
    assert RAILSEM19.class_names == tuple(RAILSEM19_NAMES.split())
    assert RAILSEM19.raw_to_train == {**{index: index for index in range(19)}, 255: IGNORE_ID}


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=CLASS_TABLES)
def test_every_class_has_a_colour_of_its_own(table):
    assert len(set(table.colors_rgb)) == len(table.colors_rgb) == len(set(table.class_names)) == table.class_count
    assert sorted(set(table.raw_to_train.values()) - {IGNORE_ID}) == list(range(table.class_count))


@pytest.mark.parametrize("table", CLASS_TABLES.values(), ids=CLASS_TABLES)
def test_lookup_tells_known_ignored_and_unknown_ids_apart(table):
    lookup = table.raw_lookup()
    assert lookup.shape == (256,)
    for raw in range(256):
        assert lookup[raw] == table.raw_to_train.get(raw, -1)


def test_palette_of_a_table_is_its_colours_and_black():
    palette = CITYSCAPES.palette_rgb()
    np.testing.assert_array_equal(palette[:19], CITYSCAPES.colors_rgb)
    assert not palette[19:].any()


@pytest.mark.parametrize("count", [1, 19, 150, 255])
def test_palette_of_unknown_classes_has_as_many_colours(count):
    palette = palette_for(tuple(f"class {index}" for index in range(count)))
    colours = {tuple(colour) for colour in palette[:count].tolist()}
    assert len(colours) == count
    assert (0, 0, 0) not in colours
    assert not palette[count:].any()


def lists_of_classes(path: Path) -> list[int]:
    """Return the lines of a module where a tuple, list, set or dict has five or more classes of one table."""
    text = path.read_text(encoding="utf-8")
    quoted = set(re.findall(r'"([^"\n]+)"', text))
    known = [names for names in ({*table.class_names} for table in CLASS_TABLES.values()) if len(names & quoted) >= 5]
    lines = []
    for node in ast.walk(ast.parse(text)) if known else ():
        if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            texts = {
                one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
            }
            if any(len(names & texts) >= 5 for names in known):
                lines.append(node.lineno)
    return lines


@pytest.mark.any_python
def test_no_module_lists_the_classes_of_a_table_again():
    # What is drawn has kinds of its own, and says by the table which class each is.
    rooms = ("edge", "calibration", "export", "train", "benchmarks")
    paths = [path for room in rooms for path in (REPOSITORY / room).rglob("*.py") if "synthetic" not in path.parts]
    assert len(paths) > 300
    assert {path.name: lines for path in paths if (lines := lists_of_classes(path))} == {}


def test_list_of_classes_is_found(tmp_path):
    module = tmp_path / "street.py"
    module.write_text('ONE = 1\nUSERS = ("person", "rider", "car", "truck", "bus")\n')
    assert lists_of_classes(module) == [2]
    module.write_text('USERS = ("person", "rider", "car", "truck")\n')
    assert lists_of_classes(module) == []
