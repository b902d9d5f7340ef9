"""The ground of a railway line: ballast, sleepers, roads with tracks in them, grass, the low ground beside a dam."""

from __future__ import annotations

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.classes import RAIL_TRACK, TRACKBED, TRAM_TRACK
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.track import GAUGE_M, HEAD_M
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import NOISE_SIDE, rough_field

_GRASS, _PATH, _BED, _BETWEEN, _ROAD, _TRAM, _WALK, _MARK, _KERB, _SLOPE, _FIELD, _BOARD, _YARD, _JOINT, _TROUGH = (
    range(15)
)
_TERRAIN, _ROADS, _WALKS = (CITYSCAPES_RAW_IDS[name] for name in ("terrain", "road", "sidewalk"))
_TAGS = np.array(
    [
        *(_TERRAIN, _TERRAIN, TRACKBED, RAIL_TRACK, _ROADS, TRAM_TRACK, _WALKS, _ROADS),
        *(_WALKS, _TERRAIN, _TERRAIN, TRAM_TRACK, _TERRAIN, _WALKS, _TERRAIN),
    ],
    np.uint16,
)
_GRAIN = np.array([42, 34, 62, 62, 15, 15, 13, 10, 10, 42, 30, 14, 30, 13, 12], np.float32) * 0.01
_BLOTCH = np.array([34, 28, 16, 20, 16, 16, 14, 10, 10, 34, 36, 14, 30, 14, 10], np.float32) * 0.01
_SLEEPER_HALF_M = 1.3
_RAIL_MIDDLE_M = (GAUGE_M + HEAD_M) / 2


def _grey(rng: SeededRandom, low: float, high: float, tint: float) -> tuple[float, float, float]:
    level, warm = rng.uniform(low, high), rng.uniform(-tint, tint)
    return level + warm, level, level - warm


def grass_color(line: Line) -> tuple[float, float, float]:
    """Return the colour of the grass along a line."""
    rng = SeededRandom(*line.key, 22)
    base = rng.weighted(
        (
            ((72.0, 100.0, 46.0), 3.0),
            ((96.0, 108.0, 52.0), 2.0),
            ((142.0, 126.0, 76.0), 1.5),
            ((112.0, 94.0, 70.0), 1.0),
            ((196.0, 198.0, 202.0), 0.35),  # snow
        )
    )
    swing = rng.uniform(0.78, 1.25)
    return tuple(channel * swing for channel in base)


def road_edges(line: Line) -> tuple[float, float, float, float]:
    """Return the sides of a tram street, in metres: outer edge and kerb on the left, kerb and edge on the right."""
    rng = SeededRandom(*line.key, 23)
    lane_left, lane_right = rng.choice((0.6, 3.2, 3.4)), rng.choice((0.6, 3.2, 3.4, 5.4))
    left, right = -line.flanks[0].edge_m - lane_left, line.flanks[1].edge_m + lane_right
    return left - rng.uniform(2.2, 5.5), left, right, right + rng.uniform(2.2, 5.5)


def _colors(rng: SeededRandom, line: Line) -> np.ndarray:
    """Draw the colour of every material, (materials, 3) float32."""
    ballast = rng.weighted(((_grey(rng, 88, 150, 8), 3.0), ((126.0, 106.0, 90.0), 1.2), ((104.0, 88.0, 80.0), 1.2)))
    stained = tuple(c * f for c, f in zip(ballast, (0.86, 0.8, 0.74)))
    grass, road, walk = grass_color(line), _grey(rng, 70, 135, 8), _grey(rng, 105, 185, 10)
    tram = road if rng.chance(0.5) else rng.choice((_grey(rng, 95, 150, 10), (138.0, 122.0, 108.0)))
    field = rng.choice((tuple(c * 0.9 for c in grass), (150.0, 132.0, 82.0), (110.0, 88.0, 64.0), (104.0, 124.0, 58.0)))
    table = [grass, _grey(rng, 95, 140, 14), ballast, stained, road, tram, walk, (222.0, 222.0, 216.0)]
    table += [tuple(min(230.0, c + 22) for c in walk), tuple(c * 0.92 for c in grass), field]
    table += [_grey(rng, 70, 110, 6), _grey(rng, 92, 140, 14), tuple(c * 0.72 for c in walk), _grey(rng, 120, 170, 6)]
    return np.array(table, np.float32)


def paint_ground(canvas: Canvas, line: Line) -> None:
    """Paint everything below the horizon: each pixel looks up the material where its ray meets the ground."""
    camera = canvas.camera
    first, ahead = camera.ground_ahead()
    if ahead.size == 0:
        return
    rng = SeededRandom(*line.key, 21)
    spread = ((np.arange(camera.width) + 0.5 - camera.middle_px) / camera.focal_px).astype(np.float32)
    bend = bends(canvas, ahead)
    side = spread[None, :] * ahead[:, None].astype(np.float32)
    side += (camera.side_m - bend)[:, None].astype(np.float32)
    colors = _colors(rng, line)
    if line.setting == "tram":
        material, sleepers = _street(line, ahead, side, rng), None
    else:
        material, sleepers = _open_line(line, ahead, side, rng)
    far = np.broadcast_to(ahead[:, None].astype(np.float32), side.shape)
    for flank in line.flanks:
        if flank.kind == "dam":
            below = side * np.float32(flank.sign) > flank.edge_m
            material, side, far = _below(canvas, flank, ahead, spread, below, (material, side, far))
    _lay(canvas, line, first, (material, side, far, ahead), colors, sleepers, rng)


def bends(canvas: Canvas, ahead: np.ndarray) -> np.ndarray:
    """Return the bend of the line at distances ahead, (N,) float64, in metres; it stays as it is behind 900 m."""
    camera = canvas.camera
    return np.array([camera.bend(camera.along_m + min(float(distance), 900.0)) for distance in ahead])


def _below(
    canvas: Canvas, flank: object, ahead: np.ndarray, spread: np.ndarray, below: np.ndarray, level: tuple
) -> tuple:
    """Replace what lies beyond the shoulder of a dam by its slope and the ground at its foot."""
    material, side, far = level
    drop = (canvas.camera.above_m + flank.high_m) / canvas.camera.above_m
    deep = ahead * drop
    low = spread[None, :] * deep[:, None].astype(np.float32)
    low += (canvas.camera.side_m - bends(canvas, deep))[:, None].astype(np.float32)
    out = low * np.float32(flank.sign)
    foot = flank.edge_m + flank.run_m
    ground = np.where(out < foot, np.uint8(_SLOPE), np.uint8(_FIELD if flank.scenery == "field" else _GRASS))
    if flank.scenery in ("houses", "halls"):
        ground[(out > foot + 4.0) & (out < foot + 10.5)] = _ROAD
    return (
        np.where(below, ground, material),
        np.where(below, low, side),
        np.where(below, deep[:, None].astype(np.float32), far),
    )


def _share_of_rows(along: np.ndarray, period_m: float, wide_m: float) -> np.ndarray:
    """Return how much of each row's stretch of the way lies on bars that repeat, (rows,) float64, 0 to 1."""
    ends = np.empty(along.size + 1)
    ends[1:-1] = (along[1:] + along[:-1]) * 0.5
    ends[0] = along[0] + (along[0] - ends[1] if along.size > 1 else 0.5)
    ends[-1] = along[-1] - (ends[-2] - along[-1] if along.size > 1 else 0.05)
    whole = np.floor(ends / period_m)
    covered = whole * wide_m + np.minimum(ends - whole * period_m, wide_m)
    return ((covered[:-1] - covered[1:]) / np.maximum(ends[:-1] - ends[1:], 1e-6)).clip(0.0, 1.0)


def _open_line(line: Line, ahead: np.ndarray, side: np.ndarray, rng: SeededRandom) -> tuple:
    """Return the materials of a line on ballast, and its sleepers: (share of a row, where, colour)."""
    material = np.where(side < 0, _beyond(line.flanks[0]), _beyond(line.flanks[1])).astype(np.uint8)
    inside = (side > -line.flanks[0].edge_m) & (side < line.flanks[1].edge_m)
    material[inside] = _PATH if rng.chance(0.6) else _GRASS
    for flank in line.flanks:
        if flank.kind == "street":
            out = side * np.float32(flank.sign) - np.float32(flank.edge_m)
            material[(out > 0.5) & (out < 8.0)] = _ROAD
            material[(np.abs(out - 4.2) < 0.07) & (ahead % 9.0 < 3.5)[:, None]] = _MARK
            material[(out > 8.0) & (out < 10.5)] = _WALK
    if rng.chance(0.45):  # a concrete trough for cables
        sign = rng.choice((-1.0, 1.0))
        reach = line.flanks[1 if sign > 0 else 0].edge_m - rng.uniform(0.3, 0.6)
        material[np.abs(side * np.float32(sign) - np.float32(reach)) < 0.24] = _TROUGH
    zone = np.zeros(side.shape, bool)
    sides = []
    for track in line.tracks:
        off = np.abs(side - track.middles_m(ahead)[:, None].astype(np.float32))
        off[~track.lies_at(ahead)] = 99.0
        sides.append(off)
        material[off < line.bed_half_m] = _BED
    for off in sides:
        zone |= off < _SLEEPER_HALF_M
        material[off < _RAIL_MIDDLE_M] = _BETWEEN
    period = rng.uniform(0.58, 0.68)
    wide = rng.uniform(0.24, 0.3)
    color = rng.weighted(((_grey(rng, 128, 178, 8), 3.0), ((88.0, 70.0, 56.0), 2.0), ((66.0, 56.0, 50.0), 1.0)))
    share = _share_of_rows(ahead, period, wide)
    if line.tracks[0].slab:
        material[material == _BED] = _BED
        share = share * 0.35
    if line.crossing is not None:
        low, high = line.crossing
        rows = (ahead >= low) & (ahead <= high)
        band = material[rows]
        boards = np.isin(band, (_BED, _BETWEEN))
        between = band == _BETWEEN
        band[:] = _ROAD
        band[boards] = _ROAD
        band[between] = _BOARD if rng.chance(0.5) else _TRAM
        edge = (ahead[rows] - low < 0.25) | (high - ahead[rows] < 0.25)
        outside = np.minimum.reduce([off[rows] for off in sides]) > 2.2
        band[edge[:, None] & outside & (rng.uniform(0, 1) < 0.7)] = _MARK
        material[rows] = band
        zone[rows] = False
    return material, (share, zone, color)


def _beyond(flank: object) -> int:
    if flank.kind == "plain" and flank.scenery == "field":
        return _FIELD
    return _YARD if flank.scenery == "halls" else _GRASS


def _street(line: Line, ahead: np.ndarray, side: np.ndarray, rng: SeededRandom) -> np.ndarray:
    """Return the materials of a street with tracks in it."""
    walk_left, left, right, walk_right = road_edges(line)
    material = np.full(side.shape, _WALK, np.uint8)
    tile = np.float32(rng.choice((0.5, 0.8, 1.2)))
    joints = ((ahead % tile < 0.04)[:, None] | (side % tile < 0.04)) & (ahead < 35.0)[:, None]
    material[joints] = _JOINT
    material[(side < walk_left - 3.0) & bool(line.flanks[0].scenery == "bushes")] = _GRASS
    material[(side > walk_right + 3.0) & bool(line.flanks[1].scenery == "bushes")] = _GRASS
    material[(side > left - 0.18) & (side < right + 0.18)] = _KERB
    road = (side > left) & (side < right)
    material[road] = _ROAD
    dashed = (ahead % 7.0 < 3.0)[:, None]
    marks = np.zeros(side.shape, bool)
    for edge in (-line.flanks[0].edge_m, line.flanks[1].edge_m):
        marks |= (np.abs(side - np.float32(edge)) < 0.07) & (dashed | rng.chance(0.4))
    stripes = rng.uniform(12.0, 50.0)
    if rng.chance(0.5):
        marks |= ((ahead > stripes) & (ahead < stripes + 3.2))[:, None] & (side % np.float32(1.1) < 0.55)
    for track in line.tracks:
        off = np.abs(side - track.middles_m(ahead)[:, None].astype(np.float32))
        material[off < _RAIL_MIDDLE_M] = _TRAM
        if rng.chance(0.3):
            marks &= off > _RAIL_MIDDLE_M + 0.2
    material[marks & (material == _ROAD)] = _MARK
    return material


def _lay(
    canvas: Canvas, line: Line, first: int, ground: tuple, colors: np.ndarray, sleepers: tuple | None, rng: SeededRandom
) -> None:
    """Colour the ground by material, grain, light and haze."""
    material, side, far, ahead = ground
    light, camera = line.light, canvas.camera
    grain = _grain(far, side, 11.0)
    stains = _grain(far, side, 0.9, 0.1)
    shaded = np.array([light.shade(tuple(color), 0.0, 1.0, 0.0) for color in colors.tolist()], np.float32)
    bright = grain * _GRAIN[material]
    bright += stains * _BLOTCH[material]
    bright *= np.float32(0.01)
    bright += np.float32(1.0)
    if light.is_dark and line.view.kind == "cab":  # head lamps light a cone ahead
        reach = (np.float32(1.7) * (1.0 - np.abs(side - np.float32(camera.side_m)) / 6.0)).clip(0, 2)
        bright *= 1.0 + reach * (1.0 - np.abs(ahead - 15.0) / 22.0).clip(0, 1)[:, None].astype(np.float32)
    clear = light.clear_share(ahead).astype(np.float32)[:, None]
    for channel, haze in enumerate(light.sky_low_rgb):
        plane = shaded[:, channel][material]
        if sleepers is not None:
            share, zone, color = sleepers
            sleeper = light.shade(color, 0.0, 1.0, 0.0)[channel]
            mix = share[:, None].astype(np.float32) * zone
            plane += mix * (np.float32(sleeper) - plane)
        plane *= bright
        plane *= clear
        plane += (1.0 - clear) * np.float32(haze)
        canvas.paint[first:, :, channel] = plane.clip(0, 255)
    canvas.tags[first:] = _TAGS[material]


def _grain(far: np.ndarray, side: np.ndarray, per_m: float, slow: float = 1.0) -> np.ndarray:
    """Look up noise on the ground, (rows, columns) float32; it fades where a pixel covers many of its bumps."""
    rows = (far * np.float32(per_m)).astype(np.int32) & (NOISE_SIDE - 1)
    columns = (side * np.float32(per_m)).astype(np.int32) & (NOISE_SIDE - 1)
    reach = far * np.float32(slow)
    fade = np.float32(1.0) / (np.float32(1.0) + reach * reach * np.float32(0.0012))
    return rough_field()[rows, columns] * fade
