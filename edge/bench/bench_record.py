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
    reading and decoding of images are outside it. Frames are processed one at a time (synchronous,
    batch 1), so `fps` is one over the mean end-to-end latency.

    Attributes:
        engine: card of the engine.
        machine: where it ran.
        runner: version, device and threads of the backend.
        postprocess: "native" or "numpy".
        opencv_threads: threads that resizing may use.
        input: where the frames come from.
        frame_height: rows of a frame.
        frame_width: columns of a frame.
        distinct_frames: different frames that were cycled through.
        warmup_frames: frames before the clock counted.
        stages: stage -> its latency.
        end_to_end: sum of the stages, frame by frame.
        fps: frames per second, end to end.
        duration_s: time that the measured frames took, with what is between them.
        accuracy: on a labelled split; None where it was not measured.
        started_utc: ISO 8601.
        samples_ms: stage -> latency of each measured frame.
        power: power, temperatures and energy over the measured frames; None where they were not measured, as in
            records from before there were any.
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
