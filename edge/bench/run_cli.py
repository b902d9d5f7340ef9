"""The sub-command `run` of edge-bench: an engine is measured, shown, and written down while it runs."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.engine_run import measure_engine
from edge.bench.measured_frames import measured_frames
from edge.bench.output_folder import free_folder, latest_folder
from edge.bench.prometheus import write_prometheus
from edge.bench.report import OVERLAYS_FOLDER, REPORT_FILE, write_report
from edge.bench.run_options import add_arguments as add_run_arguments
from edge.bench.run_options import asked_conditions, bench_settings
from edge.bench.run_recording import opened_store
from edge.bench.run_text import record_lines
from edge.bench.scenarios.choice import open_scenario
from edge.console import print_json, print_note, print_status
from edge.engine_choice import find_engine
from edge.errors import BackendError
from edge.frames import FrameSet
from edge.interruption import interrupted_exit_code, interruption_name, kept_when_interrupted
from edge.output_check import check_output
from edge.records import read_record, record_to_json, write_record
from edge.runtime import Runner, open_engine
from edge.telemetry import AUTO

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
    frames, labelled = measured_frames(arguments, card, arguments.accuracy)
    interruptions: list[KeyboardInterrupt] = []
    with opened_store(arguments.runs, not arguments.no_runs) as store:
        power = arguments.power
        record = measure_engine(folder, runner, card, frames, settings, labelled, power, asked, store, interruptions)
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
            if arguments.prometheus:
                write_prometheus(arguments.prometheus, record)
    if interruptions:
        what = "the figures are those of the frames until then, and are marked as partial"
        print_status(f"{interruption_name(interruptions[0])}: {what}")
        return interrupted_exit_code(interruptions[0])
    if record.power is not None and record.power.failure and arguments.power != AUTO:
        raise BackendError(f"{record.power.failure} (latency was measured and is kept, energy was not)")
    return 0


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
