"""Street furniture: poles, lamps, traffic lights, traffic signs, bins."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import CIRCLE, Pose
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.vehicles import body_color
from edge.synthetic.world import SceneObject, World

_POLE, _SIGN, _LIGHT = (CITYSCAPES_RAW_IDS[name] for name in ("pole", "traffic sign", "traffic light"))
_STATIC = CITYSCAPES_RAW_IDS["static"]
_FRONT = (0.0, 0.0, -1.0)
_STEELS = ((130.0, 134.0, 136.0), (70.0, 72.0, 70.0), (96.0, 104.0, 92.0), (150.0, 140.0, 125.0), (60.0, 78.0, 66.0))


def _post(canvas: Canvas, pose: Pose, right: float, low: float, high: float, thick: float, color: tuple) -> None:
    half = thick / 2
    corners = [pose.point(0.0, right - half, low), pose.point(0.0, right + half, low)]
    corners += [pose.point(0.0, right + half * 0.8, high), pose.point(0.0, right - half * 0.8, high)]
    canvas.fill(corners, color, _POLE, (0.0, 0.2, -0.8))


def _flat(pose: Pose, middle: tuple, corners: tuple, size: float, fore: float = 0.0) -> list:
    """Return a board that faces the camera; corners are in units of half its size."""
    return [pose.point(fore, middle[0] + c * size / 2, middle[1] + s * size / 2) for c, s in corners]


_SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
_UP = ((0.0, 0.95), (-1.0, -0.78), (1.0, -0.78))
_DOWN = ((0.0, -0.95), (-1.0, 0.78), (1.0, 0.78))
_EIGHT = ((1, 0.41), (0.41, 1), (-0.41, 1), (-1, 0.41), (-1, -0.41), (-0.41, -1), (0.41, -1), (1, -0.41))
_DIAMOND = ((0, 1), (1, 0), (0, -1), (-1, 0))
_RED, _WHITE, _BLUE, _YELLOW = (190.0, 28.0, 30.0), (235.0, 235.0, 230.0), (30.0, 70.0, 160.0), (235.0, 190.0, 40.0)
_BOARDS = (
    (_UP, _RED, _WHITE, 0.68),
    (_DOWN, _RED, _WHITE, 0.68),
    (CIRCLE, _RED, _WHITE, 0.72),
    (_EIGHT, _RED, _RED, 0.9),
    (_DIAMOND, _WHITE, _YELLOW, 0.75),
    (_SQUARE, _BLUE, _BLUE, 0.9),
    (CIRCLE, _BLUE, _BLUE, 0.9),
    (_SQUARE, _WHITE, _WHITE, 0.92),
    (_SQUARE, _YELLOW, _YELLOW, 0.9),
    (CIRCLE, _WHITE, (150.0, 150.0, 150.0), 0.85),
)


def draw_lamp(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a street lamp; all lamps of a street are of one kind."""
    rng = SeededRandom(*world.key, 12)
    steel, high = rng.choice(_STEELS), rng.uniform(4.5, 9.0)
    arm = rng.uniform(0.8, 2.2) * (-1.0 if scene_object.side_m > 0 else 1.0)
    straight = Pose(canvas.camera, scene_object.along_m, scene_object.side_m, 0.0)
    _post(canvas, straight, 0.0, 0.0, high, rng.uniform(0.12, 0.22), steel)
    if rng.chance(0.7):
        canvas.limb(straight.point(0.0, 0.0, high), straight.point(0.0, arm, high + 0.25), 0.08, steel, _POLE)
    else:
        arm = 0.0
    head = _flat(straight, (arm, high + 0.22), ((-1, -0.25), (1, -0.25), (0.7, 0.3), (-0.7, 0.3)), 0.8)
    lit = world.light.is_dark
    canvas.fill(head, (255.0, 225.0, 165.0) if lit else (165.0, 168.0, 170.0), _POLE, None if lit else _FRONT)


def draw_sign(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw one to three signs on a post."""
    rng = SeededRandom(*scene_object.random_key, 1)
    steel, high = rng.choice(_STEELS), rng.uniform(2.2, 3.2)
    _post(canvas, pose, 0.0, 0.0, high + 0.3, 0.09, steel)
    for _ in range(rng.weighted(((1, 5.0), (2, 3.0), (3, 1.0)))):
        shape, rim, field, inner = rng.choice(_BOARDS)
        size = rng.uniform(0.55, 0.95)
        middle = (rng.uniform(-0.04, 0.04), high)
        fade = rng.uniform(0.7, 1.05)
        canvas.fill(_flat(pose, middle, shape, size), tuple(c * fade for c in rim), _SIGN, _FRONT)
        canvas.fill(_flat(pose, middle, shape, size * inner), tuple(c * fade for c in field), _SIGN, _FRONT)
        mark = (25.0, 25.0, 28.0) if sum(field) > 420 else _WHITE
        bar = rng.choice(
            (
                ((-0.4, -0.1), (0.4, -0.1), (0.4, 0.12), (-0.4, 0.12)),
                ((-0.1, -0.4), (0.1, -0.4), (0.1, 0.4), (-0.1, 0.4)),
            )
        )
        canvas.fill(_flat(pose, middle, bar, size), mark, _SIGN, _FRONT)
        high -= size * 0.5 + rng.uniform(0.3, 0.5)


def _signal(canvas: Canvas, pose: Pose, right: float, low: float, rng: SeededRandom, world: World) -> None:
    shell = rng.choice(((28.0, 30.0, 30.0), (45.0, 58.0, 48.0), (170.0, 150.0, 50.0)))
    wide, tall = 0.34, 0.98
    box = [pose.point(-0.05, right - wide / 2, low), pose.point(-0.05, right + wide / 2, low)]
    box += [pose.point(-0.05, right + wide / 2, low + tall), pose.point(-0.05, right - wide / 2, low + tall)]
    canvas.fill(box, shell, _LIGHT, _FRONT)
    shining = rng.integer(0, 2)
    for index, color in enumerate(((60.0, 235.0, 150.0), (250.0, 190.0, 50.0), (250.0, 50.0, 40.0))):
        lamp = _flat(pose, (right, low + 0.18 + index * 0.31), CIRCLE, 0.23, -0.06)
        if index == shining:
            canvas.fill(lamp, color, _LIGHT)
        else:
            canvas.fill(lamp, tuple(c * 0.2 for c in color), _LIGHT, _FRONT)


def draw_traffic_light(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a traffic light on a post of its own."""
    rng = SeededRandom(*scene_object.random_key, 1)
    high = rng.uniform(2.1, 2.7)
    _post(canvas, pose, 0.0, 0.0, high + 1.0, 0.13, rng.choice(_STEELS))
    _signal(canvas, pose, 0.0, high, rng, world)
    if rng.chance(0.4):
        _signal(canvas, pose, 0.3, 1.0, rng, world)


def draw_overhead_light(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw traffic lights on an arm above the road."""
    rng = SeededRandom(*scene_object.random_key, 1)
    steel, reach = rng.choice(_STEELS), rng.uniform(3.5, 6.0)
    _post(canvas, pose, 0.0, 0.0, 5.6, 0.2, steel)
    canvas.limb(pose.point(0.0, 0.0, 5.5), pose.point(0.0, -reach, 5.7), 0.13, steel, _POLE)
    for share in (0.55, 0.98):
        _signal(canvas, pose, -reach * share, 4.75, rng, world)


def draw_gantry(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw direction signs above the road."""
    rng = SeededRandom(*scene_object.random_key, 1)
    wide = scene_object.side_m - world.street.road_left + 0.6
    steel = rng.choice(_STEELS)
    for right in (0.0, -wide):
        _post(canvas, pose, right, 0.0, 6.6, 0.25, steel)
    canvas.limb(pose.point(0.0, 0.0, 6.4), pose.point(0.0, -wide, 6.4), 0.22, steel, _POLE)
    field = rng.choice((_BLUE, (40.0, 110.0, 70.0), _WHITE, _YELLOW))
    for share in (0.3, 0.72):
        middle = (-wide * share, 6.2)
        board = ((-1.5, -0.75), (1.5, -0.75), (1.5, 0.75), (-1.5, 0.75))
        canvas.fill(_flat(pose, middle, board, 1.7, -0.1), field, _SIGN, _FRONT)
        for line in (-0.3, 0.05, 0.4):
            text = ((-1.2, line), (rng.uniform(-0.2, 1.2), line), (0.2, line + 0.15), (-1.2, line + 0.15))
            canvas.fill(
                _flat(pose, middle, text, 1.7, -0.1), _WHITE if sum(field) < 420 else (30.0,) * 3, _SIGN, _FRONT
            )


def draw_bin(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a bin or a cabinet at the kerb."""
    rng = SeededRandom(*scene_object.random_key, 1)
    wide, high = rng.uniform(0.4, 1.3), rng.uniform(0.7, 1.5)
    color = body_color(rng)
    front = [pose.point(0.0, -wide / 2, 0.0), pose.point(0.0, wide / 2, 0.0)]
    front += [pose.point(0.0, wide / 2, high), pose.point(0.0, -wide / 2, high)]
    inner = -wide / 2 if scene_object.side_m > 0 else wide / 2
    flank = [pose.point(0.0, inner, 0.0), pose.point(0.6, inner, 0.0), pose.point(0.6, inner, high)]
    flank += [pose.point(0.0, inner, high)]
    canvas.fill(flank, color, _STATIC, (-1.0 if scene_object.side_m > 0 else 1.0, 0.0, 0.0))
    canvas.fill(front, color, _STATIC, _FRONT)
    lid = [
        pose.point(0.0, s * wide / 2, u)
        for s, u in ((-1, high * 0.86), (1, high * 0.86), (1, high * 0.9), (-1, high * 0.9))
    ]
    canvas.fill(lid, tuple(c * 0.6 for c in color), _STATIC, _FRONT)
