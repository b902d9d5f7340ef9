"""Cars, trucks, buses, trailers and trains, as side profiles that are extruded over their width."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import CIRCLE, Pose
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.world import SceneObject, World

_GLASS = (52.0, 60.0, 68.0)
_TYRE = (28.0, 28.0, 30.0)
_LAMP_RED, _LAMP_WHITE = (200.0, 30.0, 28.0), (250.0, 245.0, 215.0)


def body_color(rng: SeededRandom) -> tuple[float, float, float]:
    """Draw the colour of a vehicle: mostly greys like the road's, also leaves' green, brick red, sky blue."""
    kind = rng.integer(0, 9)
    if kind < 5:
        level = rng.choice((35.0, 70.0, 110.0, 150.0, 190.0, 232.0)) * rng.uniform(0.85, 1.1)
        return level, level * rng.uniform(0.97, 1.02), level * rng.uniform(0.96, 1.05)
    base = (
        (150.0, 40.0, 36.0),
        (50.0, 75.0, 130.0),
        (62.0, 88.0, 52.0),
        (140.0, 80.0, 55.0),
        (185.0, 165.0, 110.0),
        (110.0, 130.0, 150.0),
        (200.0, 170.0, 40.0),
        (90.0, 100.0, 70.0),
    )
    gain = rng.uniform(0.7, 1.25)
    return tuple(min(250.0, c * gain) for c in rng.choice(base))


def _car_profile(rng: SeededRandom) -> tuple:
    """Return (profile, length, width): (fore, up, is glass up to the next point) around a car from its tail."""
    shape = rng.weighted((("hatch", 4.0), ("sedan", 3.0), ("van", 2.0), ("suv", 2.0)))
    long, wide = rng.uniform(3.7, 4.8), rng.uniform(1.65, 1.9)
    high = {"hatch": 1.47, "sedan": 1.42, "van": 1.95, "suv": 1.72}[shape] * rng.uniform(0.95, 1.08)
    half, belt = long / 2, high * 0.62
    if shape == "van":
        long = rng.uniform(4.6, 5.6)
        half = long / 2
        points = [(-half, 0.3, 0), (-half, belt, 1), (-half * 0.97, high * 0.95, 0), (-half * 0.9, high, 0)]
        points += [(half * 0.45, high, 1), (half * 0.72, belt, 0), (half, belt * 0.78, 0), (half, 0.3, 0)]
    elif shape == "sedan":
        points = [(-half, 0.3, 0), (-half, belt * 0.98, 0), (-half * 0.66, belt * 1.03, 1), (-half * 0.36, high, 0)]
        points += [(half * 0.12, high, 1), (half * 0.42, belt, 0), (half * 0.95, belt * 0.78, 0), (half, 0.3, 0)]
    else:
        points = [(-half, 0.3, 0), (-half, belt, 1), (-half * 0.82, high * 0.97, 0), (-half * 0.7, high, 0)]
        points += [(half * 0.15, high, 1), (half * 0.46, belt, 0), (half * 0.96, belt * 0.8, 0), (half, 0.3, 0)]
    return points, long, wide, high, belt


def _extrude(canvas: Canvas, pose: Pose, points: list, wide: float, color: tuple, tag: int, glass: tuple) -> float:
    """Draw a profile extruded over a width; return the visible side (metres to the right), or 0."""
    half, above = wide / 2, canvas.camera.above_m
    strips = []
    for index, (fore, up, is_glass) in enumerate(points):
        next_fore, next_up, _ = points[(index + 1) % len(points)]
        normal = pose.normal(up - next_up, 0.0, next_fore - fore)
        length = max((normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) ** 0.5, 1e-6)
        normal = tuple(-c / length for c in normal) if index == len(points) - 1 else tuple(c / length for c in normal)
        corners = [pose.point(fore, -half, up), pose.point(fore, half, up)]
        corners += [pose.point(next_fore, half, next_up), pose.point(next_fore, -half, next_up)]
        if index == len(points) - 1:
            continue  # the floor is never seen
        if pose.faces_camera(corners[0], normal, above):
            strips.append((sum(corner[2] for corner in corners), corners, glass if is_glass else color, normal))
    shown = 0.0
    for side in (-half, half):
        normal = pose.normal(0.0, side / half, 0.0)
        if pose.faces_camera(pose.point(0.0, side, 0.5), normal, above):
            face = [pose.point(fore, side, up) for fore, up, _ in points]
            strips.append((sum(c[2] for c in face) / len(face) * 4.0, face, color, normal))
            shown = side
    for _, corners, paint, normal in sorted(strips, key=lambda strip: -strip[0]):
        canvas.fill(corners, paint, tag, normal)
    return shown


def _wheels(canvas: Canvas, pose: Pose, side: float, axles: tuple, radius: float, tag: int) -> None:
    normal = pose.normal(0.0, 1.0 if side > 0 else -1.0, 0.0)
    for fore in axles:
        for share, color in ((1.0, _TYRE), (0.58, (120.0, 122.0, 126.0))):
            ring = [pose.point(fore + c * radius * share, side, radius + s * radius * share) for c, s in CIRCLE]
            canvas.fill(ring, color, tag, normal)


def _quad(pose: Pose, fore: float, low: float, high: float, left: float, right: float) -> list:
    """Return the corners of an upright rectangle across the object."""
    return [pose.point(fore, side, up) for side, up in ((left, low), (right, low), (right, high), (left, high))]


def _side_quad(pose: Pose, side: float, back: float, fore: float, low: float, high: float) -> list:
    """Return the corners of an upright rectangle along the object's side."""
    return [pose.point(end, side, up) for end, up in ((back, low), (fore, low), (fore, high), (back, high))]


def _ends(canvas: Canvas, pose: Pose, half: float, wide: float, lamp_m: float, world: World, tag: int) -> None:
    """Draw lamps, plate and bumper on the visible end."""
    dark = world.light.is_dark
    for fore, lamp in ((-half - 0.01, _LAMP_RED), (half + 0.01, _LAMP_WHITE)):
        normal = pose.normal(fore / abs(fore), 0.0, 0.0)
        if not pose.faces_camera(pose.point(fore, 0.0, 0.5), normal, canvas.camera.above_m):
            continue
        edge = wide / 2
        canvas.fill(_quad(pose, fore, 0.3, 0.5, -edge, edge), (45.0, 45.0, 48.0), tag, normal)
        canvas.fill(_quad(pose, fore, 0.5, 0.62, -0.26, 0.26), (215.0, 215.0, 205.0), tag, normal)
        for side in (-1.0, 1.0):
            inner, outer = side * (edge - 0.36), side * (edge - 0.05)
            lit = None if dark else normal
            canvas.fill(_quad(pose, fore, lamp_m, lamp_m + 0.17, inner, outer), lamp, tag, lit)


def draw_car(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a car or a small van."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS["car"] * 1000 + scene_object.number
    points, long, wide, high, belt = _car_profile(rng)
    color = body_color(rng)
    glass = tuple(c * rng.uniform(0.7, 1.6) for c in _GLASS)
    _floor_shadow(canvas, pose, long, wide)
    shown = _extrude(canvas, pose, points, wide, color, tag, glass)
    if shown:
        normal = pose.normal(0.0, shown, 0.0)
        roof = [point for point in points if point[1] > belt * 1.02]
        back, front = roof[0][0] + 0.12, roof[-1][0] - 0.05
        pane = [pose.point(back - 0.15, shown, belt), pose.point(back + 0.1, shown, high * 0.93)]
        pane += [pose.point(front, shown, high * 0.93), pose.point(front + 0.42, shown, belt)]
        canvas.fill(pane, glass, tag, normal)
        canvas.fill(_side_quad(pose, shown, -0.05, 0.06, belt, high * 0.95), color, tag, normal)
        canvas.fill(_side_quad(pose, shown, -long * 0.48, long * 0.48, 0.3, 0.4), (50.0, 50.0, 52.0), tag, normal)
        _wheels(canvas, pose, shown, (-long * 0.31, long * 0.31), 0.32, tag)
    else:
        for side in (-wide * 0.42, wide * 0.42):
            canvas.fill(_quad(pose, -long / 2, 0.0, 0.3, side - 0.1, side + 0.1), _TYRE, tag, (0.0, 0.0, -1.0))
    _ends(canvas, pose, long / 2, wide, belt * 0.78, world, tag)


def _floor_shadow(canvas: Canvas, pose: Pose, long: float, wide: float) -> None:
    floor = [pose.point(f * long, s * wide, 0.0) for f, s in ((-0.5, -0.54), (-0.5, 0.54), (0.5, 0.54), (0.5, -0.54))]
    canvas.fill(floor, (22.0, 22.0, 24.0), None, (0.0, 1.0, 0.0))


def _box(low: float, high: float, back: float, fore: float, slope: float = 0.0) -> list:
    return [(back, low, 0), (back, high, 0), (fore - slope, high, 1), (fore, high * 0.55, 0), (fore, low, 0)]


def draw_bus(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a bus."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS["bus"] * 1000 + scene_object.number
    long, wide, high = rng.uniform(9.0, 12.0), 2.5, rng.uniform(2.9, 3.3)
    color, stripe = body_color(rng), body_color(rng)
    _floor_shadow(canvas, pose, long, wide)
    shown = _extrude(canvas, pose, _box(0.3, high, -long / 2, long / 2, 0.15), wide, color, tag, _GLASS)
    lit = (255.0, 225.0, 160.0) if world.light.is_dark else None
    if shown:
        normal = pose.normal(0.0, shown, 0.0)
        canvas.fill(_side_quad(pose, shown, -long / 2, long / 2, 0.5, 1.0), stripe, tag, normal)
        step = 1.5
        fore = -long / 2 + 0.3
        while fore < long / 2 - 1.2:
            pane = _side_quad(pose, shown, fore, fore + step - 0.15, 1.35, high - 0.45)
            canvas.fill(pane, lit or _GLASS, tag, None if lit else normal)
            fore += step
        _wheels(canvas, pose, shown, (-long * 0.28, long * 0.33), 0.48, tag)
    back = pose.normal(-1.0, 0.0, 0.0)
    if pose.faces_camera(pose.point(-long / 2, 0.0, 1.0), back, canvas.camera.above_m):
        pane = _quad(pose, -long / 2 - 0.01, 1.6, high - 0.5, -1.0, 1.0)
        canvas.fill(pane, lit or _GLASS, tag, None if lit else back)
    _ends(canvas, pose, long / 2, wide, 0.9, world, tag)


def draw_truck(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a truck: a cab, and a box, a tarpaulin or an open bed."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS["truck"] * 1000 + scene_object.number
    long, wide, high = rng.uniform(6.0, 9.5), 2.4, rng.uniform(2.6, 3.7)
    cab, load = body_color(rng), body_color(rng)
    bed = rng.chance(0.2)
    _floor_shadow(canvas, pose, long, wide)
    front = _box(0.4, min(high, 2.8), long / 2 - 2.0, long / 2, 0.3)
    back = [(-long / 2, 0.75, 0), (-long / 2, 1.6 if bed else high, 0)]
    back += [(long / 2 - 2.2, 1.6 if bed else high, 0), (long / 2 - 2.2, 0.75, 0)]
    frame = [(-long / 2, 0.45, 0), (-long / 2, 0.75, 0), (long / 2 - 1.0, 0.75, 0), (long / 2 - 1.0, 0.45, 0)]
    parts = [(frame, wide * 0.7, (45.0, 45.0, 48.0)), (front, wide * 0.94, cab), (back, wide, load)]
    if pose.point(1.0, 0.0, 0.0)[2] < pose.ahead:
        parts = [parts[0], parts[2], parts[1]]
    shown = 0.0
    for points, across, color in parts:
        shown = _extrude(canvas, pose, points, across, color, tag, _GLASS) or shown
    if shown:
        normal = pose.normal(0.0, shown, 0.0)
        pane = _side_quad(pose, shown * 0.94, long / 2 - 1.5, long / 2 - 0.5, 1.5, 2.2)
        canvas.fill(pane, _GLASS, tag, normal)
        if not bed:
            fore = -long / 2
            while fore < long / 2 - 2.6:
                rib = _side_quad(pose, shown, fore, fore + 0.06, 0.8, high - 0.05)
                canvas.fill(rib, tuple(c * 0.75 for c in load), tag, normal)
                fore += 1.1
        _wheels(canvas, pose, shown * 0.96, (-long * 0.36, -long * 0.22, long * 0.36), 0.48, tag)
    for side in (-0.85, 0.85):
        canvas.fill(_quad(pose, -long / 2, 0.0, 0.45, side - 0.2, side + 0.2), _TYRE, tag, (0.0, 0.0, -1.0))
    _ends(canvas, pose, long / 2, wide, 0.8, world, tag)


def draw_trailer(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a parked trailer or caravan."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS[scene_object.kind] * 1000 + scene_object.number
    long, high = (3.0, 1.6) if scene_object.kind == "trailer" else (5.2, 2.6)
    color = body_color(rng) if scene_object.kind == "trailer" else (222.0, 220.0, 210.0)
    points = [
        (-long / 2, 0.4, 0),
        (-long / 2, high, 0),
        (long / 2 - 0.3, high, 0),
        (long / 2, 0.9, 0),
        (long / 2, 0.4, 0),
    ]
    _floor_shadow(canvas, pose, long, 1.9)
    shown = _extrude(canvas, pose, points, 1.9, color, tag, _GLASS)
    if shown:
        normal = pose.normal(0.0, shown, 0.0)
        if scene_object.kind == "caravan":
            canvas.fill(_side_quad(pose, shown, -1.6, -0.2, 1.4, 2.1), _GLASS, tag, normal)
        _wheels(canvas, pose, shown, (0.0,), 0.33, tag)
    _ends(canvas, pose, long / 2, 1.9, 0.6, world, tag)


def draw_train(canvas: Canvas, pose: Pose, scene_object: SceneObject, world: World) -> None:
    """Draw a train of several wagons that follows the bends; one instance."""
    rng = SeededRandom(*scene_object.random_key, 1)
    tag = CITYSCAPES_RAW_IDS["train"] * 1000 + scene_object.number
    color, stripe = body_color(rng), body_color(rng)
    wagon, count, wide, high = rng.uniform(12.0, 17.0), rng.integer(2, 4), 2.7, rng.uniform(3.3, 3.9)
    glass = tuple(c * rng.uniform(0.7, 1.3) for c in _GLASS)
    lit = (255.0, 228.0, 170.0) if world.light.is_dark else None
    for index in reversed(range(count)):
        along = scene_object.along_m + (index - (count - 1) / 2) * (wagon + 0.4)
        ends = [canvas.camera.view(along + d, scene_object.side_m) for d in (-wagon / 2, wagon / 2)]
        if ends[1][1] < 1.0:
            continue
        turn = (ends[1][0] - ends[0][0]) / (2.0 * (ends[1][1] - ends[0][1]))
        part = Pose(canvas.camera, along, scene_object.side_m, turn)
        half = wagon / 2
        nose, tail = 0.9 if index == count - 1 else 0.0, 0.9 if index == 0 else 0.0
        points = [(-half, 0.35, 0), (-half, 1.5, 1 if tail else 0), (-half + tail, high, 0)]
        points += [(half - nose, high, 1 if nose else 0), (half, 1.5, 0), (half, 0.35, 0)]
        shown = _extrude(canvas, part, points, wide, color, tag, glass)
        if not shown:
            continue
        normal = part.normal(0.0, shown, 0.0)
        canvas.fill(_side_quad(part, shown, -half, half, 0.35, 0.75), (48.0, 48.0, 50.0), tag, normal)
        canvas.fill(_side_quad(part, shown, -half, half, 0.95, 1.35), stripe, tag, normal)
        fore = -half + 0.8
        while fore < half - 1.6:
            pane = _side_quad(part, shown, fore, fore + 1.5, 1.7, high - 0.8)
            canvas.fill(pane, lit or glass, tag, None if lit else normal)
            fore += 1.9
