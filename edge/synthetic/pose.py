"""The pose of one object: its own axes in the camera's view."""

from __future__ import annotations

from edge.synthetic.camera import Camera
from edge.synthetic.seeded_random import direction

CIRCLE = (
    (1.0, 0.0),
    (0.8, 0.6),
    (0.6, 0.8),
    (0.0, 1.0),
    (-0.6, 0.8),
    (-0.8, 0.6),
    (-1.0, 0.0),
    (-0.8, -0.6),
    (-0.6, -0.8),
    (0.0, -1.0),
    (0.6, -0.8),
    (0.8, -0.6),
)
"""Twelve points of the unit circle, with coordinates that every machine computes alike: (cosine, sine)."""


class Pose:
    """Position and heading of an object in the camera's view.

    The object's own coordinates are `fore` (metres ahead of its middle), `right` and `up`.

    Args:
        camera: Camera that sees the object.
        along_m: Position along the way, in metres.
        side_m: Position right of the road's middle, in metres.
        turn: Tangent of half the heading; 0 looks along the way, 1 to the right.

    Attributes:
        ahead: Distance ahead of the camera, in metres.
        right: Distance to the right of the camera, in metres.
    """

    def __init__(self, camera: Camera, along_m: float, side_m: float, turn: float) -> None:
        self.right, self.ahead = camera.view(along_m, side_m)
        self._cosine, self._sine = direction(turn)

    def point(self, fore: float, right: float, up: float) -> tuple[float, float, float]:
        """Return (right, up, ahead) in view of a point in the object's own coordinates."""
        return (
            self.right + fore * self._sine + right * self._cosine,
            up,
            self.ahead + fore * self._cosine - right * self._sine,
        )

    def normal(self, fore: float, right: float, up: float) -> tuple[float, float, float]:
        """Return a direction in view from one in the object's own coordinates."""
        return fore * self._sine + right * self._cosine, up, fore * self._cosine - right * self._sine

    def faces_camera(self, point: tuple, normal: tuple, camera_up_m: float) -> bool:
        """Return whether the surface through a point in view shows its front to the camera."""
        return point[0] * normal[0] + (point[1] - camera_up_m) * normal[1] + point[2] * normal[2] < 0
