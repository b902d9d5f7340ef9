"""Surfaces with a grain, poses above the sleepers, and the list of what is drawn from far to near."""

from __future__ import annotations

import math
from typing import Callable, List, Tuple

import numpy as np

from edge.opencv import cv2
from edge.synthetic.camera import NEAR_M, Camera
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import Pose
from edge.synthetic.texture import NOISE_SIDE, rough_field

Drawing = Tuple[float, Callable[[], None]]
"""Distance ahead in metres, and the function that draws what is there; the farthest is drawn first."""
Drawings = List[Drawing]


_BARE_PIXELS = 40


def draw_all(drawings: Drawings) -> None:
    """Draw everything of a list, the farthest first."""
    for _, draw in sorted(drawings, key=lambda drawing: -drawing[0]):
        draw()


class RaisedPose(Pose):
    """Pose of an object that stands above or below the sleepers, such as on a platform.

    Args:
        camera: Camera that sees the object.
        along_m: Position along the line, in metres.
        side_m: Position right of the line's reference, in metres.
        turn: Tangent of half the heading; 0 looks along the line, 1 to the right.
        up_m: Height of its feet above the sleepers, in metres.
    """

    def __init__(self, camera: Camera, along_m: float, side_m: float, turn: float, up_m: float = 0.0) -> None:
        super().__init__(camera, along_m, side_m, turn)
        self.up_m = up_m

    def point(self, fore: float, right: float, up: float) -> tuple[float, float, float]:
        """Return (right, up, ahead) in view of a point in the object's own coordinates."""
        seen = super().point(fore, right, up)
        return seen[0], up + self.up_m, seen[2]


def stretches(start_m: float, end_m: float, first_m: float = 2.5, growth: float = 0.22) -> list[tuple[float, float]]:
    """Cut a stretch of the way into pieces that grow with their distance.

    Args:
        start_m: Where it begins, in metres ahead of the camera; what lies behind the camera is left out.
        end_m: Where it ends, in metres ahead.
        first_m: Length of the nearest piece, in metres.
        growth: Share of a piece's distance that is added to its length.

    Returns:
        (start, end) of each piece in metres ahead, the nearest first.
    """
    pieces, at = [], max(start_m, NEAR_M)
    while at < end_m:
        far = min(end_m, at + max(first_m, at * growth))
        pieces.append((at, far))
        at = far
    return pieces


def fill_rough(
    canvas: Canvas, points: list, color: tuple, tag: int, normal: tuple | None, percent: float, seed: int = 0
) -> None:
    """Fill a convex polygon with a grain whose size is right for its distance.

    Args:
        canvas: Canvas to draw on.
        points: Corners in view: (right, up, ahead) in metres.
        color: Colour of the surface, RGB, 0 to 255.
        tag: Tag of the pixels.
        normal: Normal of the surface, (right, up, ahead); None for a surface that shines by itself.
        percent: Strength of the grain in percent of the colour.
        seed: Number that decides which part of the noise is used.
    """
    outline = canvas.camera.outline(points)
    if outline is None:
        return
    height, width = canvas.tags.shape
    left, top = (int(value) for value in outline.min(0))
    right, bottom = (int(value) + 1 for value in outline.max(0))
    left, top, right, bottom = max(0, left), max(0, top), min(width, right), min(height, bottom)
    if left >= right or top >= bottom:
        return
    if (right - left) * (bottom - top) < _BARE_PIXELS:  # no grain is seen on so few
        canvas.fill(points, color, tag, normal)
        return
    if normal is not None:
        color = canvas.light.shade(color, *normal)
    middle = sum(point[2] for point in points) / len(points)
    area = (slice(top, bottom), slice(left, right))
    covers = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillConvexPoly(covers, outline - np.array([left, top], np.int32), 1)
    step = min(max(middle, NEAR_M) / canvas.camera.focal_px * 20.0, 1.0)
    bright = np.full(covers.shape, 100.0, np.float32)
    for scale, share in ((step, 0.65), (step * 0.17, 0.55)):
        rows = (np.arange(top, bottom) * scale + seed * 37).astype(np.int32) & (NOISE_SIDE - 1)
        columns = (np.arange(left, right) * scale + seed * 91).astype(np.int32) & (NOISE_SIDE - 1)
        bright += rough_field()[rows[:, None], columns] * np.float32(percent * share * 0.01)
    clear = canvas.light.clear_share(max(middle, 0.0))
    seen = np.empty((*covers.shape, 3), np.uint8)
    for channel, haze in enumerate(canvas.light.sky_low_rgb):
        plane = bright * np.float32(color[channel] * clear * 0.01)
        plane += np.float32(haze * (1.0 - clear))
        seen[..., channel] = plane.clip(0, 255)
    canvas.paint[area] = cv2.copyTo(seen, covers, canvas.paint[area])
    canvas.tags[area][covers > 0] = tag


def line_of_detail(canvas: Canvas, start: tuple, end: tuple, color: tuple) -> None:
    """Draw a line of one pixel, such as a wire, without a label of its own."""
    if start[2] < NEAR_M or end[2] < NEAR_M:
        return
    first, last = canvas.camera.pixel(*start), canvas.camera.pixel(*end)
    limit = 6.0 * (canvas.camera.width + canvas.camera.height)
    if max(abs(value) for value in first + last) > limit:
        return
    seen = canvas.light.haze(canvas.light.shade(color, 0.0, 0.3, -0.4), min(start[2], end[2]))
    pixels = [(math.floor(x + 0.5), math.floor(y + 0.5)) for x, y in (first, last)]
    cv2.line(canvas.paint, pixels[0], pixels[1], seen)
