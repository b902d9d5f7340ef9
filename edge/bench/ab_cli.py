"""The sub-command `ab` of edge-bench: two engines take turns, and the difference has an interval."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Iterator

from edge.bench.ab import ROUND_FRAMES, Side, measure_in_turns, refuse_few_frames
from edge.bench.ab_record import AB_FILE, AbRecord
from edge.bench.frame_source import add_frame_arguments
from edge.bench.measured_frames import measured_frames
from edge.bench.output_folder import free_folder
from edge.bench.run_options import (
    add_condition_arguments,
    add_database_arguments,
    add_thread_argument,
    asked_conditions,
)
from edge.bench.run_recording import opened_store
from edge.bench.run_text import validity_lines
from edge.bench.settings import STANDARD_FRAMES, BenchSettings
from edge.console import non_negative_int, positive_int, print_json, print_status, seconds_argument
from edge.engine_choice import find_engine
from edge.errors import InputError
from edge.frame_statistics.comparison import NO_DIFFERENCE, Comparison
from edge.frame_statistics.percentiles import NO_FIGURE
from edge.interruption import interrupted_exit_code, interruption_name
from edge.output_check import check_output
from edge.records import record_to_json, write_record
from edge.runtime import open_engine

DESCRIPTION = (
    "Measure two engines in turns on the same frames, so that whatever changes meanwhile changes for both, and say "
    "with an interval whether the second one is faster."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("first", metavar="ENGINE_A", type=Path, help="engine folder, or artefact folder")
    parser.add_argument("second", metavar="ENGINE_B", type=Path, help="the one that is compared with it")
    add_frame_arguments(parser, with_input=True)
    parser.add_argument(
        "--warmup", type=non_negative_int, default=10, metavar="N", help="frames of each before the clock counts"
    )
    parser.add_argument(
        "--min-frames",
        type=positive_int,
        default=STANDARD_FRAMES,
        metavar="N",
        help=f"at least this many of each are measured, in rounds of {ROUND_FRAMES}",
    )
    parser.add_argument(
        "--duration",
        type=seconds_argument,
        default=0.0,
        metavar="SECONDS",
        help="at least this long is measured in all, in seconds",
    )
    add_thread_argument(parser)
    add_condition_arguments(parser)
    add_database_arguments(parser)
    parser.add_argument("--output", type=Path, help=f"folder for {AB_FILE}; a second one goes to run-2 in it")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure two engines in turns, print the comparison and, on request, write it to a file.

    Raises:
        InputError: There is no engine, both are one, or the frames cannot be used.
        BackendError: An engine cannot run on this machine.
        StorageError: The output cannot be written; the result has been printed by then.
    """
    refuse_few_frames(arguments.min_frames)
    if arguments.output:
        check_output(arguments.output)
    folders = [find_engine(path, "edge-bench ab") for path in (arguments.first, arguments.second)]
    if folders[0].resolve() == folders[1].resolve():
        raise InputError(f"both engines are {folders[0]}, expected two. Next: name the folders of two engines")
    first, second = (Side(folder, *open_engine(folder, arguments.threads or 0)) for folder in folders)
    frames, _ = measured_frames(arguments, first.card)
    settings = BenchSettings(arguments.warmup, arguments.min_frames, arguments.duration)
    interruptions: list[KeyboardInterrupt] = []
    with opened_store(arguments.runs, not arguments.no_runs) as store:
        asked = asked_conditions(arguments)
        record = measure_in_turns(first, second, frames, settings, asked, store, interruptions)
    try:
        if arguments.json:
            print_json(record_to_json(record))
        else:
            print("\n".join(ab_lines(record, folders[0].name, folders[1].name)), flush=True)
    finally:
        if arguments.output:
            with free_folder(arguments.output, (AB_FILE,)) as output:
                write_record(output / AB_FILE, record)
            if not arguments.json:
                print(f"record: {output / AB_FILE}")
    if interruptions:
        print_status(f"{interruption_name(interruptions[0])}: the figures are those of the rounds until then")
        return interrupted_exit_code(interruptions[0])
    return 0


def ab_lines(record: AbRecord, first_name: str, second_name: str) -> Iterator[str]:
    """Return the lines that a terminal shows of two engines that took turns.

    Args:
        record: Record of both.
        first_name: Name of the first engine's folder.
        second_name: Name of the second engine's folder.
    """
    for letter, name, one in (("A", first_name, record.first), ("B", second_name, record.second)):
        contract, figures = one.engine.contract, one.end_to_end
        p99 = NO_FIGURE if figures.p99_ms is None else f"{figures.p99_ms:.3f} ms"
        yield (
            f"{letter}: {contract.model} {one.engine.precision} {contract.height}x{contract.width} ({name}): "
            f"p50 {figures.p50_ms:.3f} ms, p99 {p99}, {one.fps:.1f} fps, {figures.sample_count} frames"
        )
    yield f"in {record.rounds} rounds of {record.round_frames} frames each; {record.first.scenario.clock}"
    for percentile, comparison in record.comparisons.items():
        yield f"{percentile}: {comparison_words(comparison)}"
    for letter, one in (("A", record.first), ("B", record.second)):
        for line in validity_lines(one):
            yield f"{letter} {line}" if line.startswith("verdict") else line


def comparison_words(comparison: Comparison) -> str:
    """Return a comparison of times in a sentence, such as "B is slower by 3.1 % (2.8 to 3.4 %, 95 % confidence)"."""
    low, high = 100 * comparison.relative_low, 100 * comparison.relative_high
    sure = f"{100 * comparison.confidence:g} % confidence"
    if comparison.verdict == NO_DIFFERENCE:
        return f"{NO_DIFFERENCE}: the time of B differs by {low:+.1f} to {high:+.1f} % ({sure})"
    ends = sorted((abs(low), abs(high)))
    share = 100 * abs(comparison.relative)
    return f"B is {comparison.verdict}, its time differs by {share:.1f} % ({ends[0]:.1f} to {ends[1]:.1f} %, {sure})"
