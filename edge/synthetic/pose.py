"""The frame of one thing: its own axes, put into the camera's view."""

from __future__ import annotations

from edge.synthetic.camera import Camera
from edge.synthetic.seeded_random import direction


class Pose:
    """Where a thing stands and how it is turned.

    Its own coordinates are `fore` (metres ahead of its middle), `right` and `up`.

    Args:
        camera: where it is seen from.
        along_m: where it stands along the way.
        side_m: where it stands right of the road's middle.
        turn: tangent of half its heading; 0 looks along the way, 1 to the right.

    Attributes:
        ahead: its distance ahead of the camera in metres.
        right: how far it stands to the right of the camera.
    """

    def __init__(self, camera: Camera, along_m: float, side_m: float, turn: float) -> None:
        self.right, self.ahead = camera.view(along_m, side_m)
        self._cosine, self._sine = direction(turn)

    def point(self, fore: float, right: float, up: float) -> tuple[float, float, float]:
        """Return (right, up, ahead) in view."""
        return (
            self.right + fore * self._sine + right * self._cosine,
            up,
            self.ahead + fore * self._cosine - right * self._sine,
        )

    def normal(self, fore: float, right: float, up: float) -> tuple[float, float, float]:
        """Return a direction of its own in view."""
        return fore * self._sine + right * self._cosine, up, fore * self._cosine - right * self._sine

    def faces_camera(self, point: tuple, normal: tuple, camera_up_m: float) -> bool:
        """Return whether a surface through a point in view shows its front to the camera."""
        return point[0] * normal[0] + (point[1] - camera_up_m) * normal[1] + point[2] * normal[2] < 0
