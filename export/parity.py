"""Compare a Keras model with its ONNX graph on real images: `python export/parity.py ARTIFACT`.

Every export runs `export.graph.parity.compare` and keeps its figures in parity.json; this command
compares again, on any number of images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import CommandParser, positive_int, print_json, run_command
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.engine_choice import artifact_of
from edge.records import record_to_json
from export.from_keras.exporter import compare_artifact
from export.graph.parity import PARITY_FILE


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/parity.py",
        description="Compare the ONNX graph of an artefact folder with its Keras model on images, again.",
    )
    parser.add_argument("artifact", type=Path, help="artefact folder, such as artifacts/fast_scnn-camvid-384x512")
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="PATH",
        help="its weights or their run folder (default: the run its contract names)",
    )
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: where it was found at export)")
    parser.add_argument("--images", type=positive_int, default=8, metavar="N", help="images to compare on")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _compare_again(arguments), arguments.json)


def _compare_again(arguments: argparse.Namespace) -> int:
    folder = artifact_of(arguments.artifact, (GRAPH_FILE, CONTRACT_FILE, PARITY_FILE))
    report = compare_artifact(folder, arguments.weights, arguments.data_dir, arguments.images)
    if arguments.json:
        print_json(record_to_json(report))
    else:
        print(report.sentence())
    report.check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
