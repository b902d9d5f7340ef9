"""Polygons are filled as Pillow fills them; the pixels below were set by ImageDraw.polygon of Pillow 12.0.0."""

from __future__ import annotations

import numpy as np
import pytest

from edge.datasets.polygons.fill import fill_polygons

DRAWN = {
    "triangle": (
        [(1, 1), (10, 3), (4, 7)],
        """
        ............
        .#..........
        ..####......
        ..#########.
        ...######...
        ...#####....
        ....##......
        ....#.......
        """,
    ),
    "tip to the right": (
        [(0, 0), (13, 3), (0, 5)],
        """
        #.............
        #####.........
        ##########....
        ##############
        #######.......
        #.............
        ..............
        """,
    ),
    "tip to the left": (
        [(13, 2), (0, 0), (12, 5)],
        """
        ##............
        ..#####.......
        .....#########
        .......#######
        ..........###.
        ............#.
        """,
    ),
    "corners outside of the picture": (
        [(-5, -3), (14, 2), (3, 12)],
        """
        #######..
        #########
        #########
        #########
        #########
        #########
        """,
    ),
    "edges that cross": (
        [(0, 0), (9, 6), (9, 0), (0, 6)],
        """
        #........#
        ##......##
        ####..####
        ##########
        ####..####
        ##......##
        #........#
        """,
    ),
    "two corners": (
        [(1, 0), (7, 3)],
        """
        .##......
        ...#.....
        .....#...
        ......##.
        """,
    ),
    "level edges": (
        [(0, 0), (3, 0), (6, 0), (6, 3), (8, 3), (8, 5), (0, 5)],
        """
        #######..
        #######..
        #######..
        #########
        #########
        #########
        """,
    ),
    "fractions": (
        [(0.9, 0.9), (6.7, 1.2), (3.5, 4.99)],
        """
        #.......
        .######.
        ..####..
        ..###...
        ...#....
        """,
    ),
}


def picture(text):
    return np.array([[mark == "#" for mark in line] for line in text.split()], np.uint8)


@pytest.mark.parametrize("case", DRAWN)
def test_pixels_are_those_that_pillow_sets(case):
    corners, text = DRAWN[case]
    wanted = picture(text)
    labels = np.zeros_like(wanted)
    fill_polygons(labels, [corners], [1])
    np.testing.assert_array_equal(labels, wanted)


def test_polygons_of_one_call_are_filled_as_one_after_the_other():
    polygons = [corners for corners, _ in DRAWN.values()]
    together, apart = np.zeros((8, 14), np.uint8), np.zeros((8, 14), np.uint8)
    fill_polygons(together, polygons, range(1, len(polygons) + 1))
    for value, corners in enumerate(polygons, 1):
        fill_polygons(apart, [corners], [value])
    np.testing.assert_array_equal(together, apart)
    assert len(np.unique(together)) > 4


def test_no_polygon_leaves_the_map_alone():
    labels = np.full((3, 4), 7, np.uint8)
    fill_polygons(labels, [], [])
    fill_polygons(labels, [[(-9, -9), (-3, -9), (-5, -4)], [(9, 9), (12, 10), (9, 15)]], [1, 2])
    assert (labels == 7).all()


def test_any_polygon_is_filled_as_pillow_does():
    pillow = pytest.importorskip("PIL", minversion="11.3")
    assert pillow
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width = map(int, rng.integers(1, 50, 2))
        spread = int(rng.choice([6, 40, 90]))
        polygons = [rng.integers(-spread // 3, spread, (rng.integers(2, 12), 2)).tolist() for _ in range(4)]
        image = Image.new("L", (width, height), 0)
        labels = np.zeros((height, width), np.uint8)
        for value, corners in enumerate(polygons, 1):
            ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=value)
        fill_polygons(labels, polygons, [1, 2, 3, 4])
        np.testing.assert_array_equal(labels, np.asarray(image), str(polygons))
