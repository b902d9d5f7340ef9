"""The sub-command `import` of edge-bench: runs of other devices enter this database."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bench.bench_record import RECORD_FILE
from edge.bench.output_folder import latest_folder
from edge.console import print_json
from edge.errors import InputError
from edge.run_store.bundle import is_bundle, read_bundle
from edge.run_store.commands.arguments import add_runs_argument, open_runs
from edge.run_store.connection import is_database
from edge.run_store.insertion import insert_bundle, insert_database, insert_record_file
from edge.run_store.store import RunStore
from edge.run_store.verification import verify

DESCRIPTION = (
    "Add runs to the runs database: all of another runs.db, of a bundle, or of a record.json. A run is known by its "
    "id, so that the same run enters once."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument(
        "file", type=Path, nargs="+", help="runs database, bundle, record.json, or output folder of edge-bench run"
    )
    add_runs_argument(parser)
    parser.add_argument("--json", action="store_true", help="print which runs are new as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Add the runs of files and say which are new.

    Raises:
        InputError: A file does not exist, holds no runs, or is a bundle that does not hold.
        ContractError: A file is damaged.
        StorageError: The database cannot be written.
    """
    found: list[tuple[str, bool]] = []
    with open_runs(arguments, must_exist=False) as store:
        for path in arguments.file:
            found += _add(store, path)
    if arguments.json:
        print_json(
            {"imported": [name for name, is_new in found if is_new], "known": [n for n, new in found if not new]}
        )
    else:
        lines = [
            f"{'imported' if is_new else 'left as it is, known or being measured'}: {name}" for name, is_new in found
        ]
        print("\n".join(lines) or "nothing to import")
    return 0


def _add(store: RunStore, path: Path) -> list[tuple[str, bool]]:
    if path.is_dir():
        path = latest_folder(path, RECORD_FILE)[0] / RECORD_FILE
    if is_database(path):
        if path.exists() and store.path.exists() and path.samefile(store.path):
            raise InputError(f"{path} is the runs database itself. Next: --runs FILE, or name another file")
        with RunStore(path, must_exist=True) as source:
            return insert_database(store, source)
    if is_bundle(path):
        bundle = read_bundle(path)
        broken = [f"{check.name}: {check.problems[0]}" for check in verify(bundle) if not check.holds]
        if broken:
            raise InputError(f"bundle {path} does not hold: {broken[0]}. Next: edge-bench verify {path}")
        return [insert_bundle(store, bundle)]
    return [insert_record_file(store, path)]
