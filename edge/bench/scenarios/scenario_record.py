"""The scenario of a benchmark as its record keeps it: the rules, and what only that scenario measures."""

from __future__ import annotations

from edge.frame_statistics.binomial_bound import MissBound
from edge.frame_statistics.percentiles import LatencyStatistics
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


@record(schema=1, what="rules of a camera")
class CameraRules:
    """A pretended camera, which gives frames at its own rate whether or not the engine is ready.

    Attributes:
        fps: Frames per second that the camera gives.
        deadline_ms: Longest time in ms from a frame's arrival to its labels in host memory.
        allowed_miss_share: Share of the deadlines that may be missed, 0 to 1.
        confidence: Confidence of the verdict on them, 0 to 1.
        stops_early: Whether the measurement ends as soon as the verdict is certain: looks until then and the look at
            the end each spend half of the error that the confidence leaves.
    """

    fps: float = 30.0
    deadline_ms: float = 1000 / 30
    allowed_miss_share: float = 0.01
    confidence: float = 0.95
    stops_early: bool = True


@record(schema=1, what="deadlines of a camera")
class DeadlineRecord:
    """What became of the deadlines of a camera's frames.

    Attributes:
        arrived_frames: Number of frames that the camera gave, up to the last one that was taken.
        dropped_frames: Number of frames that a newer one replaced before the engine was ready.
        missed_frames: Number of frames that were dropped or done after their deadline.
        age: Distribution of the age of a frame, from its arrival to its labels in host memory, over the frames that
            were taken.
        bound: Exact bounds on the share of missed deadlines, which account for misses that come in runs.
        is_held: Whether at most the allowed share is missed, with the confidence; None where the frames show neither
            that nor the opposite.
    """

    arrived_frames: int
    dropped_frames: int
    missed_frames: int
    age: LatencyStatistics
    bound: MissBound
    is_held: bool | None


@record(schema=1, what="scenario of a benchmark")
class ScenarioRecord:
    """Rules of a measurement, which were fixed before it, and what belongs to its scenario alone.

    Attributes:
        name: Name of the scenario: "single-stream", "pipelined", "offline" or "camera"; "turns" of two engines
            that took turns.
        clock: Sentence on what the figures cover.
        least_frames: Smallest number of frames that were to be measured.
        least_s: Shortest time in s that was to be measured.
        includes_decode: Whether reading and decoding of a frame is part of its latency.
        camera: Rules of the camera; None in another scenario.
        deadlines: What became of the camera's deadlines; None in another scenario.
        stopped_early: Whether the measurement ended before its least frames and time, since the verdict was certain.
        clock_jumps: Moments at which the wall clock jumped.
    """

    name: str
    clock: str
    least_frames: int
    least_s: float
    includes_decode: bool
    camera: CameraRules | None = None
    deadlines: DeadlineRecord | None = None
    stopped_early: bool = False
    clock_jumps: tuple[ClockJump, ...] = ()

    def certificate(self) -> str:
        """Return the verdict on a camera's deadlines in a sentence; "" in another scenario.

        It is such as "misses at most 0.31 % of deadlines, with 95 % confidence; 1 % are allowed".
        """
        camera, deadlines = self.camera, self.deadlines
        if camera is None or deadlines is None:
            return ""
        with_confidence = f"of deadlines, with {100 * camera.confidence:g} % confidence"
        allowed, bound = f"{100 * camera.allowed_miss_share:g} %", deadlines.bound
        if self.stopped_early and deadlines.is_held is not None:
            # Where a run ends because it looks well, the bound of that moment is a little too good.
            kept = f"misses {'at most' if deadlines.is_held else 'more than'} {allowed} {with_confidence}"
            return f"{kept}: certain after {deadlines.arrived_frames} frames"
        if deadlines.is_held is False:
            return f"misses at least {100 * bound.lower:.2g} % {with_confidence}; {allowed} are allowed"
        more = "; the frames are too few to show that it holds" if deadlines.is_held is None else ""
        return f"misses at most {100 * bound.upper:.2g} % {with_confidence}; {allowed} are allowed{more}"
