"""Print trainings side by side, and draw their curves: `python train/compare.py RUN RUN`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import write_text
from edge.console import CommandParser, print_json, print_status, print_warning, run_command
from edge.errors import InputError
from edge.output_check import check_output_file
from train.journal.comparison import comparison_json, obstacles, read_runs
from train.journal.comparison_page import comparison_html, comparison_svg, comparison_text

_DRAWN = {".svg": comparison_svg, ".html": comparison_html}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of a comparison."""
    parser = CommandParser(
        prog="train/compare.py",
        description="Print trainings side by side: scores, times, memory, and where their recipes differ.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training, such as runs/NAME")
    parser.add_argument("--classes", action="store_true", help="list the IoU of each class too")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="draw the curves, to FILE.svg, or a page with all of it, FILE.html"
    )
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _compare(arguments), arguments.json)


def _compare(arguments: argparse.Namespace) -> int:
    output = arguments.output
    if output is not None:
        if output.suffix.lower() not in _DRAWN:
            raise InputError(f"--output is '{output}', expected a name that ends with {' or '.join(_DRAWN)}")
        check_output_file(output)
    runs = read_runs(arguments.runs)
    for sentence in obstacles(runs):
        print_warning(sentence)
    if output is not None:
        write_text(output, _DRAWN[output.suffix.lower()](runs))
        print_status(f"drawn: {output}")
    if arguments.json:
        print_json(comparison_json(runs))
    else:
        print(comparison_text(runs, arguments.classes, shutil.get_terminal_size((120, 24)).columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
