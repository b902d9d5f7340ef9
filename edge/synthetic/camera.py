"""The pin-hole camera that drives along the road, and the course of the road."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.synthetic.seeded_random import wave, wave_slope

NEAR_M = 0.7
"""Smallest distance from the camera at which something is drawn, in metres."""

Point = "tuple[float, float, float]"
"""A point in view: metres to the right, metres above the ground, metres ahead."""


@dataclass(frozen=True)
class Course:
    """Course of the road's middle: a wave of parabolas along the way.

    Attributes:
        swing_m: Largest offset to a side, in metres.
        period_m: Length of one full wave, in metres.
        phase: Phase of the wave where the way begins, 0 to 1.
    """

    swing_m: float
    period_m: float
    phase: float

    def offset(self, along_m: float) -> float:
        """Return the offset of the road's middle in metres, at a distance along the way."""
        return self.swing_m * wave(along_m / self.period_m + self.phase)

    def slope(self, along_m: float) -> float:
        """Return the slope of the offset at a distance along the way, in metres per metre."""
        return self.swing_m / self.period_m * wave_slope(along_m / self.period_m + self.phase)


class Camera:
    """Projects the coordinates of the road into a picture.

    These coordinates are `along` (metres along the way), `side` (metres right of the road's middle) and `up` (metres
    above the ground). The camera looks along the road where it stands.

    Args:
        height: Rows of the picture, in pixels.
        width: Columns of the picture, in pixels.
        focal: Focal length in units of the picture's side (2:1 picture: its width).
        horizon: Position of the horizon as a fraction of the height from the top.
        above_m: Height of the lens above the ground, in metres.
        along_m: Position of the camera along the way, in metres.
        side_m: Position of the camera right of the road's middle, in metres.
        course: Course of the road.
    """

    def __init__(
        self,
        height: int,
        width: int,
        focal: float,
        horizon: float,
        above_m: float,
        along_m: float,
        side_m: float,
        course: Course,
    ) -> None:
        self.height, self.width = height, width
        self.focal_px = focal * math.sqrt(2.0 * height * width)
        self.horizon_px = horizon * height
        self.middle_px = width / 2.0
        self.above_m, self.along_m, self.side_m = above_m, along_m, side_m
        self._course = course
        self._offset = course.offset(along_m)
        self._slope = course.slope(along_m)

    def bend(self, along_m: float) -> float:
        """Return the metres by which the road's middle lies to the right of the camera's straight line ahead."""
        return self._course.offset(along_m) - self._offset - self._slope * (along_m - self.along_m)

    def view(self, along_m: float, side_m: float) -> tuple[float, float]:
        """Return (right, ahead) of a point on the ground, in metres from the camera."""
        return side_m - self.side_m + self.bend(along_m), along_m - self.along_m

    def pixel(self, right: float, up: float, ahead: float) -> tuple[float, float]:
        """Return (column, row) of a point in view; `ahead` must be positive."""
        scale = self.focal_px / ahead
        return self.middle_px + right * scale, self.horizon_px + (self.above_m - up) * scale

    def outline(self, points: list) -> np.ndarray | None:
        """Project a polygon that is cut off at the near plane.

        Args:
            points: Corners in view: (right, up, ahead) in metres.

        Returns:
            (N, 2) int32 with (column, row) of each corner, or None where no part lies ahead.
        """
        if min(point[2] for point in points) < NEAR_M:
            points = _cut_near(points)
            if len(points) < 3:
                return None
        focal, middle, horizon, above = self.focal_px, self.middle_px, self.horizon_px, self.above_m
        limit = 8.0 * (self.width + self.height)
        out = []
        for right, up, ahead in points:
            scale = focal / ahead
            column, row = middle + right * scale, horizon + (above - up) * scale
            out.append(
                (math.floor(min(max(column, -limit), limit) + 0.5), math.floor(min(max(row, -limit), limit) + 0.5))
            )
        return np.array(out, np.int32)

    def may_show(self, points: list) -> bool:
        """Return whether an upright object between points on the ground, (right, ahead), may be in the picture."""
        half_view = self.middle_px / self.focal_px
        return (
            any(ahead > NEAR_M for _, ahead in points)
            and any(right < ahead * half_view for right, ahead in points)
            and any(right > -ahead * half_view for right, ahead in points)
        )

    def ground_ahead(self) -> tuple[int, np.ndarray]:
        """Return the first row that shows ground, and the metres ahead for each row from there, (rows,) float64."""
        first = math.floor(self.horizon_px) + 1
        rows = np.arange(first, self.height, dtype=np.float64)
        return first, self.focal_px * self.above_m / (rows + 0.5 - self.horizon_px)


def _cut_near(points: list) -> list:
    kept = []
    for index, end in enumerate(points):
        start = points[index - 1]
        if (start[2] < NEAR_M) != (end[2] < NEAR_M):
            part = (NEAR_M - start[2]) / (end[2] - start[2])
            kept.append((start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]), NEAR_M))
        if end[2] >= NEAR_M:
            kept.append(end)
    return kept
