"""The renderer of one picture of a railway line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge.synthetic.canvas import Canvas
from edge.synthetic.ground import paint_sky
from edge.synthetic.optics import draw_optics, expose, paint_frame
from edge.synthetic.railway.camera import camera_of
from edge.synthetic.railway.classes import label_ids_of
from edge.synthetic.railway.equipment import (
    add_buffer_stops,
    add_crossing_gear,
    add_overhead_line,
    add_signals,
)
from edge.synthetic.railway.ground import paint_ground
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.rails import draw_rails
from edge.synthetic.railway.scenery import add_far_row, add_scenery, draw_hills
from edge.synthetic.railway.shadows import cast_shadows
from edge.synthetic.railway.stations import add_platforms
from edge.synthetic.railway.structures import add_bridge, add_tunnel
from edge.synthetic.railway.surfaces import Drawings, draw_all
from edge.synthetic.railway.traffic import Traffic


def render(
    line: Line, traffic: Traffic, height: int, width: int, time_s: float, frame_number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a line as it is at a time.

    Args:
        line: Line that is drawn.
        traffic: What moves on it.
        height: Rows of the picture, in pixels.
        width: Columns of the picture, in pixels.
        time_s: Time, in s.
        frame_number: Number of the frame, which decides the sensor's noise.

    Returns:
        The frame, (H, W, 3) uint8 RGB, and the labels, (H, W) uint8 RailSem19 ids, 255 for void.
    """
    canvas = Canvas(camera_of(line, height, width), line.light)
    paint_sky(canvas, line)
    draw_hills(canvas, line)
    paint_ground(canvas, line)
    draw_rails(canvas, line)
    cast_shadows(canvas, line, traffic, time_s)
    drawings: Drawings = []
    add_far_row(drawings, canvas, line)
    add_scenery(drawings, canvas, line)
    add_platforms(drawings, canvas, line)
    add_overhead_line(drawings, canvas, line)
    add_signals(drawings, canvas, line)
    add_buffer_stops(drawings, canvas, line)
    add_crossing_gear(drawings, canvas, line)
    add_bridge(drawings, canvas, line)
    traffic.add_to(drawings, canvas, time_s)
    add_tunnel(drawings, canvas, line)
    draw_all(drawings)
    optics = draw_optics(line)
    if line.view.kind != "cab":
        optics = replace(optics, has_bonnet=False)
    paint_frame(canvas, line, optics)
    return expose(canvas.paint, optics, line, frame_number), label_ids_of(canvas.tags)
