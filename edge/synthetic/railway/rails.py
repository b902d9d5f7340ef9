"""Rails, drawn as bodies of their own height, so that they keep their width and their gauge at every distance."""

from __future__ import annotations

import numpy as np

from edge.opencv import cv2
from edge.synthetic.camera import NEAR_M
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.classes import RAIL_EMBEDDED, RAIL_RAISED
from edge.synthetic.railway.ground import bends
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.track import FOOT_M, GAUGE_M, HEAD_M, RAIL_HIGH_M, Track
from edge.synthetic.seeded_random import SeededRandom

_FAR_M = 420.0
_GROOVE_M = 0.04
"""Width of the groove beside an embedded rail, in metres (EN 14811, profile 60R2)."""


def draw_rails(canvas: Canvas, line: Line) -> None:
    """Draw the rails of all tracks, from the farthest piece to the nearest."""
    marks = _pieces(line.tunnel_m)
    bend = bends(canvas, marks)
    rng = SeededRandom(*line.key, 24)
    shine = rng.uniform(0.75, 1.1)
    for track in line.tracks:
        for sign in (-1.0, 1.0):
            _draw_rail(canvas, line, track, sign, marks, bend, shine)


def _pieces(tunnel_m: float | None) -> np.ndarray:
    """Return the ends of the pieces in which rails are drawn, (N,) float64 metres ahead."""
    ends, at = [], NEAR_M
    while at < _FAR_M:
        ends.append(at)
        at += max(0.7, at * 0.06)
    return np.array(ends)


def _columns_and_rows(canvas: Canvas, right: np.ndarray, up: float, ahead: np.ndarray) -> np.ndarray:
    """Return the pixels of points in view, (N, 2) int32, (column, row)."""
    camera = canvas.camera
    scale = camera.focal_px / ahead
    limit = 8.0 * (camera.width + camera.height)
    columns = (camera.middle_px + right * scale).clip(-limit, limit)
    rows = (camera.horizon_px + (camera.above_m - up) * scale).clip(-limit, limit)
    return np.floor(np.stack([columns, rows], axis=1) + 0.5).astype(np.int32)


def _draw_rail(
    canvas: Canvas, line: Line, track: Track, sign: float, ahead: np.ndarray, bend: np.ndarray, shine: float
) -> None:
    camera, light = canvas.camera, line.light
    middle = track.middles_m(ahead) + sign * (GAUGE_M + HEAD_M) / 2 - camera.side_m + bend
    lies = track.lies_at(ahead)
    head, foot = HEAD_M / 2, FOOT_M / 2
    flat = np.full(ahead.size, track.embedded)
    if line.crossing is not None:
        flat |= (ahead >= line.crossing[0]) & (ahead <= line.crossing[1])
    seen_from = np.where(middle > 0, -1.0, 1.0)  # the side of the rail that the camera sees
    top = [_columns_and_rows(canvas, middle + s * head, RAIL_HIGH_M, ahead) for s in (-1.0, 1.0)]
    low = _columns_and_rows(canvas, middle + seen_from * foot, 0.0, ahead)
    high = _columns_and_rows(canvas, middle + seen_from * head, RAIL_HIGH_M, ahead)
    level = [_columns_and_rows(canvas, middle + s * head, 0.0, ahead) for s in (-1.0, 1.0)]
    groove = [_columns_and_rows(canvas, middle - sign * (head + d), 0.0, ahead) for d in (0.0, _GROOVE_M)]
    steel = (132.0, 84.0, 62.0) if track.rusty else tuple(c * shine for c in (196.0, 200.0, 206.0))
    rust = (92.0, 62.0, 48.0)
    for index in range(ahead.size - 2, -1, -1):
        if not (lies[index] and lies[index + 1]):
            continue
        distance = float(ahead[index])
        bright = light.haze(light.shade(steel, 0.0, 1.0, 0.0), distance)
        if flat[index]:
            _quad(canvas, groove[0], groove[1], index, light.haze((30.0, 30.0, 32.0), distance), RAIL_EMBEDDED)
            _quad(canvas, level[0], level[1], index, bright, RAIL_EMBEDDED)
            continue
        dark = light.haze(light.shade(rust, float(seen_from[index]) * 0.9, 0.2, 0.0), distance)
        _quad(canvas, low, high, index, dark, RAIL_RAISED)
        _quad(canvas, top[0], top[1], index, bright, RAIL_RAISED)


def _quad(canvas: Canvas, one: np.ndarray, other: np.ndarray, index: int, color: tuple, tag: int) -> None:
    """Fill the piece between two lines along a rail."""
    outline = np.concatenate([one[index : index + 2], other[index + 1 : index - 1 if index else None : -1][:2]])
    cv2.fillConvexPoly(canvas.paint, outline, color)
    cv2.fillConvexPoly(canvas.tags, outline, tag)
