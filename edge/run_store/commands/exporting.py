"""The sub-command `export` of edge-bench: runs as files for other programs, and as bundles that can be verified."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.artifacts import write_text
from edge.bench.bench_record import RECORD_FILE
from edge.console import print_json, print_result
from edge.errors import InputError
from edge.output_check import check_output, check_output_file
from edge.records import record_to_json, write_record
from edge.run_store.bundle import write_bundle
from edge.run_store.commands.arguments import add_runs_argument, open_runs
from edge.run_store.commands.run_text import markdown_table, run_facts
from edge.run_store.sample_files import write_samples
from edge.run_store.stored_run import DatabaseRun

DESCRIPTION = (
    "Write runs into files: the record as JSON, frames and samples as CSV or Parquet, a table as markdown, or a bundle "
    "that edge-bench verify computes anew."
)

FORMATS = ("json", "csv", "parquet", "md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("run", nargs="+", help="run id, the beginning of one, or latest")
    add_runs_argument(parser)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="json: the record; csv, parquet: record, frames and samples in a folder; md: a table of the runs "
        "(default: json)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="file (json, md), or folder (csv, parquet, and json of several runs), in which each of several runs has a "
        "folder of its id; json of one run, and md, are printed without it",
    )
    parser.add_argument("--bundle", type=Path, metavar="FILE", help="write one run as a bundle, a zip file")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Write runs into files.

    Raises:
        InputError: There is no such run, or the options do not go together.
        MissingDependencyError: Parquet needs pyarrow.
        StorageError: A file cannot be written.
    """
    with open_runs(arguments) as store:
        runs = list({each.run_id: each for each in map(store.find, arguments.run)}.values())
        if arguments.bundle is not None:
            return _bundle(arguments, runs)
        return _files(arguments, runs)


def _bundle(arguments: argparse.Namespace, runs: list[DatabaseRun]) -> int:
    if len(runs) != 1 or arguments.format or arguments.output:
        what = f"{len(runs)} runs" if len(runs) != 1 else "--format or --output beside it"
        raise InputError(f"--bundle has {what}, expected one run alone. Next: one command for each run")
    check_output_file(arguments.bundle)
    digest = write_bundle(arguments.bundle, runs[0])
    if arguments.json:
        print_json({"bundle": str(arguments.bundle), "run_id": runs[0].run_id, "digest": digest})
    else:
        print(f"bundle: {arguments.bundle}\ndigest: {digest}\ncheck: edge-bench verify {arguments.bundle}")
    return 0


def _files(arguments: argparse.Namespace, runs: list[DatabaseRun]) -> int:
    form, output = arguments.format or "json", arguments.output
    if form == "md":
        return _markdown(arguments, runs)
    if form == "json" and len(runs) == 1:
        if output is None:
            print_json(record_to_json(runs[0].record))
            return 0
        check_output_file(output)
        write_record(output, runs[0].record)
        return _say(arguments, [output])
    if output is None:
        raise InputError(f"--format {form} has no --output, expected a folder. Next: --output FOLDER")
    check_output(output)
    written = []
    for each in runs:
        folder = output / each.run_id if len(runs) > 1 else output
        write_record(folder / RECORD_FILE, each.record)
        written.append(folder / RECORD_FILE)
        if form != "json":
            written += write_samples(folder, each.frames, each.samples, each.window_start_ns, form == "parquet")
    return _say(arguments, written)


def _markdown(arguments: argparse.Namespace, runs: list[DatabaseRun]) -> int:
    text = "\n".join(markdown_table(runs)) + "\n"
    if arguments.output is not None:
        check_output_file(arguments.output)
        write_text(arguments.output, text)
        return _say(arguments, [arguments.output])
    if arguments.json:
        print_json([run_facts(each) for each in runs])
    else:
        print_result(text.rstrip())
    return 0


def _say(arguments: argparse.Namespace, written: list[Path]) -> int:
    if arguments.json:
        facts: dict[str, Any] = {"written": [str(path) for path in written]}
        print_json(facts)
    else:
        print("\n".join(f"written: {path}" for path in written))
    return 0
