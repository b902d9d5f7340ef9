"""Options that the sub-commands about kept runs share."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.run_store.store import RUNS_FILE, RUNS_VARIABLE, RunStore, runs_path


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    """Add --runs, the runs database."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FILE",
        help=f"runs database (default: ${RUNS_VARIABLE}, else {RUNS_FILE} in the working folder)",
    )


def open_runs(arguments: argparse.Namespace, must_exist: bool = True) -> RunStore:
    """Return the runs database that --runs names.

    Raises:
        InputError: It has to exist, and does not.
        ContractError: The file is a database of something else.
        StorageError: It cannot be opened.
    """
    return RunStore(runs_path(arguments.runs), must_exist)
