"""Bridges over the line and the portals of tunnels."""

from __future__ import annotations

import math

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.opencv import cv2
from edge.synthetic.canvas import Canvas
from edge.synthetic.city_blocks import plain_surface
from edge.synthetic.railway.ground import grass_color
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.surfaces import Drawings, fill_rough
from edge.synthetic.seeded_random import SeededRandom

_BRIDGE, _TUNNEL, _TERRAIN = (CITYSCAPES_RAW_IDS[name] for name in ("bridge", "tunnel", "terrain"))
_PLANT, _FENCE = CITYSCAPES_RAW_IDS["vegetation"], CITYSCAPES_RAW_IDS["fence"]
_FRONT = (0.0, 0.0, -1.0)


def add_bridge(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add a bridge that crosses above the line."""
    if line.bridge_m is None or canvas.camera.above_m > 4.0:
        return
    rng = SeededRandom(*line.key, 60)
    along, wide, low = line.bridge_m, rng.uniform(4.0, 13.0), rng.uniform(6.3, 7.2)
    thick = rng.uniform(0.9, 1.9)
    color = rng.choice(((138.0, 134.0, 126.0), (112.0, 72.0, 56.0), (92.0, 112.0, 104.0), (152.0, 148.0, 142.0)))
    surface = plain_surface(color, line.light, _FRONT, "wall", rng.choice((1.2, 3.0, 8.0)))
    inner = plain_surface(tuple(c * 0.55 for c in color), line.light, (1.0, 0.0, 0.0), "wall", 3.0)
    reach, railing = 90.0, rng.chance(0.6)
    left, right = -line.outermost(-1) - rng.uniform(2.4, 4.0), line.outermost(1) + rng.uniform(2.4, 4.0)
    massive = rng.chance(0.5)

    def draw() -> None:
        view = canvas.camera.view
        under = [view(along, -reach), view(along, reach), view(along + wide, reach), view(along + wide, -reach)]
        canvas.fill([(r, low, a) for r, a in under], tuple(c * 0.45 for c in color), _BRIDGE, (0.0, -1.0, 0.0))
        for side, out in ((left, -1.0), (right, 1.0)):
            canvas.upright(view(along, side), view(along + wide, side), 0.0, low, inner, _BRIDGE)
            edge = side + out * (30.0 if massive else 1.0)
            canvas.upright(view(along, side), view(along, edge), 0.0, low, surface, _BRIDGE)
        canvas.upright(view(along, -reach), view(along, reach), low, low + thick, surface, _BRIDGE)
        if railing:
            bars = plain_surface((70.0, 76.0, 74.0), line.light, _FRONT, "bars", 0.3)
            canvas.upright(view(along, -reach), view(along, reach), low + thick, low + thick + 1.1, bars, _FENCE)

    drawings.append((along, draw))


def add_tunnel(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add the portal of a tunnel and the hill above it; what lies behind is dropped from the list."""
    if line.tunnel_m is None:
        return
    drawings[:] = [drawing for drawing in drawings if drawing[0] < line.tunnel_m + 0.5]
    drawings.append((line.tunnel_m + 0.4, lambda: _draw_tunnel(canvas, line, line.tunnel_m)))


def _draw_tunnel(canvas: Canvas, line: Line, along: float) -> None:
    rng = SeededRandom(*line.key, 61)
    left, right = -line.outermost(-1) - 2.5, line.outermost(1) + 2.5
    spring, crown = 4.0, 6.6 + (right - left) * 0.12
    view = canvas.camera.view
    inside = _arch(canvas, line, along, (left, right, spring, crown))
    mask = np.zeros(canvas.tags.shape, np.uint8)
    if inside is not None:
        cv2.fillConvexPoly(mask, inside, 1)
    _draw_bore(canvas, line, along, (left, right, crown), mask)
    kept_paint, kept_tags = canvas.paint.copy(), canvas.tags.copy()
    _draw_hill(canvas, line, along, rng)
    color = rng.choice(((132.0, 126.0, 116.0), (150.0, 146.0, 140.0), (118.0, 98.0, 84.0)))
    surface = plain_surface(color, line.light, _FRONT, "wall", rng.choice((0.8, 1.4)))
    canvas.upright(
        view(along, left - rng.uniform(1.5, 5.0)),
        view(along, right + rng.uniform(1.5, 5.0)),
        0.0,
        crown + rng.uniform(0.9, 2.2),
        surface,
        _TUNNEL,
    )
    rim = _arch(canvas, line, along, (left - 0.5, right + 0.5, spring, crown + 0.5))
    if rim is not None:
        cv2.fillConvexPoly(
            canvas.paint, rim, canvas.light.haze(canvas.light.shade(tuple(c * 1.15 for c in color), *_FRONT), along)
        )
        cv2.fillConvexPoly(canvas.tags, rim, _TUNNEL)
    canvas.paint[:] = cv2.copyTo(kept_paint, mask, canvas.paint)
    canvas.tags[mask > 0] = kept_tags[mask > 0]


def _arch(canvas: Canvas, line: Line, along: float, size: tuple) -> np.ndarray | None:
    """Return the outline of the opening in pixels, (N, 2) int32."""
    left, right, spring, crown = size
    middle, half = (left + right) * 0.5, (right - left) * 0.5
    points = [(left, 0.0), (left, spring)]
    for step in range(1, 12):
        part = -1.0 + step / 6.0
        points.append((middle + half * part, spring + (crown - spring) * math.sqrt(1.0 - part * part)))
    points += [(right, spring), (right, 0.0)]
    seen = []
    for side, up in points:
        r, ahead = canvas.camera.view(along, side)
        seen.append((r, up, ahead))
    return canvas.camera.outline(seen)


def _draw_bore(canvas: Canvas, line: Line, along: float, size: tuple, mask: np.ndarray) -> None:
    """Draw what is seen of the tunnel inside: dark walls, and the track that fades into the dark."""
    left, right, crown = size
    camera, deep = canvas.camera, 70.0
    where = mask > 0
    floor = camera.horizon_px + camera.above_m * camera.focal_px / (along + deep)
    bottom = camera.horizon_px + camera.above_m * camera.focal_px / along
    rows = np.arange(camera.height, dtype=np.float64)
    factor = (0.1 + 0.5 * (rows - floor) / max(bottom - floor, 1.0)).clip(0.1, 0.6)
    dimmed = (canvas.paint * factor[:, None, None]).astype(np.uint8)
    canvas.paint[where] = dimmed[where]
    dark = np.zeros_like(where)
    dark[: max(0, math.floor(floor) + 1)] = True
    dark &= where
    canvas.paint[dark] = (14, 14, 15)
    canvas.tags[dark] = _TUNNEL
    view = camera.view
    for low in range(6, -1, -1):
        near, far = along + low * 10.0, along + low * 10.0 + 10.0
        shade = 0.4 / (1.0 + low * 1.2)
        for side, normal in ((left, 1.0), (right, -1.0)):
            surface = plain_surface(
                tuple(c * shade for c in (120.0, 114.0, 106.0)), line.light, (normal, 0.0, 0.0), "wall", 1.5
            )
            canvas.upright(view(near, side), view(far, side), 0.0, crown, surface, _TUNNEL, near)


def _draw_hill(canvas: Canvas, line: Line, along: float, rng: SeededRandom) -> None:
    grass, peak = grass_color(line), rng.uniform(14.0, 60.0)
    wooded, step, right = rng.chance(0.6), 9.0, -150.0
    color = (rng.uniform(50, 78), rng.uniform(70, 96), rng.uniform(42, 60)) if wooded else grass
    tag = _PLANT if wooded else _TERRAIN
    previous = peak * rng.uniform(0.5, 0.9)
    while right < 150.0:
        high = max(10.0, previous + rng.uniform(-3.0, 3.0) - right * 0.004)
        low, ahead = 0.0, along + 1.0
        for band in range(3):
            top = [low + (height - low) * (band + 1) / 3.0 for height in (previous, high)]
            base = [low + (height - low) * band / 3.0 for height in (previous, high)]
            corners = [(right, base[0], ahead + band * 3.0), (right + step, base[1], ahead + band * 3.0)]
            corners += [(right + step, top[1], ahead + band * 3.0 + 3.0), (right, top[0], ahead + band * 3.0 + 3.0)]
            fill_rough(
                canvas,
                corners,
                tuple(c * (0.94 + 0.05 * band) for c in color),
                tag,
                (0.0, 0.6, -0.6),
                60.0 if wooded else 40.0,
                band,
            )
        previous, right = high, right + step
