"""The renderer of one picture of a street; objects are drawn from the farthest to the nearest."""

from __future__ import annotations

import numpy as np

from edge.synthetic import people, street_furniture, vegetation, vehicles
from edge.synthetic.camera import Camera
from edge.synthetic.canvas import Canvas
from edge.synthetic.city_blocks import draw_backdrop, draw_blocks, draw_bridge
from edge.synthetic.grain import roughen_object
from edge.synthetic.ground import paint_ground, paint_sky
from edge.synthetic.optics import draw_optics, expose, paint_frame
from edge.synthetic.pose import Pose
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.shadows import cast_shadows
from edge.synthetic.world import World

_DRAWINGS = {
    "car": vehicles.draw_car,
    "truck": vehicles.draw_truck,
    "bus": vehicles.draw_bus,
    "trailer": vehicles.draw_trailer,
    "caravan": vehicles.draw_trailer,
    "train": vehicles.draw_train,
    "person": people.draw_person,
    "cyclist": people.draw_rider,
    "motorcyclist": people.draw_rider,
    "bicycle": people.draw_parked_two_wheeler,
    "motorcycle": people.draw_parked_two_wheeler,
    "lamp": street_furniture.draw_lamp,
    "sign": street_furniture.draw_sign,
    "traffic_light": street_furniture.draw_traffic_light,
    "overhead_light": street_furniture.draw_overhead_light,
    "gantry": street_furniture.draw_gantry,
    "bin": street_furniture.draw_bin,
    "tree": vegetation.draw_street_tree,
}


def camera_of(world: World, height: int, width: int, time_s: float) -> Camera:
    """Return the camera of a street at a time."""
    rng = SeededRandom(*world.key, 17)
    return Camera(
        height,
        width,
        rng.uniform(0.85, 1.2),
        rng.uniform(0.38, 0.5),
        rng.uniform(1.15, 2.0),
        world.camera_along(time_s),
        world.camera_lane_m,
        world.course,
    )


def render(world: World, height: int, width: int, time_s: float, frame_number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a street as it is at a time.

    Args:
        world: Street that is drawn.
        height: Rows of the picture, in pixels.
        width: Columns of the picture, in pixels.
        time_s: Time since the camera started, in s.
        frame_number: Number of the frame, which decides the sensor's noise.

    Returns:
        The frame, (H, W, 3) uint8 RGB, and the tags, (H, W) uint16: the file id of a class without instances, else file
        id * 1000 + instance number.
    """
    camera = camera_of(world, height, width, time_s)
    canvas = Canvas(camera, world.light)
    paint_sky(canvas, world)
    paint_ground(canvas, world)
    scene_objects = world.movers(time_s) + world.fixtures(time_s)
    cast_shadows(canvas, world, scene_objects)
    draw_backdrop(canvas, world)
    draw_blocks(canvas, world)
    if world.has_bridge:
        draw_bridge(canvas, world)
    # A train runs behind everything that stands at the kerb, however long it is.
    scene_objects.sort(key=lambda scene_object: (scene_object.kind != "train", -scene_object.along_m))
    for scene_object in scene_objects:
        pose = Pose(camera, scene_object.along_m, scene_object.side_m, scene_object.turn)
        if not _may_be_seen(camera, scene_object.kind, pose):
            continue
        _DRAWINGS[scene_object.kind](canvas, pose, scene_object, world)
        roughen_object(canvas, scene_object.kind, scene_object.number, (pose.right, 1.0, pose.ahead))
    optics = draw_optics(world)
    paint_frame(canvas, world, optics)
    return expose(canvas.paint, optics, world, frame_number), canvas.tags


def _may_be_seen(camera: Camera, kind: str, pose: Pose) -> bool:
    """Return whether an object of at most a bus's length may be in the picture; longer ones always may."""
    if kind in ("train", "gantry"):
        return True
    half_view = camera.width / (2.0 * camera.focal_px)
    return pose.ahead > -7.0 and abs(pose.right) < max(pose.ahead, 0.0) * half_view + 8.0
