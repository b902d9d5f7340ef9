"""The sub-command `run` of edge-bench: an engine is measured, shown, and written down while it runs."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import replace
from pathlib import Path

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.frame_source import check_one_set, chosen_frames, settle_input
from edge.bench.measure import refuse_accuracy_of_random_weights, run_benchmark
from edge.bench.output_folder import free_folder, latest_folder
from edge.bench.report import OVERLAYS_FOLDER, REPORT_FILE, write_report
from edge.bench.run_options import add_arguments as add_run_arguments
from edge.bench.run_options import asked_conditions, bench_settings
from edge.bench.run_recording import begun_recording, finish_recording, opened_store, run_description
from edge.bench.run_text import record_lines
from edge.bench.scenarios.choice import open_scenario
from edge.card import EngineCard
from edge.console import print_json, print_note, print_status, print_warning
from edge.datasets import Dataset, open_dataset
from edge.datasets.reference import change_sentence, dataset_reference, recorded_dataset
from edge.engine_choice import find_engine
from edge.errors import BackendError
from edge.frames import FrameSet
from edge.interruption import interrupted_exit_code, interruption_name, kept_when_interrupted
from edge.output_check import check_output
from edge.picture_check import checked_dataset
from edge.records import read_record, record_to_json, write_record
from edge.runtime import Runner, open_engine
from edge.telemetry import AUTO, open_power_source

DESCRIPTION = (
    "Measure how fast and how accurate an engine is on this machine. Without --scenario it is a quick look; with one, "
    "the rules are those of a measurement that a decision may rest on."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    add_run_arguments(parser)
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure an engine, print the result and, on request, write it to files.

    Raises:
        InputError: There is no engine, or an option cannot be used.
        BackendError: The engine cannot run on this machine, or the power that was asked for ended early.
        StorageError: The output cannot be written; the result has been printed by then.
    """
    settings, asked = bench_settings(arguments), asked_conditions(arguments)
    open_scenario(settings)  # refuses settings that contradict each other, before any work
    if arguments.output:
        check_output(arguments.output)
    folder = find_engine(arguments.engine)
    runner, card = open_engine(folder, arguments.threads or 0)
    frames, labelled = _frames(arguments, card)
    interruptions: list[KeyboardInterrupt] = []
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(opened_store(arguments.runs, not arguments.no_runs))
        power, passed_over = open_power_source(arguments.power, is_on_gpu=card.backend == "tensorrt")
        for reason in passed_over:
            print_note(f"power: {reason}")
        if power is not None:
            opened.callback(power.close)
        recording = begun_recording(store, run_description(card, frames, settings, power, asked))
        if recording is not None:
            opened.enter_context(recording)
        record = run_benchmark(
            runner,
            card,
            frames,
            settings,
            labelled,
            power,
            interruptions,
            recording=recording.start if recording is not None else None,
            asked=asked,
            engine_file=folder / card.engine_file,
        )
        if recording is not None:
            record = replace(record, run_id=recording.run_id)
        finish_recording(recording, record)
    if (arguments.in_flight or 1) > record.frames_in_flight:
        print_note("in flight: 1, since the host does one frame at a time here")
    with kept_when_interrupted(lambda: _kept(arguments.output, record)):
        # Shown before it is written: what was measured is not lost with a full disk. Nor is it with a reader that
        # leaves (`| head`), or a signal that comes meanwhile.
        try:
            if arguments.json:
                print_json(record_to_json(record))
            else:
                print("\n".join(record_lines(record)), flush=True)
        finally:
            if arguments.output:
                _write(arguments, record, runner, frames)
    if interruptions:
        what = "the figures are those of the frames until then, and are marked as partial"
        print_status(f"{interruption_name(interruptions[0])}: {what}")
        return interrupted_exit_code(interruptions[0])
    if record.power is not None and record.power.failure and arguments.power != AUTO:
        raise BackendError(f"{record.power.failure} (latency was measured and is kept, energy was not)")
    return 0


def _frames(arguments: argparse.Namespace, card: EngineCard) -> tuple[FrameSet, Dataset | None]:
    """Return the frames that are measured, and the labelled split of --accuracy; None without."""
    contract = card.contract
    settle_input(arguments)
    check_one_set(arguments, arguments.accuracy)
    # Accuracy or a folder of a dataset, without its name, means the one that the engine was made for.
    own = recorded_dataset(contract.dataset, contract.described)
    dataset = arguments.dataset or (own.option if arguments.accuracy or arguments.data_dir else None)
    if dataset == own.option:
        own.require_here()
    labelled = None
    if arguments.accuracy:
        refuse_accuracy_of_random_weights(card)
        opened = open_dataset(dataset, arguments.data_dir, "val")
        labelled = checked_dataset(opened, needs_labels=True, skip_bad=arguments.skip_bad)
        change = change_sentence(dataset_reference(dataset), contract.described, "the export of this network")
        if change:
            print_warning(f"dataset description {change}")
    return chosen_frames(arguments, dataset, (contract.height, contract.width)), labelled


def _kept(output: Path | None, record: BenchRecord) -> str | None:
    """Say where the record of a whole measurement is, for a command that was interrupted after it."""
    path = latest_folder(output, RECORD_FILE)[0] / RECORD_FILE if output is not None else None
    if path is None or not path.is_file() or read_record(BenchRecord, path) != record:
        return None
    return f"the record is whole: {path}"


def _write(arguments: argparse.Namespace, record: BenchRecord, runner: Runner, frames: FrameSet) -> None:
    with free_folder(arguments.output, (RECORD_FILE, REPORT_FILE, OVERLAYS_FOLDER)) as output:
        write_record(output / RECORD_FILE, record)
        with contextlib.nullcontext() if record.is_partial else runner:
            # Who interrupts does not want to wait for pictures.
            write_report(output, record, None if record.is_partial else runner, frames)
    if not arguments.json:
        print(f"record: {output / RECORD_FILE}\nreport: {output / REPORT_FILE}")
