"""Measure that collecting ranges takes the same memory for many images as for few.

    python benchmarks/calibration_memory.py ARTIFACT [--few 10] [--many 500] [--json]

Each count runs in a process of its own, whose peak resident memory the kernel reports. Drawing takes
longer than counting, so a few scenes are drawn beforehand and come again and again, each time shifted
to the side: no image is counted twice. Goals, for Fast-SCNN at 1024x2048: the peak at 500 images is
within 5 % of that at 10, and under 3 GB. The artefact is made by
`python export/to_onnx.py --model fast_scnn --dataset cityscapes --size 1024x2048 --random-weights`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.ranges.collector import collect_ranges
from edge.console import CommandParser, RawHelpFormatter, positive_int, print_json, run_command
from edge.contract import read_contract
from edge.errors import SegEdgeError
from edge.frames import FrameSet, SyntheticFrames
from edge.machine import this_machine

GOAL_GROWTH = 0.05
GOAL_PEAK_BYTES = 3_000_000_000


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact folder with model.onnx")
    parser.add_argument("--few", type=positive_int, default=10, help="images of the first process")
    parser.add_argument("--many", type=positive_int, default=500, help="images of the second process")
    parser.add_argument("--scenes", type=positive_int, default=4, help="scenes that are drawn")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    parser.add_argument("--child", type=positive_int, help=argparse.SUPPRESS)
    return parser


class ShiftedScenes(FrameSet):
    """A few drawn scenes that are used in turn, each time shifted further to the side.

    Args:
        count: Number of frames.
        height: Rows of a frame.
        width: Columns of a frame.
        scenes: Number of scenes that are drawn, and held in memory.
    """

    def __init__(self, count: int, height: int, width: int, scenes: int) -> None:
        super().__init__("shifted synthetic scenes", [str(index) for index in range(count)])
        drawn = SyntheticFrames(scenes, height, width, seed=8_000_000)
        self._scenes = [drawn.read(index) for index in range(scenes)]

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        again, scene = divmod(index, len(self._scenes))
        return np.roll(self._scenes[scene], 2 * again, axis=1)

    def digest(self, index: int) -> str:
        """Return the number of a frame as its digest: these frames are not stored on disk."""
        return str(index)


def collect(artifact: Path, count: int, scenes: int) -> int:
    """Collect ranges in this process, print its peak memory as JSON, and return the exit code."""
    contract = read_contract(artifact)
    frames = ShiftedScenes(count, contract.height, contract.width, scenes)
    start_ns = time.perf_counter_ns()
    collect_ranges(artifact, frames, manifest_sha256="not kept", resume=False)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"images": count, "peak_bytes": peak_bytes, "seconds_per_image": seconds / count}))
    return 0


def measure(artifact: Path, count: int, scenes: int) -> dict:
    """Return the record of collecting ranges in a process of its own, which shows its progress."""
    command = [sys.executable, __file__, str(artifact), "--scenes", str(scenes), "--child", str(count)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        raise SegEdgeError(f"collecting on {count} images ended with {finished.returncode}; its error stands above")
    return json.loads(finished.stdout)


def run(arguments: argparse.Namespace) -> int:
    """Measure both counts of images, print the result, and return the exit code: 1 if a goal is missed."""
    if arguments.child:
        return collect(arguments.artifact, arguments.child, arguments.scenes)
    few, many = (measure(arguments.artifact, count, arguments.scenes) for count in (arguments.few, arguments.many))
    growth = many["peak_bytes"] / few["peak_bytes"] - 1
    is_met = abs(growth) <= GOAL_GROWTH and many["peak_bytes"] < GOAL_PEAK_BYTES
    contract = read_contract(arguments.artifact)
    result = {
        "processor": this_machine().cpu,
        "network": f"{contract.model} {contract.height}x{contract.width}",
        "few": few,
        "many": many,
        "growth": growth,
        "goal_growth": GOAL_GROWTH,
        "goal_peak_bytes": GOAL_PEAK_BYTES,
        "is_met": is_met,
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"{result['network']} on {result['processor']}")
        for case in (few, many):
            print(
                f"{case['images']} images: peak {case['peak_bytes'] / 1e9:.3f} GB, "
                f"{case['seconds_per_image']:.2f} s per image"
            )
        print(f"growth {growth:+.2%} (goal: within {GOAL_GROWTH:.0%}), peak under {GOAL_PEAK_BYTES / 1e9:g} GB wanted")
    return 0 if is_met else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
