"""What stands along the tracks: masts and wires of the overhead line, signals, signs, and the gear of a crossing."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import CIRCLE
from edge.synthetic.railway.line import SIGHT_M, Line
from edge.synthetic.railway.surfaces import Drawings, RaisedPose, line_of_detail
from edge.synthetic.railway.track import Track
from edge.synthetic.seeded_random import SeededRandom

_POLE, _SIGN, _LIGHT, _FENCE, _BUILDING = (
    CITYSCAPES_RAW_IDS[name] for name in ("pole", "traffic sign", "traffic light", "fence", "building")
)
_FRONT = (0.0, 0.0, -1.0)
_STEELS = ((128.0, 134.0, 132.0), (96.0, 104.0, 98.0), (150.0, 146.0, 138.0), (84.0, 92.0, 86.0))
_WIRE = (58.0, 60.0, 60.0)
_WIRE_UP_M, _CARRIER_UP_M = 5.35, 6.6
"""Heights of the contact wire and of the wire that carries it, in metres above the sleepers."""


def post(canvas: Canvas, pose: RaisedPose, low: float, high: float, wide: float, color: tuple) -> None:
    """Draw an upright post."""
    half = wide / 2
    corners = [(-half, low), (half, low), (half * 0.8, high), (-half * 0.8, high)]
    canvas.fill([pose.point(0.0, x, y) for x, y in corners], color, _POLE, (0.0, 0.2, -0.8))


def _board(canvas: Canvas, pose: RaisedPose, corners: tuple, color: tuple, tag: int, shine: bool = False) -> None:
    canvas.fill([pose.point(-0.04, x, y) for x, y in corners], color, tag, None if shine else _FRONT)


def add_overhead_line(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add masts, arms and wires over every track."""
    if not line.wired:
        return
    rng = SeededRandom(*line.key, 50)
    steel, wide = rng.choice(_STEELS), rng.uniform(0.18, 0.34)
    lattice = rng.chance(0.35)
    spacing, shift = line.mast_spacing_m, rng.uniform(2.0, line.mast_spacing_m)
    end = min(SIGHT_M, line.tunnel_m or SIGHT_M)
    masts = []
    along = shift
    while along < end:
        masts.append(along)
        along += spacing
    tracks = [track for track in line.tracks if track.side_m == track.to_side_m]
    left = -line.outermost(-1) - 2.7
    right = line.outermost(1) + 2.7
    if line.setting == "tram":
        left, right = -line.flanks[0].edge_m - 0.5, line.flanks[1].edge_m + 0.5
    portal = len(tracks) > 2 or line.setting == "tram"
    one_side = rng.choice((-1, 1))
    for along in masts:
        _add_mast(drawings, canvas, line, along, (left, right, portal, one_side), (steel, wide, lattice))
    for track in tracks:
        marks = [shift - spacing, *masts, along]
        for near, far in zip(marks, marks[1:]):
            _add_wires(drawings, canvas, track, (max(near, 1.2), min(far, end)), (near, far))


def _add_mast(drawings: Drawings, canvas: Canvas, line: Line, along: float, place: tuple, looks: tuple) -> None:
    (left, right, portal, one_side), (steel, wide, lattice) = place, looks
    tracks = [track for track in line.tracks if track.side_m == track.to_side_m]
    middles = [track.middle_m(along) for track in tracks]
    if portal:

        def span() -> None:
            for side in (left, right):
                pose = RaisedPose(canvas.camera, along, side, 0.0)
                post(canvas, pose, 0.0, 7.6 if line.setting != "tram" else 6.9, wide, steel)
            ends = [RaisedPose(canvas.camera, along, side, 0.0).point(0.0, 0.0, 7.2) for side in (left, right)]
            if line.setting == "tram":
                line_of_detail(canvas, (ends[0][0], 6.3, ends[0][2]), (ends[1][0], 6.3, ends[1][2]), _WIRE)
                return
            canvas.limb(ends[0], ends[1], 0.24, steel, _POLE)
            low = [(end[0], 6.6, end[2]) for end in ends]
            canvas.limb(low[0], low[1], 0.1, steel, _POLE)
            for middle in middles:
                pose = RaisedPose(canvas.camera, along, middle, 0.0)
                canvas.limb(pose.point(0.0, 0.0, 7.1), pose.point(0.0, 0.0, _WIRE_UP_M + 0.1), 0.07, steel, _POLE)

        drawings.append((along, span))
        return
    for sign, side in ((-1, left), (1, right)):
        if len(middles) == 1:
            served = middles if sign == one_side else []
        else:
            served = [m for m in middles if m * sign > 0.01] or [m for m in middles if abs(m) <= 0.01]
        if not served:
            continue

        def mast(side: float = side, sign: int = sign, served: tuple = tuple(served)) -> None:
            pose = RaisedPose(canvas.camera, along, side, 0.0)
            if lattice and pose.ahead < 45.0:
                for x in (-wide, wide):
                    canvas.limb(pose.point(0.0, x * 0.8, 0.0), pose.point(0.0, x * 0.6, 8.0), 0.09, steel, _POLE)
                for step in range(9):
                    x = wide * 0.75 * (1 if step % 2 else -1)
                    canvas.limb(
                        pose.point(0.0, x, step * 0.88), pose.point(0.0, -x, step * 0.88 + 0.88), 0.045, steel, _POLE
                    )
            else:
                post(canvas, pose, 0.0, 8.0, wide, steel)
            foot = [(-0.4, 0.0), (0.4, 0.0), (0.4, 0.3), (-0.4, 0.3)]
            canvas.fill([pose.point(0.0, x, y) for x, y in foot], (150.0, 148.0, 142.0), _POLE, _FRONT)
            for middle in served:
                reach = middle - side
                for start, end, thick in (
                    ((0.0, 7.3), (reach, _CARRIER_UP_M + 0.1), 0.07),
                    ((0.0, 5.7), (reach, _CARRIER_UP_M), 0.08),
                    ((reach * 0.55, 5.75), (reach, _WIRE_UP_M + 0.12), 0.05),
                ):
                    canvas.limb(pose.point(0.0, *start), pose.point(0.0, *end), thick, steel, _POLE)

        drawings.append((along, mast))


def _add_wires(drawings: Drawings, canvas: Canvas, track: object, reach: tuple, span: tuple) -> None:
    (start, end), (near, far) = reach, span
    if end - start < 1.0:
        return
    steps = 6
    for index in range(steps):
        low, high = start + (end - start) * index / steps, start + (end - start) * (index + 1) / steps

        def draw(low: float = low, high: float = high) -> None:
            seen = []
            for along in (low, high):
                part = (along - near) / (far - near)
                sag = _CARRIER_UP_M - 3.6 * part * (1.0 - part)
                right, ahead = canvas.camera.view(along, track.middle_m(along))
                seen.append(((right, _WIRE_UP_M, ahead), (right, sag, ahead)))
            line_of_detail(canvas, seen[0][0], seen[1][0], _WIRE)
            line_of_detail(canvas, seen[0][1], seen[1][1], _WIRE)
            line_of_detail(canvas, seen[0][0], seen[0][1], _WIRE)

        drawings.append(((low + high) * 0.5, draw))


def add_signals(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add signals and boards of speed and distance beside the tracks; a tram street has its traffic lights instead."""
    if line.setting == "tram":
        return
    rng = SeededRandom(*line.key, 51)
    gap = 2.35
    spots: list[tuple[float, str]] = []
    for _ in range(rng.integer(1, 4)):
        spots.append(
            (
                rng.uniform(8.0, 110.0),
                rng.weighted((("signal", 3.0), ("speed", 3.0), ("distance", 2.0), ("dwarf", 1.5))),
            )
        )
    for number, (along, kind) in enumerate(spots):
        if line.tunnel_m is not None and along > line.tunnel_m - 2.0:
            continue
        track = rng.choice(line.tracks)
        sign = rng.choice((-1, 1, 1))
        side = track.middle_m(along) + sign * gap
        crowded = any(abs(other.middle_m(along) - side) < 1.9 for other in line.tracks)
        if crowded:
            side = line.outermost(sign) * sign + sign * gap
        up = 0.0
        for platform in line.platforms:
            if platform.left_m - 0.3 < side < platform.right_m + 0.3 and platform.start_m < along < platform.end_m:
                up = platform.up_m
        key = (*line.key, 52, number)
        draw = {"signal": _signal, "speed": _speed_board, "distance": _distance_board, "dwarf": _dwarf}[kind]

        def place(
            draw: object = draw, along: float = along, side: float = side, up: float = up, key: tuple = key
        ) -> None:
            draw(canvas, RaisedPose(canvas.camera, along, side, 0.0, up), SeededRandom(*key))

        drawings.append((along, place))


def _signal(canvas: Canvas, pose: RaisedPose, rng: SeededRandom) -> None:
    steel, high = rng.choice(_STEELS), rng.uniform(3.6, 5.2)
    post(canvas, pose, 0.0, high + 0.4, 0.16, steel)
    plate = ((-0.38, high - 0.75), (0.38, high - 0.75), (0.38, high + 0.65), (-0.38, high + 0.65))
    _board(canvas, pose, plate, (26.0, 28.0, 28.0), _LIGHT)
    lamps = (
        ((0.0, 0.36), (250.0, 46.0, 38.0)),
        ((0.0, -0.1), (60.0, 232.0, 140.0)),
        ((0.0, -0.48), (252.0, 196.0, 60.0)),
    )
    shining = rng.integer(0, 2)
    for index, ((x, y), color) in enumerate(lamps):
        ring = tuple((x + c * 0.13, high + y + s * 0.13) for c, s in CIRCLE)
        tone = color if index == shining else tuple(c * 0.18 for c in color)
        _board(canvas, pose, ring, tone, _LIGHT, index == shining)
    if rng.chance(0.6):
        band = ((-0.12, 1.0), (0.12, 1.0), (0.12, 2.2), (-0.12, 2.2))
        _board(canvas, pose, band, (228.0, 228.0, 224.0), _SIGN)
        _board(canvas, pose, ((-0.12, 1.4), (0.12, 1.4), (0.12, 1.8), (-0.12, 1.8)), (200.0, 36.0, 34.0), _SIGN)
    canvas.limb(pose.point(0.0, 0.35, 0.0), pose.point(0.0, 0.35, high - 0.8), 0.05, steel, _POLE)


def _speed_board(canvas: Canvas, pose: RaisedPose, rng: SeededRandom) -> None:
    high, size = rng.uniform(1.5, 2.8), rng.uniform(0.28, 0.45)
    post(canvas, pose, 0.0, high, 0.08, rng.choice(_STEELS))
    white, black, yellow = (232.0, 232.0, 228.0), (28.0, 28.0, 30.0), (236.0, 196.0, 44.0)
    shape = rng.choice(
        (((-1, -1), (1, -1), (0, 1)), ((-1, -1), (1, -1), (1, 1), (-1, 1)), ((-1, 1), (1, 1), (0, -1)), CIRCLE)
    )
    field, rim = rng.choice(((white, black), (yellow, black), (black, white), (white, (196.0, 34.0, 32.0))))
    _board(canvas, pose, tuple((x * size, high + y * size) for x, y in shape), rim, _SIGN)
    _board(canvas, pose, tuple((x * size * 0.8, high + y * size * 0.8) for x, y in shape), field, _SIGN)
    bar = ((-0.09, -0.4), (0.09, -0.4), (0.09, 0.4), (-0.09, 0.4))
    _board(canvas, pose, tuple((x * size * 1.6, high + y * size * 0.9) for x, y in bar), rim, _SIGN)


def _distance_board(canvas: Canvas, pose: RaisedPose, rng: SeededRandom) -> None:
    post(canvas, pose, 0.0, 1.9, 0.07, rng.choice(_STEELS))
    plate = ((-0.24, 1.2), (0.24, 1.2), (0.24, 2.0), (-0.24, 2.0))
    _board(canvas, pose, plate, (236.0, 236.0, 232.0), _SIGN)
    for low in (1.3, 1.66):
        text = ((-0.15, low), (0.13, low), (0.13, low + 0.2), (-0.15, low + 0.2))
        _board(canvas, pose, text, (36.0, 36.0, 38.0), _SIGN)


def _dwarf(canvas: Canvas, pose: RaisedPose, rng: SeededRandom) -> None:
    post(canvas, pose, 0.0, 0.5, 0.1, rng.choice(_STEELS))
    shell = ((-0.24, 0.4), (0.24, 0.4), (0.24, 0.95), (0.0, 1.05), (-0.24, 0.95))
    _board(canvas, pose, shell, (30.0, 30.0, 32.0), _LIGHT)
    stop = rng.chance(0.5)
    for x, y in ((-0.11, 0.6), (0.11, 0.6 if stop else 0.82)):
        lamp = tuple((x + c * 0.06, y + s * 0.06) for c, s in CIRCLE)
        _board(canvas, pose, lamp, (250.0, 60.0, 50.0) if stop else (245.0, 245.0, 235.0), _LIGHT, True)


def add_crossing_gear(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add the booms, crosses and lights of a level crossing."""
    if line.crossing is None:
        return
    rng = SeededRandom(*line.key, 53)
    low, high = line.crossing
    closed, booms = rng.chance(0.5), rng.chance(0.75)
    for sign in (-1, 1):
        side = line.outermost(sign) * sign + sign * 2.9
        along = low - 0.5 if sign < 0 else high + 0.5
        way = 1.0 if sign < 0 else -1.0

        def draw(sign: int = sign, side: float = side, along: float = along, way: float = way) -> None:
            pose = RaisedPose(canvas.camera, along, side, 0.0)
            post(canvas, pose, 0.0, 2.9, 0.12, (150.0, 152.0, 152.0))
            for slope in (-1.0, 1.0):
                bar = (
                    (-0.5, slope * 0.36 - 0.07),
                    (0.5, -slope * 0.36 - 0.07),
                    (0.5, -slope * 0.36 + 0.07),
                    (-0.5, slope * 0.36 + 0.07),
                )
                _board(canvas, pose, tuple((x, 2.6 + y) for x, y in bar), (234.0, 232.0, 226.0), _SIGN)
                tips = (
                    (-0.5, slope * 0.36 - 0.07),
                    (-0.26, slope * 0.19 - 0.07),
                    (-0.26, slope * 0.19 + 0.07),
                    (-0.5, slope * 0.36 + 0.07),
                )
                _board(canvas, pose, tuple((x, 2.6 + y) for x, y in tips), (200.0, 36.0, 34.0), _SIGN)
            plate = ((-0.3, 1.6), (0.3, 1.6), (0.3, 2.1), (-0.3, 2.1))
            _board(canvas, pose, plate, (24.0, 24.0, 26.0), _LIGHT)
            for x in (-0.15, 0.15):
                lamp = tuple((x + c * 0.11, 1.85 + s * 0.11) for c, s in CIRCLE)
                _board(canvas, pose, lamp, (250.0, 44.0, 36.0) if closed else (70.0, 18.0, 16.0), _LIGHT, closed)

        drawings.append((along, draw))
        if booms:
            _add_boom(drawings, canvas, (side + sign * 0.5, along, way), (high - low) * 0.62, closed)


def _add_boom(drawings: Drawings, canvas: Canvas, place: tuple, long: float, closed: bool) -> None:
    side, along, way = place

    def draw() -> None:
        right, ahead = canvas.camera.view(along, side)
        base = [(right + x, y, ahead) for x, y in ((-0.2, 0.0), (0.2, 0.0), (0.2, 1.2), (-0.2, 1.2))]
        canvas.fill(base, (190.0, 188.0, 180.0), _FENCE, _FRONT)
        pieces = 8
        for index in range(pieces):
            ends = []
            for step in (index, index + 1):
                part = step / pieces * long
                ahead_m = along + way * part * (1.0 if closed else 0.12)
                up = 1.0 + (0.0 if closed else part * 0.98)
                seen = canvas.camera.view(ahead_m, side)
                ends.append((seen[0], up, seen[1]))
            color = (206.0, 38.0, 36.0) if index % 2 else (234.0, 232.0, 226.0)
            canvas.limb(ends[0], ends[1], 0.12, color, _FENCE)

    drawings.append((along + way * long * 0.3 * (1.0 if closed else 0.1), draw))


def add_buffer_stops(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add a buffer stop where a siding ends."""
    for track in line.tracks:
        if not track.ends_blind or track.end_m > SIGHT_M:
            continue

        def draw(track: Track = track) -> None:
            pose = RaisedPose(canvas.camera, track.end_m, track.middle_m(track.end_m), 0.0)
            for side in (-0.75, 0.75):
                leg = ((side - 0.12, 0.0), (side + 0.12, 0.0), (side + 0.12, 1.25), (side - 0.12, 1.25))
                _board(canvas, pose, leg, (92.0, 72.0, 60.0), _BUILDING)
            beam = ((-1.2, 0.85), (1.2, 0.85), (1.2, 1.3), (-1.2, 1.3))
            _board(canvas, pose, beam, (206.0, 44.0, 38.0), _BUILDING)
            for left in (-0.9, -0.1, 0.7):
                stripe = ((left, 0.85), (left + 0.35, 0.85), (left + 0.35, 1.3), (left, 1.3))
                _board(canvas, pose, stripe, (232.0, 230.0, 222.0), _BUILDING)

        drawings.append((track.end_m, draw))
