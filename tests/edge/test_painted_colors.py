from __future__ import annotations

import numpy as np
import pytest

from edge.labels import (
    CAMVID,
    CITYSCAPES,
    CITYSCAPES_INFRASTRUCTURE,
    CLASS_TABLES,
    RAILSEM19,
    distinct_palette,
    palette_for,
)

ALPHA = 0.55  # the default of edge-demo
FRAMES = (0.0, 110.0, 220.0)

SURROUNDINGS = ("road", "sidewalk", "building", "construction", "trackbed", "vegetation", "terrain", "sky")

RAILS = ("rail track", "rail-track", "rail-raised")
"""Classes that have to be told from people and vehicles as well as these from one another."""

LARGE_TABLES = (CITYSCAPES, CITYSCAPES_INFRASTRUCTURE, RAILSEM19)


def _watched(table):
    """Return the classes that have to be told apart by everybody: people, vehicles, and the rails they are on."""
    groups = {*table.groups["people"], *table.groups["vehicles"]}
    return [name for index, name in enumerate(table.class_names) if index in groups or name in RAILS]


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VIEWERS = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def _lab(color_rgb, viewer="all cones"):
    """Return the CIELAB coordinates of sRGB colours, 0 to 255, as a viewer sees them."""
    part = np.asarray(color_rgb, float) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(VIEWERS[viewer]).T, 0, 1)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _distance(first, second):
    """Return CIEDE2000 of CIELAB colours, by the steps of Sharma, Wu and Dalal (2005)."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, stretch * a1)) % 360, np.degrees(np.arctan2(b2, stretch * a2)) % 360
    turn = np.where(c1 * c2 == 0, 0, (h2 - h1 + 180) % 360 - 180)
    hue_step = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    hue = np.where(c1 * c2 == 0, h1 + h2, (h1 + turn / 2) % 360)
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.2 * np.cos(np.radians(4 * hue - 63))
    )
    lightness = (l2 - l1) / (1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2))
    chroma, hues = (c2 - c1) / (1 + 0.045 * mean_c), hue_step / (1 + 0.015 * mean_c * t)
    rotation = (
        -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    )
    return np.sqrt(lightness**2 + chroma**2 + hues**2 + rotation * chroma * hues)


def _least(table, palette_rgb, names, others, viewer):
    """Return the least distance of a class of `names` from another of `others`, painted over all frames."""
    rows, columns = ([table.class_names.index(name) for name in group] for group in (names, others))
    least = np.inf
    for frame in FRAMES:
        painted = palette_rgb[: table.class_count].astype(float)
        lab = _lab(ALPHA * painted + (1 - ALPHA) * frame, viewer)
        distances = _distance(lab[rows][:, None], lab[columns][None])
        distances[np.equal.outer(rows, columns)] = np.inf
        least = min(least, float(distances.min()))
    return least


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_distance_is_that_of_the_published_pairs(first, second, distance):
    assert float(_distance(np.array(first), np.array(second))) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("table", LARGE_TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize(
    ("viewer", "users", "around"),
    [(name, 14 if name == "all cones" else 6, 9 if name == "all cones" else 5) for name in VIEWERS],
)
def test_people_vehicles_and_rails_are_told_apart_over_any_frame_by_any_viewer(table, viewer, users, around):
    palette, watched = palette_for(table.class_names), _watched(table)
    assert _least(table, palette, watched, watched, viewer) >= users
    assert _least(table, palette, watched, set(SURROUNDINGS) & set(table.class_names), viewer) >= around


def test_people_vehicles_and_rails_are_those_of_the_tables():
    street = ["person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"]
    assert _watched(CITYSCAPES) == street
    assert _watched(CITYSCAPES_INFRASTRUCTURE) == [*street, "rail track"]
    assert _watched(RAILSEM19) == ["human", "rail-track", "car", "truck", "on-rails", "rail-raised"]


@pytest.mark.parametrize(("table", "least"), [(CITYSCAPES, 4), (RAILSEM19, 9)], ids=["cityscapes", "railsem19"])
def test_official_colours_would_not_do(table, least):
    official, watched = table.palette_rgb(), _watched(table)
    assert _least(table, official, watched, watched, "all cones") < 9
    assert min(_least(table, official, watched, watched, viewer) for viewer in VIEWERS) < least


@pytest.mark.parametrize(
    "names",
    [*(table.class_names for table in CLASS_TABLES.values()), tuple("abcdefghijklmnopqrstuvwxyz")],
    ids=[*CLASS_TABLES, "unknown"],
)
def test_every_colour_is_seen_over_a_black_frame(names):
    painted = ALPHA * palette_for(names)[: len(names)].astype(float)
    assert _lab(painted)[:, 0].min() > 17, "a quarter of that is what the official black of a truck has"


@pytest.mark.parametrize("table", [CITYSCAPES_INFRASTRUCTURE, CAMVID, RAILSEM19], ids=lambda table: table.name)
def test_classes_of_the_same_things_have_the_same_colour_in_every_table(table):
    painted = dict(zip(CITYSCAPES_INFRASTRUCTURE.class_names, CITYSCAPES_INFRASTRUCTURE.painted_rgb))
    same = {"pedestrian": "person", "human": "person", "tree": "vegetation", "pavement": "sidewalk"}
    same.update({"construction": "building", "on-rails": "train", "bicyclist": "rider", "sign": "traffic sign"})
    shared = 0
    for name, color in zip(table.class_names, table.painted_rgb):
        name = same.get(name, name.replace("-", " "))
        if name in painted:
            assert color == painted[name], name
            shared += 1
    assert shared >= 11


def test_label_maps_keep_the_colours_of_their_dataset():
    assert tuple(CITYSCAPES.palette_rgb()[13]) == (0, 0, 142)
    assert tuple(CAMVID.palette_rgb()[9]) == (64, 64, 0)


def test_colours_beyond_the_classes_are_black():
    assert not palette_for(CITYSCAPES.class_names)[19:].any() and not distinct_palette(4)[4:].any()
