"""What moves or lies about on and beside the tracks: trains, people, road vehicles, fallen trees and boxes."""

from __future__ import annotations

from dataclasses import dataclass

from edge.synthetic.canvas import Canvas
from edge.synthetic.grain import roughen_object
from edge.synthetic.people import draw_person, draw_rider
from edge.synthetic.railway.ground import road_edges
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.obstacles import draw_boxes, draw_branch, draw_fallen_tree, draw_rocks
from edge.synthetic.railway.surfaces import Drawings, RaisedPose
from edge.synthetic.railway.trains import Train, add_train
from edge.synthetic.seeded_random import SeededRandom
from edge.synthetic.street_furniture import draw_lamp, draw_sign, draw_traffic_light
from edge.synthetic.vehicles import draw_bus, draw_car, draw_truck
from edge.synthetic.world import SceneObject


@dataclass(frozen=True)
class Mover(SceneObject):
    """An object on or beside the line, which may move.

    Attributes:
        up_m: Height of its feet above the sleepers, in metres.
        along_mps: Speed along the way in m/s.
        side_mps: Speed to the right in m/s.
        from_s: Time at which it begins to move, in s.
        turns_s: Time at which it stops to go back to where it came from, in s.
        pause_s: Time for which it stands before it goes back, in s.
        appears_s: Time from which it is there, in s.
        gone_s: Time at which it is gone, in s.
    """

    up_m: float = 0.0
    along_mps: float = 0.0
    side_mps: float = 0.0
    from_s: float = 0.0
    turns_s: float = 1e9
    pause_s: float = 0.0
    appears_s: float = -1e9
    gone_s: float = 1e9

    def place(self, time_s: float) -> tuple[float, float, float]:
        """Return (along, side, phase of the walk) at a time, in metres and steps."""
        there_s = min(max(time_s - self.from_s, 0.0), self.turns_s - self.from_s)
        back_s = min(max(time_s - self.turns_s - self.pause_s, 0.0), there_s)
        speed = abs(self.along_mps) + abs(self.side_mps)
        return (
            self.along_m + self.along_mps * (there_s - back_s),
            self.side_m + self.side_mps * (there_s - back_s),
            self.phase + speed * (there_s + back_s) / 1.5,
        )

    def turn_at(self, time_s: float) -> float:
        """Return the tangent of half the heading at a time."""
        return -self.turn if time_s > self.turns_s + self.pause_s else self.turn


class Traffic:
    """Everything that moves or lies about on one line.

    Args:
        line: Line on which it is.

    Attributes:
        trains: Trains on the tracks.
        movers: People, road vehicles and obstacles.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        rng = SeededRandom(*line.key, 70)
        self.trains = _draw_trains(rng, line)
        self.movers: list[Mover] = []
        self._add_people(rng)
        self._add_road_vehicles(rng)
        self._add_obstacles(rng)

    def add(self, kind: str, along: float, side: float, turn: float = 0.0, **more: float) -> None:
        """Add an object; `more` are further fields of a Mover."""
        number = len(self.movers)
        key = (*self._line.key, 71, number)
        self.movers.append(Mover(kind, along, side, turn, key, 100 + number % 900, **more))

    def add_to(self, drawings: Drawings, canvas: Canvas, time_s: float) -> None:
        """Add everything to what is drawn, as it is at a time."""
        line = self._line
        for train in self.trains:
            add_train(drawings, canvas, line, train, time_s)
        half_view = canvas.camera.width / canvas.camera.focal_px
        for mover in self._there(time_s):
            along, side, phase = mover.place(time_s)
            pose = RaisedPose(canvas.camera, along, side, mover.turn_at(time_s), mover.up_m)
            if pose.ahead < (1.6 if mover.kind in ("person", "worker") else 3.0) or pose.ahead > 210.0:
                continue
            if abs(pose.right) > pose.ahead * half_view + 9.0:
                continue

            def draw(mover: Mover = mover, pose: RaisedPose = pose, phase: float = phase) -> None:
                _DRAWINGS[mover.kind](canvas, pose, _seen(mover, phase), line)
                roughen_object(canvas, mover.kind, mover.number, (pose.right, mover.up_m + 1.0, pose.ahead))

            drawings.append((pose.ahead, draw))

    def _there(self, time_s: float) -> list[Mover]:
        return [mover for mover in self.movers if mover.appears_s <= time_s < mover.gone_s]

    def shadowed(self, time_s: float) -> list[SceneObject]:
        """Return what casts a shadow on the ground at a time."""
        seen = []
        for mover in self._there(time_s):
            if mover.up_m == 0.0:
                along, side, _ = mover.place(time_s)
                seen.append(SceneObject(mover.kind, along, side, mover.turn, mover.random_key, mover.number))
        return seen

    def _add_people(self, rng: SeededRandom) -> None:
        line = self._line
        for platform in line.platforms:
            crowd = rng.choice((2, 5, 9, 16, 24))
            for _ in range(crowd):
                along = max(platform.start_m, 2.0) + rng.uniform(0.0, 1.0) * min(
                    platform.end_m - platform.start_m, 75.0
                )
                side = rng.uniform(platform.left_m + 0.5, platform.right_m - 0.5)
                if along > platform.end_m - 1.0 or abs(along) + abs(side - line.view.side_m) < 3.0:
                    continue
                walks = rng.chance(0.35)
                turn = rng.choice((0.0, 1e6)) if walks else rng.uniform(-3.0, 3.0)
                speed = (1.2 if turn == 0.0 else -1.2) if walks else 0.0
                phase = rng.uniform(0.1, 1.0) if walks else 0.0
                self.add("person", along, side, turn, up_m=platform.up_m, along_mps=speed, phase=phase)
        if rng.chance(0.3):  # somebody on a track
            for _ in range(rng.weighted(((1, 5.0), (2, 2.0), (3, 1.0)))):
                self._add_on_track(rng)
        if line.setting != "tram" and rng.chance(0.3):  # somebody beside the tracks
            sign, along = rng.choice((-1, 1)), rng.uniform(6.0, 60.0)
            side = line.outermost(sign) * sign + sign * rng.uniform(2.0, 3.2)
            if not line.platforms:
                kind = "worker" if rng.chance(0.6) else "person"
                for step in range(rng.integer(1, 3)):
                    self.add(kind, along + step * 1.1, side, rng.uniform(-3.0, 3.0))
        if line.crossing is not None:
            for _ in range(rng.integer(0, 3)):
                along = rng.uniform(line.crossing[0] + 0.5, line.crossing[1] - 0.5)
                side, turn = rng.uniform(-9.0, 9.0), rng.choice((1.0, -1.0))
                self.add(
                    "person" if rng.chance(0.7) else "cyclist",
                    along,
                    side,
                    turn,
                    side_mps=1.3 * turn,
                    phase=rng.uniform(0.1, 1.0),
                )
        if line.setting == "tram":
            self._add_pedestrians(rng)

    def _add_on_track(self, rng: SeededRandom) -> None:
        line = self._line
        track = rng.choice(line.tracks[: max(1, min(3, len(line.tracks)))])
        along = rng.uniform(7.0, 26.0) if rng.chance(0.5) else rng.uniform(26.0, 75.0)
        if line.tunnel_m is not None:
            along = min(along, line.tunnel_m - 4.0)
        if track.start_m > along:
            return
        side = track.middle_m(along) + rng.uniform(-0.55, 0.55)
        turn = rng.choice((1.0, -1.0, 0.0, 1e6))
        speed = {1.0: (0.0, 1.2), -1.0: (0.0, -1.2), 0.0: (1.2, 0.0), 1e6: (-1.2, 0.0)}[turn]
        kind = "worker" if line.setting != "tram" and rng.chance(0.35) else "person"
        self.add(kind, along, side, turn, along_mps=speed[0], side_mps=speed[1], phase=rng.uniform(0.1, 1.0))

    def _add_pedestrians(self, rng: SeededRandom) -> None:
        walk_left, left, right, walk_right = road_edges(self._line)
        for low, high in ((walk_left, left), (right, walk_right)):
            for _ in range(rng.integer(3, 12)):
                turn = rng.choice((0.0, 1e6))
                along, side = rng.uniform(4.0, 70.0), rng.uniform(low + 0.5, high - 0.4)
                self.add(
                    "person", along, side, turn, along_mps=1.2 if turn == 0.0 else -1.2, phase=rng.uniform(0.1, 1.0)
                )
        for _ in range(rng.integer(0, 4)):
            turn = rng.choice((1.0, -1.0))
            along, side = rng.uniform(10.0, 50.0), rng.uniform(left, right)
            self.add("person", along, side, turn, side_mps=1.2 * turn, phase=rng.uniform(0.1, 1.0))
        for edge, out in ((left, -1.0), (right, 1.0)):
            along = rng.uniform(5.0, 20.0)
            while along < 120.0:
                self.add(
                    rng.weighted((("lamp", 3.0), ("sign", 2.0), ("traffic_light", 1.5))), along, edge + 0.5 * out, out
                )
                along += rng.uniform(13.0, 30.0)

    def _add_road_vehicles(self, rng: SeededRandom) -> None:
        line = self._line
        kinds = (("car", 8.0), ("truck", 1.6), ("bus", 0.8), ("cyclist", 0.8))
        if line.setting == "tram":
            _, left, right, _ = road_edges(line)
            for inner, outer, turn in ((-line.flanks[0].edge_m, left, 1e6), (line.flanks[1].edge_m, right, 0.0)):
                wide, along = abs(outer - inner), rng.uniform(6.0, 16.0)
                while along < 130.0 and wide > 2.4:
                    if rng.chance(0.6):
                        side = (inner + outer) * 0.5 if wide < 4.0 else inner + (1.6 if outer > inner else -1.6)
                        self.add(rng.weighted(kinds), along, side, turn, along_mps=0.0)
                    along += rng.uniform(8.0, 22.0)
            if rng.chance(0.4):  # a car in front of the tram
                self.add(
                    rng.weighted(kinds[:3]), rng.uniform(12.0, 45.0), line.tracks[0].side_m + rng.uniform(-0.3, 0.3)
                )
        if line.crossing is not None:
            middle = (line.crossing[0] + line.crossing[1]) * 0.5
            quarter = (line.crossing[1] - line.crossing[0]) * 0.23
            for sign in (-1, 1):
                along = middle - quarter if sign < 0 else middle + quarter
                side = line.outermost(sign) * sign + sign * rng.uniform(6.0, 9.0)
                for _ in range(rng.integer(0, 3)):
                    self.add(rng.weighted(kinds[:3]), along, side, -1.0 if sign > 0 else 1.0)
                    side += sign * rng.uniform(8.0, 13.0)
            if rng.chance(0.6):  # one that stands on the tracks
                self.add(rng.weighted(kinds[:2]), middle + quarter, rng.uniform(-2.0, 2.0), rng.choice((1.0, -1.0)))
        for flank in line.flanks:
            if flank.kind != "street":
                continue
            for lane, turn in ((2.4, 0.0 if flank.sign > 0 else 1e6), (6.1, 1e6 if flank.sign > 0 else 0.0)):
                along = rng.uniform(5.0, 30.0)
                while along < 150.0:
                    if rng.chance(0.6):
                        self.add(rng.weighted(kinds), along, (flank.edge_m + lane) * flank.sign, turn)
                    along += rng.uniform(11.0, 40.0)
        if line.setting in ("yard", "suburb", "station") and rng.chance(0.3):  # a works vehicle beside the tracks
            flank = rng.choice(line.flanks)
            if flank.kind == "plain" and not line.platforms and line.crossing is None:
                self.add(
                    rng.choice(("car", "truck")),
                    rng.uniform(12.0, 60.0),
                    (flank.edge_m + 2.5) * flank.sign,
                    rng.choice((0.0, 1e6)),
                )

    def _add_obstacles(self, rng: SeededRandom) -> None:
        line = self._line
        if not rng.chance(0.28):
            return
        along = rng.uniform(9.0, 55.0)
        if line.tunnel_m is not None:
            along = min(along, line.tunnel_m - 5.0)
        kind = rng.weighted((("fallen_tree", 3.0), ("boxes", 2.0), ("rocks", 1.5), ("branch", 1.5)))
        if line.setting == "tram":
            kind = "boxes"
        if any(platform.start_m - 8 < along < platform.end_m for platform in line.platforms) and kind == "fallen_tree":
            kind = "boxes"
        self.add(
            kind, along, rng.uniform(-1.0, 1.0) + rng.choice((0.0, 0.0, line.tracks[-1].side_m)), rng.uniform(-0.6, 0.6)
        )


def _seen(mover: Mover, phase: float) -> SceneObject:
    return SceneObject(mover.kind, mover.along_m, mover.side_m, mover.turn, mover.random_key, mover.number, phase)


def _draw_trains(rng: SeededRandom, line: Line) -> list[Train]:
    trains: list[Train] = []
    whole = [i for i, track in enumerate(line.tracks) if track.side_m == track.to_side_m]
    chance = {"yard": 0.75, "tram": 0.55}.get(line.setting, 0.5)

    def add(track: int, near: float, speed: float, kind: str) -> None:
        wagons = {"tram": rng.integer(2, 4), "freight": rng.integer(5, 14)}.get(kind, rng.integer(2, 8))
        wagon = {"tram": rng.uniform(8.0, 11.0), "freight": rng.uniform(12.0, 16.0)}.get(kind, rng.uniform(18.0, 24.0))
        trains.append(Train(track, kind, near, speed, wagons, wagon, len(trains) + 1, (*line.key, 72, track)))

    for index in whole[1:]:
        if not rng.chance(chance if line.setting != "yard" else 0.4):
            continue
        kind = "tram" if line.setting == "tram" else rng.weighted((("passenger", 3.0), ("freight", 1.6)))
        speed = (
            0.0 if line.setting == "yard" or rng.chance(0.2) else rng.uniform(8.0, 30.0) * rng.choice((-1.0, -1.0, 1.0))
        )
        near = rng.uniform(-60.0, 20.0) if rng.chance(0.45) else rng.uniform(15.0, 110.0)
        add(index, near, speed, kind)
    if rng.chance(0.16 if line.view.kind == "cab" else 0.36):
        kind = "tram" if line.setting == "tram" else rng.weighted((("passenger", 3.0), ("freight", 1.0)))
        far = 60.0 if line.view.kind == "cab" else 12.0
        near = rng.uniform(-45.0, 10.0) if line.view.kind != "cab" and rng.chance(0.4) else rng.uniform(far, 150.0)
        speed = rng.uniform(4.0, 20.0) * (1.0 if line.view.kind == "cab" else rng.choice((-1.0, 1.0)))
        add(0, near, speed, kind)
    return trains


_DRAWINGS = {
    "person": draw_person,
    "worker": draw_person,
    "cyclist": draw_rider,
    "car": draw_car,
    "truck": draw_truck,
    "bus": draw_bus,
    "lamp": draw_lamp,
    "sign": draw_sign,
    "traffic_light": draw_traffic_light,
    "fallen_tree": draw_fallen_tree,
    "branch": draw_branch,
    "boxes": draw_boxes,
    "rocks": draw_rocks,
}
