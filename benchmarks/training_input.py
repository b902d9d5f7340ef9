"""Measure the input of a training alone: images a second against those of a training step, and memory.

    python benchmarks/training_input.py [--blocks 4] [--few 100] [--many 3000] [--json]

Speed: batches of 8 crops of 512x1024 from frames of 1024x2048, with all variations and blur, and steps of Fast-SCNN on
such batches, in turn on the same cores. The step is as cheap as one can be: plain SGD, and a loss at the size of the
logits; a slower one makes the ratio larger. Memory: as many crops as the large split has frames, from the large split
and from the small one again and again, each in a process of its own, whose peak resident memory the kernel reports. A
few scenes are drawn beforehand and linked under many names, so that no disk is in the figures.

Goals: at least 1.5 times the images a second of the step; peaks of both splits within 5 % of each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.linked_streets import draw_streets, link_streets
from edge.console import CommandParser, Progress, RawHelpFormatter, positive_int, print_json, run_command
from edge.datasets import open_dataset
from edge.errors import SegEdgeError
from edge.machine import this_machine
from train.tensorflow_import import import_tensorflow

GOAL_RATIO = 1.5
GOAL_GROWTH = 0.05
BATCH_SIZE = 8
CROP = (512, 1024)
NETWORK = (1024, 2048)
BATCHES, STEPS = 12, 2
"""Batches and steps of a block: some seconds each on two cores."""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("--blocks", type=positive_int, default=4, help="times that input and step are timed in turn")
    parser.add_argument("--few", type=positive_int, default=100, help="frames of the small split")
    parser.add_argument("--many", type=positive_int, default=3000, help="frames of the large split")
    parser.add_argument("--scenes", type=positive_int, default=20, help="scenes that are drawn")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "FRAMES", "CROPS"), help=argparse.SUPPRESS)
    return parser


def input_batches(root: Path, frames: int):
    """Return an iterator over batches of crops from the first frames of a drawn split, from the first step on."""
    import_tensorflow("reading training pairs", "pip install -e '.[train]'")
    from train.input.augmentation import Augmentation
    from train.input.pipeline import TrainingInput

    dataset = open_dataset("synthetic", root, "train", limit=frames)
    pairs = TrainingInput(dataset, *CROP, BATCH_SIZE, Augmentation(blur=0.5), 0, NETWORK)
    return iter(pairs.batches())


def training_step() -> Callable[[np.ndarray, np.ndarray], object]:
    """Return a function that does one training step of Fast-SCNN, and has done one already."""
    from train.models import model_spec
    from train.models.base import inference_model

    spec = model_spec("fast_scnn")
    model = inference_model(spec.build(*CROP, 19))
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")

    def step(frames: np.ndarray, labels: np.ndarray) -> object:
        small = labels[:, :: spec.stride, :: spec.stride]
        return model.train_on_batch(frames, np.where(small < 19, small, 0))

    step(np.zeros((BATCH_SIZE, *CROP, 3), np.uint8), np.zeros((BATCH_SIZE, *CROP), np.uint8))
    return step


def measure_speed(root: Path, frames: int, blocks: int) -> dict:
    """Time blocks of batches and blocks of steps in turn, and return their record."""
    batches = input_batches(root, frames)
    start_ns = time.perf_counter_ns()
    pair = [part.numpy() for part in next(batches)]
    first_batch_s = (time.perf_counter_ns() - start_ns) / 1e9
    step = training_step()
    input_s, step_s, ratios = 0.0, 0.0, []
    with Progress("measure speed", blocks, "block") as progress:
        for _ in range(blocks):
            # Batches that waited were made in nobody's time: they are taken before the clock starts. None waits when
            # it stops, since the input alone is slower than whoever only takes it.
            for _ in range(4):
                next(batches)
            start_ns = time.perf_counter_ns()
            for _ in range(BATCHES):
                next(batches)
            block_input_s = (time.perf_counter_ns() - start_ns) / 1e9
            time.sleep(1.0)  # until the readers have filled what waits, so that they do not take the step's cores
            start_ns = time.perf_counter_ns()
            for _ in range(STEPS):
                step(*pair)
            block_step_s = (time.perf_counter_ns() - start_ns) / 1e9
            ratios.append(block_step_s / STEPS / (block_input_s / BATCHES))
            input_s, step_s = input_s + block_input_s, step_s + block_step_s
            progress.step()
    return {
        "first_batch_s": first_batch_s,
        "input_images_per_s": blocks * BATCHES * BATCH_SIZE / input_s,
        "step_images_per_s": blocks * STEPS * BATCH_SIZE / step_s,
        "ratio": (step_s / STEPS) / (input_s / BATCHES),
        "ratio_of_blocks": {"min": min(ratios), "max": max(ratios)},
    }


def run_child(root: Path, frames: int, crops: int) -> int:
    """Read crops of a split in this process, print its memory as JSON, and return the exit code."""
    batches = input_batches(root, frames)
    steps = -(-crops // BATCH_SIZE)
    with Progress(f"read {crops} crops of {frames} frames", steps, "batch") as progress:
        for _ in range(steps):
            next(batches)
            progress.step()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(json.dumps({"frames": frames, "crops": crops, "peak_bytes": peak_bytes}))
    return 0


def measure_memory(root: Path, frames: int, crops: int) -> dict:
    """Return the record of reading crops in a process of its own, which shows its progress."""
    command = [sys.executable, __file__, "--child", str(root), str(frames), str(crops)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        raise SegEdgeError(f"reading {frames} frames ended with {finished.returncode}; its error stands above")
    return json.loads(finished.stdout)


def run(arguments: argparse.Namespace) -> int:
    """Measure speed and memory, print the result, and return the exit code: 1 if a goal is missed."""
    if arguments.child:
        return run_child(Path(arguments.child[0]), *map(int, arguments.child[1:]))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_streets(root, "train", arguments.scenes)
        link_streets(root, "train", arguments.scenes, max(arguments.few, arguments.many))
        load = os.getloadavg()[0]
        few, many = (measure_memory(root, count, arguments.many) for count in (arguments.few, arguments.many))
        speed = measure_speed(root, arguments.many, arguments.blocks)
    growth = many["peak_bytes"] / few["peak_bytes"] - 1
    machine = this_machine()
    result = {
        "processor": machine.cpu,
        "processors": machine.cpu_count,
        "load_average_1_min": load,
        "crop": list(CROP),
        "batch_size": BATCH_SIZE,
        **speed,
        "goal_ratio": GOAL_RATIO,
        "few": few,
        "many": many,
        "growth": growth,
        "goal_growth": GOAL_GROWTH,
    }
    if arguments.json:
        print_json(result)
    else:
        spread = speed["ratio_of_blocks"]
        print(f"{machine.cpu}, {machine.cpu_count} cores, load {load:.1f}")
        print(
            f"input {speed['input_images_per_s']:.1f} images/s, Fast-SCNN's step {speed['step_images_per_s']:.2f}, "
            f"ratio {speed['ratio']:.2f} ({spread['min']:.2f} to {spread['max']:.2f}; goal: at least {GOAL_RATIO:g}); "
            f"first batch after {speed['first_batch_s']:.2f} s"
        )
        for case in (few, many):
            print(f"{case['crops']} crops of {case['frames']} frames: peak {case['peak_bytes'] / 1e9:.3f} GB")
        print(f"growth {growth:+.2%} (goal: within {GOAL_GROWTH:.0%})")
    return 0 if speed["ratio"] >= GOAL_RATIO and abs(growth) <= GOAL_GROWTH else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
