"""A street with its blocks and moving objects, drawn once from a seed and seen at any time.

Everything is looked up by position, never stored in order: a block by its number along the way, a moving object by its
lane and its slot in it. So the street has no end, and a picture of it depends on the seed and the time alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.synthetic.camera import Course
from edge.synthetic.light import Light, draw_light
from edge.synthetic.seeded_random import SeededRandom, wave

BLOCK_M = 48.0
"""Length of a block along the way, in metres."""
JUNCTION_M = 13.0
"""Width of the street that crosses at the beginning of some blocks, in metres."""
SIGHT_M = 190.0
"""Largest distance at which objects are drawn, in metres."""

_LANE_SLOTS = 40
"""Most slots of a lane that are in sight at once; it keeps instance numbers apart."""


@dataclass(frozen=True)
class SceneObject:
    """One object of the street that is drawn.

    Attributes:
        kind: Kind of the object, a key of the table of drawing functions.
        along_m: Position along the way, in metres.
        side_m: Position right of the road's middle, in metres.
        turn: Tangent of half the heading; 0 looks along the way, 1 to the right.
        random_key: Key of the random numbers that decide the object's looks.
        number: Instance number, 0 to 999, unique among the objects in sight.
        phase: Phase of a walk, in steps.
    """

    kind: str
    along_m: float
    side_m: float
    turn: float
    random_key: tuple
    number: int
    phase: float = 0.0


@dataclass(frozen=True)
class TrafficLane:
    """Moving objects of one speed in a row, so that they never meet.

    Attributes:
        kinds: Kinds of objects that move here, with weights.
        side_m: Position of the lane right of the road's middle, in metres.
        speed_mps: Speed along the way in m/s; negative towards the camera's start.
        spacing_m: Distance between two slots, in metres.
        share: Share of the slots that are occupied, 0 to 1.
        turn: Tangent of half the heading of the objects.
        sway_m: Largest distance of an object from the lane's middle, in metres.
        keeps_clear: Whether slot 0 stays free, because the camera drives there.
    """

    kinds: tuple
    side_m: float
    speed_mps: float
    spacing_m: float
    share: float
    turn: float
    sway_m: float = 0.2
    keeps_clear: bool = False


@dataclass(frozen=True)
class Street:
    """Cross-section of the street; positions are in metres, right of its middle.

    Attributes:
        road_left: Position of the left kerb.
        road_right: Position of the right kerb.
        walk_left: Outer edge of the left pavement.
        walk_right: Outer edge of the right pavement.
        front_left: Position where the blocks on the left begin.
        front_right: Position where the blocks on the right begin.
        rail_middle: Middle of a railway track beside the road; None without one.
        lane_m: Width of a lane.
        lanes_left: Number of oncoming lanes.
        lanes_right: Number of lanes in the camera's direction.
        parking_left: Whether there is a row of parked cars at the left kerb.
        parking_right: Whether there is a row of parked cars at the right kerb.
    """

    road_left: float
    road_right: float
    walk_left: float
    walk_right: float
    front_left: float
    front_right: float
    rail_middle: float | None
    lane_m: float
    lanes_left: int
    lanes_right: int
    parking_left: bool
    parking_right: bool


PARKED_M = 2.2
"""Width of a row of parked cars, in metres."""


def _draw_street(rng: SeededRandom) -> Street:
    lane_m = rng.uniform(2.9, 3.6)
    lanes_left, lanes_right = rng.choice((1, 1, 2)), rng.choice((1, 1, 1, 2))
    parking_left, parking_right = rng.chance(0.4), rng.chance(0.4)
    road_left = -lanes_left * lane_m - (PARKED_M if parking_left else 0.3)
    road_right = lanes_right * lane_m + (PARKED_M if parking_right else 0.3)
    walk_left, walk_right = road_left - rng.uniform(2.0, 6.0), road_right + rng.uniform(2.0, 6.0)
    front_left = walk_left - (rng.uniform(1.0, 6.0) if rng.chance(0.5) else 0.0)
    front_right = walk_right + (rng.uniform(1.0, 6.0) if rng.chance(0.5) else 0.0)
    rail_middle = None
    if rng.chance(0.4):
        # Beside a track the pavement is narrow, so that the track is seen.
        if rng.chance(0.5):
            walk_left = road_left - rng.uniform(0.8, 2.0)
            rail_middle, front_left, parking_left = walk_left - 2.6, walk_left - 5.2, False
        else:
            walk_right = road_right + rng.uniform(0.8, 2.0)
            rail_middle, front_right, parking_right = walk_right + 2.6, walk_right + 5.2, False
    return Street(
        road_left,
        road_right,
        walk_left,
        walk_right,
        front_left,
        front_right,
        rail_middle,
        lane_m,
        lanes_left,
        lanes_right,
        parking_left,
        parking_right,
    )


_TRAFFIC = (("car", 9.0), ("truck", 0.8), ("bus", 0.9), ("motorcyclist", 0.8))
_PARKED = (("car", 9.0), ("truck", 0.5), ("motorcycle", 0.7), ("bicycle", 0.6), ("trailer", 0.2), ("caravan", 0.2))
_WALKERS = (("person", 1.0),)
_DISTRICTS = (
    (("buildings", 7.0), ("park", 1.0), ("wall", 1.0), ("parking", 0.7)),
    (("buildings", 3.0), ("park", 3.0), ("wall", 1.5), ("parking", 1.0), ("fence", 2.0)),
    (("buildings", 1.0), ("park", 5.0), ("wall", 1.0), ("fence", 2.0), ("rail", 1.0)),
)


class World:
    """One street that is drawn from a key.

    Args:
        key: Whole numbers; equal keys give equal streets.

    Attributes:
        key: Whole numbers; equal keys give equal streets.
        light: Light and weather of the street.
        street: Cross-section of the street.
        course: Bends of the street.
        speed_mps: Speed of the camera along the way, in m/s.
        camera_lane_m: Position of the camera right of the road's middle, in metres.
        has_bridge: Whether bridges cross the street.
        lanes: Lanes of moving and of parked objects.
    """

    def __init__(self, key: tuple) -> None:
        self.key = key
        rng = SeededRandom(*key, 1)
        self.light: Light = draw_light(rng)
        self.street = _draw_street(rng)
        self.course = Course(rng.uniform(-14.0, 14.0), rng.uniform(420.0, 700.0), rng.uniform(0.0, 1.0))
        self._district = rng.weighted(((_DISTRICTS[0], 3.0), (_DISTRICTS[1], 3.0), (_DISTRICTS[2], 1.5)))
        self.speed_mps = rng.uniform(3.0, 13.0)
        self.camera_lane_m = self.street.lane_m * 0.5 + rng.uniform(-0.3, 0.3)
        self.has_bridge = rng.chance(0.12)
        self._busy = rng.uniform(0.35, 1.0)
        self._pole_spacing_m = rng.uniform(16.0, 30.0)
        self.lanes = self._draw_lanes(rng)
        self._junctions: dict[int, bool] = {}
        self._kinds: dict[tuple[int, int], str] = {}

    def _draw_lanes(self, rng: SeededRandom) -> list[TrafficLane]:
        street, busy, lanes = self.street, self._busy, []
        for index in range(street.lanes_right):
            # Slot 0 moves with the camera, so the distance to the car ahead stays.
            side = street.lane_m * (index + 0.5)
            speed = self.speed_mps if index == 0 else self.speed_mps * rng.uniform(0.7, 1.3)
            spacing = rng.uniform(14.0, 40.0)
            lanes.append(TrafficLane(_TRAFFIC, side, speed, spacing, 0.75 * busy, 0.0, 0.2, index == 0))
        for index in range(street.lanes_left):
            side = -street.lane_m * (index + 0.5)
            lanes.append(TrafficLane(_TRAFFIC, side, -rng.uniform(4.0, 13.0), rng.uniform(14.0, 36.0), 0.7 * busy, 1e6))
        if street.parking_left:
            side = street.road_left + PARKED_M / 2 + 0.1
            lanes.append(TrafficLane(_PARKED, side, 0.0, 7.2, rng.uniform(0.3, 0.95), rng.choice((0.0, 1e6)), 0.1))
        if street.parking_right:
            side = street.road_right - PARKED_M / 2 - 0.1
            lanes.append(TrafficLane(_PARKED, side, 0.0, 7.2, rng.uniform(0.3, 0.95), 0.0, 0.1))
        for low, high in ((street.walk_left, street.road_left), (street.road_right, street.walk_right)):
            wide = high - low
            for share, speed, turn in ((0.35, rng.uniform(0.9, 1.6), 0.0), (0.65, -rng.uniform(0.9, 1.6), 1e6)):
                lanes.append(
                    TrafficLane(
                        _WALKERS, low + wide * share, speed, rng.uniform(5.5, 16.0), 0.65 * busy, turn, wide * 0.15
                    )
                )
        if rng.chance(0.75):
            side = street.road_right - (PARKED_M + 0.5 if street.parking_right else 0.6)
            lanes.append(
                TrafficLane((("cyclist", 1.0),), side, rng.uniform(3.0, 6.0), rng.uniform(14.0, 35.0), 0.6, 0.0)
            )
        if rng.chance(0.5):
            side = street.road_left + (PARKED_M + 0.5 if street.parking_left else 0.6)
            lanes.append(
                TrafficLane((("cyclist", 1.0),), side, -rng.uniform(3.0, 6.0), rng.uniform(14.0, 35.0), 0.5, 1e6)
            )
        if street.rail_middle is not None:
            speed = rng.uniform(6.0, 20.0) * rng.choice((-1.0, 1.0))
            lanes.append(TrafficLane((("train", 1.0),), street.rail_middle, speed, 130.0, 0.8, 0.0, 0.0))
        return lanes

    def camera_along(self, time_s: float) -> float:
        """Return the position of the camera along the way in metres, at a time."""
        return self.speed_mps * time_s

    def has_junction(self, block: int) -> bool:
        """Return whether a street crosses at the beginning of a block."""
        if block not in self._junctions:
            self._junctions[block] = SeededRandom(*self.key, 2, block).chance(0.3)
        return self._junctions[block]

    def block_kind(self, side: int, block: int) -> str:
        """Return the content of a block: buildings, park, wall, fence, rail (a guard rail) or parking.

        Args:
            side: Side of the street, -1 for left and 1 for right.
            block: Number of the block along the way.
        """
        if (side, block) not in self._kinds:
            self._kinds[side, block] = SeededRandom(*self.key, 3, side, block).weighted(self._district)
        return self._kinds[side, block]

    def blocks_in_sight(self, along_m: float) -> range:
        """Return the numbers of the blocks that a camera sees."""
        return range(math.floor(along_m / BLOCK_M), math.floor((along_m + SIGHT_M) / BLOCK_M) + 1)

    def movers(self, time_s: float) -> list[SceneObject]:
        """Return the objects in sight that drive, walk or are parked, at a time."""
        here, scene_objects = self.camera_along(time_s), []
        for index, lane in enumerate(self.lanes):
            gone = lane.speed_mps * time_s
            reach = 75.0 if lane.kinds[0][0] == "train" else 6.0
            far = min(SIGHT_M, (_LANE_SLOTS - 4) * lane.spacing_m)
            first = math.floor((here - reach - gone) / lane.spacing_m)
            last = math.ceil((here + far - gone) / lane.spacing_m)
            for slot in range(first, last + 1):
                if lane.keeps_clear and slot <= 0:
                    continue
                rng = SeededRandom(*self.key, 4, index, slot)
                if not rng.chance(lane.share):
                    continue
                kind = rng.weighted(lane.kinds)
                play = max(0.0, (lane.spacing_m - 13.0) * 0.5) if lane.spacing_m > 13.0 else lane.spacing_m * 0.1
                along = slot * lane.spacing_m + rng.uniform(-play, play) + gone
                side = lane.side_m + rng.uniform(-lane.sway_m, lane.sway_m)
                number = index * _LANE_SLOTS + slot % _LANE_SLOTS
                pace = abs(lane.speed_mps) * time_s / 1.5 + rng.uniform(0.0, 1.0)
                scene_objects.append(
                    SceneObject(kind, along, side, lane.turn, (*self.key, 5, index, slot), number, pace)
                )
        return scene_objects

    def fixtures(self, time_s: float) -> list[SceneObject]:
        """Return the objects in sight that stand at the road: poles, signs, lights, trees, people at crossings."""
        here, scene_objects = self.camera_along(time_s), []
        for block in self.blocks_in_sight(here):
            scene_objects.extend(self._block_fixtures(block, time_s))
        spacing = self._pole_spacing_m
        for slot in range(math.floor(here / spacing), math.floor((here + SIGHT_M) / spacing) + 1):
            side = 1 if slot % 2 else -1
            kerb = self.street.road_right + 0.5 if side > 0 else self.street.road_left - 0.5
            scene_objects.append(SceneObject("lamp", slot * spacing, kerb, float(side), (*self.key, 6), 0))
        return [scene_object for scene_object in scene_objects if -4.0 < scene_object.along_m - here < SIGHT_M]

    def _block_fixtures(self, block: int, time_s: float) -> list[SceneObject]:
        street, start, scene_objects = self.street, block * BLOCK_M, []
        rng = SeededRandom(*self.key, 7, block)
        number = 800 + block % 5 * 40  # five blocks are in sight at most

        def add(kind: str, along: float, side: float, turn: float = 0.0, phase: float = 0.0) -> None:
            scene_objects.append(
                SceneObject(
                    kind,
                    along,
                    side,
                    turn,
                    (*self.key, 8, block, len(scene_objects)),
                    number + len(scene_objects),
                    phase,
                )
            )

        if self.has_junction(block):
            add("traffic_light", start - 1.0, street.road_right + 0.5)
            add("traffic_light", start + JUNCTION_M + 1.0, street.road_left - 0.5)
            if rng.chance(0.6):
                add("overhead_light", start + JUNCTION_M + 2.0, street.road_right + 0.7)
            for side in (street.walk_left - 4.0, street.walk_right + 4.0):
                if rng.chance(0.6):
                    kind = rng.weighted(_TRAFFIC)
                    add(kind, start + JUNCTION_M * rng.uniform(0.35, 0.65), side, 1.0 if side < 0 else -1.0)
            for row in range(rng.integer(0, 4)):
                swing = wave(time_s / 24.0 + rng.uniform(0.0, 1.0))
                wide = (street.road_right - street.road_left) * 0.5
                middle = (street.road_right + street.road_left) * 0.5
                turn = rng.choice((1.0, -1.0))
                add("person", start - 2.2 - row * 0.7, middle + wide * swing, turn, time_s * 0.9)
        for kerb, out in ((street.road_left, -1.0), (street.road_right, 1.0)):
            if rng.chance(0.65):
                add("sign", start + rng.uniform(14.0, 46.0), kerb + 0.6 * out)
            if rng.chance(0.25):
                add("sign", start + rng.uniform(14.0, 46.0), kerb + 0.8 * out)
            if rng.chance(0.3):
                add("bin", start + rng.uniform(14.0, 46.0), kerb + 0.9 * out)
            if rng.chance(0.45):
                for step in range(rng.integer(2, 4)):
                    add("tree", start + 15.0 + step * 10.0, kerb + 1.1 * out)
            if rng.chance(0.3):
                along, side = start + rng.uniform(15.0, 42.0), kerb + rng.uniform(1.2, 1.8) * out
                for step in range(rng.integer(1, 4)):
                    add("person", along + step * 0.6, side + rng.uniform(-0.3, 0.3), rng.uniform(-3.0, 3.0))
            if rng.chance(0.25):
                for step in range(rng.integer(1, 3)):
                    add("bicycle", start + 20.0 + step * 0.8, kerb + 1.0 * out, rng.choice((0.0, 1.0, -0.6)))
            if rng.chance(0.15):
                add("motorcycle", start + 26.0, kerb + 1.1 * out, rng.choice((0.0, 0.5, -0.6)))
        if rng.chance(0.1):
            add("gantry", start + rng.uniform(14.0, 40.0), street.road_right + 0.6)
        return scene_objects
