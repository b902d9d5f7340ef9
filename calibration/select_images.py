"""Select calibration images: `python calibration/select_images.py --dataset camvid --data-dir DIR`.

The images are of the training split alone, so that validation stays unseen. calibration/images/selection.py
selects them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.images.manifest import HELD_OUT, TRAIN, manifest_note, manifest_warnings
from calibration.images.selection import DEFAULT_IMAGE_COUNT, SELECTION_METHODS, calibration_frames, describe
from edge.console import CommandParser, positive_int, print_json, print_status, print_warning, run_command
from edge.datasets import add_dataset_option
from edge.output_check import check_output_file
from edge.picture_check import SKIP_BAD_HELP
from edge.records import record_to_json, write_record


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="calibration/select_images.py",
        description="Choose calibration images from a training split, so that they cover every class, city and light.",
    )
    add_dataset_option(parser, "whose training split", required=True)
    parser.add_argument("--data-dir", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--images", type=positive_int, default=DEFAULT_IMAGE_COUNT, metavar="N", help="how many images")
    parser.add_argument(
        "--method",
        choices=sorted(SELECTION_METHODS),
        default="cover",
        help="cover: greedily by class pixels, place and light; even: by place alone, without looking at images",
    )
    parser.add_argument("--output", type=Path, help="manifest to write")
    parser.add_argument("--json", action="store_true", help="print the manifest itself")
    parser.add_argument(
        "--split", choices=[TRAIN, *HELD_OUT], default=TRAIN, help="another one than train has to be forced"
    )
    parser.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    parser.add_argument(
        "--force-validation-images",
        action="store_true",
        help="take images that accuracy is measured on; manifest and engine card say so",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def select() -> int:
        if arguments.output:
            check_output_file(arguments.output)
        _, manifest = calibration_frames(
            arguments.dataset,
            arguments.data_dir,
            arguments.images,
            1,
            1,
            split=arguments.split,
            allow_validation=arguments.force_validation_images,
            method=arguments.method,
            skip_bad=arguments.skip_bad,
        )
        if arguments.output:
            write_record(arguments.output, manifest)
        if arguments.json:
            print_json(record_to_json(manifest))
        else:
            print(describe(manifest))
        note = manifest_note(manifest)
        for sentence in [*manifest_warnings(manifest), *([note] if note else [])]:
            print_warning(sentence)
        if arguments.output:
            print_status(f"manifest: {arguments.output}")
        return 0

    return run_command(select, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
