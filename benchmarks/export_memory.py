"""Measure memory and time of an export, with stand-ins for the weights and without.

    python benchmarks/export_memory.py [--models fastfcn,deeplabv3plus,unet] [--size 512x1024] [--json]

Each export is the whole command `python export/to_onnx.py`, with random weights, in a process of its
own. The peer is plain tf2onnx: the weights in every pass, and the comparison with Keras in the same
process. Of each are printed the peak resident memory of its largest process, that of all its
processes together, and wall and processor time; for both the graph has to be the same to the byte.
Goals: a fourth of the peer's memory, of the largest process, and a third of its wall time. The peer
takes up to 10 GB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.artifacts import sha256_file
from edge.console import CommandParser, RawHelpFormatter, print_json, run_command, size_argument
from edge.contract import GRAPH_FILE
from edge.errors import SegEdgeError
from edge.machine import this_machine
from train.options import MODEL_NAMES

GOAL_MEMORY = 1 / 4
GOAL_TIME = 1 / 3
SAMPLE_S = 0.05
PLAIN, STAND_INS = "plain", "stand-ins"


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument(
        "--models", default="fastfcn,deeplabv3plus,unet", help=f"architectures, of {', '.join(MODEL_NAMES)}"
    )
    parser.add_argument("--size", type=size_argument, default="512x1024", metavar="HxW", help="input pixels")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    parser.add_argument("--child", choices=(PLAIN, STAND_INS), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    return parser


def export(way: str, model: str, size: tuple[int, int], output: Path) -> int:
    """Run the command in this process."""
    from export import to_onnx
    from export.from_keras import comparison, network
    from export.from_keras.stand_ins import StandInError

    if way == PLAIN:

        def none(tf2onnx):
            raise StandInError("not wanted")

        network.stand_ins, comparison.OWN_PROCESS_PIXELS = none, sys.maxsize
    return to_onnx.main(
        ["--model", model, "--size", f"{size[0]}x{size[1]}", "--random-weights", "--output", str(output)]
    )


def measure(way: str, model: str, size: tuple[int, int], output: Path) -> dict:
    """Export in a process of its own and return what it took."""
    command = [sys.executable, __file__, "--child", way, "--models", model, "--output", str(output)]
    start_ns = time.perf_counter_ns()
    process = subprocess.Popen([*command, "--size", f"{size[0]}x{size[1]}"], stdout=subprocess.DEVNULL)
    together_bytes = 0
    while True:
        # Of the process and of those it waited for: the largest of them.
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        together_bytes = max(together_bytes, sum(map(_resident_bytes, _tree(process.pid))))
        time.sleep(SAMPLE_S)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SegEdgeError(f"the export of {model} ended with {process.returncode}; its error stands above")
    return {
        "largest_process_bytes": usage.ru_maxrss * 1024,  # Linux counts in KiB
        "together_bytes": together_bytes,
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "graph_sha256": sha256_file(output / GRAPH_FILE),
    }


def _tree(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for process in found:  # grows on the way
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # it ended
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def run(arguments: argparse.Namespace) -> int:
    """Measure every model both ways and print; 1 if a goal is missed or a graph differs."""
    models, size = arguments.models.split(","), arguments.size
    if arguments.child:
        return export(arguments.child, models[0], size, arguments.output)
    results = []
    for model in models:
        with tempfile.TemporaryDirectory() as folder:
            ways = {way: measure(way, model, size, Path(folder) / way) for way in (PLAIN, STAND_INS)}
        ratios = {
            name: ways[STAND_INS][name] / ways[PLAIN][name]
            for name in ("largest_process_bytes", "together_bytes", "seconds", "processor_seconds")
        }
        same = ways[PLAIN]["graph_sha256"] == ways[STAND_INS]["graph_sha256"]
        met = same and ratios["largest_process_bytes"] <= GOAL_MEMORY and ratios["seconds"] <= GOAL_TIME
        results.append({"model": model, **ways, "ratios": ratios, "is_same_graph": same, "is_met": met})
        if not arguments.json:
            for way, taken in ways.items():
                print(
                    f"{model} {size[0]}x{size[1]} {way}: "
                    f"largest process {taken['largest_process_bytes'] / 1e9:.2f} GB, "
                    f"together {taken['together_bytes'] / 1e9:.2f} GB, {taken['seconds']:.1f} s, "
                    f"processor {taken['processor_seconds']:.1f} s"
                )
            print(
                f"{model}: memory x {ratios['largest_process_bytes']:.2f} (goal {GOAL_MEMORY:.2f}), "
                f"together x {ratios['together_bytes']:.2f}, time x {ratios['seconds']:.2f} (goal {GOAL_TIME:.2f}), "
                f"{'the same graph' if same else 'ANOTHER GRAPH'}",
                flush=True,
            )
    if arguments.json:
        print_json({"processor": this_machine().cpu, "size": list(size), "results": results})
    return 0 if all(result["is_met"] for result in results) else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
