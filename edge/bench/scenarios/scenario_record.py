"""The scenario of a benchmark as its record keeps it: the rules, and what only that scenario measures."""

from __future__ import annotations

from edge.records import record


@record(schema=1, what="clock jump")
class ClockJump:
    """A moment at which the wall clock was set, or the machine slept, while frames were measured.

    Attributes:
        at_s: Time in s since the start of the measured window at which it was seen.
        by_s: Seconds that the wall clock went on more than the monotonic one; negative where it was put back.
    """

    at_s: float
    by_s: float


@record(schema=1, what="result of a camera scenario")
class CameraRecord:
    """Deadlines of a camera whose frames come whether or not the engine is ready.

    Attributes:
        fps: Frames per second that the camera gave.
        deadline_ms: Longest time in ms from a frame's arrival to its labels in host memory.
        allowed_miss_share: Share of the deadlines that may be missed, 0 to 1.
        confidence: Confidence of the verdict, 0 to 1.
        arrived_frames: Number of frames that the camera gave, up to the last one that was taken.
        dropped_frames: Number of frames that a newer one replaced before the engine was ready.
        missed_frames: Number of frames that were dropped or done after their deadline.
    """

    fps: float
    deadline_ms: float
    allowed_miss_share: float
    confidence: float
    arrived_frames: int
    dropped_frames: int
    missed_frames: int


@record(schema=1, what="scenario of a benchmark")
class ScenarioRecord:
    """Rules of a measurement, which were fixed before it, and what belongs to its scenario alone.

    Attributes:
        name: Name of the scenario: "single-stream", "pipelined", "offline" or "camera".
        clock: Sentence on what the figures cover.
        least_frames: Smallest number of frames that were to be measured.
        least_s: Shortest time in s that was to be measured.
        includes_decode: Whether reading and decoding of a frame is part of its latency.
        clock_jumps: Moments at which the wall clock jumped.
        camera: Result of a camera's deadlines; None in another scenario.
    """

    name: str
    clock: str
    least_frames: int
    least_s: float
    includes_decode: bool
    clock_jumps: tuple[ClockJump, ...] = ()
    camera: CameraRecord | None = None
