"""Grain on the objects of a drawn scene, of streets and of railway lines alike."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas

_GRAINS = {
    "car": ("car", 3.0, 16),
    "truck": ("truck", 4.5, 18),
    "bus": ("bus", 5.5, 14),
    "person": ("person", 1.1, 34),
    "worker": ("person", 1.1, 26),
    "cyclist": ("rider", 1.2, 34),
    "motorcyclist": ("rider", 1.2, 30),
}
"""Kind -> (class, reach in metres, percent): surfaces that would be bare without a grain."""


def roughen_object(canvas: Canvas, kind: str, number: int, middle: tuple[float, float, float]) -> None:
    """Give an object that has just been drawn its grain, if its kind has one.

    Args:
        canvas: Canvas on which the object lies.
        kind: Kind of the object, such as "car".
        number: Number of the object in its scene.
        middle: Middle of the object: right, up and ahead of the camera, in metres.
    """
    if kind in _GRAINS:
        name, reach_m, strength = _GRAINS[kind]
        canvas.roughen(CITYSCAPES_RAW_IDS[name] * 1000 + number, middle, reach_m, strength, number)
