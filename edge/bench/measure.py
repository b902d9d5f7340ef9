"""The measurement of a benchmark: frames to warm up, then the time of each stage of every frame."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Callable, Sequence, TypeVar

import numpy as np

from edge.accuracy import measure_accuracy
from edge.bench.bench_record import BenchRecord
from edge.bench.clock_watch import ClockWatch
from edge.bench.frame_feed import FrameFeed, frame_feed
from edge.bench.frame_samples import FrameLog, FrameSamples, frame_samples
from edge.bench.live_figures import LiveFigures
from edge.bench.scenarios.base import Scenario
from edge.bench.scenarios.choice import open_scenario
from edge.bench.scenarios.scenario_record import ClockJump, ScenarioRecord
from edge.bench.settings import BenchSettings
from edge.card import EngineCard
from edge.datasets import Dataset
from edge.errors import DatasetError, InputError
from edge.frames import FrameSet
from edge.interruption import settle_interruption
from edge.machine import this_machine
from edge.machine_load import LoadWatch, MachineLoad
from edge.network_class import class_difference
from edge.opencv import cv2
from edge.postprocess import backend as postprocess_backend
from edge.provenance import RANDOM
from edge.runtime.base import Runner
from edge.segmenter import Segmenter
from edge.statistics.percentiles import summarise
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.power_record import PowerRecord, power_record
from edge.telemetry.sampler import PowerSampler

Result = TypeVar("Result")

Recording = Callable[[FrameLog, Callable[[], Sequence[PowerSample]]], None]
"""Function that is given the log of a measurement and its samples until now, before the first frame is measured, and
writes down what comes."""


@dataclass
class _Measured:
    """What a measurement gave.

    Attributes:
        log: Measured frames.
        start_ns: Start of the measured window, on time.perf_counter_ns.
        load: Load of the machine meanwhile; None where the system does not count it.
        clock_jumps: Moments at which the wall clock jumped.
        interruption: Interrupt that ended the measurement early; None where it is whole.
    """

    log: FrameLog
    start_ns: int
    load: MachineLoad | None = None
    clock_jumps: tuple[ClockJump, ...] = ()
    interruption: KeyboardInterrupt | None = None

    @property
    def samples(self) -> FrameSamples:
        """Times of the frames as columns, in ns since the start of the window."""
        return frame_samples(self.log, self.start_ns)

    @property
    def marks_ns(self) -> list[int]:
        """Start of the window and of each later frame, then the end of the last one, on time.perf_counter_ns."""
        frames = self.log.since(0)
        return [self.start_ns, *(frame.start_ns for frame in frames[1:]), max(frame.end_ns for frame in frames)]


def run_benchmark(
    runner: Runner,
    card: EngineCard,
    frames: FrameSet,
    settings: BenchSettings,
    labelled: Dataset | None = None,
    power: PowerSource | None = None,
    interruptions: list[KeyboardInterrupt] | None = None,
    recording: Recording | None = None,
) -> BenchRecord:
    """Measure the speed of one engine and, on request, its accuracy and its power.

    An interrupt by Ctrl-C ends the measurement: the record of the frames until then is marked as partial. Before the
    first measured frame there is nothing to keep, and the interrupt is the caller's.

    Args:
        runner: Runner of the engine, which is not active yet.
        card: Card of the engine.
        frames: Frames that are segmented in turn.
        settings: Length of the measurement, and order and format of the frames.
        labelled: Labelled split on which mIoU is measured; None to leave it out.
        power: Open power source that is read while frames are measured; None to leave power out.
        interruptions: List that an interrupt which ended the measurement is added to; None to let go of it.
        recording: Function that writes the measurement down while it runs; None to leave that out.

    Raises:
        InputError: There are no frames, the settings contradict each other, or accuracy was asked for with random
            weights.
        DatasetError: The classes of the split are not those of the network.
        BackendError: The power source does not give a first sample. A source that ends later leaves its reason in the
            record.
    """
    scenario = open_scenario(settings)
    if labelled is not None:
        _check_classes(card, labelled)
    feed = frame_feed(frames, settings.frame_format, settings.includes_decode)
    started_utc = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with runner:
        segmenter = Segmenter(runner, feed.color_order, scenario.in_flight)
        measured, power_seen = _measure_with_power(scenario, segmenter, feed, power, recording)
        described = _repeated_if_interrupted(runner.describe, measured)
        in_flight, is_on_device = segmenter.depth, segmenter.is_on_device
        accuracy = None
        if labelled is not None and measured.interruption is None:
            try:
                accuracy = measure_accuracy(Segmenter(runner, "rgb").label_frame, labelled, show_progress=True)
            except KeyboardInterrupt as error:  # the speed was measured, and is kept
                settle_interruption()
                measured.interruption = error

    def record() -> BenchRecord:
        samples, marks_ns = measured.samples, measured.marks_ns
        duration_s = (marks_ns[-1] - marks_ns[0]) / 1e9
        is_of_latencies = in_flight == 1 and scenario.counts_latency
        return BenchRecord(
            engine=card,
            machine=this_machine(),
            runner=described,
            postprocess="cuda" if is_on_device else postprocess_backend(),
            opencv_threads=cv2.getNumThreads(),
            input=frames.description,
            frame_height=feed.height,
            frame_width=feed.width,
            distinct_frames=feed.distinct_frames,
            warmup_frames=settings.warmup_frames,
            stages={stage: summarise(values.tolist()) for stage, values in samples.stages_ns.items()},
            end_to_end=summarise(samples.latency_ns.tolist()),
            fps=len(samples) / (int(samples.latency_ns.sum()) / 1e9 if is_of_latencies else duration_s),
            duration_s=duration_s,
            accuracy=accuracy,
            started_utc=started_utc,
            samples_ms={stage: _milliseconds(values) for stage, values in samples.stages_ns.items()},
            power=power_seen,
            frames_in_flight=in_flight,
            frame_format=settings.frame_format,
            samples_end_to_end_ms=tuple(_milliseconds(samples.latency_ns)),
            skipped_pictures=tuple(sorted({*frames.skipped, *(labelled.skipped if labelled is not None else ())})),
            load=measured.load,
            frames_asked=settings.frames,
            is_partial=measured.interruption is not None,
            scenario=ScenarioRecord(
                name=scenario.name,
                clock=scenario.clock_sentence(),
                least_frames=settings.frames,
                least_s=settings.seconds,
                includes_decode=settings.includes_decode,
                clock_jumps=measured.clock_jumps,
                camera=scenario.camera_record(samples),
            ),
        )

    made = _repeated_if_interrupted(record, measured)
    if measured.interruption is not None and interruptions is not None:
        interruptions.append(measured.interruption)
    return made


def _repeated_if_interrupted(work: Callable[[], Result], measured: _Measured) -> Result:
    """Do short work on what was measured again if it is interrupted, so that the measurement is not lost."""
    try:
        return work()
    except KeyboardInterrupt as error:
        settle_interruption()
        measured.interruption = error
        return work()


def _milliseconds(values_ns: np.ndarray) -> list[float]:
    return np.round(values_ns / 1e6, 4).tolist()


def _measure_with_power(
    scenario: Scenario,
    segmenter: Segmenter,
    feed: FrameFeed,
    power: PowerSource | None,
    recording: Recording | None,
) -> tuple[_Measured, PowerRecord | None]:
    """Warm up and measure; power is read from before the warm-up until a sample after the last frame."""
    if power is None:
        _warm_up(scenario, segmenter, feed)
        return _measure(scenario, segmenter, feed, None, recording), None
    with PowerSampler(power) as sampler:
        _warm_up(scenario, segmenter, feed)
        # The label map is in host memory when a frame ends, so the device has done its work when the window closes.
        measured = _measure(scenario, segmenter, feed, sampler, recording)
        sampler.wait_past(measured.marks_ns[-1])
    return measured, power_record(sampler, measured.marks_ns)


def _warm_up(scenario: Scenario, segmenter: Segmenter, feed: FrameFeed) -> None:
    for _ in range(scenario.settings.warmup_frames):
        segmenter(feed.take()[0])
    feed.rewind()


def _measure(
    scenario: Scenario,
    segmenter: Segmenter,
    feed: FrameFeed,
    sampler: PowerSampler | None,
    recording: Recording | None,
) -> _Measured:
    """Measure until enough frames are done, or an interrupt ends it after the first."""
    log, interruption = FrameLog(), None
    if recording is not None:
        recording(log, lambda: sampler.samples if sampler is not None else ())
    load, start_ns = LoadWatch(), time.perf_counter_ns()
    clocks = ClockWatch(start_ns)
    with LiveFigures(
        scenario.settings, log, start_ns, lambda: sampler.latest if sampler is not None else None
    ) as figures:

        def watch(now_ns: int) -> None:
            clocks.look(now_ns)
            figures.look(now_ns)

        try:
            scenario.run(segmenter, feed, log, start_ns, watch)
        except KeyboardInterrupt as error:
            if not len(log):
                raise
            settle_interruption()
            interruption = error
    return _Measured(log, start_ns, load.load(), clocks.jumps(), interruption)


def refuse_accuracy_of_random_weights(card: EngineCard) -> None:
    """Refuse an engine that has no accuracy, before labelled images are looked for.

    Raises:
        InputError: The weights are random.
    """
    if card.contract.weights.kind == RANDOM:
        raise InputError("the engine has random weights, so it has no accuracy. Next: leave --accuracy out, or train")


def _check_classes(card: EngineCard, labelled: Dataset) -> None:
    refuse_accuracy_of_random_weights(card)
    contract, names = card.contract, labelled.table.class_names
    difference = class_difference(names, labelled.name, contract.class_names, "the engine", contract.dataset)
    if difference:
        raise DatasetError(difference)
