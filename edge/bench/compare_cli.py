"""The sub-command `compare` of edge-bench."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from edge.bench.comparison.comparability import condition_names
from edge.bench.comparison.comparison_page import write_page
from edge.bench.comparison.fail_rule import fail_rule
from edge.bench.comparison.run_comparison import RunComparison, compare_runs
from edge.bench.comparison.text import comparison_lines, verdict_sentence
from edge.console import RealNumber, print_json, print_status
from edge.frame_statistics.block_bootstrap import CONFIDENCE
from edge.records import record_to_json
from edge.run_store.store import RunStore, runs_path
from edge.run_store.stored_run import load_run

DESCRIPTION = (
    "Say whether the second run is faster than the first, with intervals that account for frames that depend on one "
    "another. Runs that were not measured alike are refused."
)

EXIT_WORSE = 3
"""Exit code where a difference that --fail-if names is shown, as where INT8 costs more accuracy than is allowed."""

confidence_argument = RealNumber(0.5, 0.9999, "share", above=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    run = "a run id, latest, a record.json, or the folder that was given as --output"
    parser.add_argument("first", help=f"run that is compared against: {run}")
    parser.add_argument("second", help="run whose differences are given, in the same forms")
    parser.add_argument(
        "--runs", type=Path, metavar="FILE", help="runs database (default: SEGEDGE_RUNS, else runs.db in this folder)"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=condition_names(),
        help="condition that may differ between the runs; may be given several times",
    )
    parser.add_argument(
        "--confidence",
        type=confidence_argument,
        default=CONFIDENCE,
        help="share of the intervals that hold the true difference",
    )
    parser.add_argument(
        "--fail-if",
        type=fail_rule,
        action="append",
        default=[],
        metavar="WHAT:LIMIT",
        help=f"end with code {EXIT_WORSE} where B is shown to be worse by at least a limit: slower:2%% of the median, "
        "p99-slower:5%%, more-energy:5%%, less-accurate:1 (points of mIoU); may be given several times",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="HTML page to write the comparison to")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    parser.set_defaults(function=run_compare)


def run_compare(arguments: argparse.Namespace) -> int:
    """Compare two runs, print the differences, and return the exit code.

    Raises:
        InputError: A run does not exist, or they cannot be compared.
        StorageError: The page cannot be written; the comparison has been printed by then.
    """
    names = (arguments.first, arguments.second)
    with contextlib.ExitStack() as opened:
        path = runs_path(arguments.runs)
        # Records in files need no database, and none is made for them.
        store = opened.enter_context(RunStore(path)) if arguments.runs or path.is_file() else None
        runs = (load_run(names[0], store), load_run(names[1], store))
        comparison = compare_runs(names, runs, arguments.allow, arguments.confidence)
        latencies_ns = (runs[0].latency_ns, runs[1].latency_ns) if arguments.output else None
    if arguments.json:
        print_json(record_to_json(comparison))
    else:
        print("\n".join([*comparison_lines(comparison), verdict_sentence(comparison)]))
    if latencies_ns is not None:
        write_page(arguments.output, comparison, latencies_ns)
        print_status(f"page: {arguments.output}")
    return _judged(comparison, arguments)


def _judged(comparison: RunComparison, arguments: argparse.Namespace) -> int:
    broken = [sentence for sentence in (rule.broken(comparison) for rule in arguments.fail_if) if sentence]
    for sentence in broken:
        print_status(f"failed: {sentence}")
    return EXIT_WORSE if broken else 0
