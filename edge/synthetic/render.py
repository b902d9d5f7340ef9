"""One picture of a street: what is farther is drawn first."""

from __future__ import annotations

import numpy as np

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic import furniture, people, plants, vehicles
from edge.synthetic.blocks import draw_backdrop, draw_blocks, draw_bridge
from edge.synthetic.camera import Camera
from edge.synthetic.canvas import Canvas
from edge.synthetic.ground import paint_ground, paint_sky
from edge.synthetic.optics import draw_optics, expose, paint_frame
from edge.synthetic.place import Place
from edge.synthetic.seeded_random import Dice
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
    "lamp": furniture.draw_lamp,
    "sign": furniture.draw_sign,
    "traffic_light": furniture.draw_traffic_light,
    "overhead_light": furniture.draw_overhead_light,
    "gantry": furniture.draw_gantry,
    "bin": furniture.draw_bin,
    "tree": plants.draw_street_tree,
}

_GRAINS = {
    "car": ("car", 3.0, 16),
    "truck": ("truck", 4.5, 18),
    "bus": ("bus", 5.5, 14),
    "person": ("person", 1.1, 34),
    "cyclist": ("rider", 1.2, 34),
    "motorcyclist": ("rider", 1.2, 30),
}
"""Kind -> (class, reach in metres, percent): surfaces that would be bare without a grain."""


def camera_of(world: World, height: int, width: int, time_s: float) -> Camera:
    """Return a street's camera at a time."""
    dice = Dice(*world.key, 17)
    return Camera(
        height,
        width,
        dice.uniform(0.85, 1.2),
        dice.uniform(0.38, 0.5),
        dice.uniform(1.15, 2.0),
        world.camera_along(time_s),
        world.camera_lane_m,
        world.course,
    )


def render(world: World, height: int, width: int, time_s: float, frame_number: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a street as it is at a time.

    Args:
        world: the street.
        height: rows.
        width: columns.
        time_s: seconds since the camera set off.
        frame_number: decides the sensor's noise.

    Returns:
        frame_rgb (H, W, 3) uint8; tags (H, W) uint16: raw id of stuff, id * 1000 + number of things.
    """
    camera = camera_of(world, height, width, time_s)
    canvas = Canvas(camera, world.light)
    paint_sky(canvas, world)
    paint_ground(canvas, world)
    things = world.movers(time_s) + world.fixtures(time_s)
    cast_shadows(canvas, world, things)
    draw_backdrop(canvas, world)
    draw_blocks(canvas, world)
    if world.has_bridge:
        draw_bridge(canvas, world)
    # A train runs behind everything that stands at the kerb, however long it is.
    things.sort(key=lambda thing: (thing.kind != "train", -thing.along_m))
    for thing in things:
        place = Place(camera, thing.along_m, thing.side_m, thing.turn)
        if not _may_be_seen(camera, thing.kind, place):
            continue
        _DRAWINGS[thing.kind](canvas, place, thing, world)
        if thing.kind in _GRAINS:
            name, reach_m, strength = _GRAINS[thing.kind]
            tag = CITYSCAPES_RAW_IDS[name] * 1000 + thing.number
            canvas.roughen(tag, (place.right, 1.0, place.ahead), reach_m, strength, thing.number)
    optics = draw_optics(world)
    paint_frame(canvas, world, optics)
    return expose(canvas.paint, optics, world, frame_number), canvas.tags


def _may_be_seen(camera: Camera, kind: str, place: Place) -> bool:
    """Return whether a thing of at most a bus's reach may be in the picture; long ones always may."""
    if kind in ("train", "gantry"):
        return True
    half_view = camera.width / (2.0 * camera.focal_px)
    return place.ahead > -7.0 and abs(place.right) < max(place.ahead, 0.0) * half_view + 8.0
