"""Measure a training step against this project's step as it was, and against PyTorch.

    python benchmarks/training_step.py [--torch-python PYTHON] [--json]
    python benchmarks/training_step.py --options          # what each option of the step does to it

Every contender has a process of its own and takes its steps in turn with the others, a few at a time, on the same
batch and as many threads. Ratios are taken within a round, between medians of its steps; the spread is over the
rounds. The clock covers forward pass, losses, backward pass and the update of the weights, until the loss can be read;
the first step includes all that is traced and compiled for it, and not the making of the network. Goals, for Fast-SCNN
with 8 crops of 256x512 in float32 on two cores: 1.3 times as fast as before, 1.8 times as fast as PyTorch 2.13 with
channels_last, and a first step below 10 s. Beside the time that passed stands the time of the processor, of all threads
together: other programs disturb it less.

PyTorch may be installed for another Python than TensorFlow: --torch-python names it. Where it has no PyTorch, one line
says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edge.console import (
    CommandParser,
    Progress,
    RawHelpFormatter,
    parse_size,
    positive_int,
    print_json,
    print_warning,
    run_command,
    size_argument,
)
from edge.errors import BackendError
from edge.machine import this_machine, usable_cores
from edge.machine_load import LoadWatch

REPOSITORY = Path(__file__).resolve().parents[1]

GOALS = {"before": 1.3, "pytorch": 1.8}
"""Contender -> how many times as fast ours is to be."""

GOAL_FIRST_STEP_S = 10.0

OURS = {"contender": "ours", "precision": "float32", "xla": False, "kernels": True}
OPTIONS = {
    "without kernels": {**OURS, "kernels": False},
    "mixed_bfloat16": {**OURS, "precision": "mixed_bfloat16"},
    "XLA": {**OURS, "xla": True, "kernels": False},
}
"""What is measured beside ours with --options."""


class Contender:
    """A process that takes training steps when it is asked to.

    Args:
        name: name in the report.
        settings: settings of the worker.
        python: interpreter that has what the contender needs.
    """

    def __init__(self, name: str, settings: dict, python: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.training_contenders.worker", json.dumps(settings)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if settings["contender"] == "pytorch" else None,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        first = self._read()
        self.versions: str = first["versions"]
        self.first_step_s: float = first["seconds"][0]
        self.losses = [first["loss"]]

    def take(self, steps: int) -> tuple[list[float], list[float]]:
        """Take steps and return the seconds of each: those that passed, and those of the processor."""
        print(steps, file=self._process.stdin, flush=True)
        answer = self._read()
        self.losses.append(answer["loss"])
        return answer["seconds"], answer["processor_seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise BackendError(f"the process of {self.name} ended with exit code {self._process.returncode}")
        return json.loads(line)


def has_pytorch(python: str) -> bool:
    """Return whether an interpreter can import PyTorch."""
    return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0


def measure(chosen: dict[str, tuple[dict, str]], rounds: int, steps: int) -> list[dict]:
    """Let all contenders take steps in turn.

    Args:
        chosen: name of each contender -> its settings and its interpreter; the first is ours.
        rounds: turns of each contender.
        steps: steps of a turn, of which the first, in caches that others filled, is not counted.

    Returns:
        A record of each contender, in the same order.
    """
    progress = Progress("measure", len(chosen) * (1 + rounds), "turn")
    contenders: list[Contender] = []
    turns: dict[str, list[tuple[list[float], list[float]]]] = {name: [] for name in chosen}
    try:
        for name, (settings, python) in chosen.items():
            contenders.append(Contender(name, settings, python))
            progress.step(name)
        for _ in range(rounds):
            for contender in contenders:
                passed, processor = contender.take(steps + 1)
                turns[contender.name].append((passed[1:], processor[1:]))
                progress.step(contender.name)
    finally:
        for contender in contenders:
            contender.close()
        progress.clear()
    return [_record(contender, turns[contender.name], turns[contenders[0].name]) for contender in contenders]


def _record(contender: Contender, turns: list[tuple], turns_of_ours: list[tuple]) -> dict:
    """Return the figures of a contender: latencies in s over all steps, and ratios to ours over the turns."""
    record = {
        "name": contender.name,
        "versions": contender.versions,
        "first_step_s": contender.first_step_s,
        "losses": contender.losses,
    }
    for clock, name in enumerate(("step", "processor")):
        record[f"{name}_s"] = _spread([value for turn in turns for value in turn[clock]])
        pairs = zip(turns, turns_of_ours)
        record[f"{name}_times_ours"] = _spread(
            [statistics.median(theirs[clock]) / statistics.median(own[clock]) for theirs, own in pairs]
        )
    return record


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def run(arguments: argparse.Namespace) -> int:
    height, width = arguments.crop
    shared = {
        "model": arguments.model,
        "crops": arguments.batch_size,
        "height": height,
        "width": width,
        "threads": arguments.threads or usable_cores(),
    }
    settings = {"ours": OURS, **(OPTIONS if arguments.options else {"before": {"contender": "before"}})}
    chosen = {name: ({**shared, **own}, sys.executable) for name, own in settings.items()}
    if not arguments.options:
        if arguments.model != "fast_scnn":
            print_warning(f"PyTorch is left out: its network here is Fast-SCNN, and the model is {arguments.model}")
        elif has_pytorch(arguments.torch_python):
            chosen["pytorch"] = ({**shared, "contender": "pytorch"}, arguments.torch_python)
        else:
            print_warning(
                f"PyTorch is left out: {arguments.torch_python} has none. Next: pip install torch==2.13.0 into an "
                "environment, and --torch-python its interpreter"
            )
    watch = LoadWatch()
    records = measure(chosen, arguments.rounds, arguments.steps)
    load = watch.load()
    report = {
        "processor": this_machine().cpu,
        "load": load.sentence() if load is not None else None,
        **shared,
        "contenders": records,
    }
    if arguments.json:
        print_json(report)
    else:
        _print_report(report)
    return 0


def _print_report(report: dict) -> None:
    print(f"{report['processor']}, {report['threads']} threads; {report['load'] or 'the load is not known'}")
    print(f"{report['model']}, {report['crops']} crops of {report['height']}x{report['width']}")
    for record in report["contenders"]:
        step, processor, name = record["step_s"], record["processor_s"], record["name"]
        goal = f" (goal {GOALS[name]})" if name in GOALS else ""
        first_goal = f" (goal {GOAL_FIRST_STEP_S:g})" if name == "ours" else ""
        print(
            f"{name:15} {step['median']:.3f} s ({step['min']:.3f} to {step['max']:.3f}), "
            f"{_times(record['step_times_ours'])} times ours{goal}; "
            f"processor {processor['median']:.3f} s, {_times(record['processor_times_ours'])} times ours; "
            f"first step {record['first_step_s']:.1f} s{first_goal}; "
            f"loss {record['losses'][0]:.3f} to {record['losses'][-1]:.3f}; {record['versions']}"
        )


def _times(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("--model", default="fast_scnn", help="architecture (default: fast_scnn)")
    parser.add_argument(
        "--crop", type=size_argument, default=parse_size("256x512"), metavar="HEIGHTxWIDTH", help="pixels of a crop"
    )
    parser.add_argument("--batch-size", type=positive_int, default=8, metavar="N", help="crops in a step")
    parser.add_argument("--threads", type=positive_int, metavar="N", help="threads (default: one for each core)")
    parser.add_argument("--rounds", type=positive_int, default=5, metavar="N", help="turns of each contender")
    parser.add_argument("--steps", type=positive_int, default=3, metavar="N", help="steps that count in a turn")
    parser.add_argument("--options", action="store_true", help="measure the options of the step, and no peers")
    parser.add_argument(
        "--torch-python", default=sys.executable, metavar="PYTHON", help="interpreter that has PyTorch (default: this)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
