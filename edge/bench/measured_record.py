"""From what was measured to the record: figures, steadiness and validity, all computed from the frames and samples."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.accuracy import Accuracy
from edge.artifacts import sha256_file
from edge.bench.bench_record import BenchRecord
from edge.bench.frame_feed import FrameFeed
from edge.bench.frame_samples import FrameLog, FrameSamples, frame_samples
from edge.bench.record_figures import frame_figures, judged_record
from edge.bench.scenarios.base import Scenario
from edge.bench.scenarios.scenario_record import ClockJump
from edge.bench.validity import RunConditions
from edge.card import EngineCard
from edge.machine import this_machine
from edge.machine_load import MachineLoad
from edge.opencv import cv2
from edge.postprocess import backend as postprocess_backend
from edge.telemetry.power_record import PowerRecord


@dataclass
class Measured:
    """What a measurement gave.

    Attributes:
        log: Measured frames.
        start_ns: Start of the measured window, on time.perf_counter_ns.
        load: Load of the machine meanwhile; None where the system does not count it.
        clock_jumps: Moments at which the wall clock jumped.
        interruption: Interrupt that ended the measurement early; None where it is whole.
        power: Power and temperatures meanwhile; None where they were not measured.
        other_gpu_processes: Other programs that were on the GPU at the end; None where nothing tells.
    """

    log: FrameLog
    start_ns: int
    load: MachineLoad | None = None
    clock_jumps: tuple[ClockJump, ...] = ()
    interruption: KeyboardInterrupt | None = None
    power: PowerRecord | None = None
    other_gpu_processes: tuple[str, ...] | None = None

    @property
    def samples(self) -> FrameSamples:
        """Times of the frames as columns, in ns since the start of the window."""
        return frame_samples(self.log, self.start_ns)

    @property
    def marks_ns(self) -> list[int]:
        """Start of the window and of each later frame, then the end of the last one, on time.perf_counter_ns."""
        frames = self.log.since(0)
        return [self.start_ns, *(frame.start_ns for frame in frames[1:]), frames[-1].end_ns]


@dataclass(frozen=True)
class Subject:
    """What was measured, and how.

    Attributes:
        card: Card of the engine.
        runner: Version, device and threads of the backend.
        scenario: Scenario, with the rules of the measurement.
        feed: Frames that were measured.
        description: Origin of the frames as a text.
        started_utc: Start of the benchmark in UTC, ISO 8601.
        in_flight: Number of frames that were under way at once.
        is_on_device: Whether the device did all the work on a frame.
        skipped: Names of the pictures that were left out.
        conditions: What was asked of the run, and seen around it.
    """

    card: EngineCard
    runner: dict[str, Any]
    scenario: Scenario
    feed: FrameFeed
    description: str
    started_utc: str
    in_flight: int
    is_on_device: bool
    skipped: tuple[str, ...] = ()
    conditions: RunConditions = field(default_factory=RunConditions)


def measured_record(subject: Subject, measured: Measured, accuracy: Accuracy | None = None) -> BenchRecord:
    """Return the record of a measurement, judged by all rules.

    Args:
        subject: What was measured.
        measured: What that gave.
        accuracy: Accuracy on a labelled split; None where it was not measured.
    """
    settings, frames = subject.scenario.settings, measured.samples
    scenario = replace(subject.scenario.record(), clock_jumps=measured.clock_jumps)
    unjudged = BenchRecord(
        engine=subject.card,
        machine=this_machine(),
        runner=subject.runner,
        postprocess="cuda" if subject.is_on_device else postprocess_backend(),
        opencv_threads=cv2.getNumThreads(),
        input=subject.description,
        frame_height=subject.feed.height,
        frame_width=subject.feed.width,
        distinct_frames=subject.feed.distinct_frames,
        warmup_frames=settings.warmup_frames,
        accuracy=accuracy,
        started_utc=subject.started_utc,
        power=measured.power,
        frames_in_flight=subject.in_flight,
        frame_format=settings.frame_format,
        skipped_pictures=subject.skipped,
        load=measured.load,
        frames_asked=settings.frames,
        is_partial=measured.interruption is not None,
        conditions=subject.conditions,
        **{"scenario": scenario, **frame_figures(frames, subject.in_flight, scenario)},
    )
    return judged_record(unjudged, frames)


def conditions_of(
    card: EngineCard, measured: Measured, scenario: Scenario, asked: RunConditions, engine_file: Path | None
) -> RunConditions:
    """Return what was asked of a run, with what was seen around it.

    Args:
        card: Card of the engine.
        measured: What the measurement gave.
        scenario: Scenario, with the rules of the measurement.
        asked: Power mode and clocks that the run was to have.
        engine_file: Path of the engine, which is read again; None to leave that out.
    """
    is_whole = not scenario.stopped_early
    jumps_s = [jump.by_s for jump in measured.clock_jumps]
    return replace(
        asked,
        least_frames=scenario.settings.frames if is_whole else None,
        least_s=scenario.settings.seconds if is_whole else None,
        engine_sha256_before=card.engine_sha256 if engine_file is not None else None,
        engine_sha256_after=sha256_file(engine_file) if engine_file is not None and engine_file.is_file() else None,
        clock_jump_s=max(jumps_s, key=abs) if jumps_s else 0.0,
        other_gpu_processes=measured.other_gpu_processes,
    )
