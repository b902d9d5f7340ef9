"""The sub-command `list` of edge-bench: the runs that are kept."""

from __future__ import annotations

import argparse

from edge.console import positive_int, print_json
from edge.run_store.commands.arguments import add_runs_argument, open_runs
from edge.run_store.commands.run_text import run_facts, text_table

DESCRIPTION = "List the runs of the runs database, the oldest first, with their figures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    add_runs_argument(parser)
    parser.add_argument("--model", metavar="NAME", help="only runs of this architecture")
    parser.add_argument("--precision", metavar="NAME", help="only runs of this precision, such as int8")
    parser.add_argument("--last", type=positive_int, metavar="N", help="only the N runs that were started last")
    parser.add_argument(
        "--check", action="store_true", help="first look at every page of the file, and rebuild it if it is damaged"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the runs.

    Raises:
        InputError: There is no database.
        StorageError: It cannot be read.
    """
    with open_runs(arguments) as store:
        if arguments.check:
            store.check()
        runs = [
            each
            for each in store.runs()
            if arguments.model in (None, each.row["model"]) and arguments.precision in (None, each.row["precision"])
        ][-(arguments.last or 0) :]
        if arguments.json:
            print_json([run_facts(each) for each in runs])
        elif runs:
            print("\n".join(text_table(runs)))
        else:
            print(f"no such run in {store.path}")
    return 0
