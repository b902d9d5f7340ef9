"""Platforms with their edges, roofs, shelters and lamps."""

from __future__ import annotations

from edge.labels import CITYSCAPES_RAW_IDS
from edge.synthetic.canvas import Canvas
from edge.synthetic.railway.line import Line, Platform
from edge.synthetic.railway.surfaces import Drawings, fill_rough, stretches
from edge.synthetic.seeded_random import SeededRandom

_WALK, _POLE, _BUILDING = (CITYSCAPES_RAW_IDS[name] for name in ("sidewalk", "pole", "building"))


def add_platforms(drawings: Drawings, canvas: Canvas, line: Line) -> None:
    """Add all platforms of a line to what is drawn."""
    for number, platform in enumerate(line.platforms):
        rng = SeededRandom(*line.key, 40, number)
        tone = rng.uniform(110.0, 176.0)
        top = (tone, tone * rng.uniform(0.94, 1.0), tone * rng.uniform(0.86, 1.0))
        mark = rng.choice(((226.0, 226.0, 220.0), (224.0, 188.0, 60.0)))
        face = tuple(c * 0.72 for c in top)
        for start, end in stretches(platform.start_m, platform.end_m):
            _add_piece(drawings, canvas, platform, (start, end), (top, face, mark), number)
        if platform.roof:
            _add_roof(drawings, canvas, platform, rng)
        _add_furniture(drawings, canvas, line, platform, rng)


def _view(canvas: Canvas, along: float, side: float, up: float) -> tuple[float, float, float]:
    right, ahead = canvas.camera.view(along, side)
    return right, up, ahead


def _add_piece(
    drawings: Drawings, canvas: Canvas, platform: Platform, reach: tuple, colors: tuple, number: int
) -> None:
    (start, end), (top, face, mark) = reach, colors
    left, right, up = platform.left_m, platform.right_m, platform.up_m

    def quad(one: float, other: float, height: float) -> list:
        return [
            _view(canvas, start, one, height),
            _view(canvas, start, other, height),
            _view(canvas, end, other, height),
            _view(canvas, end, one, height),
        ]

    def draw() -> None:
        if start <= max(platform.start_m, 0.71):  # the end that faces the camera
            front = [_view(canvas, start, s, u) for s, u in ((left, 0.0), (right, 0.0), (right, up), (left, up))]
            fill_rough(canvas, front, face, _WALK, (0.0, 0.0, -1.0), 14.0, number)
        for edge, normal in ((left, -1.0), (right, 1.0)):
            if (edge - canvas.camera.side_m + canvas.camera.bend(start)) * normal < 0:
                wall = [_view(canvas, a, edge, u) for a, u in ((start, 0.0), (end, 0.0), (end, up), (start, up))]
                fill_rough(canvas, wall, face, _WALK, (normal, 0.0, 0.0), 16.0, number)
        fill_rough(canvas, quad(left, right, up), top, _WALK, (0.0, 1.0, 0.0), 13.0, number)
        for edge, inner, used in ((left, 1.0, platform.left_is_edge), (right, -1.0, platform.right_is_edge)):
            canvas.fill(
                quad(edge, edge + inner * 0.22, up), tuple(min(235.0, c * 1.25) for c in top), _WALK, (0.0, 1.0, 0.0)
            )
            if used:
                canvas.fill(quad(edge + inner * 0.75, edge + inner * 0.9, up), mark, _WALK, (0.0, 1.0, 0.0))

    drawings.append((end + 0.5, draw))


def _add_roof(drawings: Drawings, canvas: Canvas, platform: Platform, rng: SeededRandom) -> None:
    high, steel = (
        platform.up_m + rng.uniform(3.0, 3.8),
        rng.choice(((96.0, 100.0, 104.0), (66.0, 88.0, 76.0), (150.0, 150.0, 148.0))),
    )
    middle = (platform.left_m + platform.right_m) * 0.5
    start, end = platform.start_m + rng.uniform(4.0, 14.0), platform.end_m - rng.uniform(8.0, 30.0)
    left, right = platform.left_m + 0.3, platform.right_m - 0.3
    for low, far in stretches(start, end, 4.0, 0.25):

        def draw(low: float = low, far: float = far) -> None:
            under = [_view(canvas, low, left, high), _view(canvas, low, right, high)]
            under += [_view(canvas, far, right, high), _view(canvas, far, left, high)]
            fill_rough(canvas, under, tuple(c * 0.8 for c in steel), _BUILDING, (0.0, -1.0, 0.0), 8.0)
            for edge, normal in ((left, -1.0), (right, 1.0)):
                rim = [
                    _view(canvas, a, edge, u)
                    for a, u in ((low, high), (far, high), (far, high + 0.35), (low, high + 0.35))
                ]
                canvas.fill(rim, steel, _BUILDING, (normal, 0.0, 0.0))
            front = [
                _view(canvas, low, s, u)
                for s, u in ((left, high), (right, high), (right, high + 0.35), (left, high + 0.35))
            ]
            canvas.fill(front, steel, _BUILDING, (0.0, 0.0, -1.0))

        drawings.append((far, draw))
    along = start + 2.0
    while along < min(end, 200.0):

        def post(along: float = along) -> None:
            canvas.limb(
                _view(canvas, along, middle, platform.up_m), _view(canvas, along, middle, high), 0.22, steel, _POLE
            )

        if along > 1.0:
            drawings.append((along, post))
        along += 9.0


def _add_furniture(drawings: Drawings, canvas: Canvas, line: Line, platform: Platform, rng: SeededRandom) -> None:
    middle = (platform.left_m + platform.right_m) * 0.5
    up, lit = platform.up_m, line.light.is_dark
    along = platform.start_m + rng.uniform(2.0, 10.0)
    while along < min(platform.end_m, 190.0):

        def lamp(along: float = along) -> None:
            steel = (120.0, 124.0, 128.0)
            canvas.limb(_view(canvas, along, middle, up), _view(canvas, along, middle, up + 4.4), 0.12, steel, _POLE)
            canvas.limb(
                _view(canvas, along, middle - 0.7, up + 4.4),
                _view(canvas, along, middle + 0.7, up + 4.4),
                0.1,
                steel,
                _POLE,
            )
            for side in (-0.7, 0.7):
                head = [
                    _view(canvas, along, middle + side + x, up + 4.4 + y)
                    for x, y in ((-0.3, 0), (0.3, 0), (0.3, 0.16), (-0.3, 0.16))
                ]
                canvas.fill(
                    head,
                    (255.0, 238.0, 190.0) if lit else (188.0, 190.0, 190.0),
                    _POLE,
                    None if lit else (0.0, 0.0, -1.0),
                )

        if along > 2.0 and not platform.roof:
            drawings.append((along, lamp))
        along += 16.0
    if rng.chance(0.6) and not platform.roof:
        at, glass = (
            max(platform.start_m, 0.0) + rng.uniform(8.0, 30.0),
            rng.choice(((96.0, 108.0, 116.0), (130.0, 122.0, 108.0))),
        )
        back = platform.right_m - 0.5 if middle > 0 else platform.left_m + 0.5
        front = back - (1.6 if middle > 0 else -1.6)

        def shelter() -> None:
            high = up + 2.4
            wall = [_view(canvas, a, back, u) for a, u in ((at, up), (at + 4.0, up), (at + 4.0, high), (at, high))]
            fill_rough(canvas, wall, glass, _BUILDING, (-1.0 if middle > 0 else 1.0, 0.0, 0.0), 6.0)
            end = [_view(canvas, at, s, u) for s, u in ((front, up), (back, up), (back, high), (front, high))]
            fill_rough(canvas, end, tuple(c * 0.9 for c in glass), _BUILDING, (0.0, 0.0, -1.0), 6.0)
            roof = [
                _view(canvas, at - 0.2, s, u)
                for s, u in ((front, high), (back, high), (back, high + 0.2), (front, high + 0.2))
            ]
            canvas.fill(roof, (84.0, 88.0, 92.0), _BUILDING, (0.0, 0.0, -1.0))

        drawings.append((at + 2.0, shelter))
