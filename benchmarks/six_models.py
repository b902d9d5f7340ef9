"""Train all six models within one budget, and put training, accuracy and inference of all of them beside each other.

    python benchmarks/six_models.py --data-dir DIR --processor-hours 0.75 --output out/six-models

Every model is trained on CamVid from random weights, and one from those of drawn scenes too, by its recipe `adapted`,
at the size and with the options of PLANS, until the processor has worked on it for the same number of hours, all
threads together; the schedule ends with them. Each training takes one core, `--jobs` run at a time. The best weights
become a float32 and an INT8 engine of ONNX Runtime at that size, and a float32 one at 384x512, where the models'
latencies can be compared; each is measured over at least 200 frames of CamVid's validation split, one after the other,
from a frame in host memory to its label map.

The command goes on where an earlier one with the same --output ended: trainings are resumed, and what is done stays.
Beside the table there is six-models.json with every figure, and curves.svg.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import read_json, write_json
from edge.console import CommandParser, RealNumber, format_seconds, positive_int, print_json, print_status, run_command
from edge.errors import SegEdgeError
from edge.machine import this_machine
from edge.records import record_to_json
from train.runs import FINISHED, RUN_RECORD

REPOSITORY = Path(__file__).resolve().parents[1]
COMMON_SIZE = "384x512"
_INT8 = ("--int8", "--search-minutes", "5")
LEAST_FRAMES = 200


@dataclass(frozen=True)
class Plan:
    """How one model is trained here.

    Attributes:
        model: architecture.
        size: height x width of the input, in pixels. A few hours of a core are some hundred steps of a large network at
            CamVid's own size, so the size follows from the multiply-adds.
        options: options of the architecture that differ from its defaults, as NAME=VALUE.
        start: file of the weights that it starts from, in the repository; "" for random ones.
        settings: what the training changes of its recipe, as options of train/train.py. A large network has time for a
            thousand crops in all: it learns more of them in steps of four, and by Adam than by the plain gradient.
    """

    model: str
    size: str
    options: tuple[str, ...] = ()
    start: str = ""
    settings: tuple[str, ...] = ()


_SMALL_STEPS = ("--batch-size", "4")
_ADAM = ("--optimizer", "adamw", "--learning-rate", "1e-3", "--weight-decay", "1e-2", "--class-weighting", "enet")
_ADAM += ("--set", "weight_decay_kind=decoupled")

PLANS: dict[str, Plan] = {
    "fast_scnn": Plan("fast_scnn", "384x512"),
    "fast_scnn-transfer": Plan("fast_scnn", "384x512", start="weights/fast_scnn-synthetic.weights.h5"),
    "panoptic_deeplab": Plan("panoptic_deeplab", "192x256", settings=_SMALL_STEPS),
    "deeplabv3plus": Plan("deeplabv3plus", "144x192", ("depth=50", "decoder_convs=1"), settings=_SMALL_STEPS),
    "fastfcn": Plan("fastfcn", "144x192", settings=_SMALL_STEPS),
    "bayesian_segnet": Plan("bayesian_segnet", "96x128", settings=_SMALL_STEPS + _ADAM),
    "unet": Plan("unet", "96x128"),
}
"""Name of a training -> how it is made."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = CommandParser(prog="benchmarks/six_models.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="folder of CamVid, in the SegNet tutorial's layout"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs, the engines and the results")
    parser.add_argument(
        "--processor-hours",
        type=RealNumber(0.0, 1000.0, "h", above=True),
        default=0.75,
        metavar="H",
        help="budget of each training, all threads together",
    )
    parser.add_argument(
        "--trainings", nargs="+", choices=list(PLANS), default=list(PLANS), metavar="NAME", help="which of PLANS"
    )
    parser.add_argument("--jobs", type=positive_int, default=1, metavar="N", help="trainings at a time")
    parser.add_argument(
        "--stop-after", choices=("training", "building"), help="leave the rest to a later run, on a machine that idles"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _compare(arguments), arguments.json)


def _compare(arguments: argparse.Namespace) -> int:
    output, data_dir = arguments.output.resolve(), arguments.data_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        train = [pool.submit(_train, name, output, data_dir, arguments.processor_hours) for name in arguments.trainings]
        for training in concurrent.futures.as_completed(train):
            training.result()
    if arguments.stop_after == "training":
        return 0
    engines = {name: _engines(name, output, data_dir) for name in arguments.trainings}
    if arguments.stop_after == "building":
        return 0
    rows = [_row(name, engines[name], output, data_dir) for name in arguments.trainings]
    runs = [str(_run_folder(output, name)) for name in arguments.trainings]
    _call([str(REPOSITORY / "train" / "compare.py"), *runs, "--output", str(output / "curves.svg")], output, "compare")
    result = {"machine": record_to_json(this_machine()), "processor_hours": arguments.processor_hours, "rows": rows}
    write_json(output / "six-models.json", result)
    if arguments.json:
        print_json(result)
    else:
        print("\n".join(_table(rows)))
    return 0


def _run_folder(output: Path, name: str) -> Path:
    return output / "runs" / name


def _train(name: str, output: Path, data_dir: Path, processor_hours: float) -> None:
    """Train one model to the end of its budget, or go on with it."""
    folder, plan = _run_folder(output, name), PLANS[name]
    if (folder / RUN_RECORD).exists():
        if read_json(folder / RUN_RECORD, "run record", "train/train.py")["status"] == FINISHED:
            print_status(f"{name}: trained already")
            return
        chosen = ["--resume", str(folder)]
    else:
        chosen = ["--model", plan.model, "--dataset", "camvid", "--data-dir", str(data_dir), "--recipe", "adapted"]
        chosen += ["--size", plan.size, "--epochs", "1000", "--output", str(folder)]
        chosen += [part for option in plan.options for part in ("--option", option)]
        chosen += plan.settings
        chosen += ["--init-weights", str(REPOSITORY / plan.start)] if plan.start else []
    chosen += ["--processor-hours", str(processor_hours), "--checkpoint-minutes", "5"]
    print_status(f"{name}: train")
    one_thread = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    _call([str(REPOSITORY / "train" / "train.py"), *chosen], output, f"{name}-train", one_thread)


def _engines(name: str, output: Path, data_dir: Path) -> dict[str, str | None]:
    """Build the engines of one training, as far as they are not there, and return their folders by form."""
    forms = (("float32", PLANS[name].size, ()), ("int8", PLANS[name].size, _INT8), ("common", COMMON_SIZE, ()))
    return {form: _engine(name, form, size, flags, output, data_dir) for form, size, flags in forms}


def _engine(name: str, form: str, size: str, flags: Sequence[str], output: Path, data_dir: Path) -> str | None:
    """Build one engine and return its folder; None where no INT8 engine holds the accuracy budget."""
    work = output / "builds" / name  # each its own: two trainings of one model would share an artefact folder
    work.mkdir(parents=True, exist_ok=True)
    kept = work / f"{form}.json"
    if kept.exists():
        return read_json(kept, "built engine", "benchmarks/six_models.py")["folder"]
    print_status(f"{name}: {form} engine at {size}")
    plan, weights = PLANS[name], ["--weights", str(_run_folder(output, name))]
    command = [str(REPOSITORY / "export" / "build_engine.py"), "--model", plan.model, *weights, "--size", size, *flags]
    options = [part for option in plan.options for part in ("--option", option)]
    command += [*options, "--backend", "onnxruntime", "--data-dir", str(data_dir), "--json"]
    command += ["--output", str(work / form)]
    built = _call(command, output, f"{name}-{form}-build", accepted=(0, 3), folder=work)
    # 3: INT8 costs more than its budget
    folder = None if built.returncode == 3 else json.loads(built.stdout)["output"]
    write_json(kept, {"folder": folder})
    return folder


def _row(name: str, engines: dict[str, str | None], output: Path, data_dir: Path) -> dict[str, Any]:
    """Return what is known of one training: its training, and its engines' accuracy and latency."""
    run = read_json(_run_folder(output, name) / RUN_RECORD, "run record", "train/train.py")
    plan, measured = PLANS[name], run["measurements"]
    return {
        "name": name,
        "model": plan.model,
        "options": list(plan.options),
        "size": plan.size,
        "steps": run["steps_done"],
        "epochs": run["steps_done"] * run["recipe"]["batch_size"] / run["training_frames"],
        "processor_s": measured["processor_s"],
        "step_p50_s": measured["step_p50_s"],
        "best_miou": run["best_miou"],
        "class_iou": run["history"][run["best_epoch"] - 1]["class_iou"],
        "engines": {
            form: folder and _measured(f"{name}-{form}", folder, form != "common", output, data_dir)
            for form, folder in engines.items()
        },
    }


def _measured(name: str, folder: str, with_accuracy: bool, output: Path, data_dir: Path) -> dict[str, Any]:
    """Measure one engine, unless it was; a measurement that other programs disturbed is made anew by the next run."""
    kept = output / "measured" / f"{name}.json"
    if kept.exists():
        return read_json(kept, "measured engine", "benchmarks/six_models.py")
    print_status(f"{name}: measure")
    command = ["-m", "edge.bench", "run", folder, "--dataset", "camvid", "--data-dir", str(data_dir)]
    command += ["--frames", str(LEAST_FRAMES), *(["--accuracy"] if with_accuracy else []), "--json"]
    record = json.loads(_call(command, output, f"{name}-bench").stdout)
    load = record["load"] or {"is_disturbed": None, "other_cpu_share": None}
    engine = {
        "miou": record["accuracy"]["miou"] if with_accuracy else None,
        "class_iou": record["accuracy"]["class_iou"] if with_accuracy else None,
        "p50_ms": record["end_to_end"]["p50_ms"],
        "p99_ms": record["end_to_end"]["p99_ms"],
        "fps": record["fps"],
        "int8_share": record["engine"]["int8_mac_share"],
        "other_cpu_share": load["other_cpu_share"],
    }
    if not load["is_disturbed"]:
        write_json(kept, engine)
    return engine


def _call(
    command: Sequence[str],
    output: Path,
    name: str,
    environment: dict[str, str] | None = None,
    accepted: Sequence[int] = (0,),
    folder: Path | None = None,
) -> subprocess.CompletedProcess:
    """Run a command of the project in the output folder, or in another; what it prints on the way goes to a log there.

    Raises:
        SegEdgeError: It failed.
    """
    (output / "logs").mkdir(exist_ok=True)
    log = output / "logs" / f"{name}.log"
    with log.open("a", encoding="utf-8") as stderr:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=folder or output,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        )
    if done.returncode not in accepted:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise SegEdgeError(f"{name} ended with {done.returncode}: {' '.join(last)}")
    return done


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows as a table in Markdown."""
    head = ("model", "size", "epochs", "processor time", "val mIoU", "INT8", "float32 p50, fps", "INT8 p50, fps")
    lines = [f"| {' | '.join((*head, f'p50 at {COMMON_SIZE}'))} |", "|---|---|" + "---:|" * 7]
    for row in rows:
        engines = row["engines"]
        name = " ".join([f"`{row['name']}`", *row["options"]])
        cells = [name, row["size"], f"{row['epochs']:.1f}", format_seconds(row["processor_s"])]
        cells += [_percent(row["best_miou"]), _percent(engines["int8"] and engines["int8"]["miou"])]
        cells += [_speed(engines["float32"]), _speed(engines["int8"]), f"{engines['common']['p50_ms']:.1f} ms"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _speed(engine: dict[str, Any] | None) -> str:
    return "-" if engine is None else f"{engine['p50_ms']:.1f} ms, {engine['fps']:.1f}"


if __name__ == "__main__":
    sys.exit(main())
