"""One engine is measured beside a power source, and written to the runs database while it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edge.bench.bench_record import BenchRecord
from edge.bench.measure import run_benchmark
from edge.bench.run_recording import begun_recording, finish_recording, run_description
from edge.bench.settings import BenchSettings
from edge.bench.validity import RunConditions
from edge.card import EngineCard
from edge.console import print_note
from edge.datasets import Dataset
from edge.frames import FrameSet
from edge.run_store.store import RunStore
from edge.runtime import Runner
from edge.telemetry import open_power_source


def measure_engine(
    folder: Path,
    runner: Runner,
    card: EngineCard,
    frames: FrameSet,
    settings: BenchSettings,
    labelled: Dataset | None,
    power: str,
    asked: RunConditions,
    store: RunStore | None,
    interruptions: list[KeyboardInterrupt],
) -> BenchRecord:
    """Measure one engine, and return its record, which is in the database by then.

    Args:
        folder: Folder of the engine.
        runner: Runner of the engine, which is not active yet.
        card: Card of the engine.
        frames: Frames that are segmented in turn.
        settings: Rules of the measurement.
        labelled: Labelled split on which mIoU is measured; None to leave it out.
        power: Where power and temperatures come from, one of edge.telemetry.power_choices().
        asked: Power mode and clocks that the run is to have.
        store: Runs database; None to write to none.
        interruptions: List that an interrupt which ended the measurement is added to.

    Raises:
        InputError: The frames cannot be used.
        BackendError: The engine or the power source failed.
    """
    with contextlib.ExitStack() as opened:
        source, passed_over = open_power_source(power, is_on_gpu=card.backend == "tensorrt")
        for reason in passed_over:
            print_note(f"power: {reason}")
        if source is not None:
            opened.callback(source.close)
        recording = begun_recording(store, run_description(card, frames, settings, source, asked))
        if recording is not None:
            opened.enter_context(recording)
        record = run_benchmark(
            runner,
            card,
            frames,
            settings,
            labelled,
            source,
            interruptions,
            recording=recording.start if recording is not None else None,
            asked=asked,
            engine_file=folder / card.engine_file,
        )
        return finish_recording(recording, record)
