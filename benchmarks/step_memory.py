"""Measures the memory of training steps, and compares it with the estimate by which train/engine/memory.py refuses.

    python benchmarks/step_memory.py [--threads 2]

Each network is trained in a process of its own for a few steps on the processor. What its peak lies over the memory
between two steps is compared with the estimate from the step's graph. Goal: within 15 %.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.console import CommandParser, non_negative_int, positive_int, print_json, print_status, run_command

STEPS = 2


class Case(NamedTuple):
    """A network, the size of its crops, and how many are computed at a time."""

    model: str
    options: dict
    height: int
    width: int
    crops: int


CASES = (
    Case("fast_scnn", {}, 256, 512, 8),
    Case("fast_scnn", {}, 256, 512, 24),
    Case("unet", {"batch_norm": True, "base_width": 32}, 128, 256, 8),
    Case("deeplabv3plus", {"depth": 50}, 192, 192, 4),
    Case("bayesian_segnet", {}, 128, 256, 2),
)


def resident_bytes(field: str) -> int:
    """Return a field of /proc/self/status, VmRSS (now) or VmHWM (peak)."""
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{field}:\s*(\d+) kB", text, re.MULTILINE)[1])


def measure(case: Case) -> dict[str, int]:
    """Return the bytes that a step is estimated to take, and those that it was measured to take."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import numpy as np

    from train.engine.memory import step_bytes
    from train.engine.network import build_network, judged_part
    from train.engine.step import TrainingStep
    from train.engine.strategies import ONE, open_strategy
    from train.losses import training_losses
    from train.models import model_spec
    from train.optimization.optimization import Optimization
    from train.options import training_options
    from train.recipe import Recipe

    spec, options = model_spec(case.model), training_options(case.model, case.options)
    recipe = Recipe(1, case.crops, case.height, case.width, "sgd", 1e-3)
    network = build_network(spec, recipe, case.height, case.width, 19, options, seed=0)
    losses, weights = training_losses(spec, network.output, 19, np.ones(19, np.float32), spec.coordinates(options))
    judged = judged_part(network, losses)
    step = TrainingStep(open_strategy(ONE), judged, losses, weights, Optimization(judged, recipe, STEPS))
    generator = np.random.default_rng(0)
    shape = (case.crops, case.height, case.width)
    batch = (generator.integers(0, 256, (*shape, 3), np.uint8), generator.integers(0, 19, shape, np.uint8))
    weight_bytes = sum(4 * int(np.prod(variable.shape)) for variable in judged.trainable_variables)
    estimated = step_bytes(step.graph(batch), weight_bytes)
    step.step(batch)  # optimises the graph, and lets the libraries take what they take once
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    before = _trimmed()
    for _ in range(STEPS):
        float(step.step(batch).loss)
    return {"estimated": estimated, "measured": resident_bytes("VmHWM") - before}


def _trimmed() -> int:
    """Give freed memory back to the system, and return what is left."""
    import ctypes

    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident_bytes("VmRSS")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/step_memory.py", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=positive_int, default=2, metavar="N", help="threads of TensorFlow")
    parser.add_argument("--case", type=non_negative_int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    if arguments.case is not None:
        print(json.dumps(measure(CASES[arguments.case])))
        return 0
    return run_command(lambda: _measure_all(arguments), arguments.json)


def _measure_all(arguments: argparse.Namespace) -> int:
    """Measure every case in a process of its own, and print a table."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": str(arguments.threads)}
    results = []
    for index, case in enumerate(CASES):
        print_status(f"{case.model}, {case.crops} crops of {case.height}x{case.width}")
        command = [sys.executable, __file__, "--case", str(index)]
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        results.append({**case._asdict(), **json.loads(output.splitlines()[-1])})
    if arguments.json:
        print_json({"cases": results})
        return 0
    print("network            crops      estimated   measured   measured / estimated")
    for result in results:
        estimated, measured = (result[name] / 1e6 for name in ("estimated", "measured"))
        size = f"{result['crops']} of {result['height']}x{result['width']}"
        print(f"{result['model']:16}   {size:14} {estimated:6.0f} MB  {measured:6.0f} MB   {measured / estimated:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
