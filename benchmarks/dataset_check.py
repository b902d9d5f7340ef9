"""Measure the check of a dataset before a training against the check as it was before issue 15.

    python benchmarks/dataset_check.py [--frames 3000] [--before COMMIT] [--json]

Both sides answer the same question of the same split, each in processes of its own: is every frame whole by its header
and segments, has every label map the frame's size, and which values does it hold. `before` is the code of an older
commit in a git worktree, which is removed at the end. Blocks of both sides alternate; nothing is known from an earlier
check. Then our side checks the split twice in one run of the whole length, which shows the peak of its memory and what
a second check costs. A few scenes of 1024x2048 are drawn beforehand and linked under many names, so that no disk is in
the figures.

Goal, on two cores: at least 1.7 times as fast, at the memory of a few label maps whatever the number of frames.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.linked_streets import draw_streets, link_streets
from edge.console import CommandParser, Progress, RawHelpFormatter, positive_int, print_json, run_command
from edge.errors import SegEdgeError
from edge.machine import this_machine

REPOSITORY = Path(__file__).resolve().parents[1]
GOAL_RATIO = 1.7
BEFORE = "07894f7"
"""The commit before issue 15."""

ROUNDS = 3
"""Times that each side checks the block, in turn."""

_CHECK = """
import json, os, re, sys, time
from pathlib import Path
root, count, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
from edge.datasets import open_dataset
from edge.picture_check import checked_dataset
dataset = open_dataset("synthetic", root, "val", limit=count)
checked_dataset(open_dataset("synthetic", root, "val", limit=4), needs_labels=True)  # what is done once is in no figure
def resident(field):
    return 1024 * int(re.search(rf"^{field}:\\s*(\\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)[1])
before, seconds = resident("VmRSS"), []
for _ in range(times):
    start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    kept = checked_dataset(dataset, needs_labels=True)
    seconds.append([(time.perf_counter_ns() - start_ns) / 1e9, (time.process_time_ns() - start_cpu_ns) / 1e9])
print(json.dumps({"frames": len(kept), "seconds": seconds, "added_bytes": resident("VmHWM") - before}))
"""


def run_check(checkout: Path, root: Path, frames: int, times: int = 1) -> dict:
    """Check the first frames of a split with the code of a checkout, in a process and with a cache of its own."""
    with tempfile.TemporaryDirectory() as home:
        # Compiled code is kept: it is made once on a machine. What a check finds out lies below "checked".
        cache = Path(home) / "cache"
        cache.mkdir()
        for library in Path(os.environ["SEGEDGE_BENCHMARK_CACHE"]).glob("native-*"):
            os.link(library, cache / library.name)
        environment = {**os.environ, "PYTHONPATH": str(checkout), "SEGEDGE_CACHE": str(cache)}
        command = [sys.executable, "-c", _CHECK, str(root), str(frames), str(times)]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SegEdgeError(f"check by {checkout} ended with {done.stderr.strip().splitlines()[-1:]}")
        for library in cache.glob("native-*"):
            kept = Path(os.environ["SEGEDGE_BENCHMARK_CACHE"]) / library.name
            if not kept.exists():
                os.link(library, kept)
    return json.loads(done.stdout)


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("--frames", type=positive_int, default=3000, help="frames of the split")
    parser.add_argument("--block", type=positive_int, default=1000, help="frames that both sides check in turn")
    parser.add_argument("--scenes", type=positive_int, default=20, help="scenes that are drawn")
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help="commit that is compared with")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def measure(before: Path, root: Path, arguments: argparse.Namespace) -> dict:
    """Check the split with both sides in turn, and return their record."""
    sides = {"before": before, "ours": REPOSITORY}
    block = min(arguments.block, arguments.frames)
    for checkout in sides.values():
        run_check(checkout, root, 8)  # compiles what is compiled once
    took: dict[str, list[list[float]]] = {side: [] for side in sides}
    with Progress("measure", 2 * ROUNDS + 2, "check") as progress:
        for number in range(ROUNDS):
            for side in sides if number % 2 == 0 else reversed(sides):
                took[side] += run_check(sides[side], root, block)["seconds"]
                progress.step()
        whole = {side: run_check(sides[side], root, arguments.frames, 1 + (side == "ours")) for side in sides}
    ratios = [before_s / ours_s for (before_s, _), (ours_s, _) in zip(took["before"], took["ours"])]
    return {
        "block": block,
        "ms_per_frame": {side: 1000 * min(wall for wall, _ in runs) / block for side, runs in took.items()},
        "cpu_ms_per_frame": {side: 1000 * min(cpu for _, cpu in runs) / block for side, runs in took.items()},
        "ratio": sorted(ratios)[len(ratios) // 2],
        "ratios": ratios,
        "whole": {
            "seconds": {side: record["seconds"][0][0] for side, record in whole.items()},
            "ratio": whole["before"]["seconds"][0][0] / whole["ours"]["seconds"][0][0],
            "second_check_s": whole["ours"]["seconds"][1][0],
            "added_mb": {side: record["added_bytes"] / 1e6 for side, record in whole.items()},
        },
    }


def run(arguments: argparse.Namespace) -> int:
    """Measure both sides, print the result, and return the exit code: 1 if the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        root, before = Path(folder, "streets"), Path(folder, "before")
        cache = Path(folder, "cache")
        cache.mkdir()
        os.environ["SEGEDGE_BENCHMARK_CACHE"] = str(cache)
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(before), arguments.before], check=True)
        try:
            draw_streets(root, "val", min(arguments.scenes, arguments.frames))
            link_streets(root, "val", min(arguments.scenes, arguments.frames), arguments.frames)
            load = os.getloadavg()[0]
            measured = measure(before, root, arguments)
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)
    machine = this_machine()
    result = {
        "processor": machine.cpu,
        "processors": machine.cpu_count,
        "load_average_1_min": load,
        "before": arguments.before,
        "frames": arguments.frames,
        **measured,
        "goal_ratio": GOAL_RATIO,
    }
    if arguments.json:
        print_json(result)
    else:
        _print(result)
    return 0 if measured["ratio"] >= GOAL_RATIO else 1


def _print(result: dict) -> None:
    print(f"{result['processor']}, {result['processors']} cores, load {result['load_average_1_min']:.1f}")
    for side, name in (("before", result["before"]), ("ours", "this checkout")):
        print(
            f"{name}: {result['ms_per_frame'][side]:.2f} ms a frame of 1024x2048 with its label map "
            f"({result['cpu_ms_per_frame'][side]:.2f} ms of CPU time)"
        )
    ratios = ", ".join(f"{ratio:.2f}" for ratio in result["ratios"])
    print(f"ratio {result['ratio']:.2f} (checks of {result['block']} frames: {ratios}; goal: at least {GOAL_RATIO:g})")
    whole = result["whole"]
    print(
        f"{result['frames']} frames: {whole['seconds']['before']:.1f} s and {whole['seconds']['ours']:.1f} s, ratio "
        f"{whole['ratio']:.2f}; a second check takes {whole['second_check_s']:.2f} s; memory grows by "
        f"{whole['added_mb']['before']:.0f} MB and {whole['added_mb']['ours']:.0f} MB"
    )


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
