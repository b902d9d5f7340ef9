"""The sub-command `delete` of edge-bench: take runs out of the database for good."""

from __future__ import annotations

import argparse

from edge.console import print_json
from edge.run_store.commands.arguments import add_runs_argument, open_runs

DESCRIPTION = "Take runs out of the runs database, with their frames and samples, and give the space back."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("run", nargs="+", help="run id, the beginning of one, or latest")
    add_runs_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the ids of what was deleted as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Delete runs and say which.

    Raises:
        InputError: There is no such run, or it is being measured; then none is deleted.
        StorageError: The database cannot be written.
    """
    with open_runs(arguments) as store:
        # All are found before one goes, so that a slip of the pen costs nothing.
        runs = {each.run_id: each for each in map(store.find, arguments.run)}
        for each in runs.values():
            store.require_ended(each)
        for each in runs.values():
            store.delete(each)
    if arguments.json:
        print_json({"deleted": list(runs)})
    else:
        print("\n".join(f"deleted: {run_id}" for run_id in runs))
    return 0
