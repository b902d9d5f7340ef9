"""Trains and trams, drawn in short pieces that follow the bends."""

from __future__ import annotations

from dataclasses import dataclass

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.camera import NEAR_M
from edge.synthetic.canvas import Canvas
from edge.synthetic.pose import CIRCLE
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.surfaces import Drawings, RaisedPose, fill_rough
from edge.synthetic.railway.track import RAIL_HIGH_M, Track
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.vehicles import body_color

_TRAIN = CITYSCAPES_RAW_IDS["train"] * 1000
_GLASS, _DARK = (46.0, 54.0, 62.0), (44.0, 43.0, 44.0)
_PIECE_M = 4.0
_LIVERIES = (
    ((196.0, 30.0, 34.0), (228.0, 228.0, 226.0)),
    ((226.0, 228.0, 230.0), (190.0, 36.0, 40.0)),
    ((36.0, 66.0, 140.0), (222.0, 216.0, 200.0)),
    ((56.0, 112.0, 66.0), (226.0, 196.0, 60.0)),
    ((236.0, 196.0, 44.0), (52.0, 56.0, 64.0)),
    ((150.0, 156.0, 164.0), (40.0, 84.0, 160.0)),
    ((214.0, 110.0, 36.0), (70.0, 62.0, 60.0)),
)


@dataclass(frozen=True)
class Train:
    """A train on one track.

    Attributes:
        track: Number of its track in the line.
        kind: Kind: passenger, freight or tram.
        near_m: Where its end nearest to the camera's place is at time 0, in metres along the way.
        speed_mps: Speed along the way in m/s; negative towards the camera.
        wagons: Number of wagons.
        wagon_m: Length of a wagon, in metres.
        number: Instance number, 0 to 999.
        random_key: Key of the random numbers that decide its looks.
    """

    track: int
    kind: str
    near_m: float
    speed_mps: float
    wagons: int
    wagon_m: float
    number: int
    random_key: tuple

    @property
    def long_m(self) -> float:
        """Length of the train in metres."""
        return self.wagons * (self.wagon_m + 0.7) - 0.7

    def near_at(self, time_s: float) -> float:
        """Return where the train's near end is at a time, in metres along the way."""
        return self.near_m + self.speed_mps * time_s


@dataclass(frozen=True)
class _Body:
    """Cross-section and colours of one wagon; heights in metres above the sleepers."""

    half: float
    floor: float
    waist: float
    window: tuple
    eaves: float
    top: float
    color: tuple
    stripe: tuple
    roof: tuple
    glass: tuple
    ribs: bool


def add_train(drawings: Drawings, canvas: Canvas, line: Line, train: Train, time_s: float) -> None:
    """Add the pieces of a train to what is drawn."""
    track, near = line.tracks[train.track], train.near_at(time_s)
    rng = SeededRandom(*train.random_key, 1)
    livery = rng.choice(_LIVERIES)
    pantograph = rng.integer(0, max(0, train.wagons - 1))
    for wagon in range(train.wagons):
        start = near + wagon * (train.wagon_m + 0.7)
        end = start + train.wagon_m
        if end < NEAR_M + 0.3 or start > 320.0:
            continue
        body = _wagon(train, wagon, livery, SeededRandom(*train.random_key, 2, wagon))
        _add_wagon(drawings, canvas, line, (track, train), (start, end), body)
        _add_front(drawings, canvas, line, (track, train), (start, wagon), (body, livery))
        if wagon == pantograph and line.wired and start > 3.0:
            _add_pantograph(drawings, canvas, line, (track, train), start + 3.0, body.top)
        if wagon and start > NEAR_M:
            _add_gangway(drawings, canvas, (track, train), start, body)


def _wagon(train: Train, wagon: int, livery: tuple, rng: SeededRandom) -> _Body:
    light_glass = tuple(c * rng.uniform(0.8, 1.3) for c in _GLASS)
    grey = rng.uniform(95.0, 165.0)
    roof = (grey, grey, grey * 1.03)
    if train.kind == "tram":
        return _Body(1.2, 0.25, 1.1, (1.15, 2.55), 3.0, 3.35, livery[0], livery[1], roof, light_glass, False)
    if train.kind == "freight" and not (wagon == 0 and train.speed_mps <= 0):
        color = rng.choice(
            (body_color(rng), (118.0, 70.0, 52.0), (96.0, 92.0, 88.0), (60.0, 78.0, 110.0), (150.0, 148.0, 142.0))
        )
        high = rng.choice((2.2, 3.4, 3.9, 3.9))
        dark = tuple(c * 0.8 for c in color)
        return _Body(1.4, 1.05, 1.3, (0.0, 0.0), high - 0.15, high, color, dark, dark, light_glass, rng.chance(0.7))
    high = rng.uniform(3.75, 4.2)
    window = (1.9, 2.85) if train.kind == "passenger" else (0.0, 0.0)
    return _Body(1.43, 1.0, 1.7, window, high - 0.7, high, livery[0], livery[1], roof, light_glass, False)


def _side(canvas: Canvas, track: Track, along: float, side: float, up: float) -> tuple[float, float, float]:
    right, ahead = canvas.camera.view(along, track.middle_m(along) + side)
    return right, up, ahead


def _add_wagon(
    drawings: Drawings, canvas: Canvas, line: Line, whose: tuple, reach: tuple[float, float], body: _Body
) -> None:
    track, train = whose
    (start, end), tag = reach, _TRAIN + train.number
    count = max(1, round((end - start) / _PIECE_M))
    step = (end - start) / count
    for index in range(count):
        low, high = start + index * step, start + (index + 1) * step
        if high < NEAR_M + 0.2:
            continue
        at = max(low, NEAR_M + 0.05)

        def draw(at: float = at, far: float = high, first: bool = index == 0, last: bool = index == count - 1) -> None:
            middle = canvas.camera.view(at, track.middle_m(at))[0]
            seen = -1.0 if middle > 0 else 1.0
            if abs(middle) < body.half:
                seen = 0.0

            def strip(
                bottom: float, top: float, out: float, color: tuple, inset: float = 0.0, shine: bool = False
            ) -> None:
                points = [_side(canvas, track, a, seen * out, bottom) for a in (at, far)]
                points += [_side(canvas, track, a, seen * (out - inset), top) for a in (far, at)]
                normal = None if shine else (seen * (0.98 if not inset else 0.6), 0.1 if not inset else 0.75, 0.0)
                fill_rough(canvas, points, color, tag, normal, 9.0, train.number)

            if seen:
                strip(RAIL_HIGH_M, body.floor, body.half * 0.72, _DARK)
                strip(body.floor * 0.55, body.floor, body.half * 0.97, tuple(c * 0.45 for c in body.color))
                strip(body.floor, body.eaves, body.half, body.color)
                strip(body.eaves, body.top, body.half, body.roof, body.half * 0.3)
                strip(body.floor, body.floor + 0.3, body.half, body.stripe)
                if body.window[1]:
                    low_m, high_m = body.window
                    lit = line.light.is_dark
                    pane = (250.0, 226.0, 172.0) if lit else body.glass
                    inner = (far - at) * 0.06
                    points = [_side(canvas, track, a, seen * body.half, low_m) for a in (at + inner, far - inner)]
                    points += [_side(canvas, track, a, seen * body.half, high_m) for a in (far - inner, at + inner)]
                    canvas.fill(points, pane, tag, None if lit else (seen, 0.0, 0.0))
                    if first or last:
                        _door(canvas, track, (at, far), seen * body.half, body, tag)
                if body.ribs:
                    for share in (0.0, 0.33, 0.66):
                        a = at + (far - at) * share
                        points = [_side(canvas, track, a + d, seen * body.half, body.floor) for d in (0.0, 0.14)]
                        points += [_side(canvas, track, a + d, seen * body.half, body.eaves) for d in (0.14, 0.0)]
                        canvas.fill(points, body.stripe, tag, (seen, 0.0, 0.0))
                if first or last:
                    _wheels(canvas, track, (at + far) * 0.5, seen, tag)
            if canvas.camera.above_m > body.top:
                points = [_side(canvas, track, at, s * body.half * 0.8, body.top) for s in (-1, 1)]
                points += [_side(canvas, track, far, s * body.half * 0.8, body.top) for s in (1, -1)]
                fill_rough(canvas, points, body.roof, tag, (0.0, 1.0, 0.0), 9.0, train.number)

        drawings.append((at + (high - at) * 0.5, draw))


def _door(canvas: Canvas, track: Track, reach: tuple, side: float, body: _Body, tag: int) -> None:
    middle = (reach[0] + reach[1]) * 0.5
    points = [_side(canvas, track, middle + d, side, body.floor + 0.05) for d in (-0.6, 0.6)]
    points += [_side(canvas, track, middle + d, side, body.window[1]) for d in (0.6, -0.6)]
    canvas.fill(points, body.stripe, tag, (1.0 if side > 0 else -1.0, 0.0, 0.0))


def _wheels(canvas: Canvas, track: Track, along: float, seen: float, tag: int) -> None:
    for offset in (-1.2, 1.2):
        ring = [
            _side(canvas, track, along + offset + c * 0.44, seen * 0.8, RAIL_HIGH_M + 0.44 + s * 0.44)
            for c, s in CIRCLE
        ]
        canvas.fill(ring, (58.0, 54.0, 52.0), tag, (seen, 0.0, 0.0))


def _add_gangway(drawings: Drawings, canvas: Canvas, whose: tuple, start: float, body: _Body) -> None:
    """Add the bellows or the coupling between two wagons."""
    track, train = whose
    wide = 0.8 if body.window[1] else 0.25

    def draw() -> None:
        points = [_side(canvas, track, start - 0.05, s * wide, body.floor) for s in (-1.0, 1.0)]
        points += [
            _side(canvas, track, start - 0.05, s * wide, body.eaves if body.window[1] else 1.2) for s in (1.0, -1.0)
        ]
        canvas.fill(points, _DARK, _TRAIN + train.number, (0.0, 0.0, -1.0))

    drawings.append((start - 0.3, draw))


def _add_pantograph(drawings: Drawings, canvas: Canvas, line: Line, whose: tuple, along: float, top: float) -> None:
    track, train = whose
    tag = _TRAIN + train.number

    def draw() -> None:
        joints = [(0.0, top), (1.0, (top + 5.4) * 0.5), (0.1, 5.3)]
        for (a, up_a), (b, up_b) in zip(joints, joints[1:]):
            canvas.limb(
                _side(canvas, track, along + a, 0.0, up_a), _side(canvas, track, along + b, 0.0, up_b), 0.08, _DARK, tag
            )
        ends = [_side(canvas, track, along + 0.1, s, 5.3) for s in (-0.7, 0.7)]
        canvas.limb(ends[0], ends[1], 0.07, _DARK, tag)

    drawings.append((along, draw))


def _add_front(
    drawings: Drawings, canvas: Canvas, line: Line, whose: tuple, place: tuple[float, int], looks: tuple
) -> None:
    """Add the end of a wagon that faces the camera; the first one is the front or the tail of the train."""
    track, train = whose
    (start, wagon), (body, livery) = place, looks
    if start < NEAR_M + 0.1:
        return
    tag = _TRAIN + train.number

    def draw() -> None:
        slope = (track.middle_m(start + 2.0) - track.middle_m(start)) / 2.0
        bend = (canvas.camera.bend(start + 2.0) - canvas.camera.bend(start)) / 2.0
        pose = RaisedPose(canvas.camera, start, track.middle_m(start), (slope + bend) * 0.5)
        w, normal = body.half, (0.0, 0.0, -1.0)
        leads = wagon == 0

        def board(corners: tuple, color: tuple, shine: bool = False) -> None:
            canvas.fill([pose.point(0.0, x, y) for x, y in corners], color, tag, None if shine else normal)

        under = tuple(c * 0.45 for c in body.color)
        board(((-w * 0.75, RAIL_HIGH_M), (w * 0.75, RAIL_HIGH_M), (w * 0.8, body.floor), (-w * 0.8, body.floor)), _DARK)
        face = [
            (-w, body.floor),
            (w, body.floor),
            (w, body.eaves),
            (w * 0.7, body.top),
            (-w * 0.7, body.top),
            (-w, body.eaves),
        ]
        fill_rough(canvas, [pose.point(0.0, x, y) for x, y in face], body.color, tag, normal, 7.0, train.number)
        if not leads:
            return
        board(((-w, body.floor * 0.6), (w, body.floor * 0.6), (w, body.floor), (-w, body.floor)), under)
        base, high = body.floor, body.eaves
        panel = livery[1]
        board(
            ((-w * 0.97, base + 0.1), (w * 0.97, base + 0.1), (w * 0.97, base + 0.75), (-w * 0.97, base + 0.75)), panel
        )
        glass = (58.0, 66.0, 74.0) if not line.light.is_dark else (150.0, 138.0, 110.0)
        low = max(base + 0.9, high - 1.35)
        for left, right in ((-0.86, -0.05), (0.05, 0.86)) if train.kind != "tram" else ((-0.9, 0.9),):
            board(
                ((w * left, low), (w * right, low), (w * right * 0.94, high - 0.12), (w * left * 0.94, high - 0.12)),
                glass,
            )
        _lamps(canvas, pose, train, (w, base), high, tag)
        if train.kind != "tram":
            for x in (-0.88, 0.88):
                board(tuple((x + c * 0.24, 1.05 + s * 0.24) for c, s in CIRCLE), (60.0, 58.0, 58.0))
                board(tuple((x + c * 0.15, 1.05 + s * 0.15) for c, s in CIRCLE), (96.0, 94.0, 92.0))
        if train.kind == "passenger" or train.kind == "tram":
            sign = (255.0, 176.0, 40.0)
            board(
                ((-w * 0.4, high + 0.02), (w * 0.4, high + 0.02), (w * 0.4, high + 0.24), (-w * 0.4, high + 0.24)),
                _DARK,
            )
            board(
                ((-w * 0.3, high + 0.08), (w * 0.22, high + 0.08), (w * 0.22, high + 0.18), (-w * 0.3, high + 0.18)),
                sign,
                True,
            )

    drawings.append((start - 0.05, draw))


def _lamps(canvas: Canvas, pose: RaisedPose, train: Train, low: tuple[float, float], high: float, tag: int) -> None:
    """Draw three white lamps on a front, two red ones on a tail."""
    wide, base = low
    comes = train.speed_mps <= 0
    color = (255.0, 248.0, 222.0) if comes else (225.0, 30.0, 26.0)
    places = [(-wide * 0.68, base + 0.45), (wide * 0.68, base + 0.45)]
    if comes and train.kind != "tram":
        places.append((0.0, high + 0.4))
    for x, y in places:
        for size, tone in ((0.2, (70.0, 70.0, 72.0)), (0.14, color)):
            canvas.fill([pose.point(-0.02, x + c * size, y + s * size) for c, s in CIRCLE], tone, tag)
