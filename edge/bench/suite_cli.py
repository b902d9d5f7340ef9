"""The sub-command `suite` of edge-bench: all engines of folders under one set of rules, over night if need be."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from edge.bench.bench_record import BenchRecord
from edge.bench.cool_down import CoolDown
from edge.bench.engine_run import measure_engine
from edge.bench.frame_source import add_frame_arguments
from edge.bench.measured_frames import measured_frames
from edge.bench.run_options import (
    add_database_arguments,
    add_frame_order_arguments,
    add_machine_arguments,
    add_rule_arguments,
    asked_conditions,
    bench_settings,
)
from edge.bench.run_recording import opened_store
from edge.bench.scenarios.choice import open_scenario
from edge.bench.settings import SINGLE_STREAM
from edge.bench.suite import PlannedRun, Suite, find_engines, interleaved
from edge.bench.suite_record import SUITE_FILE
from edge.console import positive_int, print_json, print_note, print_status, seconds_argument
from edge.interruption import kept_when_interrupted
from edge.leaderboard.board import make_leaderboard
from edge.leaderboard.cli import write_board
from edge.leaderboard.need import EXAMPLE, need_argument
from edge.leaderboard.runs import read_runs
from edge.leaderboard.text import board_lines
from edge.output_check import check_output
from edge.provenance import RANDOM
from edge.records import record_to_json
from edge.runtime import open_engine

DESCRIPTION = (
    "Measure all engines in folders of artefacts under the same rules, in an order that mixes the networks, with a "
    "rest between two runs, and put them on a leaderboard. After a stop the same command goes on where it was."
)

EXIT_FAILED = 2
"""Exit code where an engine could not be measured; the others are."""

_RULES = (
    *("scenario", "frames", "seconds", "warmup", "fps", "deadline_ms", "allowed_misses", "whole", "in_flight"),
    *("frame_format", "include_decode", "threads", "accuracy", "input", "images", "dataset", "data_dir", "frame_size"),
    *("power", "idle_seconds", "power_mode", "gpu_clock", "cpu_clock"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER", type=Path, help="folder of artefacts, or one artefact; engines of all"
    )
    add_frame_arguments(parser, with_input=True)
    add_rule_arguments(parser)
    add_frame_order_arguments(parser)
    parser.add_argument(
        "--accuracy", action="store_true", help="also measure mIoU on the validation split, in the first round"
    )
    parser.add_argument(
        "--rounds",
        type=positive_int,
        default=2,
        metavar="N",
        help="times that each engine is measured; every other round goes backwards",
    )
    parser.add_argument(
        "--cool-down",
        type=seconds_argument,
        default=10.0,
        metavar="SECONDS",
        help="rest between two runs in seconds, and longer while the machine is warmer than at the beginning",
    )
    add_machine_arguments(parser)
    add_database_arguments(parser)
    parser.add_argument(
        "--need",
        type=need_argument,
        metavar="LIMITS",
        help=f"what a site needs, such as '{EXAMPLE}': the leaderboard at the end answers it",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("out/suite"),
        help=f"folder for {SUITE_FILE}, the records and the leaderboard; a suite that was stopped goes on in it",
    )
    parser.add_argument("--json", action="store_true", help="print the leaderboard as JSON")
    parser.set_defaults(function=run, scenario=SINGLE_STREAM)


def run(arguments: argparse.Namespace) -> int:
    """Measure what is left of a suite, and print the leaderboard of its runs.

    Returns:
        0, or 2 where an engine could not be measured.

    Raises:
        InputError: There are no engines, or the folder holds a suite with other rules.
        StorageError: The output cannot be written.
    """
    settings, asked = bench_settings(arguments), asked_conditions(arguments)
    open_scenario(settings)  # refuses settings that contradict each other, before any work
    check_output(arguments.output)
    engines = find_engines(arguments.folders)
    suite = Suite(arguments.output, _rules(arguments), interleaved(engines, arguments.rounds))
    is_on_gpu = any(card.backend == "tensorrt" for _, card in engines)
    with contextlib.ExitStack() as opened:
        opened.enter_context(kept_when_interrupted(lambda: f"{suite.progress()}; the same command goes on"))
        store = opened.enter_context(opened_store(arguments.runs, not arguments.no_runs))

        def measure(planned: PlannedRun) -> BenchRecord:
            with_accuracy = arguments.accuracy and planned.round == 0
            if with_accuracy and planned.card.contract.weights.kind == RANDOM:
                print_note(
                    f"{planned.card.contract.model}: random weights have no accuracy, its speed alone is measured"
                )
                with_accuracy = False
            runner, card = open_engine(planned.folder, arguments.threads or 0, "edge-bench suite")
            frames, labelled = measured_frames(arguments, card, with_accuracy)
            interruptions: list[KeyboardInterrupt] = []
            power = arguments.power
            made = measure_engine(
                planned.folder, runner, card, frames, settings, labelled, power, asked, store, interruptions
            )
            if interruptions:  # half a run is measured again
                raise interruptions[0]
            return made

        if suite.left:
            rest = CoolDown(arguments.cool_down, arguments.power, is_on_gpu)
            suite.run(measure, rest.wait, print_status)
    for failed in suite.failures:
        print_status(f"suite: not measured: {failed.engine}: {failed.failure}")
    _show(arguments, suite)
    return EXIT_FAILED if suite.failures else 0


def _show(arguments: argparse.Namespace, suite: Suite) -> None:
    records = [str(path) for path in suite.records()]
    if not records:
        return
    board = make_leaderboard(read_runs(records), arguments.need or ())
    try:
        if arguments.json:
            print_json(record_to_json(board))
        else:
            print("\n".join(board_lines(board)), flush=True)
    finally:
        write_board(arguments.output / "leaderboard", board)


def _rules(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that a figure depends on, as values of JSON; what was not given is left out."""
    values = {name: getattr(arguments, name) for name in _RULES}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None and value is not False
    }
