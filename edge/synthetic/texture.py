"""Seamless noise fields and facade tiles, in which surfaces look up their texture."""

from __future__ import annotations

import functools

import numpy as np

from edge.synthetic.seeded_random import SeededRandom

NOISE_SIDE = 256
"""Height and width of a noise field; coordinates wrap around."""


@functools.lru_cache(maxsize=None)
def noise_field(cells: int) -> np.ndarray:
    """Return a smooth seamless field of noise.

    Args:
        cells: Number of bumps along a side, a power of two up to NOISE_SIDE.

    Returns:
        (256, 256) int16, about -100 to 100 around 0.
    """
    step = NOISE_SIDE // cells
    grid = SeededRandom(8101, cells).octets(cells * cells).reshape(cells, cells).astype(np.int32)
    field = np.repeat(np.repeat(grid, step, 0), step, 1) * 16
    for axis in (0, 1):
        for _ in range(2 if step > 1 else 0):
            total = np.zeros_like(field)
            for shift in range(step):
                total += np.roll(field, shift, axis)
            field = total // step
    field = field // 16 - 128
    peak = int(np.abs(field).max())
    field = (field * 100 // max(peak, 1)).astype(np.int16)
    field.setflags(write=False)
    return field


@functools.lru_cache(maxsize=None)
def rough_field() -> np.ndarray:
    """Return noise of all scales, (256, 256) int16, about -100 to 100: asphalt, plaster, leaves."""
    field = sum(noise_field(cells).astype(np.int32) * weight for cells, weight in ((8, 3), (32, 3), (128, 2), (256, 2)))
    field = (field // 7).clip(-100, 100).astype(np.int16)
    field.setflags(write=False)
    return field


@functools.lru_cache(maxsize=None)
def leaf_sprite(variant: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask and the light of a crown of leaves.

    Args:
        variant: Number of the crown, 0 to LEAF_VARIANTS - 1.

    Returns:
        The mask, (128, 128) bool, ragged and with holes; the light, (128, 128) int16, in percent of the leaf colour.
    """
    side = 128
    rng = SeededRandom(8102, variant)
    rows, columns = np.mgrid[0:side, 0:side]
    inside = np.full((side, side), -(10**6), np.int64)
    light = np.full((side, side), 60, np.int64)
    slim = rng.choice((1.0, 1.0, 0.75, 0.55))
    for _ in range(rng.integer(9, 16)):
        reach = rng.uniform(0.0, 38.0)
        along, across = rng.uniform(-1.0, 1.0), rng.uniform(-1.0, 1.0)
        row, column = int(64 + reach * along), int(64 + reach * across * slim)
        radius = rng.integer(14, 26)
        near = radius * radius - (rows - row) ** 2 - ((columns - column) / slim).astype(np.int64) ** 2
        lit = 62 + (row - rows) * 28 // radius + (64 - row) // 3
        light = np.where(near > inside, lit, light)
        inside = np.maximum(inside, near)
    offset = rng.integer(0, 127)
    ragged = rough_field()[offset : offset + side, :side].astype(np.int64)
    speckle = noise_field(64)[offset : offset + side, 64 : 64 + side].astype(np.int64)
    mask = (inside + ragged * 4 > 40) & (speckle + ragged // 2 < 85)
    light = (light + ragged * 2 // 5 + speckle // 5 + 30).clip(25, 150).astype(np.int16)
    return mask, light


LEAF_VARIANTS = 12


def facade_tiles(rng: SeededRandom, wall_rgb: tuple[float, float, float], is_night: bool) -> np.ndarray:
    """Return the tiles of which a facade is composed.

    Args:
        rng: Random numbers that decide frames, glass and style.
        wall_rgb: Colour of the wall, RGB, 0 to 255.
        is_night: Whether some windows are lit.

    Returns:
        (6, 32, 32, 4) uint8: four windows, a shop front and a blank wall; the last channel is 255
        where a tile shines by itself.
    """
    side = 32
    tiles = np.zeros((6, side, side, 4), np.uint8)
    tiles[..., :3] = np.array(wall_rgb).clip(0, 255).astype(np.uint8)
    style = rng.integer(0, 4)
    left = rng.integer(3, 10) if style != 3 else 1
    top, bottom = rng.integer(4, 9), rng.integer(20, 28)
    frame = tuple(rng.choice(((225, 225, 220), (60, 50, 45), (110, 105, 100), tuple(int(c * 0.75) for c in wall_rgb))))
    if style == 1:  # rows of brick
        tiles[:, ::4, :, :3] = tiles[:, ::4, :, :3] // 8 * 7
        tiles[:, 2::8, ::8, :3] = tiles[:, 2::8, ::8, :3] // 8 * 7
    if style == 2:  # a moulding between the floors
        tiles[:, :2, :, :3] = np.minimum(tiles[:, :2, :, :3].astype(np.int32) + 30, 255)
        tiles[:, 2:3, :, :3] = tiles[:, 2:3, :, :3] // 2
    for index in range(4):
        tone = rng.integer(25, 90)
        glass = (tone, tone + rng.integer(0, 18), tone + rng.integer(0, 30))
        window = tiles[index, top:bottom, left : side - left]
        window[..., :3] = frame
        inner = window[1:-1, 1:-1]
        inner[..., :3] = glass
        inner[: rng.integer(1, 6), :, :3] = np.minimum(np.array(glass) + 45, 255)
        if rng.chance(0.4):
            inner[:, : rng.integer(1, 4), :3] = (200, 195, 185)  # a curtain
        if rng.chance(0.6):
            inner[:, inner.shape[1] // 2, :3] = frame
        if is_night and rng.chance(0.45):
            inner[..., :3] = rng.choice(((255, 205, 120), (255, 230, 180), (190, 215, 255)))
            inner[..., 3] = 255
        if style == 4:  # a balcony
            tiles[index, bottom - 3 : bottom + 3, 1:-1, :3] = frame
    shop = tiles[4, 8:30, 2:30]
    shop[..., :3] = (rng.integer(20, 110), rng.integer(20, 110), rng.integer(20, 110))
    shop[2:-3, 2:-2, :3] = (70, 75, 80)
    tiles[4, 3:8, 1:31, :3] = (rng.integer(40, 230), rng.integer(40, 230), rng.integer(40, 230))
    if is_night:
        shop[2:-3, 2:-2, :3] = (240, 215, 160)
        shop[2:-3, 2:-2, 3] = 255
    return tiles
