"""A railway line with everything beside it, drawn once from a key and seen from one place at any time.

Positions are `along` (metres ahead of the camera's place along the line), `side` (metres right of the line's reference,
on which the camera's own track lies) and `up` (metres above the sleepers). The camera stays where it is; trains and
people move.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.synthetic.camera import Course
from edge.synthetic.light import Light, draw_light
from edge.synthetic.railway.track import Track
from edge.synthetic.seeded_random import SeededRandom

SIGHT_M = 230.0
"""Largest distance at which things beside the line are drawn, in metres."""


@dataclass(frozen=True)
class Flank:
    """What lies beside the line on one side.

    Attributes:
        sign: Side of the line, -1 for left and 1 for right.
        edge_m: Distance from the reference at which the level ground beside the tracks ends, in metres.
        kind: Form of the ground: plain, bank (it rises), dam (it falls), wall, barrier (against noise) or street.
        high_m: Height of the bank, wall or barrier, or depth of the dam, in metres.
        run_m: Width of the slope, in metres.
        scenery: What stands behind: forest, bushes, field, houses or halls.
        fence: Kind of the fence at the edge: bars, mesh, boards, rail or none.
    """

    sign: int
    edge_m: float
    kind: str
    high_m: float
    run_m: float
    scenery: str
    fence: str

    def ground_up(self, side_m: float) -> float:
        """Return the height of the ground at a side, in metres above the sleepers."""
        part = min(max((side_m * self.sign - self.edge_m) / self.run_m, 0.0), 1.0)
        if self.kind == "bank":
            return self.high_m * part
        return -self.high_m * part if self.kind == "dam" else 0.0


@dataclass(frozen=True)
class Platform:
    """A platform between two sides.

    Attributes:
        left_m: Position of its left edge, in metres right of the reference.
        right_m: Position of its right edge, in metres right of the reference.
        start_m: Where along the way it begins, in metres.
        end_m: Where along the way it ends, in metres.
        up_m: Height above the sleepers, in metres.
        roof: Whether it has a roof.
        left_is_edge: Whether trains stop at its left edge.
        right_is_edge: Whether trains stop at its right edge.
    """

    left_m: float
    right_m: float
    start_m: float
    end_m: float
    up_m: float
    roof: bool
    left_is_edge: bool
    right_is_edge: bool


@dataclass(frozen=True)
class View:
    """Place of the camera.

    Attributes:
        kind: Kind of the place: cab, trackside, platform or mast.
        side_m: Position right of the reference, in metres.
        above_m: Height of the lens above the sleepers, in metres.
        shift: How far the direction of the line lies beside the middle of the picture, as a share of its width.
        horizon: Position of the horizon as a fraction of the height from the top.
        focal: Focal length in units of the picture's side.
    """

    kind: str
    side_m: float
    above_m: float
    shift: float
    horizon: float
    focal: float


_SETTINGS = (
    ("open", 3.0),
    ("forest", 2.2),
    ("suburb", 2.2),
    ("station", 2.8),
    ("yard", 1.3),
    ("tram", 3.2),
    ("mountain", 1.5),
)
_FLANKS = {
    "open": (("plain", 3.0), ("dam", 3.0), ("bank", 1.5)),
    "forest": (("plain", 3.0), ("bank", 2.0), ("dam", 1.0)),
    "suburb": (("plain", 2.0), ("barrier", 2.0), ("wall", 1.5), ("bank", 1.0), ("dam", 1.0), ("street", 1.5)),
    "station": (("plain", 3.0), ("wall", 1.0), ("street", 1.0)),
    "yard": (("plain", 3.0), ("street", 1.0), ("wall", 1.0)),
    "tram": (("plain", 1.0),),
    "mountain": (("bank", 3.0), ("wall", 1.5), ("dam", 1.0)),
}
_SCENERY = {
    "open": (("field", 3.0), ("bushes", 3.0), ("forest", 1.0), ("houses", 0.5)),
    "forest": (("forest", 5.0), ("bushes", 1.0)),
    "suburb": (("houses", 3.0), ("bushes", 2.0), ("halls", 1.0), ("forest", 0.7)),
    "station": (("houses", 3.0), ("bushes", 1.5), ("halls", 1.0)),
    "yard": (("halls", 3.0), ("bushes", 2.0), ("houses", 1.0)),
    "tram": (("houses", 5.0), ("bushes", 1.0)),
    "mountain": (("forest", 4.0), ("bushes", 2.0)),
}


class Line:
    """One railway line that is drawn from a key.

    Args:
        key: Whole numbers; equal keys give equal lines.
        setting: Setting of the line, a key of the tables above; None to draw it too.
        view: Kind of the camera's place; None to draw it too.

    Attributes:
        key: Whole numbers; equal keys give equal lines.
        light: Light and weather.
        setting: Setting: open, forest, suburb, station, yard, tram or mountain.
        course: Bends of the line.
        tracks: Tracks; the first one is the camera's own.
        platforms: Platforms of a station.
        flanks: What lies on the left, and on the right.
        view: Place of the camera.
        crossing: Where a road crosses the tracks, from and to in metres along the way; None where none does.
        bridge_m: Where a bridge crosses above, in metres along the way; None where none does.
        tunnel_m: Where a tunnel begins, in metres along the way; None where none does.
        wired: Whether there is an overhead line.
        mast_spacing_m: Distance between two masts of the overhead line, in metres.
        bed_half_m: Half the width of the ballast of one track at its top, in metres.
    """

    def __init__(self, key: tuple, setting: str | None = None, view: str | None = None) -> None:
        self.key = key
        rng = SeededRandom(*key, 1)
        self.light: Light = draw_light(rng)
        drawn = rng.weighted(_SETTINGS)
        self.setting = setting or drawn
        self.course = _draw_course(rng, self.setting)
        self.bed_half_m = rng.uniform(1.75, 2.35)
        self.tracks, self.platforms = _draw_tracks(rng, self.setting)
        self.platforms = _with_outer_platforms(rng, self.setting, self.tracks, self.platforms)
        self.wired = rng.chance(0.85 if self.setting == "tram" else 0.7)
        self.mast_spacing_m = rng.uniform(26.0, 36.0) if self.setting == "tram" else rng.uniform(38.0, 62.0)
        self.view = _draw_view(rng, self, view)
        self.flanks = (self._draw_flank(rng, -1), self._draw_flank(rng, 1))
        self.crossing = self._draw_crossing(rng)
        self.bridge_m = self.tunnel_m = None
        if (self.setting == "mountain" and rng.chance(0.6)) or (self.setting == "forest" and rng.chance(0.12)):
            self.tunnel_m = rng.uniform(28.0, 110.0)
        elif self.setting != "tram" and rng.chance(0.2):
            self.bridge_m = rng.uniform(16.0, 110.0)
        if self.tunnel_m is not None:
            self.crossing = None

    def outermost(self, sign: int) -> float:
        """Return the distance from the reference to the outermost track or platform on a side, in metres."""
        reach = [0.0]
        for track in self.tracks:
            reach += [track.side_m * sign, track.to_side_m * sign]
        for platform in self.platforms:
            reach += [platform.left_m * sign - 1.2, platform.right_m * sign - 1.2]
        return max(reach)

    def flank(self, side_m: float) -> Flank:
        """Return the flank on whose side of the reference a position lies."""
        return self.flanks[1 if side_m > 0 else 0]

    def _draw_flank(self, rng: SeededRandom, sign: int) -> Flank:
        kind, scenery = rng.weighted(_FLANKS[self.setting]), rng.weighted(_SCENERY[self.setting])
        edge = self.outermost(sign) + self.bed_half_m + rng.uniform(0.5, 2.6)
        if self.setting == "tram":
            edge = self.outermost(sign) + 1.7
        if self.view.side_m * sign > 0:
            edge = max(edge, self.view.side_m * sign + 1.2)
        high = {"bank": rng.uniform(2.0, 9.0), "dam": rng.uniform(1.2, 7.0), "wall": rng.uniform(1.6, 6.0)}.get(
            kind, rng.uniform(2.2, 4.2)
        )
        if kind == "dam" and scenery == "forest":
            scenery = "bushes"
        run = high * rng.uniform(1.3, 2.0)
        fence = "none"
        if kind in ("plain", "street") and self.setting != "tram" and rng.chance(0.5):
            fence = rng.choice(("bars", "mesh", "mesh", "boards", "rail"))
        return Flank(sign, edge, kind, high, run, scenery, fence)

    def _draw_crossing(self, rng: SeededRandom) -> tuple[float, float] | None:
        chance = {"open": 0.42, "forest": 0.3, "suburb": 0.42, "yard": 0.2, "station": 0.25}.get(self.setting, 0.0)
        start, wide = rng.uniform(9.0, 60.0), rng.uniform(5.5, 9.5)
        if not rng.chance(chance):
            return None
        if any(platform.start_m < start + wide + 4 and platform.end_m > start - 4 for platform in self.platforms):
            return None
        level = tuple(_levelled(flank) for flank in self.flanks)
        self.flanks = (level[0], level[1])
        return start, start + wide


def _levelled(flank: Flank) -> Flank:
    """Return a flank without slope or wall, so that a road can cross."""
    if flank.kind in ("plain", "street"):
        return Flank(flank.sign, flank.edge_m, "plain", flank.high_m, flank.run_m, flank.scenery, "none")
    return Flank(flank.sign, flank.edge_m, "plain", flank.high_m, flank.run_m, "bushes", "none")


def _draw_course(rng: SeededRandom, setting: str) -> Course:
    if rng.chance(0.35):
        return Course(rng.uniform(-2.0, 2.0), rng.uniform(500.0, 900.0), rng.uniform(0.0, 1.0))
    if setting == "tram":
        return Course(rng.uniform(-9.0, 9.0), rng.uniform(220.0, 420.0), rng.uniform(0.0, 1.0))
    return Course(rng.uniform(-26.0, 26.0), rng.uniform(460.0, 900.0), rng.uniform(0.0, 1.0))


def _draw_tracks(rng: SeededRandom, setting: str) -> tuple[tuple[Track, ...], tuple[Platform, ...]]:
    gap = rng.uniform(4.0, 4.8)
    slab = setting in ("mountain", "open", "station") and rng.chance(0.12)
    if setting == "tram":
        gap = rng.uniform(2.9, 3.5)
        other = rng.choice((-gap, -gap, gap))
        sides = [0.0, other] if rng.chance(0.85) else [0.0]
        return tuple(Track(side, side, embedded=True) for side in sides), ()
    platforms: list[Platform] = []
    if setting == "station" and rng.chance(0.35):  # a platform between two tracks
        sign, wide = rng.choice((-1.0, 1.0)), rng.uniform(5.0, 9.0)
        sides = [0.0, sign * (wide + 3.4)]
        if rng.chance(0.4):
            sides.append(-sign * gap)
        if rng.chance(0.4):
            sides.append(sides[1] + sign * gap)
        edges = sorted((sign * 1.7, sign * (1.7 + wide)))
        start = rng.uniform(-20.0, 25.0)
        long = rng.uniform(70.0, 180.0)
        roof = rng.chance(0.5)
        platforms.append(Platform(edges[0], edges[1], start, start + long, rng.choice((0.55, 0.76)), roof, True, True))
    else:
        count = {
            "open": rng.weighted(((1, 3.0), (2, 6.0), (3, 1.0))),
            "forest": rng.weighted(((1, 5.0), (2, 4.0))),
            "suburb": rng.weighted(((1, 1.0), (2, 5.0), (3, 2.0), (4, 2.0))),
            "station": rng.weighted(((1, 1.0), (2, 4.0), (3, 3.0))),
            "yard": rng.integer(4, 7),
            "mountain": rng.weighted(((1, 4.0), (2, 4.0))),
        }[setting]
        own = rng.integer(0, count - 1)
        sides = [0.0] + [(index - own) * gap for index in range(count) if index != own]
    tracks = []
    for index, side in enumerate(sides):
        rusty = index > 0 and rng.chance(0.5 if setting == "yard" else 0.12)
        tracks.append(Track(side, side, slab=slab, rusty=rusty))
    tracks += _draw_switches(rng, setting, sides, gap, slab, bool(platforms))
    return tuple(tracks), tuple(platforms)


def _draw_switches(rng: SeededRandom, setting: str, sides: list, gap: float, slab: bool, island: bool) -> list[Track]:
    """Draw tracks that lead from one track to another, or begin a siding."""
    switches: list[Track] = []
    chance = {"yard": 1.0, "station": 0.5, "suburb": 0.35, "open": 0.25}.get(setting, 0.1)
    for _ in range(rng.integer(2, 4) if setting == "yard" else 1):
        if island or not rng.chance(chance):
            continue
        start, long = rng.uniform(4.0, 60.0), rng.uniform(24.0, 40.0)
        origin = 0.0 if rng.chance(0.6) else rng.choice(sides)
        beside = [side for side in sides if abs(abs(side - origin) - gap) < 0.01]
        to_siding = not beside or (rng.chance(0.25) and len(sides) < 4)
        if to_siding:
            target = max(sides) + gap if rng.chance(0.5) else min(sides) - gap
            origin = max(sides) if target > 0 else min(sides)
            end = start + long + rng.uniform(15.0, 240.0)
        else:
            target, end = rng.choice(beside), start + long
        rusty = to_siding and rng.chance(0.6)
        switches.append(Track(origin, target, start, long, start, end, to_siding, slab=slab, rusty=rusty))
    return switches


def _with_outer_platforms(rng: SeededRandom, setting: str, tracks: tuple, platforms: tuple) -> tuple[Platform, ...]:
    """Add the platforms beside the outermost tracks."""
    if setting != "station" and not (setting == "suburb" and rng.chance(0.15)):
        return platforms
    added, up, start = list(platforms), rng.choice((0.38, 0.55, 0.76, 0.9)), rng.uniform(-25.0, 30.0)
    signs = (-1, 1) if rng.chance(0.65) else (rng.choice((-1, 1)),)
    for sign in signs:
        outer = max([track.side_m * sign for track in tracks] + [track.to_side_m * sign for track in tracks])
        if platforms and not rng.chance(0.5):
            continue
        wide, long = rng.uniform(2.8, 7.0), rng.uniform(50.0, 170.0)
        edges = sorted((sign * (outer + 1.7), sign * (outer + 1.7 + wide)))
        roof = wide > 3.6 and rng.chance(0.4)
        added.append(Platform(edges[0], edges[1], start, start + long, up, roof, sign > 0, sign < 0))
    return tuple(added)


def _draw_view(rng: SeededRandom, line: Line, wanted: str | None) -> View:
    here = [platform for platform in line.platforms if platform.start_m < -2.0]
    kinds = [("cab", 5.0), ("mast", 1.8)]
    if not line.platforms:
        kinds.append(("trackside", 2.6))
    if here:
        kinds.append(("platform", 4.0))
    kind = rng.weighted(kinds)
    if wanted is not None and (wanted != "platform" or here):
        kind = wanted
    focal, horizon = rng.uniform(0.8, 1.25), rng.uniform(0.34, 0.5)
    if kind == "cab":
        above = rng.uniform(2.0, 2.7) if line.setting == "tram" else rng.uniform(2.2, 3.3)
        return View(kind, rng.uniform(-0.5, 0.5), above, rng.uniform(-0.04, 0.04), horizon, focal)
    sign = rng.choice((-1, 1))
    if kind == "platform":
        place = rng.choice(here)
        side = rng.uniform(place.left_m + 0.8, place.right_m - 0.8)
        middle = (place.left_m + place.right_m) * 0.5
        edge = place.left_m if place.left_is_edge and (not place.right_is_edge or side < middle) else place.right_m
        shift = rng.uniform(0.0, 0.25) * (1.0 if edge > side else -1.0)
        return View(kind, side, place.up_m + rng.uniform(1.45, 1.75), -shift, horizon, focal)
    out = line.outermost(sign) + (rng.uniform(1.9, 2.6) if line.setting == "tram" else rng.uniform(2.6, 6.5))
    shift = rng.uniform(0.05, 0.32) * sign
    if kind == "mast":
        return View(kind, sign * out, rng.uniform(4.2, 8.0), shift, rng.uniform(0.08, 0.36), focal * 0.85)
    return View(kind, sign * out, rng.uniform(1.45, 1.9), shift, horizon, focal)
