"""TensorRT's calibration cache, from our own ranges: for TensorRT up to 10, and for the DLA, which takes no Q/DQ.

`python calibration/tensorrt_cache.py ARTEFACT --tensorrt 8.5.2` writes one for a device that is not at hand; a build
with a calibration writes its own.

The format is text. The first line names version and algorithm, each other one a tensor and the hexadecimal digits of
its scale's float32, as "%x" prints them:

    TRT-8503-EntropyCalibration2
    stem/conv: 3c010a14

TensorRT compares the first line with itself and refuses the cache of any other version; the algorithm is always
IInt8EntropyCalibrator2's, the one that the DLA takes. The version is 1000 * major + 100 * minor + patch up to 8.6,
and 10000 * major + 100 * minor + patch from 10 on.

Nothing in the text says which graph it is of, so a file lies beside a record of what it was made from, and is used only
while all of that is the same.

Sources: NV_TENSORRT_VERSION in NvInferRuntimeCommon.h (8.x) and NvInferRuntimeBase.h (10.x); caches in public
repositories that start with TRT-8401-, TRT-8502-, TRT-8602-, TRT-100300- and TRT-101401-EntropyCalibration2;
ReadDynamicRange in the TensorRT execution provider of github.com/microsoft/onnxruntime (range = 127 * scale); class
IInt8EntropyCalibrator2 of the C++ API ("required for DLA"); "Calibration table does not match calibrator algorithm
type" and "Could not parse the following line from the calibration cache" among the messages of libnvinfer 8.5.3.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from calibration.ranges.thresholds import CALIBRATION_METHODS
from calibration.trt.cache import cache_of_artifact
from edge.console import CommandParser, run_command


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
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)

    def write() -> int:
        say = lambda line: print(line, file=sys.stderr)  # noqa: E731
        print(cache_of_artifact(arguments.artefact, arguments.method, arguments.tensorrt, say))
        return 0

    return run_command(write)


if __name__ == "__main__":
    sys.exit(main())
