"""Shadows that the sun casts on the ground beside and between the tracks."""

from __future__ import annotations

import numpy as np

from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.surfaces import stretches
from edge.synthetic.railway.traffic import Traffic
from edge.synthetic.shadows import cast_box, cast_object, darken


def cast_shadows(canvas: Canvas, line: Line, traffic: Traffic, time_s: float) -> None:
    """Darken the ground where the sun does not reach it, before anything is drawn on the ground."""
    light, camera = line.light, canvas.camera
    if not light.casts_shadows:
        return
    shift = (-light.sun_right / light.sun_up, -light.sun_ahead / light.sun_up)
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for scene_object in traffic.shadowed(time_s):
        cast_object(mask, camera, scene_object, shift)
    for train in traffic.trains:
        track, start = line.tracks[train.track], train.near_at(time_s)
        for low, far in stretches(start, min(start + train.long_m, 230.0), 8.0, 0.2):
            ends = [camera.view(along, track.middle_m(along)) for along in (low, far)]
            base = [(right + out, 0.0, ahead) for right, ahead in ends for out in (-1.4, 1.4)]
            cast_box(mask, camera, base, 3.9, shift)
    for flank in line.flanks:
        if flank.kind in ("wall", "barrier") and flank.sign * shift[0] < 0:
            for low, far in stretches(0.8, 200.0, 8.0, 0.3):
                feet = [camera.view(along, flank.edge_m * flank.sign) for along in (low, far)]
                cast_box(mask, camera, [(right, 0.0, ahead) for right, ahead in feet], flank.high_m, shift)
    darken(canvas, mask)
