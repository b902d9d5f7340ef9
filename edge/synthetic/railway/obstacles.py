"""What lies on a track and does not belong there: fallen trees, branches, boxes, rocks."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.surfaces import RaisedPose, fill_rough
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.texture import LEAF_VARIANTS, leaf_sprite
from edge.synthetic.vehicles import body_color
from edge.synthetic.world import SceneObject

_STATIC, _PLANT = CITYSCAPES_RAW_IDS["static"], CITYSCAPES_RAW_IDS["vegetation"]
_FRONT = (0.0, 0.0, -1.0)


def draw_fallen_tree(canvas: Canvas, pose: RaisedPose, scene_object: SceneObject, line: Line) -> None:
    """Draw a tree that lies across a track."""
    rng = SeededRandom(*scene_object.random_key, 1)
    long, sign = rng.uniform(6.0, 11.0), rng.choice((-1.0, 1.0))
    bark = rng.choice(((84.0, 70.0, 56.0), (104.0, 96.0, 86.0)))
    start, end = pose.point(0.0, -sign * long * 0.55, 0.5), pose.point(0.0, sign * long * 0.5, 0.55)
    color = (rng.uniform(52, 96), rng.uniform(78, 104), rng.uniform(36, 54))
    canvas.limb(start, end, rng.uniform(0.28, 0.5), bark, _PLANT)
    for _ in range(7):
        side = sign * rng.uniform(-0.05, 0.55) * long
        foot = pose.point(rng.uniform(-0.5, 0.5), side, 0.0)
        root = pose.point(0.0, side * 0.9, 0.5)
        tip = pose.point(rng.uniform(-0.8, 0.8), side + sign * 0.8, rng.uniform(0.9, 1.9))
        canvas.limb(root, tip, 0.09, bark, _PLANT)
        mask, light = leaf_sprite(rng.integer(0, LEAF_VARIANTS - 1))
        wide, high = rng.uniform(1.6, 3.2), rng.uniform(0.9, 2.0)
        box = (foot[0] - wide / 2, foot[1], foot[0] + wide / 2, foot[1] + high)
        canvas.stamp(mask, light, color, _PLANT, box, max(foot[2], 0.8))


def draw_branch(canvas: Canvas, pose: RaisedPose, scene_object: SceneObject, line: Line) -> None:
    """Draw a branch that lies on a track."""
    rng = SeededRandom(*scene_object.random_key, 1)
    mask, light = leaf_sprite(rng.integer(0, LEAF_VARIANTS - 1))
    color = (rng.uniform(56, 110), rng.uniform(74, 100), rng.uniform(40, 56))
    canvas.limb(pose.point(0.0, -1.1, 0.2), pose.point(0.2, 1.0, 0.5), 0.1, (86.0, 70.0, 54.0), _PLANT)
    foot = pose.point(0.0, 0.4, 0.05)
    canvas.stamp(mask[:90], light[:90], color, _PLANT, (foot[0] - 0.9, foot[1], foot[0] + 0.9, foot[1] + 0.8), foot[2])


def draw_boxes(canvas: Canvas, pose: RaisedPose, scene_object: SceneObject, line: Line) -> None:
    """Draw boxes, sacks and the like, which have no class."""
    rng = SeededRandom(*scene_object.random_key, 1)
    for index in range(rng.integer(1, 4)):
        wide, high, deep = rng.uniform(0.35, 1.1), rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.8)
        middle, fore = rng.uniform(-1.2, 1.2), 0.6 - index * 0.4
        color = rng.choice((body_color(rng), (168.0, 130.0, 88.0), (150.0, 112.0, 70.0), (70.0, 72.0, 76.0)))
        left, right = middle - wide / 2, middle + wide / 2
        lid = [pose.point(fore, left, high), pose.point(fore, right, high)]
        lid += [pose.point(fore + deep, right, high), pose.point(fore + deep, left, high)]
        fill_rough(canvas, lid, color, _STATIC, (0.0, 1.0, 0.0), 12.0, index)
        edge = left if pose.right + middle > 0 else right
        flank = [pose.point(fore, edge, 0.0), pose.point(fore + deep, edge, 0.0)]
        flank += [pose.point(fore + deep, edge, high), pose.point(fore, edge, high)]
        fill_rough(canvas, flank, color, _STATIC, (1.0 if edge == right else -1.0, 0.0, 0.0), 12.0, index)
        front = [
            pose.point(fore, left, 0.0),
            pose.point(fore, right, 0.0),
            pose.point(fore, right, high),
            pose.point(fore, left, high),
        ]
        fill_rough(canvas, front, color, _STATIC, _FRONT, 12.0, index)


def draw_rocks(canvas: Canvas, pose: RaisedPose, scene_object: SceneObject, line: Line) -> None:
    """Draw rocks that fell on a track, which have no class."""
    rng = SeededRandom(*scene_object.random_key, 1)
    for index in range(rng.integer(2, 6)):
        size, middle, fore = rng.uniform(0.2, 0.75), rng.uniform(-1.8, 1.8), 1.0 - index * 0.35
        grey = rng.uniform(90.0, 150.0)
        shape = ((-1.0, 0.0), (-0.9, 0.7), (-0.3, 1.25), (0.4, 1.15), (0.95, 0.6), (1.0, 0.0))
        corners = [pose.point(fore, middle + x * size * rng.uniform(0.85, 1.1), y * size * 0.8) for x, y in shape]
        fill_rough(canvas, corners, (grey, grey * 0.97, grey * 0.92), _STATIC, (0.0, 0.5, -0.6), 40.0, index)
