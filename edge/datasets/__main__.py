"""The command `python -m edge.datasets check DATASET`, which reads a dataset whole and says what it holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge.console import CommandParser, print_json, print_status, run_command
from edge.datasets import SPLITS
from edge.datasets.option import METAVAR, dataset_name
from edge.datasets.survey.picture import survey_picture
from edge.datasets.survey.splits import survey_dataset
from edge.datasets.survey.text import survey_json, survey_lines
from edge.errors import ImageError
from edge.imaging import IMAGE_SUFFIXES, write_image
from edge.output_check import check_output_file

EXIT_PROBLEMS = 1
"""Exit code where something is wrong with the dataset."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = CommandParser(prog="python -m edge.datasets", description="Look at a dataset on disk.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="read a dataset whole, count its classes, and name what is wrong",
        description="Read every frame of a dataset to its last byte and every label map, count pixels and frames of "
        "each class by split, and name what is wrong; the exit code is then 1. What has not changed since an earlier "
        "check is not read again.",
    )
    check.add_argument("dataset", metavar=METAVAR, type=dataset_name, help="dataset, or file of a dataset description")
    check.add_argument("--data-dir", type=Path, help="its folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    check.add_argument("--split", choices=SPLITS, help="split to read (default: all that are there)")
    check.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="write twelve frames with their labels painted, and a legend, as one picture (.png, .jpg)",
    )
    check.add_argument("--json", action="store_true", help="print what was found as JSON, and nothing else, on stdout")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _check(arguments), arguments.json)


def _check(arguments: argparse.Namespace) -> int:
    if arguments.picture is not None:
        if arguments.picture.suffix.lower() not in IMAGE_SUFFIXES:
            raise ImageError(
                f"picture {arguments.picture} has the suffix '{arguments.picture.suffix}', expected one of: "
                f"{', '.join(IMAGE_SUFFIXES)}"
            )
        check_output_file(arguments.picture)
    survey = survey_dataset(arguments.dataset, arguments.data_dir, arguments.split)
    if arguments.picture is not None:
        write_image(arguments.picture, survey_picture(survey))
        print_status(f"picture: {arguments.picture}")
    if arguments.json:
        print_json(survey_json(survey))
    else:
        print("\n".join(survey_lines(survey)))
    return EXIT_PROBLEMS if survey.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
