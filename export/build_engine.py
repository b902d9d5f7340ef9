"""Build an engine: `python export/build_engine.py --model fastfcn --int8`.

The command exports the model if there is no current artefact, selects calibration images, collects
ranges, finds a quantised graph within the accuracy budget, builds the engine, measures it against the
float graph and writes its card. INT8 that costs more than the budget gives no engine and exit code 3.
On a device the command needs an artefact folder from the workstation, numpy, OpenCV and the backend.
With --onnx FILE --contract FILE it builds a graph that this project did not make.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import CommandParser, print_result, print_status, run_command
from export.pipeline.build import build
from export.pipeline.command_options import add_build_arguments, build_request, contradiction
from export.pipeline.plan import plan_build
from export.pipeline.plausibility import plan_warnings
from export.pipeline.summary import plan_json, plan_text, result_json, result_text


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/build_engine.py",
        description="Build an engine of a model, measured on held-out images.",
    )
    add_build_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and build nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    problem = contradiction(arguments)
    if problem is not None:
        parser.error(problem)
    return run_command(lambda: _build(arguments), arguments.json)


def _build(arguments: argparse.Namespace) -> int:
    request = build_request(arguments)
    if arguments.dry_run:
        plan = plan_build(request, print_status)
        warnings = plan_warnings(plan)
        print_result(plan_json(plan, warnings) if arguments.json else plan_text(plan, warnings))
    else:
        result = build(request)
        print_result(result_json(result) if arguments.json else result_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
