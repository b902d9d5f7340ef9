"""Measure that collecting ranges takes the same memory for many images as for few.

    python benchmarks/calibration_memory.py ARTIFACT [--few 8] [--many 64] [--json]

Each count runs in a process of its own, whose peak resident memory the kernel reports. Goal: for
Fast-SCNN at 1024x2048, the peak at 64 images is within 5 % of that at 8. The artefact is made by
`python export/to_onnx.py --model fast_scnn --size 1024x2048`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.collect import collect_ranges
from edge.console import CommandParser, positive_int, run_command
from edge.contract import read_contract
from edge.errors import SegEdgeError
from edge.frames import SyntheticFrames
from edge.machine import this_machine

GOAL_GROWTH = 0.05


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact folder with model.onnx")
    parser.add_argument("--few", type=positive_int, default=8, help="images of the first process (default: 8)")
    parser.add_argument("--many", type=positive_int, default=64, help="images of the second process (default: 64)")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    parser.add_argument("--child", type=positive_int, help=argparse.SUPPRESS)
    return parser


def collect(artifact: Path, count: int) -> int:
    """Collect ranges in this process and print its peak memory."""
    contract = read_contract(artifact)
    frames = SyntheticFrames(count, contract.height, contract.width, seed=8_000_000)
    start_ns = time.perf_counter_ns()
    collect_ranges(artifact, frames, manifest_sha256="not kept", show_progress=False)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"images": count, "peak_bytes": peak_bytes, "seconds_per_image": seconds / count}))
    return 0


def measure(artifact: Path, count: int) -> dict:
    """Collect ranges in a process of its own."""
    command = [sys.executable, __file__, str(artifact), "--child", str(count)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SegEdgeError(finished.stderr.strip().replace("error: ", "", 1) or f"{command} failed")
    return json.loads(finished.stdout)


def run(arguments: argparse.Namespace) -> int:
    """Measure both counts and print; 1 if the goal is missed."""
    if arguments.child:
        return collect(arguments.artifact, arguments.child)
    few, many = measure(arguments.artifact, arguments.few), measure(arguments.artifact, arguments.many)
    growth = many["peak_bytes"] / few["peak_bytes"] - 1
    result = {"processor": this_machine().cpu, "few": few, "many": many, "growth": growth, "goal_growth": GOAL_GROWTH}
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        for case in (few, many):
            print(
                f"{case['images']} images: peak {case['peak_bytes'] / 2**30:.3f} GiB, "
                f"{case['seconds_per_image']:.2f} s per image, drawing included"
            )
        print(f"growth {growth:+.2%} (goal: within {GOAL_GROWTH:.0%}), ratio {1 + growth:.4f}")
    return 0 if abs(growth) <= GOAL_GROWTH else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
