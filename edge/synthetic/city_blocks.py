"""City blocks behind the pavement: houses, parks, walls, fences, guard rails."""

from __future__ import annotations

import functools

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.light import Light
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import NOISE_SIDE, facade_tiles, rough_field
from edge.synthetic.vegetation import draw_bush, draw_tree
from edge.synthetic.world import BLOCK_M, JUNCTION_M, SIGHT_M, World

_BUILDING, _WALL, _FENCE = (CITYSCAPES_RAW_IDS[name] for name in ("building", "wall", "fence"))
_GUARD_RAIL, _BRIDGE = CITYSCAPES_RAW_IDS["guard rail"], CITYSCAPES_RAW_IDS["bridge"]
_DEEP_M = 14.0


def wall_color(rng: SeededRandom) -> tuple[float, float, float]:
    """Draw the colour of a wall: brick, glass and panels, sandstone, olive, or grey."""
    kind = rng.integer(0, 5)
    if kind == 0:  # brick
        return rng.uniform(110, 165), rng.uniform(60, 90), rng.uniform(48, 75)
    if kind == 1:  # blue-grey glass and panels, near the sky
        level = rng.uniform(110, 190)
        return level * 0.86, level * 0.96, level * 1.08
    if kind == 2:  # sandstone, ochre
        return rng.uniform(165, 220), rng.uniform(140, 185), rng.uniform(95, 140)
    if kind == 3 and rng.chance(0.5):  # green and olive
        return rng.uniform(90, 130), rng.uniform(110, 145), rng.uniform(75, 110)
    level = rng.uniform(60, 225)
    return level, level * rng.uniform(0.94, 1.02), level * rng.uniform(0.88, 1.04)


class _Facade:
    """Facade of a house, which gives the colour of each point on it."""

    def __init__(self, key: tuple, light: Light, high: float, shop: bool) -> None:
        rng = SeededRandom(*key)
        self._floor_m, self._bay_m = rng.uniform(2.7, 3.6), rng.uniform(1.8, 3.8)
        self._tiles = facade_tiles(rng, wall_color(rng), light.is_dark)
        self._choice = (rng.octets(256).reshape(16, 16) % 4).astype(np.int32)
        if rng.chance(0.2):
            self._choice[:] = 5
        self._shop, self._high, self._light = shop, high, light
        self._shift = rng.integer(0, 255)

    def surface(self, normal: tuple) -> object:
        """Return the surface function of a facade with a normal; see Canvas.upright."""
        factor = np.array(self._light.shade((1.0, 1.0, 1.0), *normal), np.float32)
        tiles = self._tiles.reshape(-1, 4)
        colors = tiles[:, :3] * factor
        grainy = np.full(len(tiles), 0.0016, np.float32)
        if self._light.is_dark:
            shines = tiles[:, 3] > 0
            colors[shines] = tiles[shines, :3]
            grainy[shines] = 0.0

        def look(along: np.ndarray, up: np.ndarray, ahead: np.ndarray) -> tuple:
            bay = along / self._bay_m
            bay_number = np.floor(bay).astype(np.int32)
            column = ((bay - bay_number) * 32.0).astype(np.int32).clip(0, 31)
            floor = up / self._floor_m
            floor_number = floor.astype(np.int32)
            tile = self._choice[floor_number & 15, bay_number & 15]
            if self._shop:
                tile[floor_number == 0] = 4
            tile[up > self._high - 0.8] = 5
            index = (tile * 32 + 31 - ((floor - floor_number) * 32.0).astype(np.int32).clip(0, 31)) * 32 + column
            noise_row = (up * 6.0).astype(np.int32) + self._shift & (NOISE_SIDE - 1)
            grain = rough_field()[noise_row, (along * 6.0).astype(np.int32) & (NOISE_SIDE - 1)]
            seen = colors[index]
            bright = grain * grainy[index] + np.float32(1.0)
            for channel in range(3):
                seen[..., channel] *= bright
            return seen, None

        return look


@functools.lru_cache(maxsize=256)
def facade(key: tuple, light: Light, high: float, shop: bool) -> _Facade:
    """Return the facade of a house.

    Args:
        key: Key of the random numbers that decide its looks.
        light: Light of the scene.
        high: Height of the house, in metres.
        shop: Whether there is a shop on the ground floor.
    """
    return _Facade(key, light, high, shop)


def plain_surface(color: tuple, light: Light, normal: tuple, pattern: str, period_m: float) -> object:
    """Return the surface function of a wall or fence: `wall` has courses, `bars` are seen through."""
    shaded = np.array(light.shade(color, *normal), np.float32)

    def look(along: np.ndarray, up: np.ndarray, ahead: np.ndarray) -> tuple:
        noise_row = (up * 9.0 + 40).astype(np.intp) % NOISE_SIDE
        noise_column = (along * 9.0).astype(np.intp) % NOISE_SIDE
        grain = rough_field()[noise_row, np.broadcast_to(noise_column, noise_row.shape)]
        bright = 1.0 + grain * np.float32(0.003)
        mask = None
        if pattern == "wall":
            bright = bright * np.where((up % 0.4 < 0.04) | (along % period_m < 0.05), 0.75, 1.0)
        elif pattern == "bars":
            wide = np.maximum(0.25 * period_m, 0.0009 * ahead)
            mask = (along % period_m < wide) | (up % 0.9 < 0.09)
        elif pattern == "boards":
            bright = bright * np.where(along % period_m < 0.03, 0.55, 1.0)
        elif pattern == "rail":
            mask = (up > 0.4) | (along % 4.0 < 0.15)
            bright = bright * np.where(up % 0.12 < 0.05, 0.8, 1.05)
        return shaded * bright.astype(np.float32)[..., None], mask

    return look


def draw_blocks(canvas: Canvas, world: World) -> None:
    """Draw the blocks on both sides of the street, the farthest first."""
    for block in reversed(world.blocks_in_sight(canvas.camera.along_m)):
        for side in (-1, 1):
            _draw_block(canvas, world, side, block)


def draw_backdrop(canvas: Canvas, world: World) -> None:
    """Draw the background at the end of sight: far trees and roofs over the whole width of the picture."""
    rng = SeededRandom(*world.key, 30)
    ahead = SIGHT_M + 40.0
    right = -ahead * 0.75
    while right < ahead * 0.75:
        wide = rng.uniform(9.0, 26.0)
        if rng.chance(0.45):
            key = (*world.key, 31, int(right))
            surface = facade(key, world.light, 40.0, False).surface((0.0, 0.0, -1.0))
            canvas.upright((right, ahead), (right + wide, ahead), 0.0, rng.uniform(7, 22), surface, _BUILDING)
        else:
            leaf = (rng.uniform(50, 90), rng.uniform(75, 105), rng.uniform(35, 60))
            for step in range(2):
                draw_bush(canvas, (right + step * wide / 2, ahead), wide * 0.9, rng.uniform(6, 13), leaf, step, rng)
        right += wide


def _draw_block(canvas: Canvas, world: World, side: int, block: int) -> None:
    street, kind = world.street, world.block_kind(side, block)
    front = street.front_right if side > 0 else street.front_left
    start = block * BLOCK_M + (JUNCTION_M if world.has_junction(block) else 0.0)
    end = (block + 1) * BLOCK_M
    rng = SeededRandom(*world.key, 9, side, block)
    if kind == "buildings":
        _draw_houses(canvas, world, side, front, start, end, rng)
        return
    if kind in ("park", "fence", "rail"):
        count = rng.integer(4, 9)
        trees = sorted((rng.uniform(start, end) for _ in range(count)), reverse=True)
        for along in trees:
            out = rng.uniform(3.0, 16.0)
            draw_tree(canvas, along, front + side * out, (*world.key, 10, side, block, int(along)), world)
        if rng.chance(0.6):
            leaf = (rng.uniform(45, 100), rng.uniform(70, 110), rng.uniform(30, 60))
            along = end
            while along > start:
                foot = canvas.camera.view(along, front + side * 1.2)
                draw_bush(canvas, foot, rng.uniform(1.5, 3.5), rng.uniform(0.9, 2.4), leaf, int(along) % 12, rng)
                along -= 1.6 + max(0.0, foot[1]) * 0.03
    if kind == "parking":
        _draw_houses(canvas, world, side, front + side * 16.0, start, end, rng)
    if kind in ("wall", "fence", "rail", "parking"):
        if kind == "wall":
            for along in (end - 8.0, start + 12.0):
                draw_tree(canvas, along, front + side * 6.0, (*world.key, 10, side, block, int(along)), world)
        _draw_barrier(canvas, world, side, front + side * 0.4, start, end, kind, rng)


def _draw_barrier(
    canvas: Canvas, world: World, side: int, front: float, start: float, end: float, kind: str, rng: SeededRandom
) -> None:
    normal = (-float(side), 0.0, 0.0)
    if kind == "wall":
        high, tag = rng.uniform(1.3, 3.8), _WALL
        surface = plain_surface(wall_color(rng), world.light, normal, "wall", rng.choice((0.8, 2.5, 5.0)))
    elif kind == "rail":
        high, tag = 0.85, _GUARD_RAIL
        surface = plain_surface((150.0, 152.0, 155.0), world.light, normal, "rail", 1.0)
    else:
        high, tag = rng.uniform(1.0, 2.4), _FENCE
        color = rng.choice(
            ((60.0, 65.0, 62.0), (120.0, 88.0, 60.0), (205.0, 205.0, 200.0), (50.0, 90.0, 60.0), (140.0, 140.0, 140.0))
        )
        surface = plain_surface(
            color, world.light, normal, rng.choice(("bars", "bars", "boards")), rng.uniform(0.12, 0.3)
        )
    along = end
    while along > start:
        near = max(start, along - 8.0)
        view = canvas.camera.view
        canvas.upright(view(near, front), view(along, front), 0.0, high, surface, tag, near)
        along = near


def _draw_houses(
    canvas: Canvas, world: World, side: int, front: float, start: float, end: float, rng: SeededRandom
) -> None:
    houses, along = [], start + rng.uniform(0.0, 1.5)
    while along < end - 5.0:
        wide = min(rng.uniform(7.0, 20.0), end - along)
        gap = rng.uniform(1.5, 6.0) if rng.chance(0.25) else 0.0
        houses.append((along, along + wide, rng.uniform(5.5, 24.0), rng.uniform(-0.6, 1.2), rng.chance(0.5)))
        along += wide + gap
    view = canvas.camera.view
    for near, far, high, back, shop in reversed(houses):
        line = front + side * max(0.0, back)
        key = (*world.key, 11, side, int(near * 8) & 0xFFFFFF)
        if not canvas.camera.may_show([view(near, line), view(far, line), view(near, line + side * _DEEP_M)]):
            continue
        house = facade(key, world.light, high, shop)
        roof = SeededRandom(*key, 1)
        foot, ridge_m = view(near, line), roof.uniform(2.0, 5.0) if roof.chance(0.5) else 0.0
        deep = view(near, line + side * _DEEP_M)
        far_foot = view(far, line)
        if ridge_m:
            color = roof.choice(((125.0, 62.0, 48.0), (72.0, 70.0, 72.0), (100.0, 84.0, 72.0), (85.0, 92.0, 100.0)))
            middle = view(near, line + side * _DEEP_M * 0.5)
            far_middle = view(far, line + side * _DEEP_M * 0.5)
            slope = [(foot[0], high, foot[1]), (far_foot[0], high, far_foot[1])]
            slope += [(far_middle[0], high + ridge_m, far_middle[1]), (middle[0], high + ridge_m, middle[1])]
            canvas.fill(slope, color, _BUILDING, (-side * 0.5, 0.86, 0.0))
            gable = [(foot[0], high, foot[1]), (middle[0], high + ridge_m, middle[1]), (deep[0], high, deep[1])]
            canvas.fill(gable, wall_color(SeededRandom(*key)), _BUILDING, (0.0, 0.0, -1.0))
        canvas.upright(foot, deep, 0.0, high, house.surface((0.0, 0.0, -1.0)), _BUILDING)
        canvas.upright(foot, far_foot, 0.0, high, house.surface((-float(side), 0.0, 0.0)), _BUILDING)
        if roof.chance(0.4):
            top = [view(near + 2.0, line + side * 4.0), view(near + 3.2, line + side * 4.0)]
            up = high + ridge_m * 0.8
            box = [_lift(top[0], up), _lift(top[1], up), _lift(top[1], up + 1.6), _lift(top[0], up + 1.6)]
            canvas.fill(box, (110.0, 90.0, 80.0), _BUILDING, (-float(side), 0.0, 0.0))


def _lift(foot: tuple, up: float) -> tuple[float, float, float]:
    return foot[0], up, foot[1]


def draw_bridge(canvas: Canvas, world: World) -> None:
    """Draw a bridge over the road, where the street has one: bridges repeat along the way."""
    camera = canvas.camera
    along = (camera.along_m // 300.0 + 1.0) * 300.0 - 60.0
    if not 8.0 < along - camera.along_m < SIGHT_M:
        return
    surface = plain_surface((135.0, 130.0, 122.0), world.light, (0.0, 0.0, -1.0), "wall", 3.0)
    left, right = world.street.front_left - 30.0, world.street.front_right + 30.0
    canvas.upright(camera.view(along, left), camera.view(along, right), 5.2, 7.4, surface, _BRIDGE)
    low = [
        camera.view(along, left),
        camera.view(along, right),
        camera.view(along + 8, right),
        camera.view(along + 8, left),
    ]
    canvas.fill([_lift(foot, 5.2) for foot in low], (80.0, 78.0, 75.0), _BRIDGE, (0.0, -1.0, 0.0))
    for side in (world.street.front_left - 1.0, world.street.front_right):
        canvas.upright(camera.view(along, side), camera.view(along, side + 1.2), 0.0, 5.2, surface, _BRIDGE)
