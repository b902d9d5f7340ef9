"""The sub-command `profile` of edge-bench."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from edge.bench.frame_source import add_frame_arguments, check_one_set, chosen_frames
from edge.bench.output_folder import free_folder
from edge.bench.profile import run_profile
from edge.bench.profile_page import PROFILE_PAGE, write_profile_page
from edge.bench.profile_record import PROFILE_FILE, ProfileRecord
from edge.bench.profile_text import profile_lines
from edge.console import non_negative_int, positive_int, print_json
from edge.datasets.reference import recorded_dataset
from edge.machine import threads_argument
from edge.output_check import check_output
from edge.records import record_to_json, write_record
from edge.runtime import open_engine

DESCRIPTION = (
    "Show where the time of an engine goes, layer by layer, in milliseconds, and what the layers add up to against "
    "the network without the profiler."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("engine", type=Path, help="engine folder, or artefact folder")
    add_frame_arguments(parser)
    parser.add_argument("--runs", type=positive_int, default=20, metavar="N", help="inferences that are measured")
    parser.add_argument("--top", type=non_negative_int, default=15, metavar="N", help="layers shown; 0 for all")
    parser.add_argument("--threads", type=threads_argument, metavar="N", help="cores for ONNX Runtime (default: all)")
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder for {PROFILE_FILE} and {PROFILE_PAGE}; a second profile goes to run-2 in it",
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Profile an engine, print the result and, on request, write it to files.

    Raises:
        InputError: There is no engine, or an option cannot be used.
        BackendError: The engine cannot run on this machine.
        StorageError: The output cannot be written; the result has been printed by then.
    """
    check_one_set(arguments)
    if arguments.output:
        check_output(arguments.output)
    runner, card = open_engine(arguments.engine, arguments.threads or 0, "edge-bench profile")
    contract = card.contract
    # A folder of a dataset, without its name, means the one that the engine was made for.
    own = recorded_dataset(contract.dataset, contract.described)
    dataset = arguments.dataset or (own.option if arguments.data_dir else None)
    if dataset == own.option:
        own.require_here()
    frames = chosen_frames(arguments, dataset, (contract.height, contract.width))
    record = run_profile(runner, card, frames, arguments.runs)
    # Shown before it is written: what was measured is not lost with a full disk, nor with a reader that leaves.
    try:
        if arguments.json:
            print_json(record_to_json(record))
        else:
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            print("\n".join(profile_lines(record, arguments.top, width)), flush=True)
    finally:
        if arguments.output:
            _write(arguments, record)
    return 0


def _write(arguments: argparse.Namespace, record: ProfileRecord) -> None:
    with free_folder(arguments.output, (PROFILE_FILE, PROFILE_PAGE)) as output:
        write_record(output / PROFILE_FILE, record)
        write_profile_page(output / PROFILE_PAGE, record, arguments.top or len(record.layers))
    if not arguments.json:
        print(f"record: {output / PROFILE_FILE}\npage: {output / PROFILE_PAGE}")
