"""Hold the intervals, bounds and verdicts of edge/frame_statistics against simulated runs whose truth is known.

    python benchmarks/comparison_statistics.py
    python benchmarks/comparison_statistics.py --runs 1000 --frames 1024 --json

For each kind of trace (benchmarks/latency_traces.py) many runs are drawn. The table says how many of 100 intervals of
95 % hold the true percentile, how often two runs of one engine are called different (goal: at most 5 %), and how often
a slowdown of 3 % is found (goal: at least 95 %). The peers are what is often done: intervals that take frames for
independent, and a moving-block bootstrap with blocks of n^(1/3) frames whose draws are read off as they are. A share of
N runs is itself known to +-2 sqrt(p (1 - p) / N) alone, so the error is given with each.

Misses of a deadline are drawn in bursts: the table says how often the upper bound of 95 % holds, with frames taken for
independent and with ours, and how often a run that may stop early stops with a wrong verdict (goal: at most 5 %), where
the true share is the allowed one, against looking at the bound of 95 % again and again.

Last, two runs of 1,000,000 frames are written to a runs database, and `edge-bench compare` reads and compares them in a
process of its own, whose start counts too (goal: 3 s and 500 MB).
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.latency_traces import KINDS, TYPICAL_NS, TraceKind, traces, true_percentiles_ns
from edge.bench.frame_samples import FrameLog, FrameTimes, frame_samples
from edge.card import EngineCard
from edge.console import CommandParser, Progress, RawHelpFormatter, WholeNumber, print_json, print_result, run_command
from edge.contract import Contract
from edge.errors import InputError
from edge.frame_statistics.binomial_bound import certain_verdict, miss_bound, next_look
from edge.frame_statistics.block_bootstrap import nearest_rank, percentile_intervals
from edge.frame_statistics.comparison import NO_DIFFERENCE, SLOWER, compare_latencies
from edge.frame_statistics.distributions import beta_quantile, binomial_tail, root_of_rising
from edge.frame_statistics.interleaved import compare_interleaved
from edge.machine import this_machine
from edge.provenance import WeightsProvenance
from edge.records import record_to_json
from edge.run_store.recomputation import interrupted_record
from edge.run_store.store import RunStore

REPOSITORY = Path(__file__).resolve().parents[1]

PERCENTS = (50.0, 90.0, 99.0)
SLOWDOWN = 1.03
ROUND_FRAMES = 32
BURST_FRAMES = 6.0

DEADLINE_FRAMES = 6144
"""Frames of a run with deadlines, some 200 s of a camera of 30 fps: with bursts of 6 and a share of 1 % a run meets ten
of them. One that is so short that it may meet none cannot know of them, and neither can any bound."""

LARGE_FRAMES = 1_000_000

Intervals = Callable[[np.ndarray], dict]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of the benchmark."""
    parser = CommandParser(
        prog="benchmarks/comparison_statistics.py", description=__doc__, formatter_class=RawHelpFormatter
    )
    parser.add_argument("--runs", type=WholeNumber(20), default=400, metavar="N", help="pairs of runs of each kind")
    parser.add_argument("--frames", type=WholeNumber(128), default=1024, metavar="N", help="frames of a run")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _measure(arguments), arguments.json)


def _measure(arguments: argparse.Namespace) -> int:
    runs, frames = arguments.runs, arguments.frames
    figures: dict[str, Any] = {
        "runs": runs,
        "frames": frames,
        "machine": this_machine().cpu,
        "intervals": {},
        "comparisons": {},
        "deadlines": {},
    }
    with Progress("simulate", len(KINDS) + len(DEADLINES), "kind") as progress:
        for kind in KINDS:
            drawn = traces(kind, 2 * runs, frames, 1)
            figures["intervals"][kind.name] = coverage(kind, drawn)
            figures["comparisons"][kind.name] = verdicts(drawn)
            progress.step()
        for share, burst_frames in DEADLINES:
            figures["deadlines"][f"{100 * share:g} % in bursts of {burst_frames:g}"] = deadlines(
                share, burst_frames, runs
            )
            progress.step()
    figures["million_frames"] = large_runs()
    if arguments.json:
        print_json(figures)
    else:
        print_result("\n".join(_lines(figures)))
    return 0


def coverage(kind: TraceKind, drawn: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return, for each percentile and each way to an interval, the share of intervals that hold the truth."""
    true_ns = true_percentiles_ns(kind, drawn.shape[1], PERCENTS)
    ways: dict[str, Intervals] = {
        "ours": lambda latency_ns: percentile_intervals(latency_ns, PERCENTS),
        "independent frames": independent_intervals,
        "blocks as drawn": drawn_intervals,
    }
    found: dict[str, dict[str, Any]] = {f"p{percent:g}": {} for percent in PERCENTS}
    for way, intervals in ways.items():
        each = [intervals(latency_ns) for latency_ns in drawn[:: 2 if way == "blocks as drawn" else 1]]
        for percent, truth_ns in zip(PERCENTS, true_ns):
            ends = [one[percent] for one in each if percent in one]
            found[f"p{percent:g}"][way] = {
                "held": _share([low <= truth_ns <= high for low, high in ends]),
                "absent": 1.0 - len(ends) / len(each),
                "width": float(np.mean([high - low for low, high in ends]) / truth_ns) if ends else None,
            }
    return found


def independent_intervals(latency_ns: np.ndarray) -> dict[float, tuple[float, float]]:
    """Return the intervals between two ranks that hold for independent frames."""
    ordered, frames = np.sort(latency_ns), len(latency_ns)
    found = {}
    for percent in PERCENTS:
        share = percent / 100.0

        def rank(of: float) -> int:
            return math.floor(
                root_of_rising(lambda r: 1.0 - binomial_tail(r, frames, of) - 0.025, 0.0, frames * of + 1)
            )

        low, high = rank(share), frames + 1 - rank(1.0 - share)
        if low >= 1 and high <= frames:
            found[percent] = (ordered[low - 1], ordered[high - 1])
    return found


def drawn_intervals(latency_ns: np.ndarray, draws: int = 500) -> dict[float, tuple[float, float]]:
    """Return the percentile intervals of a moving-block bootstrap with blocks of n^(1/3) frames."""
    frames = len(latency_ns)
    block = round(frames ** (1.0 / 3.0))
    starts = np.random.default_rng(0).integers(0, frames - block + 1, (draws, -(-frames // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :frames]
    ranks = [nearest_rank(percent, frames) - 1 for percent in PERCENTS]
    drawn = np.partition(latency_ns[places], ranks, axis=1)[:, ranks]
    ends = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {percent: (ends[0, column], ends[1, column]) for column, percent in enumerate(PERCENTS)}


def verdicts(drawn: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return how often two runs of one engine are called different, and how often a slowdown is found."""
    pairs = list(zip(drawn[0::2], drawn[1::2]))

    def one_after_the_other(first: np.ndarray, second: np.ndarray, percent: float) -> str | None:
        try:
            return compare_latencies(first, second, percent).verdict
        except InputError:
            return None  # too few frames for this percentile, which is said and is no verdict

    def taking_turns(first: np.ndarray, second: np.ndarray, percent: float) -> str | None:
        # Both slow down by 10 % while they are measured, which is in each of them.
        heat = 1.0 + 0.1 * np.arange(len(first)) / len(first)
        rounds = len(first) // ROUND_FRAMES
        parts = [np.array_split(each * heat, rounds) for each in (first, second)]
        return compare_interleaved(parts[0], parts[1], percent).verdict

    ways = {
        "p50": (one_after_the_other, 50.0),
        "p99": (one_after_the_other, 99.0),
        "p50, in turns": (taking_turns, 50.0),
    }
    found = {}
    for name, (compare, percent) in ways.items():
        alike = [compare(first, second, percent) for first, second in pairs]
        slower = [compare(first, SLOWDOWN * second, percent) for first, second in pairs]
        known = [verdict for verdict in alike if verdict is not None]
        found[name] = {
            "false_alarms": _share([verdict != NO_DIFFERENCE for verdict in known]),
            "found": _share([verdict == SLOWER for verdict in slower if verdict is not None]),
            "compared": len(known),
        }
    return found


DEADLINES = ((0.01, 1.0), (0.01, BURST_FRAMES), (0.05, BURST_FRAMES))
"""True share of misses, and mean number of misses in a row."""


def misses(share: float, burst_frames: float, runs: int, frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whether frames miss, and how late they are, in runs whose misses come in bursts.

    Returns:
        Misses of shape (runs, frames) and bool, and lateness of the same shape, which is over 0 where a frame misses.
    """
    draws = np.random.default_rng(seed)
    chance = share / (1.0 - share) / burst_frames
    is_slow = draws.random(runs) < share
    missed = np.empty((frames, runs), bool)
    for frame in range(frames):
        chances = draws.random(runs)
        is_slow = np.where(is_slow, chances > 1.0 / burst_frames, chances < chance)
        missed[frame] = is_slow
    lateness = draws.standard_normal((frames, runs)) + np.where(missed, 20.0, -20.0)
    return missed.T, lateness.T


def deadlines(share: float, burst_frames: float, runs: int, frames: int = DEADLINE_FRAMES) -> dict[str, Any]:
    """Return how often bounds on misses hold, and how often runs that may stop early err."""
    missed, lateness = misses(share, burst_frames, runs, frames, 2)
    bounds = [miss_bound(one, lateness_ns=late) for one, late in zip(missed, lateness)]
    counts = missed.sum(1)
    naive = [beta_quantile(0.95, count + 1.0, frames - count) if count < frames else 1.0 for count in counts]
    stopped, peeked, looks = [], [], []
    look = next_look(0)
    while look <= frames:
        looks.append(look)
        look = next_look(look)
    for one, late in zip(missed, lateness):
        ends = [certain_verdict(one[:look], share, lateness_ns=late[:look]) for look in looks]
        stopped.append(next((end for end in ends if end is not None), None))
        peeks = [beta_quantile(0.95, one[:look].sum() + 1.0, look - one[:look].sum()) <= share for look in looks]
        peeked.append(any(peeks))
    return {
        "upper_held": _share([bound.upper >= share for bound in bounds]),
        "lower_held": _share([bound.lower <= share for bound in bounds]),
        "upper_held_independent": _share([upper >= share for upper in naive]),
        "mean_upper": float(np.mean([bound.upper for bound in bounds])),
        "wrongly_certain_of_few": _share([end is True for end in stopped]),
        "wrongly_certain_of_many": _share([end is False for end in stopped]),
        "wrongly_certain_by_peeking": _share(peeked),
    }


def large_runs(frames: int = LARGE_FRAMES) -> dict[str, float]:
    """Return the times in s and the peak of memory in MB of `edge-bench compare` on two large runs."""
    with tempfile.TemporaryDirectory(prefix="segedge-comparison-") as folder:
        path = Path(folder) / "runs.db"
        with RunStore(path) as store:
            names = [_write_run(store, frames, seed) for seed in range(2)]
        command = [sys.executable, "-m", "edge.bench", "compare", *names, "--runs", str(path), "--json"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise InputError(f"the comparison of large runs failed: {ended.stderr.strip()}")
    return {
        "frames": frames,
        "wall_s": wall_s,
        "processor_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": after.ru_maxrss * 1024 / 1e6,
    }


def _write_run(store: RunStore, frames: int, seed: int) -> str:
    """Write a run of independent frames to a database, and return its name."""
    latency_ns = (TYPICAL_NS * np.random.default_rng(seed).lognormal(0.0, 0.05, frames)).astype(np.int64).tolist()
    log, now_ns = FrameLog(), 0
    for each_ns in latency_ns:
        log.add(FrameTimes(now_ns, now_ns, now_ns + each_ns, each_ns, {"inference": each_ns}))
        now_ns += each_ns
    description = {
        "engine": record_to_json(_card()),
        "machine": record_to_json(this_machine()),
        "started_utc": "2026-12-01T00:00:00+00:00",
        "frames_asked": frames,
    }
    recording = store.begin(description)
    record = interrupted_record(description, recording.run_id, frame_samples(log, 0), ())
    recording.start(log, window_start_ns=0)
    recording.finish(dataclasses.replace(record, is_partial=False, run_id=recording.run_id))
    return recording.run_id


def _card() -> EngineCard:
    """Return a card of an engine that there is none of: runs are compared by what was measured."""
    contract = Contract(
        model="simulated",
        dataset="camvid",
        class_names=("road", "person"),
        height=16,
        width=32,
        stride=8,
        coordinates="half_pixel",
        input_name="frame",
        output_name="logits",
        graph_sha256="0" * 64,
        weights=WeightsProvenance("random", "seed 0", "0" * 64),
        source_sha256="0" * 64,
        opset=17,
        versions={},
    )
    return EngineCard(
        contract=contract,
        backend="onnxruntime",
        backend_version="1.23",
        precision="float32",
        engine_file="engine.onnx",
        engine_sha256="0" * 64,
        engine_bytes=1,
        built_from_sha256="0" * 64,
        machine=this_machine(),
        built_utc="2026-12-01T00:00:00+00:00",
        build_seconds=1.0,
    )


def _share(holds: list[bool]) -> dict[str, float | None]:
    """Return a share, and twice its own standard error."""
    if not holds:
        return {"share": None, "error": None}
    share = float(np.mean(holds))
    return {"share": share, "error": 2.0 * math.sqrt(max(share * (1.0 - share), 1.0 / len(holds)) / len(holds))}


def _percent(value: dict[str, float | None]) -> str:
    return "-" if value["share"] is None else f"{100 * value['share']:.1f} +-{100 * value['error']:.1f}"


def _lines(figures: dict[str, Any]) -> list[str]:
    lines = [
        f"{figures['runs']} pairs of runs of {figures['frames']} frames of each kind, {figures['machine']}",
        "",
        "intervals of 95 % that hold the true percentile, in %",
        f"  {'':22}{'':5} {'ours':>12} {'absent':>7} {'independent':>12} {'as drawn':>12}",
    ]
    for kind, percents in figures["intervals"].items():
        for name, ways in percents.items():
            lines.append(
                f"  {kind:22}{name:5} {_percent(ways['ours']['held']):>12} {100 * ways['ours']['absent']:>7.1f} "
                f"{_percent(ways['independent frames']['held']):>12} {_percent(ways['blocks as drawn']['held']):>12}"
            )
    lines += ["", "verdicts in %: two runs of one engine called different, and a slowdown of 3 % found"]
    for kind, ways in figures["comparisons"].items():
        told = [f"{name}: {_percent(way['false_alarms'])}, {_percent(way['found'])}" for name, way in ways.items()]
        lines.append(f"  {kind:22} {'; '.join(told)}")
    lines += ["", "deadlines, in %: upper bound holds; lower bound holds; upper bound of independent frames holds;"]
    lines.append("  wrongly certain that misses are few, by peeking, and that they are many")
    for name, found in figures["deadlines"].items():
        told = [
            _percent(found[key])
            for key in (
                "upper_held",
                "lower_held",
                "upper_held_independent",
                "wrongly_certain_of_few",
                "wrongly_certain_by_peeking",
                "wrongly_certain_of_many",
            )
        ]
        lines.append(f"  {name:22} {'; '.join(told)}")
    large = figures["million_frames"]
    lines += [
        "",
        f"2 x {large['frames']} frames read and compared: {large['wall_s']:.2f} s ({large['processor_s']:.2f} s of the "
        f"processor), {large['peak_mb']:.0f} MB at the peak",
    ]
    return lines


if __name__ == "__main__":
    sys.exit(main())
