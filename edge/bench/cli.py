"""The command edge-bench and its list of sub-commands."""

from __future__ import annotations

import argparse
import sys

from edge.bench.ab_cli import DESCRIPTION as AB
from edge.bench.ab_cli import add_arguments as add_ab_arguments
from edge.bench.compare_cli import DESCRIPTION as COMPARE
from edge.bench.compare_cli import add_arguments as add_compare_arguments
from edge.bench.profile_cli import DESCRIPTION as PROFILE
from edge.bench.profile_cli import add_arguments as add_profile_arguments
from edge.bench.run_cli import DESCRIPTION as RUN
from edge.bench.run_cli import add_arguments as add_run_arguments
from edge.bench.show import DESCRIPTION as SHOW
from edge.bench.show import add_arguments as add_show_arguments
from edge.bench.suite_cli import DESCRIPTION as SUITE
from edge.bench.suite_cli import add_arguments as add_suite_arguments
from edge.console import (
    CommandParser,
    add_version_argument,
    run_command,
)
from edge.doctor.cli import DESCRIPTION as DOCTOR
from edge.doctor.cli import add_arguments as add_doctor_arguments
from edge.leaderboard.cli import DESCRIPTION as LEADERBOARD
from edge.leaderboard.cli import add_arguments as add_leaderboard_arguments
from edge.run_store.commands import deleting, exporting, importing, listing, verifying


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="edge-bench", description="Measure how fast and how accurate an engine is on this machine."
    )
    add_version_argument(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="measure latency of each stage, frames per second and, on request, mIoU", description=RUN
    )
    add_run_arguments(run)
    ab = commands.add_parser("ab", help="measure two engines in turns, and compare them", description=AB)
    add_ab_arguments(ab)
    suite = commands.add_parser("suite", help="measure all engines of folders, and rank them", description=SUITE)
    add_suite_arguments(suite)
    show = commands.add_parser("show", help="say in a few lines what a record holds", description=SHOW)
    add_show_arguments(show)
    profile = commands.add_parser("profile", help="show where the time of an engine goes", description=PROFILE)
    add_profile_arguments(profile)
    leaderboard = commands.add_parser(
        "leaderboard", help="put engines side by side, and say which of them meet a need", description=LEADERBOARD
    )
    add_leaderboard_arguments(leaderboard)
    compare = commands.add_parser("compare", help="say whether one run is faster than another", description=COMPARE)
    add_compare_arguments(compare)
    for name, command, words in (
        ("list", listing, "list the runs that are kept"),
        ("export", exporting, "write runs as json, csv, parquet or md, or as a bundle that can be verified"),
        ("import", importing, "add the runs of other devices, of bundles and of records"),
        ("delete", deleting, "take runs out of the runs database"),
        ("verify", verifying, "compute the figures of a bundle anew from its raw samples"),
    ):
        command.add_arguments(commands.add_parser(name, help=words, description=command.DESCRIPTION))
    doctor = commands.add_parser("doctor", help="say what this machine lacks, and what mends it", description=DOCTOR)
    add_doctor_arguments(doctor)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: arguments.function(arguments), getattr(arguments, "json", False))


if __name__ == "__main__":
    sys.exit(main())
