"""Effects of vehicle, lens and sensor on the picture: bonnet, border, blur, vignette, exposure, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.opencv import cv2
from edge.synthetic.canvas import Canvas
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import noise_field
from edge.synthetic.world import World


@dataclass(frozen=True)
class Optics:
    """Lens and sensor of one camera.

    Attributes:
        has_bonnet: Whether the vehicle's own bonnet is in the picture.
        has_border: Whether rectification left a border without picture.
        gains: Factor of each colour channel.
        gamma_step: Bend of the tone curve, -1 to 1.
        vignette: Loss of light in the corners, 0 to 1.
        defocus: Radius of the blur, in 1/1024 of the picture's width.
        motion: Radius of the blur along the rows, in 1/1024 of the picture's width.
        noise: Standard deviation of the noise, in levels of 8 bits.
        glare: Strength of the light that bright objects spill, 0 to 1.
    """

    has_bonnet: bool
    has_border: bool
    gains: tuple[float, float, float]
    gamma_step: float
    vignette: float
    defocus: float
    motion: float
    noise: float
    glare: float


def draw_optics(world: World) -> Optics:
    """Draw the optics of a street's camera."""
    rng = SeededRandom(*world.key, 14)
    exposure, warm = rng.uniform(0.82, 1.22), rng.uniform(-0.1, 0.1)
    tint = rng.uniform(-0.04, 0.04)
    dark = world.light.kind == "night"
    return Optics(
        has_bonnet=rng.chance(0.45),
        has_border=rng.chance(0.4),
        gains=(exposure * (1 + warm), exposure * (1 + tint), exposure * (1 - warm)),
        gamma_step=rng.uniform(-0.35, 0.35),
        vignette=rng.uniform(0.0, 0.4),
        defocus=rng.weighted(((0.4, 4.0), (1.0, 3.0), (1.8, 1.5), (2.8, 0.6))),
        motion=rng.weighted(((0.0, 4.0), (2.0, 1.0), (4.0, 0.6))),
        noise=rng.uniform(3.0, 11.0) if dark else rng.uniform(0.6, 5.0),
        glare=0.35 if world.light.is_dark else 0.0,
    )


def paint_frame(canvas: Canvas, world: World, optics: Optics) -> None:
    """Paint the bonnet and the border over what was drawn, with their labels."""
    height, width = canvas.tags.shape
    if optics.has_bonnet:
        rng = SeededRandom(*world.key, 15)
        high, tone = rng.uniform(0.06, 0.14), rng.uniform(20, 130)
        color = tuple(int(c) for c in world.light.shade((tone, tone, tone * rng.uniform(0.9, 1.2)), 0.0, 0.9, -0.2))
        steps = 24
        edge = [
            (int(width * i / steps), int(height * (1.0 - high * (1.0 - (2.0 * i / steps - 1.0) ** 2 * 0.55))))
            for i in range(steps + 1)
        ]
        shape = np.array([*edge, (width, height + 2), (0, height + 2)], np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, shape, 1)
        top = min(row for _, row in edge)
        sheen = noise_field(8)[(np.arange(height - top) * 200 // height)[:, None], np.arange(width) * 200 // width]
        glossy = np.array(color) + np.minimum(sheen, 90)[..., None] * (max(color) / 300.0)
        covered = mask[top:] > 0
        canvas.paint[top:][covered] = glossy.clip(0, 255).astype(np.uint8)[covered]
        canvas.tags[top:][covered] = CITYSCAPES_RAW_IDS["ego vehicle"]
    if optics.has_border:
        rim = max(1, min(height, width) // 100)
        for area in (np.s_[:rim], np.s_[height - rim :], np.s_[:, :rim], np.s_[:, width - rim :]):
            canvas.paint[area] = 0
            canvas.tags[area] = CITYSCAPES_RAW_IDS["out of roi"]
        dark = max(1, rim // 3)
        for area in (np.s_[:dark], np.s_[height - dark :], np.s_[:, :dark], np.s_[:, width - dark :]):
            canvas.tags[area] = CITYSCAPES_RAW_IDS["rectification border"]


def expose(paint: np.ndarray, optics: Optics, world: World, frame_number: int) -> np.ndarray:
    """Apply lens and sensor to a sharp picture.

    Args:
        paint: (H, W, 3) uint8 RGB, sharp and without noise.
        optics: Lens and sensor of the camera.
        world: Street whose key decides the noise.
        frame_number: Number of the frame; each frame has noise of its own.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = paint.shape[:2]
    unit = width / 1024.0
    picture = _glare(paint, optics.glare) if optics.glare else paint
    picture = _blur(picture, optics.motion * unit, 0.0)
    picture = _blur(picture, optics.defocus * unit, optics.defocus * unit)
    down = (np.arange(height, dtype=np.float32) * 2 + 1 - height) / height
    across = (np.arange(width, dtype=np.float32) * 2 + 1 - width) / width
    corner = (down * down)[:, None] + (across * across)[None, :]
    kept = (256.0 - corner * np.float32(optics.vignette * 128.0)).astype(np.uint16)
    dimmed = np.empty_like(paint)
    for channel in range(3):
        dimmed[..., channel] = (picture[..., channel] * kept) >> 8
    level = np.arange(256)[:, None] / 255.0 * np.array(optics.gains)
    toned = level.clip(0.0, 1.0)
    toned = toned + optics.gamma_step * toned * (1.0 - toned)
    tone_table = np.floor(toned * 255.0 + 0.5).astype(np.uint8).reshape(256, 1, 3)
    exposed = cv2.LUT(dimmed, tone_table)
    return cv2.add(
        exposed, _noise(paint.shape, optics.noise, SeededRandom(*world.key, 16, frame_number)), dtype=cv2.CV_8U
    )


def _noise(shape: tuple, deviation: float, rng: SeededRandom) -> np.ndarray:
    """Return bell-shaped noise, (H, W, 3) int16: sums of three uniform bytes, whose deviation is 128."""
    count = shape[0] * shape[1] * shape[2]
    octets = rng.octets(count * 3).reshape(3, count)
    bell = octets[0].astype(np.int16)
    bell += octets[1]
    bell += octets[2]
    table = np.floor((np.arange(766) - 382.5) * (deviation / 128.0) + 0.5).astype(np.int16)
    return table[bell].reshape(shape)


def _blur(picture: np.ndarray, across: float, down: float) -> np.ndarray:
    """Average over a window that grows with strength; two windows are mixed for its fraction, in whole numbers."""
    strength = max(across, down)
    reach = int(strength)
    share = int((strength - reach) * 16)
    result = _window(picture, reach, reach if down else 0) if reach else picture
    if share:
        wider = _window(picture, reach + 1, reach + 1 if down else 0)
        # Widened first: NumPy 1 and 2 differ in what a small array times a scalar of a wider type is.
        mixed = result.astype(np.uint16) * (16 - share)
        mixed += wider.astype(np.uint16) * share
        result = (mixed >> 4).astype(np.uint8)
    return result


def _window(picture: np.ndarray, across: int, down: int) -> np.ndarray:
    """Return the mean over a window; cv2 only sums, since its division may round differently on another machine."""
    size_wh = (2 * across + 1, 2 * down + 1)
    total = cv2.boxFilter(picture, cv2.CV_32S, size_wh, normalize=False, borderType=cv2.BORDER_REPLICATE)
    area = size_wh[0] * size_wh[1]
    return (total // np.int32(area)).astype(np.uint8)


def _glare(picture: np.ndarray, strength: float) -> np.ndarray:
    """Spill light from bright objects over their surroundings."""
    height, width = picture.shape[:2]
    cell = max(1, width // 128)
    rows, columns = height // cell, width // cell
    stride = max(1, cell // 4)
    part = picture[: rows * cell : stride, : columns * cell : stride]
    inner = cell // stride
    part = part[: rows * inner, : columns * inner]
    bright = np.where(part > 200, part, 0).reshape(rows, inner, columns, inner, 3).sum((1, 3), dtype=np.int32)
    coarse = (bright // (inner * inner)).astype(np.uint8)
    for _ in range(2):
        coarse = _window(coarse, 2, 2)
    halo = ((coarse.astype(np.int32) * int(strength * 16)) >> 3).clip(0, 255).astype(np.uint8)
    result = picture.copy()
    area = result[: rows * cell, : columns * cell]
    area[:] = cv2.add(area, np.repeat(np.repeat(halo, cell, 0), cell, 1))
    return result
