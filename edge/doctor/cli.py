"""The command `edge-bench doctor`, and `python -m edge.doctor` for a machine whose OpenCV is broken."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from edge.console import CommandParser, print_json, run_command
from edge.doctor import DoctorReport, examine
from edge.doctor.finding import ADVICE, MISSING, OK, Finding
from edge.doctor.machine_probe import probe_this_machine
from edge.records import record_to_json

EXIT_MISSING = 1
DESCRIPTION = (
    "Look at everything that engines need (Jetson and JetPack, CUDA, TensorRT, pycuda, OpenCV, jtop, power mode, "
    "clocks, swap, disk), and say what each finding means and which command mends it. Exit code 1: something that "
    "engines cannot run without is missing."
)
_WIDTH = 118
_INDENT = 32


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of the command, under the program name `prog`."""
    parser = CommandParser(prog=prog, description=DESCRIPTION)
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to its own parser or to a subcommand's."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine this machine and print the findings.

    Returns:
        Exit code: 0, or 1 if something that engines need is missing.
    """
    report = examine(probe_this_machine(Path.cwd()))
    if arguments.json:
        print_json(record_to_json(report))
    else:
        print(describe(report))
    return 0 if report.can_run_engines else EXIT_MISSING


def describe(report: DoctorReport) -> str:
    """Return a report as text: one line for each finding, with its meaning and its command below."""
    lines = [line for finding in report.findings for line in _lines(finding)]
    missing = [finding.name for finding in report.findings if finding.status == MISSING]
    advice = sum(finding.status == ADVICE for finding in report.findings)
    if missing:
        lines.append(f"\nEngines cannot run here: {', '.join(missing)} missing.")
    else:
        lines.append(f"\nEngines can run here. {_count(advice)}")
    return "\n".join(lines)


def _count(advice: int) -> str:
    if not advice:
        return "Nothing is to be mended."
    return f"{advice} finding{'s' if advice > 1 else ''} with advice."


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.status:9} {finding.name:21} {finding.found}"]
    if finding.meaning and finding.status != OK:
        indent = " " * _INDENT
        lines += textwrap.wrap(finding.meaning, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    if finding.mend:  # never wrapped, so that it can be copied
        lines.append(f"{'':{_INDENT}}mend: {finding.mend}")
    return lines


def main(argv: list[str] | None = None, prog: str = "python -m edge.doctor") -> int:
    """Run the command and return its exit code."""
    arguments = build_parser(prog).parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)
