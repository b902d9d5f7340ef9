"""Labelled pictures of streets, one by one."""

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
    """One picture of a street with its labels.

    Attributes:
        frame_rgb: Picture, (H, W, 3) uint8 RGB.
        label_ids: Labels, (H, W) uint8 Cityscapes file ids.
        instance_ids: Instances, (H, W) uint16: the file id of a class without instances, else file id * 1000 + instance
            number.
    """

    frame_rgb: np.ndarray
    label_ids: np.ndarray
    instance_ids: np.ndarray


def check_size(height: int, width: int) -> None:
    """Refuse a size at which scenes cannot be drawn.

    Raises:
        SizeError: A side is out of range.
    """
    if MIN_HEIGHT <= height <= MAX_HEIGHT and MIN_WIDTH <= width <= MAX_WIDTH:
        return
    raise SizeError(
        f"scenes cannot be drawn at {height}x{width}, expected {MIN_HEIGHT}x{MIN_WIDTH} to "
        f"{MAX_HEIGHT}x{MAX_WIDTH}. Next: choose a size in between, for example 512x1024"
    )


def still_world(seed: int, index: int) -> tuple[World, float]:
    """Return the street of a still picture, and the time at which it is taken."""
    world = World((seed, _STILL, index))
    return world, SeededRandom(*world.key, 18).uniform(0.0, 120.0)


def video_world(seed: int) -> World:
    """Return the street along which a video drives."""
    return World((seed, _VIDEO))


def scene_at(world: World, height: int, width: int, time_s: float, frame_number: int) -> Scene:
    """Draw a street with its labels, as it is at a time."""
    check_size(height, width)
    frame_rgb, tags = render(world, height, width, time_s, frame_number)
    label_ids = np.where(tags >= 1000, tags // 1000, tags).astype(np.uint8)
    return Scene(frame_rgb, label_ids, tags)


def draw_scene(seed: int, index: int, height: int, width: int) -> Scene:
    """Draw a still picture: a street of its own, at a time of its own.

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
    world, time_s = still_world(seed, index)
    return scene_at(world, height, width, time_s, 0)
