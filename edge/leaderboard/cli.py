"""The sub-command `leaderboard` of edge-bench."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.artifacts import write_text
from edge.bench.output_folder import free_folder
from edge.console import print_json, print_status
from edge.errors import InputError
from edge.leaderboard.board import make_leaderboard
from edge.leaderboard.leaderboard_page import LEADERBOARD_PAGE, write_page
from edge.leaderboard.leaderboard_record import LEADERBOARD_FILE, MET, Leaderboard
from edge.leaderboard.need import EXAMPLE, need_argument
from edge.leaderboard.runs import read_runs
from edge.leaderboard.text import board_lines, board_markdown
from edge.output_check import check_output
from edge.records import record_to_json, write_record
from edge.run_store.store import RUNS_FILE, RUNS_VARIABLE, runs_path

DESCRIPTION = (
    "Put measured engines side by side, accuracy against speed and energy, and say which of them meet a need, by what "
    "margin and with what confidence. Exit code 1: a need was given, and no engine is shown to meet it."
)
LEADERBOARD_MARKDOWN = "leaderboard.md"

EXIT_NOT_MET = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument(
        "references",
        nargs="*",
        metavar="RUN",
        help="run id or the beginning of one, record.json, or a folder with records in it (default: all runs of the "
        "database)",
    )
    parser.add_argument(
        "--runs", type=Path, metavar="FILE", help=f"database of runs (default: ${RUNS_VARIABLE}, else {RUNS_FILE})"
    )
    parser.add_argument(
        "--need",
        type=need_argument,
        metavar="LIMITS",
        help=f"what a site needs, such as '{EXAMPLE}': accuracy in percent, latency in ms, power in W, energy in mJ",
    )
    parser.add_argument(
        "--include-invalid", action="store_true", help="let runs count that are not valid, where there is no valid one"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder for {LEADERBOARD_FILE}, {LEADERBOARD_PAGE} and {LEADERBOARD_MARKDOWN}; a second one goes to "
        "run-2 in it",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    shown.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make a leaderboard, print it and, on request, write it to files.

    Returns:
        0, or 1 where a need was given and no engine is shown to meet it.

    Raises:
        InputError: There are no runs, or the need names what no engine has.
        ContractError: A record is damaged.
        StorageError: The output cannot be written; the result has been printed by then.
    """
    if arguments.output:
        check_output(arguments.output)
    runs = read_runs(arguments.references, arguments.runs)
    if not runs:
        raise InputError(
            f"{runs_path(arguments.runs)} has no finished run, expected one or more. Next: edge-bench run ENGINE"
        )
    board = make_leaderboard(runs, arguments.need or (), arguments.include_invalid)
    try:
        if arguments.json:
            print_json(record_to_json(board))
        elif arguments.markdown:
            print(board_markdown(board), end="", flush=True)
        else:
            print("\n".join(board_lines(board)), flush=True)
    finally:
        if arguments.output:
            write_board(arguments.output, board)
    return EXIT_NOT_MET if board.need and not any(row.verdict == MET for row in board.rows) else 0


def write_board(folder: Path, board: Leaderboard) -> None:
    """Write a leaderboard to files in a folder, beside earlier ones.

    Raises:
        StorageError: The folder cannot be written to.
    """
    with free_folder(folder, (LEADERBOARD_FILE, LEADERBOARD_PAGE, LEADERBOARD_MARKDOWN)) as output:
        write_record(output / LEADERBOARD_FILE, board)
        write_page(output / LEADERBOARD_PAGE, board)
        write_text(output / LEADERBOARD_MARKDOWN, board_markdown(board))
    print_status(f"record: {output / LEADERBOARD_FILE}\npage: {output / LEADERBOARD_PAGE}")
