"""The measurement of a benchmark: frames to warm up, then the time of each stage of every frame."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Callable, TypeVar

import numpy as np

from edge.accuracy import measure_accuracy
from edge.bench.bench_record import BenchRecord
from edge.card import EngineCard
from edge.console import Progress
from edge.datasets import Dataset
from edge.errors import DatasetError, InputError
from edge.frames import FrameSet
from edge.interruption import settle_interruption
from edge.machine import this_machine
from edge.machine_load import LoadWatch, MachineLoad
from edge.network_class import class_difference
from edge.opencv import cv2
from edge.postprocess import backend as postprocess_backend
from edge.preprocess import to_nv12
from edge.provenance import RANDOM
from edge.runtime.base import Runner
from edge.segmenter import NV12, Segmenter
from edge.statistics.percentiles import summarise
from edge.telemetry.base import PowerSource
from edge.telemetry.power_record import PowerRecord, power_record
from edge.telemetry.sampler import PowerSampler

Result = TypeVar("Result")

MAX_DISTINCT_FRAMES = 32
"""Frames that are held in memory and cycled through, so that no disk is in the measurement."""


@dataclass(frozen=True)
class BenchSettings:
    """Settings of a benchmark, which ends when both the number of frames and the time are reached.

    Attributes:
        warmup_frames: Number of frames before the measurement.
        frames: Smallest number of measured frames.
        seconds: Shortest time of the measurement in s.
        in_flight: Number of frames that are under way at once, where the device can have several.
        frame_format: Format of the frames: "bgr", as OpenCV gives them, or "nv12", as cameras and decoders do.
    """

    warmup_frames: int = 10
    frames: int = 200
    seconds: float = 5.0
    in_flight: int = 1
    frame_format: str = "bgr"


@dataclass
class _Samples:
    """Measured times of a benchmark.

    Attributes:
        stages_ns: Stage -> time of each frame in ns.
        totals_ns: End-to-end time of each frame in ns.
        marks_ns: Start of the measurement, then the end of each frame, in ns.
        load: Load of the machine meanwhile; None where the system does not count it.
        interruption: Interrupt that ended the measurement early; None where it is whole.
    """

    stages_ns: dict[str, list[int]]
    totals_ns: list[int]
    marks_ns: list[int]
    load: MachineLoad | None = None
    interruption: KeyboardInterrupt | None = None


def run_benchmark(
    runner: Runner,
    card: EngineCard,
    frames: FrameSet,
    settings: BenchSettings,
    labelled: Dataset | None = None,
    power: PowerSource | None = None,
    interruptions: list[KeyboardInterrupt] | None = None,
) -> BenchRecord:
    """Measure the speed of one engine and, on request, its accuracy and its power.

    An interrupt by Ctrl-C ends the measurement: the record of the frames until then is marked as partial. Before the
    first measured frame there is nothing to keep, and the interrupt is the caller's.

    Args:
        runner: Runner of the engine, which is not active yet.
        card: Card of the engine.
        frames: Frames that are segmented in turn.
        settings: Length of the measurement, and format of the frames.
        labelled: Labelled split on which mIoU is measured; None to leave it out.
        power: Open power source that is read while frames are measured; None to leave power out.
        interruptions: List that an interrupt which ended the measurement is added to; None to let go of it.

    Raises:
        InputError: There are no frames, or accuracy was asked for with random weights.
        DatasetError: The classes of the split are not those of the network.
        BackendError: The power source does not give a first sample. A source that ends later leaves its reason in the
            record.
    """
    if not len(frames):
        raise InputError(f"no frames to benchmark with in {frames.description}")
    if labelled is not None:
        _check_classes(card, labelled)
    pictures = _read(frames)
    frame_height, frame_width = pictures[0].shape[:2]
    if settings.frame_format == NV12:
        pictures = [to_nv12(picture) for picture in pictures]
    started_utc = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    with runner:
        segmenter = Segmenter(runner, settings.frame_format, settings.in_flight)
        samples, power_seen = _measure_with_power(segmenter, pictures, settings, power)
        described = _repeated_if_interrupted(runner.describe, samples)
        in_flight, is_on_device = segmenter.depth, segmenter.is_on_device
        accuracy = None
        if labelled is not None and samples.interruption is None:
            try:
                accuracy = measure_accuracy(Segmenter(runner, "rgb").label_frame, labelled, show_progress=True)
            except KeyboardInterrupt as error:  # the speed was measured, and is kept
                settle_interruption()
                samples.interruption = error

    def record() -> BenchRecord:
        duration_s = (samples.marks_ns[-1] - samples.marks_ns[0]) / 1e9
        count_s = duration_s if in_flight > 1 else sum(samples.totals_ns) / 1e9
        return BenchRecord(
            engine=card,
            machine=this_machine(),
            runner=described,
            postprocess="cuda" if is_on_device else postprocess_backend(),
            opencv_threads=cv2.getNumThreads(),
            input=frames.description,
            frame_height=frame_height,
            frame_width=frame_width,
            distinct_frames=len(pictures),
            warmup_frames=settings.warmup_frames,
            stages={stage: summarise(values) for stage, values in samples.stages_ns.items()},
            end_to_end=summarise(samples.totals_ns),
            fps=len(samples.totals_ns) / count_s,
            duration_s=duration_s,
            accuracy=accuracy,
            started_utc=started_utc,
            samples_ms={stage: _milliseconds(values) for stage, values in samples.stages_ns.items()},
            power=power_seen,
            frames_in_flight=in_flight,
            frame_format=settings.frame_format,
            samples_end_to_end_ms=tuple(_milliseconds(samples.totals_ns)),
            skipped_pictures=tuple(sorted({*frames.skipped, *(labelled.skipped if labelled is not None else ())})),
            load=samples.load,
            frames_asked=settings.frames,
            is_partial=samples.interruption is not None,
        )

    made = _repeated_if_interrupted(record, samples)
    if samples.interruption is not None and interruptions is not None:
        interruptions.append(samples.interruption)
    return made


def _repeated_if_interrupted(work: Callable[[], Result], samples: _Samples) -> Result:
    """Do short work on what was measured again if it is interrupted, so that the measurement is not lost."""
    try:
        return work()
    except KeyboardInterrupt as error:
        settle_interruption()
        samples.interruption = error
        return work()


def _read(frames: FrameSet) -> list[np.ndarray]:
    """Return the frames that are held in memory, each (height, width, 3) uint8 BGR, all of one size."""
    count = min(len(frames), MAX_DISTINCT_FRAMES)
    # A camera gives frames in OpenCV's order; the conversion to RGB is part of what is measured.
    pictures = [cv2.cvtColor(frames.read(index), cv2.COLOR_RGB2BGR) for index in range(count)]
    sizes = {picture.shape[:2]: name for picture, name in zip(pictures, frames.names)}
    if len(sizes) > 1:
        named = ", ".join(f"{name} is {height}x{width}" for (height, width), name in list(sizes.items())[:3])
        raise InputError(
            f"frames of {frames.description} differ in size: {named}, expected one size in a benchmark. "
            "Next: --images FOLDER with the frames of one camera"
        )
    return pictures


def _milliseconds(values_ns: list[int]) -> list[float]:
    return [round(value / 1e6, 4) for value in values_ns]


def _measure_with_power(
    segmenter: Segmenter, pictures: list[np.ndarray], settings: BenchSettings, power: PowerSource | None
) -> tuple[_Samples, PowerRecord | None]:
    """Warm up and measure; power is read from before the warm-up until a sample after the last frame."""
    if power is None:
        _warm_up(segmenter, pictures, settings)
        return _measure(segmenter, pictures, settings), None
    with PowerSampler(power) as sampler:
        _warm_up(segmenter, pictures, settings)
        # The label map is in host memory when a frame ends, so the device has done its work when the window closes.
        samples = _measure(segmenter, pictures, settings)
        sampler.wait_past(samples.marks_ns[-1])
    return samples, power_record(sampler, samples.marks_ns)


def _warm_up(segmenter: Segmenter, pictures: list[np.ndarray], settings: BenchSettings) -> None:
    for index in range(settings.warmup_frames):
        segmenter(pictures[index % len(pictures)])


def _measure(segmenter: Segmenter, pictures: list[np.ndarray], settings: BenchSettings) -> _Samples:
    """Measure until enough frames are done, or an interrupt ends it after the first."""
    watch, done, interruption = LoadWatch(), [], None
    start_ns = time.perf_counter_ns()
    try:
        _run_frames(segmenter, pictures, settings, start_ns, done)
    except KeyboardInterrupt as error:
        if not done:
            raise
        settle_interruption()
        interruption = error
    stages_ns = {stage: [each[0][stage] for each in done] for stage in (done[0][0] if done else {})}
    totals_ns, ends_ns = [each[1] for each in done], [each[2] for each in done]
    return _Samples(stages_ns, totals_ns, [start_ns, *ends_ns], watch.load(), interruption)


def _run_frames(
    segmenter: Segmenter,
    pictures: list[np.ndarray],
    settings: BenchSettings,
    start_ns: int,
    done: list[tuple[dict[str, int], int, int]],
) -> None:
    """Keep as many frames under way as possible until enough were sent, then wait for the last of them.

    Each finished frame is added to `done` at once, as its stages, its whole time and its end in ns, so that an
    interrupt finds whole frames alone.
    """
    sent, elapsed_s = 0, 0.0
    with Progress("measure", settings.frames, "frame") as progress:
        while True:
            if (sent < settings.frames or elapsed_s < settings.seconds) and not segmenter.is_full:
                segmenter.submit(pictures[sent % len(pictures)])
                sent += 1
                continue
            if not segmenter.under_way:
                return
            segmentation = segmenter.collect()
            end_ns = time.perf_counter_ns()
            done.append((dict(segmentation.stage_ns), segmentation.total_ns, end_ns))
            elapsed_s = (end_ns - start_ns) / 1e9
            if len(done) <= settings.frames:
                progress.step()


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
