"""Ground and sky: road, pavement, grass and track, and the background above the horizon."""

from __future__ import annotations

import math

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import NOISE_SIDE, noise_field, rough_field
from edge.synthetic.world import BLOCK_M, JUNCTION_M, PARKED_M, World

_ROAD, _WALK, _TERRAIN, _PARKING, _GROUND, _TRACK, _MARK, _KERB, _STEEL, _SLEEPER, _JOINT = range(11)
_RAW = np.array(
    [
        CITYSCAPES_RAW_IDS[name]
        for name in (
            "road",
            "sidewalk",
            "terrain",
            "parking",
            "ground",
            "rail track",
            "road",
            "sidewalk",
            "rail track",
            "rail track",
            "sidewalk",
        )
    ],
    np.uint16,
)
_BEYOND = {"buildings": _WALK, "park": _TERRAIN, "wall": _TERRAIN, "fence": _TERRAIN, "rail": _GROUND}


def paint_sky(canvas: Canvas, world: World) -> None:
    """Paint the sky down to the horizon, with clouds."""
    camera, light = canvas.camera, world.light
    rows = min(camera.height, max(1, math.floor(camera.horizon_px) + 2))
    rng = SeededRandom(*world.key, 20)
    down = (np.arange(rows, dtype=np.float32) / rows)[:, None]
    # Clouds flatten towards the horizon, as on a plane overhead.
    flat = 1.0 / (1.15 - np.arange(rows) / rows)
    row_index = (flat * 40.0 + rng.integer(0, 255)).astype(np.int32) & (NOISE_SIDE - 1)
    spread = (np.arange(camera.width) + 0.5 - camera.middle_px) / camera.focal_px
    column_index = (spread[None, :] * (flat[:, None] * 60.0) + (512 + rng.integer(0, 255))).astype(np.int32)
    column_index &= NOISE_SIDE - 1
    clouds = noise_field(8).astype(np.float32) + rough_field() * np.float32(0.5)
    cover = clouds[row_index[:, None], column_index]
    cover = (cover * np.float32(0.012) + np.float32(light.clouds - 0.6)).clip(0, 0.8)
    tone = max(sum(light.sky_low_rgb), sum(light.sky_top_rgb)) / 3.0
    white = np.float32(min(250.0, tone * 1.12 + 8))
    # Channel by channel: NumPy is slow where the innermost axis has three elements.
    for channel, (top, low) in enumerate(zip(light.sky_top_rgb, light.sky_low_rgb)):
        sky = np.float32(top) * (1 - down) + np.float32(low) * down
        canvas.paint[:rows, :, channel] = sky + (white - sky) * cover
    canvas.tags[:rows] = CITYSCAPES_RAW_IDS["sky"]


def _colors(rng: SeededRandom) -> np.ndarray:
    """Draw the colour of every material, (materials, 3) float32."""

    def grey(low: float, high: float, tint: float) -> tuple[float, float, float]:
        level, warm = rng.uniform(low, high), rng.uniform(-tint, tint)
        return level + warm, level, level - warm

    grass = rng.weighted(
        (
            ((70.0, 100.0, 45.0), 3.0),
            ((95.0, 105.0, 50.0), 2.0),
            ((140.0, 125.0, 75.0), 1.5),
            ((110.0, 92.0, 70.0), 1.0),
        )
    )
    swing = rng.uniform(0.75, 1.3)
    walk = grey(95, 190, 10) if rng.chance(0.75) else (rng.uniform(130, 170), rng.uniform(85, 110), 80.0)
    road = grey(62, 150, 9)
    mark = (225.0, 225.0, 220.0) if rng.chance(0.85) else (220.0, 180.0, 60.0)
    kerb = tuple(min(235.0, c + rng.uniform(0, 35)) for c in walk)
    joint = tuple(c * 0.72 for c in walk)
    table = [
        road,
        walk,
        tuple(c * swing for c in grass),
        grey(70, 150, 12),
        grey(85, 150, 25),
        grey(80, 135, 18),
        mark,
        kerb,
        grey(120, 190, 5),
        grey(60, 110, 14),
        joint,
    ]
    return np.array(table, np.float32)


def paint_ground(canvas: Canvas, world: World) -> None:
    """Paint everything below the horizon: each pixel looks up the material where its ray meets the ground."""
    camera, street, light = canvas.camera, world.street, world.light
    first, ahead = camera.ground_ahead()
    if ahead.size == 0:
        return
    rng = SeededRandom(*world.key, 21)
    along = camera.along_m + ahead
    bend = np.array(
        [camera.bend(float(distance_m)) if distance_m - camera.along_m < 900 else 0.0 for distance_m in along]
    )
    bend[ahead >= 900] = bend[ahead < 900][0] if (ahead < 900).any() else 0.0
    spread = (np.arange(camera.width) + 0.5 - camera.middle_px) / camera.focal_px
    side = (spread[None, :] * ahead[:, None] + (camera.side_m - bend)[:, None]).astype(np.float32)

    block = np.floor(along / BLOCK_M).astype(np.int64)
    into = along - block * BLOCK_M
    numbers, where = np.unique(block.clip(block.min(), block.min() + 40), return_inverse=True)
    crossing = np.array([world.has_junction(int(n)) for n in numbers])[where] & (into < JUNCTION_M)
    near_junction = np.array([world.has_junction(int(n)) for n in numbers])[where]
    next_junction = np.array([world.has_junction(int(n) + 1) for n in numbers])[where]
    beyond = [
        np.array([_BEYOND.get(world.block_kind(s, int(n)), _PARKING) for n in numbers], np.uint8)[where]
        for s in (-1, 1)
    ]
    fine = ahead < 45.0

    material = np.where(side < 0, beyond[0][:, None], beyond[1][:, None])
    verge = np.uint8(rng.choice((_TERRAIN, _TERRAIN, _WALK)))
    material[(side >= street.front_left) & (side <= street.front_right)] = verge
    if street.rail_middle is not None:
        off = np.abs(side - np.float32(street.rail_middle))
        material[off < 2.5] = _TRACK
        sleepers = (along % 0.7 < 0.28) & (ahead < 60)
        material[(off < 1.3) & sleepers[:, None]] = _SLEEPER
        material[(off > 0.68) & (off < 0.76 + ahead[:, None] * 0.0006)] = _STEEL
    walk = (side >= street.walk_left) & (side <= street.walk_right)
    material[walk] = _WALK
    tile = rng.choice((0.5, 0.6, 1.0, 2.0))
    joint = ((along % tile < 0.035)[:, None] | (side % np.float32(tile) < 0.035)) & fine[:, None]
    material[walk & joint] = _JOINT
    material[crossing] = _ROAD
    # The crossing street has pavements of its own, beside the corner.
    edge = crossing & ((into < 1.6) | (into > JUNCTION_M - 1.6))
    material[edge[:, None] & ((side < street.walk_left) | (side > street.walk_right))] = _WALK
    road = (side >= street.road_left) & (side <= street.road_right)
    kerb = (side >= street.road_left - 0.16) & (side <= street.road_right + 0.16) & ~crossing[:, None]
    material[kerb] = _KERB
    material[road] = _ROAD

    open_road = road & ~crossing[:, None]
    if rng.chance(0.35):
        bay = (street.parking_left & (side < street.road_left + PARKED_M)) | (
            street.parking_right & (side > street.road_right - PARKED_M)
        )
        material[open_road & bay] = _PARKING
    marks = np.zeros_like(open_road)
    dashed = (along % 9.0 < 3.5)[:, None]
    if rng.chance(0.9):
        whole = rng.chance(0.4)
        marks |= (np.abs(side) < 0.08) & (dashed | whole)
    for lane in range(1, street.lanes_right):
        marks |= (np.abs(side - np.float32(lane * street.lane_m)) < 0.07) & dashed
    for lane in range(1, street.lanes_left):
        marks |= (np.abs(side + np.float32(lane * street.lane_m)) < 0.07) & dashed
    if rng.chance(0.5):
        right = street.lanes_right * street.lane_m
        marks |= np.abs(side - np.float32(right)) < 0.06
        marks |= np.abs(side + np.float32(street.lanes_left * street.lane_m)) < 0.06
    from_junction = BLOCK_M - into
    crosswalk = next_junction & (from_junction > 1.0) & (from_junction < 4.0)
    crosswalk |= near_junction & (into > JUNCTION_M + 1.0) & (into < JUNCTION_M + 4.0)
    marks |= crosswalk[:, None] & (side % np.float32(1.1) < 0.55)
    stop = next_junction & (from_junction > 5.0) & (from_junction < 5.45)
    marks |= stop[:, None] & (side > 0)

    row_world = along[:, None]
    grain = _grain(row_world, side, ahead, 9.0, rough_field())
    stains = _grain(row_world, side, ahead * 0.1, 0.9, rough_field())
    wear = rng.integer(-10, 60)
    material[marks & open_road & (stains + grain // 3 < wear + 45)] = _MARK

    color = _colors(rng)
    shaded = np.array([light.shade(tuple(c), 0.0, 1.0, 0.0) for c in color.tolist()], np.float32)
    strength = np.array([16, 14, 45, 16, 40, 60, 10, 12, 5, 25, 14], np.float32) * 0.01
    blotch = np.array([16, 14, 35, 16, 35, 15, 12, 12, 5, 15, 14], np.float32) * 0.01
    bright = 1.0 + grain * np.float32(0.01) * strength[material] + stains * np.float32(0.01) * blotch[material]
    if light.is_dark:
        # Head lamps light a cone ahead.
        reach = (np.float32(1.6) * (1.0 - np.abs(side - np.float32(camera.side_m)) / 7.0)).clip(0, 2)
        bright *= 1.0 + reach * (1.0 - np.abs(ahead - 13.0) / 16.0).clip(0, 1)[:, None].astype(np.float32)
    clear = light.clear_share(ahead).astype(np.float32)[:, None]
    bright *= clear
    for channel, haze in enumerate(light.sky_low_rgb):
        plane = shaded[:, channel][material]
        plane *= bright
        plane += (1.0 - clear) * np.float32(haze)
        canvas.paint[first:, :, channel] = plane.clip(0, 255)
    canvas.tags[first:] = _RAW[material]


def _grain(along: np.ndarray, side: np.ndarray, ahead: np.ndarray, per_m: float, field: np.ndarray) -> np.ndarray:
    """Look up noise at points on the ground; it fades where a pixel covers many of its bumps."""
    rows = (along * per_m).astype(np.int64) % NOISE_SIDE
    columns = (side * np.float32(per_m)).astype(np.int32) & (NOISE_SIDE - 1)
    fade = (1.0 / (1.0 + ahead * ahead * 0.0012))[:, None].astype(np.float32)
    return field[rows, columns] * fade
