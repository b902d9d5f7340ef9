"""Write TensorRT's calibration cache: `python calibration/tensorrt_cache.py ARTEFACT --tensorrt 8.5.2`.

The cache is made from the ranges of an artefact, for a device that is not at hand; a build with a calibration writes
its own. calibration/trt/cache.py describes the format.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.ranges.record import RANGES_FILE
from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.trt.cache import cache_of_artifact
from edge.console import CommandParser, print_json, print_status, run_command
from edge.contract import CONTRACT_FILE, GRAPH_FILE
from edge.engine_choice import artifact_of


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="calibration/tensorrt_cache.py",
        description="Write TensorRT's calibration cache from an artefact's ranges, for trtexec --calib and the DLA.",
    )
    parser.add_argument("artefact", type=Path, help="its folder, with model.onnx and ranges.json")
    parser.add_argument("--tensorrt", required=True, metavar="VERSION", help="of the device, such as 8.5.2 or 10.3.0")
    parser.add_argument(
        "--method", choices=sorted(CALIBRATION_METHODS), default="percentile", help="how a range follows"
    )
    parser.add_argument("--json", action="store_true", help="print the path and what it was made with as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def write() -> int:
        folder = artifact_of(arguments.artefact, (GRAPH_FILE, CONTRACT_FILE, RANGES_FILE))
        path = cache_of_artifact(folder, arguments.method, arguments.tensorrt, print_status)
        if arguments.json:
            print_json({"cache": str(path), "method": arguments.method, "tensorrt": arguments.tensorrt})
        else:
            print(path)
        return 0

    return run_command(write, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
