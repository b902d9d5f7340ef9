"""The record of one benchmark, with everything that is needed to repeat or to question it."""

from __future__ import annotations

from typing import Any

from edge.accuracy import Accuracy
from edge.bench.scenarios.scenario_record import ScenarioRecord
from edge.bench.validity import RunConditions, Validity
from edge.card import EngineCard
from edge.frame_statistics.percentiles import LatencyStatistics
from edge.frame_statistics.steady_state import Steadiness
from edge.machine import Machine
from edge.machine_load import MachineLoad
from edge.records import record
from edge.telemetry.power_record import PowerRecord

RECORD_FILE = "record.json"


@record(schema=1, what="benchmark record", made_by="edge-bench run --output")
class BenchRecord:
    """Result of one run of edge-bench.

    The clock is time.perf_counter_ns, from a frame in host memory to its label map in host memory; `scenario` says
    where reading and decoding is included. With one frame in flight `fps` is one over the mean end-to-end latency; with
    several, and of a camera, it is frames over time. With several, the latency includes the wait for the frames before.
    Stages of a GPU are measured by its own clock. Those of a frame add up to less than its end-to-end latency, which
    also includes the launch and the wake-up.

    Attributes:
        engine: Card of the measured engine.
        machine: Machine on which the benchmark ran.
        runner: Version, device and threads of the backend.
        postprocess: Backend of the post-processing, "cuda", "native" or "numpy".
        opencv_threads: Number of threads that OpenCV's resize may use.
        input: Origin of the frames as a text, such as "camvid val".
        frame_height: Rows of a frame, in pixels.
        frame_width: Columns of a frame, in pixels.
        distinct_frames: Number of different frames, which were used in turn.
        warmup_frames: Number of frames before the measurement.
        stages: Stage -> statistics of its latency.
        end_to_end: Statistics of the latency of a whole frame.
        fps: Frames per second, end to end.
        duration_s: Time in s of all measured frames, with the time between them.
        accuracy: Accuracy on a labelled split; None where it was not measured.
        started_utc: Start of the benchmark in UTC, ISO 8601.
        samples_ms: Stage -> latency of each measured frame in ms.
        power: Power, temperatures and energy over the measured frames; None where they were not measured, as in older
            records.
        frames_in_flight: Number of frames that were under way at once.
        samples_end_to_end_ms: Latency of each measured frame in ms; empty in older records, where it is the sum of the
            stages.
        frame_format: Format of the frames, "bgr" or "nv12".
        skipped_pictures: Names of the pictures that were left out, since they or their label maps cannot be read.
        load: Load of the machine while frames were measured; None where the system does not count it, as in older
            records.
        frames_asked: Number of frames that were asked for; 0 in older records.
        is_partial: Whether an interrupt ended the benchmark early, so that the figures are those of the frames until
            then.
        run_id: Name of the run, which no other run of any machine has; "" for one that is in no database.
        scenario: Rules of the measurement; None in older records.
        validity: Judgement of the run by all rules; None in older records.
        steadiness: Steadiness of latency and temperature; None in older records.
        conditions: What was asked of the run, and seen around it; None in older records.
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
    skipped_pictures: tuple[str, ...] = ()
    load: MachineLoad | None = None
    frames_asked: int = 0
    is_partial: bool = False
    run_id: str = ""
    scenario: ScenarioRecord | None = None
    validity: Validity | None = None
    steadiness: Steadiness | None = None
    conditions: RunConditions | None = None

    def latencies_ms(self) -> list[float]:
        """Return the end-to-end latency of each measured frame in ms."""
        return list(self.samples_end_to_end_ms) or [sum(values) for values in zip(*self.samples_ms.values())]

    def network_share(self) -> float | None:
        """Return the network's share of the end-to-end time, 0 to 1; None with several frames in flight.

        With several frames in flight a frame's latency includes the wait for others, and the share means nothing.
        """
        return self.stages["inference"].mean_ms / self.end_to_end.mean_ms if self.frames_in_flight == 1 else None

    def partial_sentence(self) -> str:
        """Return a sentence that says what of the benchmark is missing; "" where it is whole."""
        if not self.is_partial:
            return ""
        count = self.end_to_end.sample_count
        if count >= self.frames_asked > 0:
            return f"partial: interrupted after {count} frames, before all that was asked for was done"
        return f"partial: interrupted after {count} of at least {self.frames_asked} frames"
