"""The camera of a railway scene: in a driver's cab, beside the track, on a platform or on a mast."""

from __future__ import annotations

from edge.synthetic.camera import Camera
from edge.synthetic.railway.line import Line


def camera_of(line: Line, height: int, width: int) -> Camera:
    """Return the camera that looks along a line.

    Its picture may be a part of a wider one, so that the line leads away beside the middle.
    """
    view = line.view
    camera = Camera(height, width, view.focal, view.horizon, view.above_m, 0.0, view.side_m, line.course)
    camera.middle_px += view.shift * width
    return camera
