"""Shadows that the sun casts on the ground."""

from __future__ import annotations

import numpy as np

from edge.opencv import cv2
from edge.synthetic.camera import Camera
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import Pose
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.world import BLOCK_M, JUNCTION_M, SceneObject, World

_SIZES_M = {
    "car": (4.2, 1.8, 1.4),
    "truck": (7.5, 2.4, 3.0),
    "bus": (10.5, 2.5, 3.0),
    "train": (45.0, 2.7, 3.6),
    "person": (0.3, 0.5, 1.7),
    "worker": (0.3, 0.5, 1.7),
    "cyclist": (1.6, 0.5, 1.7),
    "motorcyclist": (1.9, 0.6, 1.6),
    "bicycle": (1.6, 0.3, 1.0),
    "motorcycle": (1.9, 0.6, 1.0),
    "lamp": (0.2, 0.2, 7.0),
    "sign": (0.1, 0.3, 3.0),
    "traffic_light": (0.2, 0.3, 3.4),
    "bin": (0.6, 0.8, 1.1),
    "trailer": (3.0, 1.9, 1.6),
    "caravan": (5.2, 1.9, 2.6),
    "gantry": (0.3, 12.0, 6.5),
}
"""Kind -> length, width and height in metres of the box that casts the shadow of such an object."""


def cast_shadows(canvas: Canvas, world: World, scene_objects: list[SceneObject]) -> None:
    """Darken the ground where the sun does not reach it, before anything is drawn on the ground."""
    light, camera = world.light, canvas.camera
    if not light.casts_shadows:
        return
    shift = (-light.sun_right / light.sun_up, -light.sun_ahead / light.sun_up)
    mask = np.zeros((camera.height, camera.width), np.uint8)
    for scene_object in scene_objects:
        cast_object(mask, camera, scene_object, shift)
    for block in world.blocks_in_sight(camera.along_m):
        for side in (-1, 1):
            if world.block_kind(side, block) != "buildings" or side * shift[0] > 0:
                continue
            start = block * BLOCK_M + (JUNCTION_M if world.has_junction(block) else 0.0)
            front = world.street.front_right if side > 0 else world.street.front_left
            high = SeededRandom(*world.key, 13, side, block).uniform(6.0, 15.0)
            feet = [camera.view(start, front), camera.view((block + 1) * BLOCK_M, front)]
            cast_box(mask, camera, [(right, 0.0, ahead) for right, ahead in feet], high, shift)
    darken(canvas, mask)


def darken(canvas: Canvas, mask: np.ndarray) -> None:
    """Take the sun's light from the ground where a mask, (H, W) uint8, is not 0."""
    light, camera = canvas.light, canvas.camera
    left = 1.0 - light.sun_rgb[1] / (light.sun_rgb[1] + light.ambient_rgb[1]) * 0.9
    first = max(0, int(camera.horizon_px))
    ground = canvas.paint[first:]
    table = (np.arange(256) * left).astype(np.uint8)
    np.copyto(ground, cv2.LUT(ground, table), where=mask[first:, :, None] > 0)


def cast_object(mask: np.ndarray, camera: Camera, scene_object: SceneObject, shift: tuple) -> None:
    """Fill the shadow of an object, if one of its kind casts any.

    Args:
        mask: (H, W) uint8 that is filled with 255.
        camera: Camera that sees the ground.
        scene_object: Object that stands on the ground.
        shift: Metres to the right and ahead by which a metre of height shifts a shadow.
    """
    pose = Pose(camera, scene_object.along_m, scene_object.side_m, scene_object.turn)
    if scene_object.kind == "tree":
        _crown(mask, camera, pose, shift)
    elif scene_object.kind in _SIZES_M:
        long, wide, high = _SIZES_M[scene_object.kind]
        base = [pose.point(f * long / 2, s * wide / 2, 0.0) for f, s in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
        cast_box(mask, camera, base, high, shift)


def cast_box(mask: np.ndarray, camera: Camera, base: list, high: float, shift: tuple) -> None:
    """Fill the shadow of an upright box over corners in view, (right, 0, ahead); the rest is as in cast_object."""
    top = [(right + shift[0] * high, 0.0, ahead + shift[1] * high) for right, _, ahead in base]
    outline = camera.outline(_hull(base + top))
    if outline is not None:
        cv2.fillConvexPoly(mask, outline, 255)


def _crown(mask: np.ndarray, camera: Camera, pose: Pose, shift: tuple) -> None:
    for up, radius in ((3.5, 1.8), (5.0, 2.2), (6.5, 1.6)):
        right, ahead = pose.right + shift[0] * up, pose.ahead + shift[1] * up
        ring = [(right + c * radius, 0.0, ahead + s * radius) for c, s in _RING]
        outline = camera.outline(ring)
        if outline is not None:
            cv2.fillConvexPoly(mask, outline, 255)
    cast_box(mask, camera, [pose.point(0.0, -0.15, 0.0), pose.point(0.0, 0.15, 0.0)], 4.0, shift)


_RING = ((1, 0), (0.8, 0.6), (0.5, 0.95), (0, 0.9), (-0.6, 0.8), (-1, 0.3), (-0.9, -0.4), (-0.3, -1), (0.4, -0.85))


def _hull(points: list) -> list:
    """Return the convex outline of points on the ground, in order (Andrew's monotone chain)."""
    ground_points = sorted({(point[0], point[2]) for point in points})
    if len(ground_points) < 3:
        return [(right, 0.0, ahead) for right, ahead in ground_points]
    chains = []
    for sequence in (ground_points, ground_points[::-1]):
        chain: list = []
        for point in sequence:
            while len(chain) > 1 and _turns_right(chain[-2], chain[-1], point):
                chain.pop()
            chain.append(point)
        chains += chain[:-1]
    return [(right, 0.0, ahead) for right, ahead in chains]


def _turns_right(first: tuple, middle: tuple, last: tuple) -> bool:
    return (middle[0] - first[0]) * (last[1] - first[1]) - (middle[1] - first[1]) * (last[0] - first[0]) <= 0
