"""The measurement of a benchmark: frames to warm up, then the time of each stage of every frame."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Callable, Sequence, TypeVar

from edge.accuracy import measure_accuracy
from edge.bench.bench_record import BenchRecord
from edge.bench.clock_watch import ClockWatch
from edge.bench.frame_feed import FrameFeed, frame_feed
from edge.bench.frame_samples import FrameLog
from edge.bench.live_figures import LiveFigures
from edge.bench.measured_record import Measured, Subject, conditions_of, measured_record
from edge.bench.scenarios.base import Scenario
from edge.bench.scenarios.choice import open_scenario
from edge.bench.settings import BenchSettings
from edge.bench.validity import RunConditions
from edge.card import EngineCard
from edge.console import print_status
from edge.datasets import Dataset
from edge.errors import DatasetError, InputError
from edge.frames import FrameSet
from edge.interruption import settle_interruption
from edge.machine_load import LoadWatch
from edge.network_class import class_difference
from edge.provenance import RANDOM
from edge.runtime.base import Runner
from edge.segmenter import Segmenter
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.power_record import power_record
from edge.telemetry.sampler import PowerSampler

Result = TypeVar("Result")

Recording = Callable[[FrameLog, Callable[[], Sequence[PowerSample]]], None]
"""Function that is given the log of a measurement and its samples until now, before the first frame is measured, and
writes down what comes."""


def run_benchmark(
    runner: Runner,
    card: EngineCard,
    frames: FrameSet,
    settings: BenchSettings,
    labelled: Dataset | None = None,
    power: PowerSource | None = None,
    interruptions: list[KeyboardInterrupt] | None = None,
    recording: Recording | None = None,
    asked: RunConditions | None = None,
    engine_file: Path | None = None,
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
        asked: Power mode and clocks that the run is to have; None for any.
        engine_file: Path of the engine, whose hash is taken again after the run; None to leave that out.

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
        measured = _measure_with_power(scenario, segmenter, feed, power, recording)
        described = _repeated_if_interrupted(runner.describe, measured)
        in_flight, is_on_device = segmenter.depth, segmenter.is_on_device
        accuracy = None
        if labelled is not None and measured.interruption is None:
            try:
                label_frame = Segmenter(runner, "rgb").label_frame
                accuracy = measure_accuracy(label_frame, labelled, show_progress=True, keeps_frames=True)
            except KeyboardInterrupt as error:  # the speed was measured, and is kept
                settle_interruption()
                measured.interruption = error

    def record() -> BenchRecord:
        subject = Subject(
            card=card,
            runner=described,
            scenario=scenario,
            feed=feed,
            description=frames.description,
            started_utc=started_utc,
            in_flight=in_flight,
            is_on_device=is_on_device,
            skipped=tuple(sorted({*frames.skipped, *(labelled.skipped if labelled is not None else ())})),
            conditions=conditions_of(card, measured, scenario, asked or RunConditions(), engine_file),
        )
        return measured_record(subject, measured, accuracy)

    made = _repeated_if_interrupted(record, measured)
    if measured.interruption is not None and interruptions is not None:
        interruptions.append(measured.interruption)
    return made


def _repeated_if_interrupted(work: Callable[[], Result], measured: Measured) -> Result:
    """Do short work on what was measured again if it is interrupted, so that the measurement is not lost."""
    try:
        return work()
    except KeyboardInterrupt as error:
        settle_interruption()
        measured.interruption = error
        return work()


def _measure_with_power(
    scenario: Scenario,
    segmenter: Segmenter,
    feed: FrameFeed,
    power: PowerSource | None,
    recording: Recording | None,
) -> Measured:
    """Warm up and measure; power is read from before the warm-up until a sample after the last frame."""
    if power is None:
        _warm_up(scenario, segmenter, feed)
        return _measure(scenario, segmenter, feed, None, recording)
    with PowerSampler(power) as sampler:
        idle_window_ns = _idle(scenario.settings.idle_seconds)
        _warm_up(scenario, segmenter, feed)
        # The label map is in host memory when a frame ends, so the device has done its work when the window closes.
        measured = _measure(scenario, segmenter, feed, sampler, recording)
        sampler.wait_past(measured.marks_ns[-1])
    measured.power = power_record(sampler, measured.marks_ns, idle_window_ns)
    measured.other_gpu_processes = power.other_processes()
    return measured


def _idle(seconds: float) -> tuple[int, int] | None:
    """Let the machine be, with the engine loaded, and return start and end of that time in ns; None for no time."""
    if not seconds:
        return None
    start_ns = time.perf_counter_ns()
    print_status(f"idle for {seconds:g} s, to measure what the machine draws without work")
    time.sleep(seconds)
    return start_ns, time.perf_counter_ns()


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
) -> Measured:
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
    return Measured(log, start_ns, load.load(), clocks.jumps(), interruption)


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
