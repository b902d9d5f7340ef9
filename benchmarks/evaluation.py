"""Measure the evaluation of files against that of cityscapesScripts 2.3.0: IoU and iIoU, reading the files included.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --official PYTHON --official OTHER_PYTHON --json

Frames of 1024x2048 are drawn, with label maps and maps of instances, and predictions that err at boundaries. Each
repetition evaluates the same files with ours, on one thread and on as many as it takes by itself, and with each
official interpreter, one after the other; ratios are taken within the repetition, and the medians are printed. All of
them have imported everything before, and evaluate the files once before the clock starts. The scores have to be equal
to the last bit.

The official evaluation runs in the environment that `make environments` makes. The archive on the package index lacks
the source of its C extension, so that this is the form without it; an interpreter in whose environment it was built
from the repository (CYTHONIZE_EVAL= python setup.py build_ext --inplace) is given with --official. Goal: at least 20
times as fast as without the extension.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.console import CommandParser, RawHelpFormatter, positive_int, print_json, print_result, run_command
from edge.datasets import Dataset, open_dataset
from edge.errors import InputError
from edge.evaluation.measure import WhatToMeasure, measure_files
from edge.evaluation.prediction_files import PredictionWriter, find_predictions
from edge.evaluation.scores import scores_of
from edge.machine import this_machine
from edge.opencv import cv2
from edge.synthetic.dataset import write_dataset

GOAL_RATIO = 20
REPOSITORY = Path(__file__).resolve().parents[1]
OFFICIAL = REPOSITORY / ".venv-cityscapesscripts-2.3.0" / "bin" / "python"

_WORKER = """
import json, sys, time
truths, predictions = json.loads(sys.stdin.readline())
sys.argv = sys.argv[:1]
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official
official.args.quiet, official.args.JSONOutput = True, False
for line in sys.stdin:
    wall, used = time.perf_counter(), time.process_time()
    result = official.evaluateImgLists(predictions, truths, official.args)
    seconds = [time.perf_counter() - wall, time.process_time() - used]
    scores = [result[name] for name in ("averageScoreClasses", "averageScoreInstClasses", "averageScoreCategories",
                                        "averageScoreInstCategories")]
    print(json.dumps([seconds, scores, official.CSUPPORT]), flush=True)
"""


@dataclass(frozen=True)
class Timing:
    """Times of one evaluation of all files, in s: by the clock, and of the processor."""

    wall_s: float
    processor_s: float


class Official:
    """The official evaluation in a process of its own, which waits for each go."""

    def __init__(self, python: Path, truths: list[str], predictions: list[str]) -> None:
        if not python.is_file():
            raise InputError(f"interpreter not found: {python}. Next: make environments")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", _WORKER], stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        self._process.stdin.write(json.dumps([truths, predictions]) + "\n")
        self.scores: list[float] = []
        self.has_extension = False

    def __call__(self) -> Timing:
        """Evaluate once."""
        self._process.stdin.write("go\n")
        answer = self._process.stdout.readline()
        if not answer:
            raise InputError("the official evaluation ended with an error, see above")
        seconds, self.scores, self.has_extension = json.loads(answer)
        return Timing(*seconds)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of the benchmark."""
    parser = CommandParser(prog="benchmarks/evaluation.py", description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("--frames", type=positive_int, default=4, metavar="N", help="frames that are drawn")
    parser.add_argument("--repetitions", type=positive_int, default=7, metavar="N", help="times that all is measured")
    parser.add_argument(
        "--official",
        type=Path,
        action="append",
        metavar="PYTHON",
        help="interpreter that has cityscapesScripts, of several if repeated (default: that of make environments)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _measure(arguments), arguments.json)


def _measure(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="segedge-evaluation-") as folder:
        dataset, paths = draw_set(Path(folder), arguments.frames)
        truths = [str(sample.label_path) for sample in dataset.samples]
        pythons = arguments.official or [OFFICIAL]
        officials = [Official(python, truths, list(map(str, paths))) for python in pythons]
        runs: dict[str, Callable[[], Timing]] = {
            "ours, one thread": lambda: _timed(dataset, paths, 1),
            "ours": lambda: _timed(dataset, paths, None),
        }
        names = {}
        for official in officials:
            official()
            form = "with its C extension" if official.has_extension else "without its C extension"
            names[f"cityscapesScripts 2.3.0 {form}"] = official
        runs.update(names)
        for run in runs.values():
            run()
        timings: dict[str, list[Timing]] = {name: [] for name in runs}
        for _ in range(arguments.repetitions):
            for name, run in runs.items():
                timings[name].append(run())
        own = _scores(dataset, paths, None)
        equal = all(official.scores == own for official in officials)
        for official in officials:
            official.close()
    return _tell(timings, arguments, equal)


def draw_set(folder: Path, frames: int) -> tuple[Dataset, list[Path]]:
    """Draw scenes, and predictions that are blocks of eight pixels of their labels."""
    write_dataset(folder / "drawn", 0, frames, 1024, 2048, 5)
    dataset = open_dataset("synthetic", folder / "drawn", "val")
    writer = PredictionWriter(folder / "predictions", dataset.table)
    for index, sample in enumerate(dataset.samples):
        labels = dataset.read_labels(index)
        coarse = cv2.resize(labels, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_NEAREST)
        writer.write(sample.name, np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)))
    return dataset, find_predictions(writer.folder, [sample.name for sample in dataset.samples])


def _scores(dataset: Dataset, paths: list[Path], threads: int | None) -> list[float | None]:
    what = WhatToMeasure(boundary_tolerance=None, worst=0, threads=threads)
    with contextlib.redirect_stderr(io.StringIO()):  # progress
        scores = scores_of(measure_files(paths, dataset, what).counts)
    return [scores.miou, scores.miiou, scores.category_miou, scores.category_miiou]


def _timed(dataset: Dataset, paths: list[Path], threads: int | None) -> Timing:
    wall_s, used_s = time.perf_counter(), time.process_time()
    _scores(dataset, paths, threads)
    return Timing(time.perf_counter() - wall_s, time.process_time() - used_s)


def _tell(timings: dict[str, list[Timing]], arguments: argparse.Namespace, equal: bool) -> int:
    def per_frame_ms(name: str, field: str) -> float:
        return 1e3 * statistics.median(getattr(one, field) for one in timings[name]) / arguments.frames

    def ratio(peer: str, own: str, field: str) -> float:
        pairs = zip(timings[peer], timings[own])
        return statistics.median(getattr(first, field) / getattr(second, field) for first, second in pairs)

    peers = [name for name in timings if not name.startswith("ours")]
    own = [name for name in timings if name.startswith("ours")]
    fields = ("wall_s", "processor_s")
    figures = {
        "frames": arguments.frames,
        "repetitions": arguments.repetitions,
        "machine": this_machine().cpu,
        "scores_are_equal": equal,
        "goal_ratio": GOAL_RATIO,
        "per_frame_ms": {
            name: {field.replace("_s", "_ms"): per_frame_ms(name, field) for field in fields} for name in timings
        },
        "ratio": {
            peer: {name: {field[:-2]: ratio(peer, name, field) for field in fields} for name in own} for peer in peers
        },
    }
    if arguments.json:
        print_json(figures)
        return 0
    lines = [
        f"{arguments.frames} frames of 1024x2048, median of {arguments.repetitions} repetitions, {figures['machine']}"
    ]
    for name in timings:
        wall_ms, processor_ms = (per_frame_ms(name, field) for field in fields)
        lines.append(f"  {name}: {wall_ms:.1f} ms a frame, {processor_ms:.1f} ms of the processor")
    for peer in peers:
        for name in own:
            lines.append(
                f"  {name} against {peer}: {ratio(peer, name, 'wall_s'):.1f} times as fast, "
                f"{ratio(peer, name, 'processor_s'):.1f} times by time of the processor"
            )
    lines.append("the scores are equal to the last bit" if equal else "THE SCORES DIFFER")
    lines.append(f"goal: {GOAL_RATIO} times as fast as without the C extension")
    print_result("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
