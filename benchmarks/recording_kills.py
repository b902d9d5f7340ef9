"""Kill a process that records a run at 1,000 fps again and again, and look at what is left in the runs database.

    python benchmarks/recording_kills.py --kills 50

Every process writes into the same database and gets SIGKILL at a random moment. Then the database is opened: the run
has to be marked as interrupted, every frame that ended a second or more before the kill has to be there, in its place
and unchanged, and all earlier runs have to be whole. Exit code 1 if anything else is missing.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from edge.console import CommandParser, RealNumber, positive_int, print_json, print_status, run_command, seed_argument
from edge.run_store.recording import INTERRUPTED
from edge.run_store.store import RunStore

REPOSITORY = Path(__file__).resolve().parents[1]
ALLOWED_LOSS_S = 1.0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/recording_kills.py", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=positive_int, default=50, metavar="N", help="number of kills")
    parser.add_argument(
        "--longest", type=RealNumber(0.1, 60.0, "s"), default=3.0, help="longest time in s until a kill"
    )
    parser.add_argument("--seed", type=seed_argument, default=1, metavar="S", help="seed of the moments")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _kill_often(arguments), arguments.json)


def _kill_often(arguments: argparse.Namespace) -> int:
    moments, lost_s, problems, counts = random.Random(arguments.seed), [], [], {}
    with tempfile.TemporaryDirectory(prefix="recording-kills-") as name:
        database = Path(name) / "runs.db"
        for number in range(arguments.kills):
            times = Path(name) / "times"
            run_id, kill_ns = killed_run(database, times, moments.uniform(0.05, arguments.longest))
            found, count, lost = left_of_run(database, run_id, times, kill_ns)
            problems += [f"kill {number + 1}: {problem}" for problem in found]
            counts[run_id] = count
            lost_s.append(lost)
            print_status(f"kill {number + 1}: {count} frames kept, the last {1000 * lost:.0f} ms lost")
        with RunStore(database) as store:
            kept = {run.run_id: len(run.frames) for run in store.runs()}
            state = store.connection.execute("PRAGMA integrity_check").fetchone()[0]
        if kept != counts:
            problems.append("an earlier run has other frames than after its kill")
        if state != "ok":
            problems.append(f"the database is damaged: {state}")
    result = {
        "kills": arguments.kills,
        "frames_kept": sum(counts.values()),
        "longest_loss_ms": 1000 * max(lost_s),
        "median_loss_ms": 1000 * float(np.median(lost_s)),
        "problems": problems,
    }
    if arguments.json:
        print_json(result)
    else:
        print(
            f"{arguments.kills} kills, {result['frames_kept']} frames kept; lost were the last "
            f"{result['median_loss_ms']:.0f} ms in the median and {result['longest_loss_ms']:.0f} ms at most"
        )
        print("\n".join(problems) or "nothing else was lost")
    return 1 if problems else 0


def killed_run(database: Path, times: Path, after_s: float) -> tuple[str, int]:
    """Record in a process of its own and kill it after a time; return the run's id and the moment of the kill in ns."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "pretended_run.py"), str(database), str(times)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, universal_newlines=True)
    with process:
        run_id = process.stdout.readline().strip()  # type: ignore[union-attr]
        time.sleep(after_s)
        kill_ns = time.perf_counter_ns()  # the clock of all processes of a machine
        process.kill()
    return run_id, kill_ns


def left_of_run(
    database: Path, run_id: str, times: Path, kill_ns: int, allowed_s: float = ALLOWED_LOSS_S
) -> tuple[list[str], int, float]:
    """Return what is wrong with a run after its process was killed, its frames, and the lost time in s.

    Args:
        database: Runs database.
        run_id: Id of the run.
        times: File with the end of every frame that the process knew of, as little-endian int64.
        kill_ns: Moment of the kill, on time.perf_counter_ns.
        allowed_s: Longest time in s before the kill whose frames may be missing.
    """
    known_ns = np.frombuffer(times.read_bytes()[: times.stat().st_size // 8 * 8], "<i8")
    with RunStore(database) as store:
        run = store.find(run_id)
        end_ns = run.frames.end_ns + run.window_start_ns
        status = run.status
    problems = [] if status == INTERRUPTED else [f"run is {status}, expected {INTERRUPTED}"]
    if not np.array_equal(end_ns, known_ns[: len(end_ns)]):
        problems.append("frames are not those that were measured")
    missing_ns = known_ns[len(end_ns) :]
    lost_s = (kill_ns - int(missing_ns[0])) / 1e9 if len(missing_ns) else 0.0
    if lost_s > allowed_s:
        problems.append(f"a frame that ended {lost_s:.2f} s before the kill is missing")
    return problems, len(end_ns), max(lost_s, 0.0)


if __name__ == "__main__":
    sys.exit(main())
