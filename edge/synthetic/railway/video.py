"""A line watched by a camera that stands still: trains pass, and at known times something is on the track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import numpy as np

from edge.errors import InputError
from edge.synthetic.railway.camera import camera_of
from edge.synthetic.railway.line import Line
from edge.synthetic.railway.render import render
from edge.synthetic.railway.scene import RailScene
from edge.synthetic.railway.traffic import Traffic
from edge.synthetic.railway.trains import Train
from edge.synthetic.scene import check_size
from edge.synthetic.seeded_random import SeededRandom

PERIOD_S = 60.0
"""Time after which everything happens again, in s."""
CLEARANCE_M = 1.5
"""Distance from the middle of a track within which somebody is on it, in metres: half the width of a vehicle."""
_VIDEO = 4


@dataclass(frozen=True)
class Incident:
    """Something that happens at a known time of every period.

    Attributes:
        kind: Kind: train (one passes), person (somebody is on the track) or object (something lies on it).
        start_s: Time at which it begins, in s.
        end_s: Time at which it ends, in s.
        track: Number of the track in the line.
        along_m: Where it happens, in metres ahead of the camera; where the train's near end is in the end.
    """

    kind: str
    start_s: float
    end_s: float
    track: int
    along_m: float


class RailVideo:
    """Consecutive frames of one line, without an end.

    A period has a train that passes, somebody who steps on the other track and goes back, and boxes that lie
    on that track for a while.

    Args:
        height: Rows of a frame in pixels, 64 to 1024.
        width: Columns of a frame in pixels, 128 to 2048.
        seed: Seed of the line, 0 or more.
        fps: Frames per second.

    Attributes:
        height: Rows of a frame in pixels.
        width: Columns of a frame in pixels.
        fps: Frames per second.
        incidents: What happens in every period, in the order of time.

    Raises:
        SizeError: A side is out of range.
        InputError: The frame rate is not positive, or more than 1000.

    Example:
        >>> video = RailVideo(256, 512, seed=7)
        >>> video.frame(12).label_ids
        >>> [incident.kind for incident in video.incidents if incident.start_s <= 24.0 < incident.end_s]
    """

    def __init__(self, height: int, width: int, seed: int, fps: float = 25.0) -> None:
        check_size(height, width)
        if not 0.0 < fps <= 1000.0:
            raise InputError(f"a railway video cannot run at {fps} frames a second, expected more than 0, at most 1000")
        self.height, self.width, self.fps = height, width, fps
        self._line = _watched_line(seed)
        self._traffic = Traffic(self._line)
        self.incidents = _stage(self._line, self._traffic)
        self._next_index = 0

    def frame(self, index: int) -> RailScene:
        """Return a frame with its labels; it depends on the seed and the index alone."""
        time_s = (index / self.fps) % PERIOD_S
        return RailScene(*render(self._line, self._traffic, self.height, self.width, time_s, index))

    def read(self) -> np.ndarray:
        """Return the next frame, (H, W, 3) uint8 RGB."""
        index, self._next_index = self._next_index, self._next_index + 1
        return self.frame(index).frame_rgb

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            yield self.read()


def _watched_line(seed: int) -> Line:
    """Return the first line of a seed that has a track beside the camera's own, and nothing that hides them."""
    attempt = 0
    while True:
        setting = SeededRandom(seed, _VIDEO, attempt, 1).choice(("open", "suburb", "forest", "suburb"))
        line = Line((seed, _VIDEO, attempt), setting, "mast")
        whole = [track for track in line.tracks if track.side_m == track.to_side_m]
        others = [track.side_m > 0 for track in line.tracks[1:] if track.side_m]
        one_side = all(others) or not any(others)
        is_open = line.tunnel_m is None and line.crossing is None and not line.platforms
        if len(whole) >= 2 and one_side and is_open:
            line.bridge_m = None
            return line
        attempt += 1


def _nearest_in_sight(line: Line) -> float:
    """Return the distance from which the camera sees its own track well within the picture, in metres ahead."""
    camera = camera_of(line, 512, 1024)
    along = 8.0
    while along < 60.0:
        right, ahead = camera.view(along, line.tracks[0].middle_m(along))
        column, row = camera.pixel(right, 0.0, ahead)
        if 0.12 * camera.width < column < 0.88 * camera.width and row < 0.9 * camera.height:
            break
        along += 0.5
    return along


def _stage(line: Line, traffic: Traffic) -> tuple[Incident, ...]:
    """Replace the traffic by what happens in a period, and return what and when."""
    traffic.trains.clear()
    traffic.movers.clear()
    rng = SeededRandom(*line.key, 73)
    incidents = []

    speed, arrives_s = rng.uniform(18.0, 30.0), rng.uniform(3.0, 6.0)
    far, wagons, wagon_m = 300.0, rng.integer(3, 6), rng.uniform(18.0, 24.0)
    train = Train(1, "passenger", far + speed * arrives_s, -speed, wagons, wagon_m, 1, (*line.key, 74))
    traffic.trains.append(train)
    incidents.append(Incident("train", arrives_s, arrives_s + (far + train.long_m) / speed, 1, -train.long_m))

    nearest = _nearest_in_sight(line)
    along = nearest + rng.uniform(2.0, 9.0)
    away = -1.0 if line.tracks[1].side_m > 0 else 1.0  # from the side where there is no other track
    far = min(5.0, line.flanks[1 if away > 0 else 0].edge_m - 0.8)
    walks_s, speed, pause_s = rng.uniform(25.0, 27.0), rng.uniform(1.0, 1.4), rng.uniform(3.0, 6.0)
    stands_s = walks_s + far / speed
    traffic.add(
        "person",
        along,
        line.tracks[0].middle_m(along) + away * far,
        -away,
        side_mps=-away * speed,
        phase=0.3,
        from_s=walks_s,
        turns_s=stands_s,
        pause_s=pause_s,
    )
    off_s = CLEARANCE_M / speed
    incidents.append(Incident("person", stands_s - off_s, stands_s + pause_s + off_s, 0, along))

    lies_s, along = rng.uniform(46.0, 48.0), nearest + rng.uniform(1.0, 9.0)
    gone_s = lies_s + rng.uniform(6.0, 9.0)
    traffic.add("boxes", along, line.tracks[0].middle_m(along), 0.1, appears_s=lies_s, gone_s=gone_s)
    incidents.append(Incident("object", lies_s, gone_s, 0, along))
    return tuple(incidents)
