"""The scenario of a benchmark as its record keeps it: the rules, and what only that scenario measures."""

from __future__ import annotations

from edge.records import record
from edge.statistics.binomial_bound import MissBound
from edge.statistics.percentiles import LatencyStatistics


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
        stops_early: Whether the measurement was to end as soon as the verdict is certain: looks until then and the look
            at the end each spend half of the error that the confidence leaves.
        arrived_frames: Number of frames that the camera gave, up to the last one that was taken.
        dropped_frames: Number of frames that a newer one replaced before the engine was ready.
        missed_frames: Number of frames that were dropped or done after their deadline.
        age: Distribution of the age of a frame, from its arrival to its labels in host memory, over the frames that
            were taken.
        bound: Exact bounds on the share of missed deadlines, which account for misses that come in runs.
        is_held: Whether at most the allowed share is missed, with the confidence; None where the frames show neither
            that nor the opposite.
        stopped_early: Whether the measurement ended as soon as that was certain.
    """

    fps: float
    deadline_ms: float
    allowed_miss_share: float
    confidence: float
    stops_early: bool
    arrived_frames: int
    dropped_frames: int
    missed_frames: int
    age: LatencyStatistics
    bound: MissBound
    is_held: bool | None
    stopped_early: bool

    def certificate(self) -> str:
        """Return the result in a sentence, such as "misses at most 0.31 % of deadlines, with 95 % confidence"."""
        with_confidence = f"of deadlines, with {100 * self.confidence:g} % confidence"
        allowed = f"{100 * self.allowed_miss_share:g} %"
        if self.stopped_early and self.is_held is not None:
            # Where a run ends because it looks well, the bound of that moment is a little too good.
            kept = f"misses {'at most' if self.is_held else 'more than'} {allowed} {with_confidence}"
            return f"{kept}: certain after {self.arrived_frames} frames"
        if self.is_held is False:
            return f"misses at least {100 * self.bound.lower:.2g} % {with_confidence}; {allowed} are allowed"
        more = "; the frames are too few to show that it holds" if self.is_held is None else ""
        return f"misses at most {100 * self.bound.upper:.2g} % {with_confidence}; {allowed} are allowed{more}"


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
