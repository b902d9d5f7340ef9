"""What recording a run costs its latencies, and how quickly a long run is read: the runs database at 1,000 fps.

    python benchmarks/run_recording.py --rounds 20 --seconds 5

A pretended engine works 0.5 ms on each of 1,000 frames a second, outside of Python's lock as real ones do. In every
round it runs once with a recording and once without, in turns that alternate, so that what else the machine does hits
both. The peer is the same loop without recording, which is what edge-bench did before. Then a run of a million frames
is written, and read as `edge-bench compare` reads it, in a process of its own. The database lies in the folder for
temporary files, which has to be on a disk (TMPDIR names another).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from benchmarks.paired_rounds import added_share, sized_work
from benchmarks.pretended_run import description, run_frames, samples_until_now
from edge.bench.frame_samples import FrameLog, FrameTimes
from edge.console import (
    CommandParser,
    RealNumber,
    non_negative_int,
    positive_int,
    print_json,
    print_status,
    run_command,
)
from edge.run_store.store import RunStore

REPOSITORY = Path(__file__).resolve().parents[1]
WORK_NS = 500_000
"""Time in ns that the pretended engine takes for a frame."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/run_recording.py", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive_int, default=20, metavar="N", help="pairs of runs")
    parser.add_argument("--seconds", type=RealNumber(0.5, 600.0, "s"), default=5.0, help="time of each run in s")
    parser.add_argument(
        "--frames",
        type=non_negative_int,
        default=1_000_000,
        metavar="N",
        help="frames of the run that is read; 0: none",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _measure(arguments), arguments.json)


def _measure(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="run-recording-") as name:
        database = Path(name) / "runs.db"
        ratios, p50_us = [], {True: [], False: []}
        count, work = int(arguments.seconds * 1000), sized_work(WORK_NS)
        for number in range(arguments.rounds):
            for is_recorded in (number % 2 == 0, number % 2 == 1):
                p50_us[is_recorded].append(_p50_us(database, count, work, is_recorded))
            ratios.append(p50_us[True][-1] / p50_us[False][-1])
            print_status(f"round {number + 1}: p50 with recording {100 * (ratios[-1] - 1):+.2f} %")
        result = {
            "rounds": arguments.rounds,
            "frames_each": count,
            "p50_us_without": float(np.median(p50_us[False])),
            "p50_us_with": float(np.median(p50_us[True])),
            **added_share(ratios),
        }
        if arguments.frames:
            result.update(_read_of_long_run(database, arguments.frames))
    if arguments.json:
        print_json(result)
    else:
        _print(result)
    return 0


def _p50_us(database: Path, count: int, work: Callable[[], object], is_recorded: bool) -> float:
    """Return the median latency of a run in us, recorded or not."""
    log = FrameLog()
    if not is_recorded:
        run_frames(log, count, work)
    else:
        with RunStore(database) as store, store.begin(description()) as recording:
            start_ns = time.perf_counter_ns()
            recording.start(log, lambda: samples_until_now(start_ns))
            run_frames(log, count, work)
    return float(np.median([frame.latency_ns for frame in log.since(0)])) / 1e3


def _read_of_long_run(database: Path, count: int) -> dict[str, float]:
    log, start_ns = FrameLog(), time.perf_counter_ns()
    latencies_ns = np.random.default_rng(0).lognormal(13.1, 0.1, count).astype(np.int64).tolist()
    for index, latency_ns in enumerate(latencies_ns):
        begin_ns = start_ns + index * 1_000_000
        stages_ns = {"preprocess": latency_ns // 8, "inference": latency_ns // 2, "postprocess": latency_ns // 8}
        log.add(FrameTimes(begin_ns, begin_ns, begin_ns + latency_ns, latency_ns, stages_ns))
    with RunStore(database) as store, store.begin(description()) as recording:
        began_s = time.perf_counter()
        recording.start(log)
        recording.close()
        written_s = time.perf_counter() - began_s
    bytes_each = database.stat().st_size / count
    code = (
        "import json, resource, sys, time; from pathlib import Path\n"
        "from edge.run_store.store import RunStore; from edge.run_store.stored_run import load_run\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "start_s, own_s = time.perf_counter(), time.process_time()\n"
        "with RunStore(Path(sys.argv[1])) as store:\n"
        "    run = store.find(sys.argv[2]); value = getattr(run, sys.argv[3])\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([time.perf_counter() - start_s, time.process_time() - own_s, (after - before) / 1024]))\n"
    )
    result = {"long_run_frames": count, "write_s": written_s, "bytes_each_frame": bytes_each}
    for what in ("latency_ns", "frames"):
        words = [sys.executable, "-c", code, str(database.resolve()), recording.run_id, what]
        output = subprocess.run(words, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
        wall_s, own_s, memory_mib = json.loads(output)
        result.update({f"read_{what}_s": wall_s, f"read_{what}_cpu_s": own_s, f"read_{what}_mib": memory_mib})
    return result


def _print(result: dict) -> None:
    low, high = result["added_share_interval"]
    print(
        f"recording adds {100 * result['added_share']:+.2f} % to p50 (95 %: {100 * low:+.2f} to {100 * high:+.2f} %), "
        f"{result['p50_us_without']:.1f} us without, in {result['rounds']} pairs of {result['frames_each']} frames"
    )
    if "long_run_frames" in result:
        print(
            f"{result['long_run_frames']} frames: written in {result['write_s']:.1f} s, "
            f"{result['bytes_each_frame']:.0f} bytes each; latencies read in {result['read_latency_ns_s']:.2f} s, "
            f"all times in {result['read_frames_s']:.2f} s and {result['read_frames_mib']:.0f} MiB"
        )
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    sys.exit(main())
