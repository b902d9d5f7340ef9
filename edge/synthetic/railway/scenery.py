"""What lies beside the line: slopes, walls and fences, the sides of a street, and the hills at the end of sight."""

from __future__ import annotations

import math

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.city_blocks import facade, plain_surface, wall_color
from edge.synthetic.railway.buildings import add_building, add_buildings
from edge.synthetic.railway.ground import grass_color, road_edges
from edge.synthetic.railway.line import SIGHT_M, Flank, Line
from edge.synthetic.railway.plants import LEAVES, add_plant, add_plants, near_first, stamp_bush
from edge.synthetic.railway.surfaces import Drawings, fill_rough, stretches
from edge.synthetic.seeded_random import SeededRandom

_BUILDING, _WALL, _FENCE = (CITYSCAPES_RAW_IDS[name] for name in ("building", "wall", "fence"))
_PLANT, _TERRAIN, _GUARD = (CITYSCAPES_RAW_IDS[name] for name in ("vegetation", "terrain", "guard rail"))


def _at(canvas: Canvas, along: float, side: float, up: float) -> tuple[float, float, float]:
    right, ahead = canvas.camera.view(along, side)
    return right, up, ahead


def draw_hills(canvas: Canvas, line: Line) -> None:
    """Draw the hills at the end of sight, over the whole width of the picture."""
    rng = SeededRandom(*line.key, 30)
    half_view = canvas.camera.width / canvas.camera.focal_px
    if line.setting in ("open", "mountain", "forest") or rng.chance(0.3):
        for layer in range(2 if line.setting == "mountain" else 1):
            ahead = 1500.0 - 700.0 * layer
            peak = rng.uniform(160.0, 420.0) if line.setting == "mountain" else rng.uniform(15.0, 90.0)
            wooded = rng.chance(0.7)
            color = (rng.uniform(54, 84), rng.uniform(74, 98), rng.uniform(46, 70)) if wooded else grass_color(line)
            _draw_hills(canvas, rng, ahead, half_view, peak, (color, _PLANT if wooded else _TERRAIN))


def add_far_row(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add the woods and houses at the end of sight, with a gap where the line goes on."""
    rng = SeededRandom(*line.key, 31)
    half_view, ahead = canvas.camera.width / canvas.camera.focal_px, SIGHT_M + 40.0
    low = [-flank.high_m if flank.kind == "dam" else 0.0 for flank in line.flanks]
    town = line.setting in ("suburb", "station", "tram", "yard")
    middle, right = canvas.camera.view(canvas.camera.along_m + ahead, 0.0)[0], -half_view * ahead
    while right < half_view * ahead:
        wide, is_house, grows = rng.uniform(8.0, 26.0), town and rng.chance(0.4), rng.chance(0.75)
        high, bushes = rng.uniform(7.0, 24.0), (rng.uniform(5.0, 14.0), rng.uniform(5.0, 14.0))
        leaf = (rng.uniform(50, 90), rng.uniform(72, 104), rng.uniform(35, 60))
        foot = low[0] if right < middle else low[1]

        def house(right: float = right, wide: float = wide, high: float = high, foot: float = foot) -> None:
            surface = facade((*line.key, 31, int(right)), line.light, 40.0, False).surface((0.0, 0.0, -1.0))
            canvas.upright((right, ahead), (right + wide, ahead), foot, foot + high, surface, _BUILDING)

        def wood(
            right: float = right, wide: float = wide, foot: float = foot, bushes: tuple = bushes, leaf: tuple = leaf
        ) -> None:
            tones = SeededRandom(*line.key, 28, int(right))
            for step, bush_high in enumerate(bushes):
                place = (right + step * wide / 2, foot - 0.5, ahead)
                stamp_bush(canvas, place, wide * 0.9, bush_high, leaf, step, tones)

        if abs(right + wide * 0.5 - middle) > 17.0 + wide * 0.5 and (is_house or grows):
            drawings.append((ahead, house if is_house else wood))
        right += wide


def _draw_hills(canvas: Canvas, rng: SeededRandom, ahead: float, half_view: float, peak: float, looks: tuple) -> None:
    color, tag = looks
    reach, count = half_view * ahead * 1.05, 26
    heights = [rng.uniform(0.25, 1.0) for _ in range(9)]
    previous = None
    for index in range(count + 1):
        place = index / count * (len(heights) - 1)
        first = min(int(place), len(heights) - 2)
        part = place - first
        part = part * part * (3.0 - 2.0 * part)
        high = peak * (heights[first] + (heights[first + 1] - heights[first]) * part) * rng.uniform(0.95, 1.05)
        point = (-reach + 2.0 * reach * index / count, high)
        if previous is not None:
            corners = [(previous[0], -20.0, ahead), (point[0], -20.0, ahead), (point[0], point[1], ahead)]
            corners.append((previous[0], previous[1], ahead))
            fill_rough(canvas, corners, color, tag, (0.0, 0.55, -0.6), 34.0)
        previous = point


def add_scenery(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add everything that stands on both sides of the line to what is drawn."""
    for flank in line.flanks:
        rng = SeededRandom(*line.key, 32, flank.sign)
        end = min(SIGHT_M, line.tunnel_m or SIGHT_M)
        if line.setting == "tram":
            _add_street_side(drawings, canvas, line, flank, rng)
            continue
        if flank.kind == "bank":
            _add_bank(drawings, canvas, line, flank, end)
        if flank.kind in ("wall", "barrier"):
            _add_wall(drawings, canvas, line, flank, end, rng)
        if flank.fence != "none":
            _add_fence(drawings, canvas, line, flank, end, rng)
        add_plants(drawings, canvas, line, flank, end, rng)
        if flank.scenery in ("houses", "halls"):
            add_buildings(drawings, canvas, line, flank, end, rng)


def _add_bank(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, end: float) -> None:
    color, sign, tag = grass_color(line), float(flank.sign), _TERRAIN
    if SeededRandom(*line.key, 29, flank.sign).chance(0.45):  # overgrown with scrub
        tag, color = _PLANT, tuple(c * f for c, f in zip(color, (0.72, 0.84, 0.76)))
    steep = flank.high_m / flank.run_m
    length = math.sqrt(1.0 + steep * steep)
    normal = (-sign * steep / length, 1.0 / length, 0.0)
    for low, far in stretches(0.7, end, 2.0, 0.16):
        for band in range(2):
            inner, outer = band / 2.0, (band + 1) / 2.0

            def draw(low: float = low, far: float = far, inner: float = inner, outer: float = outer) -> None:
                corners = []
                for along, part in ((low, inner), (far, inner), (far, outer), (low, outer)):
                    side = (flank.edge_m + flank.run_m * part) * sign
                    corners.append(_at(canvas, along, side, flank.high_m * part))
                fill_rough(
                    canvas,
                    corners,
                    tuple(c * (1.0 - 0.04 * inner) for c in color),
                    tag,
                    normal,
                    42.0 if tag == _TERRAIN else 80.0,
                )

            drawings.append((far + 2.0 - band * 0.1, draw))
        top = (flank.edge_m + flank.run_m) * sign

        def crest(low: float = low, far: float = far, top: float = top) -> None:
            if canvas.camera.above_m <= flank.high_m:
                return
            corners = [
                _at(canvas, along, side, flank.high_m)
                for along, side in ((low, top), (far, top), (far, top + sign * 60.0), (low, top + sign * 60.0))
            ]
            fill_rough(canvas, corners, color, _TERRAIN, (0.0, 1.0, 0.0), 40.0)

        drawings.append((far + 3.0, crest))


def _add_wall(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, end: float, rng: SeededRandom) -> None:
    side, normal = flank.edge_m * flank.sign, (-float(flank.sign), 0.0, 0.0)
    if flank.kind == "barrier":
        color = rng.choice(((150.0, 152.0, 148.0), (96.0, 124.0, 104.0), (140.0, 108.0, 84.0), (120.0, 134.0, 150.0)))
        surface = plain_surface(color, line.light, normal, "wall", rng.choice((4.0, 5.0)))
    else:
        color = wall_color(rng) if rng.chance(0.5) else (128.0, 122.0, 112.0)
        surface = plain_surface(color, line.light, normal, "wall", rng.choice((0.9, 1.6, 6.0)))
    ivy = rng.chance(0.4)
    leaf = rng.weighted(LEAVES)
    for low, far in stretches(0.7, end, 4.0, 0.25):

        def draw(low: float = low, far: float = far) -> None:
            view = canvas.camera.view
            canvas.upright(view(low, side), view(far, side), 0.0, flank.high_m, surface, _WALL, low)

        drawings.append(((low + far) * 0.5, draw))
        if ivy and rng.chance(0.4):
            foot, wide, high = rng.uniform(low, far), rng.uniform(1.5, 4.0), flank.high_m * rng.uniform(0.4, 1.0)

            def grow(foot: float = foot, wide: float = wide, high: float = high) -> None:
                right, ahead = canvas.camera.view(foot, side - flank.sign * 0.3)
                stamp_bush(canvas, (right, 0.0, ahead), wide, high, leaf, int(foot), SeededRandom(int(foot * 8)))

            if foot > 7.0:
                drawings.append((foot, grow))


def _add_fence(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, end: float, rng: SeededRandom) -> None:
    side, normal = (flank.edge_m + 0.2) * flank.sign, (-float(flank.sign), 0.0, 0.0)
    color = rng.choice(
        ((62.0, 68.0, 64.0), (120.0, 92.0, 64.0), (196.0, 196.0, 192.0), (52.0, 92.0, 62.0), (140.0, 142.0, 142.0))
    )
    kind, high = flank.fence, rng.uniform(1.1, 2.3)
    pattern, period = {
        "mesh": ("bars", 0.1),
        "bars": ("bars", rng.uniform(0.14, 0.3)),
        "boards": ("boards", 0.2),
        "rail": ("rail", 1.0),
    }[kind]
    surface = plain_surface(color if kind != "rail" else (150.0, 152.0, 155.0), line.light, normal, pattern, period)
    tag = _GUARD if kind == "rail" else _FENCE
    for low, far in stretches(0.7, end, 4.0, 0.25):
        if line.crossing is not None and low < line.crossing[1] + 1.0 and far > line.crossing[0] - 1.0:
            continue

        def draw(low: float = low, far: float = far) -> None:
            view = canvas.camera.view
            canvas.upright(view(low, side), view(far, side), 0.0, 0.85 if kind == "rail" else high, surface, tag, low)

        drawings.append(((low + far) * 0.5, draw))


def _add_street_side(drawings: Drawings, canvas: Canvas, line: Line, flank: Flank, rng: SeededRandom) -> None:
    """Add the houses and trees of a street in which trams run."""
    walk_left, left, right, walk_right = road_edges(line)
    front, kerb = (walk_right, right) if flank.sign > 0 else (walk_left, left)
    along = rng.uniform(-8.0, 2.0)
    while along < SIGHT_M and flank.scenery != "bushes":
        wide = rng.uniform(8.0, 20.0)
        if rng.chance(0.88):
            add_building(
                drawings,
                canvas,
                line,
                (along, along + wide, front + flank.sign * rng.uniform(0.0, 0.8), 0.0),
                False,
                (*line.key, 34, flank.sign, int(along * 4) & 0xFFFF),
            )
        along += wide + (rng.uniform(3.0, 10.0) if rng.chance(0.15) else 0.0)
    trees = rng.chance(0.5)
    along = rng.uniform(4.0, 14.0)
    while along < 150.0:
        if trees:
            add_plant(
                drawings,
                canvas,
                line,
                (along, kerb + flank.sign * 0.9),
                (True, False),
                (*line.key, 35, flank.sign, int(along)),
            )
        along += rng.uniform(9.0, 16.0)
    if flank.scenery == "bushes":
        for number in range(26):
            place = (3.0 + 200.0 * near_first(rng), front + flank.sign * rng.uniform(1.0, 16.0))
            add_plant(
                drawings, canvas, line, place, "bush" if number % 2 else "leaves", (*line.key, 36, flank.sign, number)
            )
