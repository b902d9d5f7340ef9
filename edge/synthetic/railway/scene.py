"""Labelled pictures of railway lines, one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.synthetic.railway.line import Line
from edge.synthetic.railway.render import render
from edge.synthetic.railway.traffic import Traffic
from edge.synthetic.scene import check_size

_STILL = 3
"""Keeps the keys of lines apart from those of streets."""


@dataclass(frozen=True)
class RailScene:
    """One picture of a railway line with its labels.

    Attributes:
        frame_rgb: Picture, (H, W, 3) uint8 RGB.
        label_ids: Labels, (H, W) uint8 RailSem19 ids, 0 to 18; 255 is void.
    """

    frame_rgb: np.ndarray
    label_ids: np.ndarray


def draw_rail_scene(seed: int, index: int, height: int, width: int) -> RailScene:
    """Draw a still picture: a railway line of its own.

    Args:
        seed: Seed of the whole set, 0 or more.
        index: Number of the picture in the set; a picture depends on no other picture.
        height: Rows of the picture in pixels, 64 to 1024.
        width: Columns of the picture in pixels, 128 to 2048.

    Returns:
        The labelled picture, which is the same for the same arguments on every machine.

    Raises:
        SizeError: A side is out of range.
    """
    check_size(height, width)
    line = Line((seed, _STILL, index))
    return RailScene(*render(line, Traffic(line), height, width, 0.0, 0))
