"""The record of one benchmark: everything that is needed to repeat it and to distrust it."""

from __future__ import annotations

from typing import Any

from edge.accuracy import Accuracy
from edge.bench.percentiles import LatencyStatistics
from edge.card import EngineCard
from edge.machine import Machine
from edge.records import record
from edge.telemetry.power_record import PowerRecord

RECORD_FILE = "record.json"


@record(schema=1, what="benchmark record")
class BenchRecord:
    """One run of edge-bench.

    The clock is time.perf_counter_ns, from a frame in host memory to its label map in host memory;
    reading and decoding of images are outside it. With one frame in flight `fps` is one over the mean
    end-to-end latency; with several it is frames over time, and the latency includes the wait for the
    frames before. Stages of a GPU are by its own clock; those of a frame add up to less than its
    end-to-end latency, which has the launch and the wake-up as well.

    Attributes:
        engine: card of the engine.
        machine: where it ran.
        runner: version, device and threads of the backend.
        postprocess: "cuda", "native" or "numpy".
        opencv_threads: threads that resizing may use.
        input: where the frames come from.
        frame_height: rows of a frame.
        frame_width: columns of a frame.
        distinct_frames: different frames that were cycled through.
        warmup_frames: frames before the clock counted.
        stages: stage -> its latency.
        end_to_end: latency of a frame.
        fps: frames per second, end to end.
        duration_s: time that the measured frames took, with what is between them.
        accuracy: on a labelled split; None where it was not measured.
        started_utc: ISO 8601.
        samples_ms: stage -> latency of each measured frame.
        power: power, temperatures and energy over the measured frames; None where they were not measured, as in
            records from before there were any.
        frames_in_flight: frames that were under way at once.
        samples_end_to_end_ms: latency of each measured frame; empty in records from before there were any, where it
            is the sum of the stages.
        frame_format: "bgr" or "nv12".
    """

    engine: EngineCard
    machine: Machine
    runner: dict[str, Any]
    postprocess: str
    opencv_threads: int
    input: str
    frame_height: int
    frame_width: int
    distinct_frames: int
    warmup_frames: int
    stages: dict[str, LatencyStatistics]
    end_to_end: LatencyStatistics
    fps: float
    duration_s: float
    accuracy: Accuracy | None
    started_utc: str
    samples_ms: dict[str, Any]
    power: PowerRecord | None = None
    frames_in_flight: int = 1
    samples_end_to_end_ms: tuple[float, ...] = ()
    frame_format: str = "bgr"

    def latencies_ms(self) -> list[float]:
        """Return the end-to-end latency of each measured frame."""
        return list(self.samples_end_to_end_ms) or [sum(values) for values in zip(*self.samples_ms.values())]

    def network_share(self) -> float | None:
        """Return the share of the end-to-end time that the network itself took, 0 to 1; None with frames in flight.

        With several, a frame's latency is waiting for others too, and the share means nothing.
        """
        return self.stages["inference"].mean_ms / self.end_to_end.mean_ms if self.frames_in_flight == 1 else None
