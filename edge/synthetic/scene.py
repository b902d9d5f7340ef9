"""A labelled picture, and stills of streets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.errors import SizeError
from edge.synthetic.render import render
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.world import World

MIN_HEIGHT, MIN_WIDTH = 64, 128
MAX_HEIGHT, MAX_WIDTH = 1024, 2048
_STILL, _VIDEO = 1, 2


@dataclass(frozen=True)
class Scene:
    """One picture with its labels.

    Attributes:
        frame_rgb: (H, W, 3) uint8.
        label_ids: (H, W) uint8, raw Cityscapes ids.
        instance_ids: (H, W) uint16: the raw id of stuff, id * 1000 + number of a thing.
    """

    frame_rgb: np.ndarray
    label_ids: np.ndarray
    instance_ids: np.ndarray


def check_size(height: int, width: int) -> None:
    """Refuse a size that streets are not drawn at.

    Raises:
        SizeError: a side is out of range.
    """
    if MIN_HEIGHT <= height <= MAX_HEIGHT and MIN_WIDTH <= width <= MAX_WIDTH:
        return
    raise SizeError(
        f"street scenes cannot be drawn at {height}x{width}, expected {MIN_HEIGHT}x{MIN_WIDTH} to "
        f"{MAX_HEIGHT}x{MAX_WIDTH}. Next: choose a size in between, for example 512x1024"
    )


def still_world(seed: int, index: int) -> tuple[World, float]:
    """Return the street of a still and the time it is taken at."""
    world = World((seed, _STILL, index))
    return world, SeededRandom(*world.key, 18).uniform(0.0, 120.0)


def video_world(seed: int) -> World:
    """Return the street that a video drives along."""
    return World((seed, _VIDEO))


def scene_at(world: World, height: int, width: int, time_s: float, frame_number: int) -> Scene:
    """Draw a street at a time, with its labels."""
    check_size(height, width)
    frame_rgb, tags = render(world, height, width, time_s, frame_number)
    label_ids = np.where(tags >= 1000, tags // 1000, tags).astype(np.uint8)
    return Scene(frame_rgb, label_ids, tags)


def draw_scene(seed: int, index: int, height: int, width: int) -> Scene:
    """Draw a still: a street of its own, at a time of its own.

    Args:
        seed: of the whole set, 0 or more.
        index: of the picture in the set; it depends on no other picture.
        height: rows, 64 to 1024.
        width: columns, 128 to 2048.

    Returns:
        The labelled picture; the same for the same arguments, on every machine.

    Raises:
        SizeError: a side is out of range.
    """
    world, time_s = still_world(seed, index)
    return scene_at(world, height, width, time_s, 0)
