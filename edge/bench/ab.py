"""Two engines that take turns, so that heat, clocks and other programs hit both of them alike."""

from __future__ import annotations

import contextlib
import datetime
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge.bench.ab_record import AbRecord
from edge.bench.clock_watch import ClockWatch
from edge.bench.frame_feed import PreparedFeed
from edge.bench.frame_samples import FrameLog
from edge.bench.live_figures import LiveFigures
from edge.bench.measured_record import Measured, Subject, conditions_of, measured_record
from edge.bench.run_recording import begun_recording, finish_recording, run_description
from edge.bench.scenarios.base import finished_frame
from edge.bench.scenarios.turns import TurnsScenario
from edge.bench.settings import TURNS, BenchSettings
from edge.bench.validity import RunConditions
from edge.card import EngineCard
from edge.errors import InputError
from edge.frame_statistics.interleaved import LEAST_ROUNDS, compare_interleaved
from edge.frame_statistics.percentiles import percentile_key
from edge.frames import FrameSet
from edge.interruption import settle_interruption
from edge.machine_load import LoadWatch
from edge.percentile_rule import is_carried
from edge.run_store.recording import RunRecording
from edge.run_store.store import RunStore
from edge.runtime import Runner
from edge.segmenter import Segmenter

ROUND_FRAMES = 16
"""Frames of each engine in a round: few, so that a round is short against what drifts, and enough that the first ones,
whose weights another engine has pushed out of the caches, are not what is measured."""

SETTLING_FRAMES = 2
"""Frames at the beginning of a turn that are not measured: they read the weights into the caches again."""

COMPARED = (50.0, 90.0, 99.0)
"""Percentiles that are compared, as far as the frames carry them."""


@dataclass
class Side:
    """One of two engines that take turns.

    Attributes:
        folder: Folder of the engine.
        runner: Runner of the engine, which is not active yet.
        card: Card of the engine.
        log: Frames that were measured.
        ends: Number of frames that were measured by the end of each round.
    """

    folder: Path
    runner: Runner
    card: EngineCard
    log: FrameLog = field(default_factory=FrameLog)
    ends: list[int] = field(default_factory=list)

    def rounds_ns(self) -> list[np.ndarray]:
        """Return the latencies of each whole round in ns."""
        latency_ns = np.array([frame.latency_ns for frame in self.log.since(0)], np.int64)
        return np.split(latency_ns[: self.ends[-1]], self.ends[:-1])


def measure_in_turns(
    first: Side,
    second: Side,
    frames: FrameSet,
    settings: BenchSettings,
    asked: RunConditions,
    store: RunStore | None = None,
    interruptions: list[KeyboardInterrupt] | None = None,
) -> AbRecord:
    """Measure two engines in turns on the same frames, and compare them.

    In a round each engine labels the same frames; which of them begins changes from round to round. Power is not
    measured, since no source is quick enough to tell whose turn it was.

    Args:
        first: First engine.
        second: Second engine.
        frames: Frames, of which some are held in memory.
        settings: Rules of the measurement, which hold for each engine by itself.
        asked: Power mode and clocks that the run is to have.
        store: Runs database, which each engine's run is written to; None for none.
        interruptions: List that an interrupt which ended the measurement is added to; None to let go of it.

    Raises:
        InputError: The frames cannot be used, or are too few for a comparison.
        BackendError: An engine failed.
    """
    scenario = TurnsScenario(replace(settings, scenario=TURNS))
    feed = PreparedFeed(frames, settings.frame_format)
    started_utc = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    sides = (first, second)
    with contextlib.ExitStack() as opened:
        recordings = []
        for side in sides:
            opened.enter_context(side.runner)
            described = run_description(side.card, frames, scenario.settings, None, asked)
            recordings.append(begun_recording(store, described))
            if recordings[-1] is not None:
                opened.enter_context(recordings[-1])
        segmenters = [Segmenter(side.runner, feed.color_order) for side in sides]
        measured = _measure(scenario, sides, segmenters, feed, recordings)
        records = []
        for side, segmenter, one, recording in zip(sides, segmenters, measured, recordings):
            subject = Subject(
                card=side.card,
                runner=side.runner.describe(),
                scenario=scenario,
                feed=feed,
                description=frames.description,
                started_utc=started_utc,
                in_flight=1,
                is_on_device=segmenter.is_on_device,
                skipped=tuple(sorted(frames.skipped)),
                conditions=conditions_of(side.card, one, scenario, asked, side.folder / side.card.engine_file),
            )
            records.append(finish_recording(recording, measured_record(subject, one)))
    if measured[0].interruption is not None and interruptions is not None:
        interruptions.append(measured[0].interruption)
    return AbRecord(
        first=records[0],
        second=records[1],
        round_frames=ROUND_FRAMES,
        rounds=len(first.ends),
        comparisons={
            percentile_key(percent): compare_interleaved(first.rounds_ns(), second.rounds_ns(), percent)
            for percent in COMPARED
            if is_carried(percent, first.ends[-1])
        },
        is_valid=all(record.validity is not None and record.validity.is_valid for record in records),
    )


def _measure(
    scenario: TurnsScenario,
    sides: tuple[Side, Side],
    segmenters: list[Segmenter],
    feed: PreparedFeed,
    recordings: list[RunRecording | None],
) -> list[Measured]:
    """Let the engines take turns until both have enough frames, or an interrupt ends it after enough rounds."""
    settings, interruption = scenario.settings, None
    for segmenter in segmenters:
        for _ in range(settings.warmup_frames):
            segmenter(feed.take()[0])
    feed.rewind()
    for side, recording in zip(sides, recordings):
        if recording is not None:
            recording.start(side.log)
    load, start_ns = LoadWatch(), time.perf_counter_ns()
    clocks, now_ns = ClockWatch(start_ns), start_ns
    with LiveFigures(settings, sides[0].log, start_ns) as figures:
        try:
            while not scenario.is_over(sides[0].ends, now_ns - start_ns):
                pictures = [feed.take()[0] for _ in range(ROUND_FRAMES)]
                order = (0, 1) if len(sides[0].ends) % 2 == 0 else (1, 0)
                for index in order:
                    _take_turn(segmenters[index], pictures, sides[index].log)
                for side in sides:
                    side.ends.append(len(side.log))
                now_ns = time.perf_counter_ns()
                clocks.look(now_ns)
                figures.look(now_ns)
        except KeyboardInterrupt as error:
            if len(sides[0].ends) < LEAST_ROUNDS:
                raise
            settle_interruption()
            interruption = error
    found, jumps = load.load(), clocks.jumps()
    return [Measured(side.log, side.log.since(0)[0].start_ns, found, jumps, interruption) for side in sides]


def _take_turn(segmenter: Segmenter, pictures: list[np.ndarray], log: FrameLog) -> None:
    for picture in pictures[:SETTLING_FRAMES]:
        segmenter(picture)
    for picture in pictures:
        start_ns = time.perf_counter_ns()
        segmentation = segmenter(picture)
        log.add(finished_frame(segmentation, start_ns, start_ns, time.perf_counter_ns(), None))


def refuse_few_frames(frames: int) -> None:
    """Refuse a number of frames that no comparison can be made of.

    Raises:
        InputError: There would be too few rounds.
    """
    least = LEAST_ROUNDS * ROUND_FRAMES
    if frames < least:
        raise InputError(
            f"--min-frames is {frames}, expected at least {least}: {LEAST_ROUNDS} rounds of {ROUND_FRAMES} frames of "
            f"each engine. Next: --min-frames {least}"
        )
