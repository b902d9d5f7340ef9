"""Houses and halls beside the line."""

from __future__ import annotations

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.city_blocks import facade, plain_surface, wall_color
from edge.synthetic.railway.line import Flank, Line
from edge.synthetic.railway.surfaces import Drawings, fill_rough
from edge.synthetic.seeded_random import SeededRandom

_BUILDING = CITYSCAPES_RAW_IDS["building"]


def add_buildings(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, end: float, rng: SeededRandom) -> None:
    """Add a row of houses or halls on one side of a line, up to `end` metres ahead."""
    front = flank.edge_m + (11.0 if flank.kind == "street" else rng.uniform(6.0, 13.0))
    front += flank.run_m if flank.kind in ("bank", "dam") else 0.0
    along = rng.uniform(-6.0, 6.0)
    while along < end:
        wide = rng.uniform(9.0, 20.0) if flank.scenery == "houses" else rng.uniform(22.0, 52.0)
        open_road = (
            line.crossing is not None and along < line.crossing[1] + 2.0 and along + wide > line.crossing[0] - 2.0
        )
        if not open_road and along + wide > 2.0:
            side = (front + rng.uniform(0.0, 5.0)) * flank.sign
            up = line.flank(side).ground_up(side)
            add_building(
                drawings,
                canvas,
                line,
                (along, along + wide, side, up),
                flank.scenery == "halls",
                (*line.key, 34, flank.sign, int(along * 4) & 0xFFFF),
            )
        along += wide + (rng.uniform(2.0, 14.0) if rng.chance(0.6) else 0.3)


def add_building(drawings: Drawings, canvas: Canvas, line: Line, place: tuple, is_hall: bool, key: tuple) -> None:
    """Add a house or a hall.

    Args:
        drawings: List that it is added to.
        canvas: Canvas to draw on.
        line: Line beside which it stands.
        place: (from, to, side, up): its reach along the way, the side of its front, the height of its foot, in metres.
        is_hall: Whether it is a hall in place of a house.
        key: Key of the random numbers that decide its looks.
    """
    near, far, side, up = place
    rng = SeededRandom(*key)
    high = rng.uniform(5.5, 11.0) if is_hall else rng.uniform(4.5, 17.0)
    sign, deep = (1.0 if side > 0 else -1.0), rng.uniform(9.0, 14.0)
    ridge = rng.uniform(1.8, 4.5) if rng.chance(0.15 if is_hall else 0.65) else 0.0
    tone = rng.choice(((128.0, 66.0, 52.0), (74.0, 72.0, 74.0), (102.0, 86.0, 74.0), (88.0, 95.0, 102.0)))
    color, shop = wall_color(rng), rng.chance(0.5) and line.setting == "tram"

    def surface(normal: tuple) -> object:
        if is_hall:
            look = plain_surface(color, line.light, normal, "boards", 0.9)
        else:
            look = facade(key, line.light, high, shop).surface(normal)
        return lambda along, above, ahead: look(along, np.maximum(above - up, 0.0), ahead)

    def draw() -> None:
        view = canvas.camera.view
        foot, far_foot, back = view(near, side), view(far, side), view(near, side + sign * deep)
        if not canvas.camera.may_show([foot, far_foot, back]) and abs(line.view.shift) < 0.02:
            return
        if ridge:
            middle, far_middle = view(near, side + sign * deep * 0.5), view(far, side + sign * deep * 0.5)
            slope = [(foot[0], up + high, foot[1]), (far_foot[0], up + high, far_foot[1])]
            slope += [(far_middle[0], up + high + ridge, far_middle[1]), (middle[0], up + high + ridge, middle[1])]
            fill_rough(canvas, slope, tone, _BUILDING, (-sign * 0.5, 0.86, 0.0), 12.0)
            gable = [
                (foot[0], up + high, foot[1]),
                (middle[0], up + high + ridge, middle[1]),
                (back[0], up + high, back[1]),
            ]
            canvas.fill(gable, color, _BUILDING, (0.0, 0.0, -1.0))
        elif canvas.camera.above_m > up + high:
            far_back = view(far, side + sign * deep)
            roof = [(p[0], up + high, p[1]) for p in (foot, far_foot, far_back, back)]
            fill_rough(canvas, roof, (110.0, 108.0, 104.0), _BUILDING, (0.0, 1.0, 0.0), 12.0)
        canvas.upright(foot, back, up, up + high, surface((0.0, 0.0, -1.0)), _BUILDING)
        canvas.upright(foot, far_foot, up, up + high, surface((-sign, 0.0, 0.0)), _BUILDING)

    drawings.append(((max(near, 1.0) + far) * 0.5, draw))
