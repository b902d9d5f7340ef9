"""People on foot, cyclists, motorcyclists, and the machines that they ride, drawn as bars between joints."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import CIRCLE, Pose
from edge.synthetic.seeded_random import SeededRandom, wave
from edge.synthetic.vehicles import body_color
from edge.synthetic.world import SceneObject, World

_SKIN = ((222.0, 178.0, 150.0), (190.0, 140.0, 108.0), (125.0, 85.0, 62.0), (78.0, 54.0, 42.0))
_HAIR = ((40.0, 32.0, 28.0), (90.0, 62.0, 40.0), (170.0, 140.0, 90.0), (150.0, 148.0, 145.0))
_WARNING = (250.0, 112.0, 24.0)


def _clothes(rng: SeededRandom) -> tuple:
    return body_color(rng) if rng.chance(0.6) else tuple(rng.uniform(25, 120) for _ in range(3))


def draw_person(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw somebody who walks or stands; a worker beside a track wears the orange of warning clothes."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS["person"] * 1000 + scene_object.number
    tall = rng.uniform(1.55, 1.95) if rng.chance(0.88) else rng.uniform(1.0, 1.4)
    coat, trousers = _clothes(rng), _clothes(rng)
    if scene_object.kind == "worker":
        coat = trousers = _WARNING
    skin, hair = rng.choice(_SKIN), rng.choice(_HAIR)
    stout = rng.uniform(0.85, 1.25) * tall / 1.75
    swing = wave(scene_object.phase) if scene_object.phase else rng.uniform(-0.25, 0.25)
    hip, shoulder = tall * 0.5, tall * 0.8
    coat_end = hip - (tall * rng.uniform(0.05, 0.22) if rng.chance(0.35) else 0.0)
    if pose.ahead > _FAR_M:
        _far_figure(canvas, pose, tall, (coat, trousers, skin), tag)
        return
    for side, step in ((-1.0, swing), (1.0, -swing)):
        knee = pose.point(tall * 0.12 * step + 0.03, side * 0.09, tall * 0.27)
        foot = pose.point(tall * 0.2 * step - 0.03, side * 0.1, 0.05 + max(0.0, -step) * 0.07)
        canvas.limb(pose.point(0.0, side * 0.08, hip), knee, 0.16 * stout, trousers, tag)
        canvas.limb(knee, foot, 0.12 * stout, trousers, tag)
        canvas.limb(foot, pose.point(tall * 0.2 * step + 0.12, side * 0.1, 0.04), 0.09, (40.0, 36.0, 34.0), tag)
    canvas.limb(pose.point(0.0, 0.0, coat_end + 0.12), pose.point(0.0, 0.0, shoulder - 0.1), 0.36 * stout, coat, tag)
    across = [pose.point(0.0, s * 0.19 * stout, shoulder) for s in (-1.0, 1.0)]
    canvas.limb(across[0], across[1], 0.13, coat, tag)
    for shoulder_point, side, step in ((across[0], -1.0, -swing), (across[1], 1.0, swing)):
        elbow = pose.point(tall * 0.09 * step - 0.03, side * 0.25 * stout, tall * 0.63)
        hand = pose.point(tall * 0.16 * step + 0.05, side * 0.24 * stout, tall * 0.5)
        canvas.limb(shoulder_point, elbow, 0.1 * stout, coat, tag)
        canvas.limb(elbow, hand, 0.085, coat, tag)
        canvas.limb(hand, hand, 0.09, skin, tag)
    neck, head = pose.point(0.0, 0.0, shoulder + 0.03), pose.point(0.02, 0.0, tall - 0.12)
    canvas.limb(neck, head, 0.1, skin, tag)
    canvas.limb(head, pose.point(0.02, 0.0, tall - 0.1), 0.2, skin, tag)
    canvas.limb(pose.point(-0.04, 0.0, tall - 0.09), pose.point(-0.02, 0.0, tall - 0.06), 0.2, hair, tag)
    if rng.chance(0.25):
        bag = _clothes(rng)
        side = rng.choice((-1.0, 1.0))
        canvas.limb(pose.point(0.0, side * 0.3, tall * 0.42), pose.point(0.0, side * 0.3, tall * 0.36), 0.17, bag, tag)


_FAR_M = 60.0
"""Distance in metres from which a person is a few pixels, so that three bars are enough."""


def _far_figure(canvas: Canvas, pose: Pose, tall: float, colors: tuple, tag: int) -> None:
    coat, trousers, skin = colors
    canvas.limb(pose.point(0.0, 0.0, 0.1), pose.point(0.0, 0.0, tall * 0.5), 0.28, trousers, tag)
    canvas.limb(pose.point(0.0, 0.0, tall * 0.5), pose.point(0.0, 0.0, tall * 0.8), 0.42, coat, tag)
    canvas.limb(pose.point(0.0, 0.0, tall * 0.82), pose.point(0.0, 0.0, tall - 0.1), 0.2, skin, tag)


def _bicycle(canvas: Canvas, pose: Pose, rng: SeededRandom, tag: int) -> None:
    color = body_color(rng)
    tyre = (38.0, 38.0, 40.0)
    for fore in (-0.52, 0.52):
        ring = [pose.point(fore + c * 0.34, 0.0, 0.35 + s * 0.34) for c, s in CIRCLE]
        canvas.loop(ring, 0.05, tyre, tag)
    joints = [(-0.52, 0.35), (-0.15, 0.32), (-0.22, 0.82), (0.38, 0.8), (0.52, 0.35), (0.34, 1.02)]
    for a, b in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4), (3, 5)):
        canvas.limb(
            pose.point(joints[a][0], 0.0, joints[a][1]), pose.point(joints[b][0], 0.0, joints[b][1]), 0.05, color, tag
        )
    canvas.limb(pose.point(0.34, -0.27, 1.03), pose.point(0.34, 0.27, 1.03), 0.045, tyre, tag)
    canvas.limb(pose.point(-0.34, 0.0, 0.9), pose.point(-0.12, 0.0, 0.9), 0.08, tyre, tag)


def _motorcycle(canvas: Canvas, pose: Pose, rng: SeededRandom, tag: int) -> None:
    color = body_color(rng)
    for fore in (-0.65, 0.65):
        ring = [pose.point(fore + c * 0.27, 0.0, 0.31 + s * 0.27) for c, s in CIRCLE]
        canvas.loop(ring, 0.13, (30.0, 30.0, 32.0), tag)
        canvas.limb(pose.point(fore, 0.0, 0.3), pose.point(fore, 0.0, 0.32), 0.2, (120.0, 120.0, 124.0), tag)
    canvas.limb(pose.point(-0.35, 0.0, 0.5), pose.point(0.3, 0.0, 0.5), 0.38, (60.0, 60.0, 64.0), tag)
    canvas.limb(pose.point(-0.7, 0.0, 0.75), pose.point(0.0, 0.0, 0.74), 0.2, (34.0, 32.0, 32.0), tag)
    canvas.limb(pose.point(0.05, 0.0, 0.8), pose.point(0.35, 0.0, 0.84), 0.3, color, tag)
    canvas.limb(pose.point(0.65, 0.0, 0.3), pose.point(0.4, 0.0, 1.05), 0.09, (150.0, 150.0, 152.0), tag)
    canvas.limb(pose.point(0.38, -0.36, 1.08), pose.point(0.38, 0.36, 1.08), 0.06, (40.0, 40.0, 42.0), tag)
    canvas.limb(pose.point(-0.8, 0.0, 0.72), pose.point(-0.78, 0.0, 0.72), 0.14, (190.0, 30.0, 28.0), tag)


def draw_parked_two_wheeler(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a bicycle or a motorcycle without a rider."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS[scene_object.kind] * 1000 + scene_object.number
    (_bicycle if scene_object.kind == "bicycle" else _motorcycle)(canvas, pose, rng, tag)


def draw_rider(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a cyclist or motorcyclist: the machine and the rider are two instances."""
    rng = SeededRandom(*scene_object.random_key, 1)
    is_bicycle = scene_object.kind == "cyclist"
    machine = CITYSCAPES_RAW_IDS["bicycle" if is_bicycle else "motorcycle"] * 1000 + scene_object.number
    tag = CITYSCAPES_RAW_IDS["rider"] * 1000 + scene_object.number
    (_bicycle if is_bicycle else _motorcycle)(canvas, pose, rng, machine)
    coat, trousers, skin = _clothes(rng), _clothes(rng), rng.choice(_SKIN)
    hat = _clothes(rng) if rng.chance(0.8) else rng.choice(_HAIR)
    hip_up, lean = (0.98, 0.28) if is_bicycle else (0.84, 0.18)
    turn = wave(scene_object.phase) if is_bicycle else 0.0
    hip, neck = (-0.22, hip_up), (-0.22 + lean, hip_up + 0.52)
    for side, step in ((-1.0, turn), (1.0, -turn)):
        knee = pose.point(0.15, side * 0.14, hip_up - 0.22 + 0.1 * step)
        foot = pose.point(-0.05, side * 0.13, 0.3 + 0.12 * step)
        canvas.limb(pose.point(hip[0], side * 0.1, hip[1]), knee, 0.17, trousers, tag)
        canvas.limb(knee, foot, 0.13, trousers, tag)
        canvas.limb(foot, pose.point(0.1, side * 0.13, 0.29 + 0.12 * step), 0.09, (35.0, 33.0, 32.0), tag)
    canvas.limb(
        pose.point(hip[0] + 0.02, 0.0, hip[1] + 0.1), pose.point(neck[0] - 0.03, 0.0, neck[1] - 0.12), 0.36, coat, tag
    )
    shoulders = [pose.point(neck[0], s * 0.2, neck[1] - 0.02) for s in (-1.0, 1.0)]
    canvas.limb(shoulders[0], shoulders[1], 0.13, coat, tag)
    for shoulder, side in zip(shoulders, (-1.0, 1.0)):
        hand = pose.point(0.33, side * 0.25, 1.05)
        canvas.limb(shoulder, hand, 0.1, coat, tag)
        canvas.limb(hand, hand, 0.09, skin, tag)
    head = pose.point(neck[0] + 0.08, 0.0, neck[1] + 0.17)
    canvas.limb(pose.point(neck[0], 0.0, neck[1]), head, 0.11, skin, tag)
    canvas.limb(head, head, 0.2, skin, tag)
    canvas.limb(pose.point(neck[0] + 0.06, 0.0, neck[1] + 0.23), head, 0.22, hat, tag)
