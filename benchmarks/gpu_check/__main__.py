"""Check everything on the GPU of this machine: kernels, engines, labels, latency, memory. One JSON, 10 minutes.

    benchmarks/gpu_check.sh [--artifacts FOLDER] [--camvid FOLDER] [--minutes 10] [--output gpu-check.json]

What matters most comes first: the environment; the CUDA kernels against their reference on the host; Fast-SCNN at
1024x2048 in float16 and int8, by which the targets are judged: labels with one, two and three frames in flight,
recorded and call by call, against the host's, then latency, and 200 opens and closes of an engine; then every other
network. The JSON is written anew after each step, so an interruption loses nothing. When the time is spent, the step
under way is ended and the rest are skipped, which the JSON says. A step that fails or crashes is in the JSON too and
ends nothing else.

Artefact folders made elsewhere (`python export/to_onnx.py --model MODEL` on a workstation) go in with --artifacts: the
GPU's machine needs no TensorFlow then. Without them networks are exported here, with the best finished run's weights
or, where there is no run, with random ones, whose labels mean nothing and whose speed is that of trained ones.

The peer of a latency is trtexec where it is there (on the PATH, or /usr/src/tensorrt/bin), else a bare loop of
execute_async_v3 on the same engine. Both times are those of CUDA events.

A machine that reaches no package index: put TensorRT's package on PYTHONPATH and its libraries on LD_LIBRARY_PATH.
Where cuBLAS or cuDNN is missing and TensorRT is older than 10, engines are built without them: as with
SEGEDGE_TENSORRT_TACTICS=none, which can also be set by hand.
pycuda has no wheels: `pip wheel pycuda` where a compiler and CUDA's headers are, for the same Python and NumPy, and
`pip install --no-index` of the file that it leaves.

Exit code: 0 where everything that ran is right, 1 where something is wrong (a kernel or labels differ, a build failed,
memory is gone), 2 for a wrong option or where nothing can be checked. An unmet speed is a verdict, not an error.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.gpu_check import environment
from benchmarks.gpu_check.plan import (
    TARGET_MODEL,
    Amounts,
    Network,
    PlannedStep,
    copy_artifacts,
    find_networks,
    plan_steps,
)
from benchmarks.gpu_check.record import FAILED, RAN, SKIPPED, Environment, GpuCheck, Step, Verdict
from benchmarks.gpu_check.verdicts import judge
from benchmarks.gpu_check.worker import StepError, StepTimeoutError, Worker
from edge.console import (
    CommandParser,
    RawHelpFormatter,
    RealNumber,
    format_seconds,
    parse_size,
    positive_int,
    positive_seconds,
    print_status,
    print_warning,
    run_command,
    size_argument,
)
from edge.datasets import DATA_ROOT_VARIABLE
from edge.errors import BackendError, InputError
from edge.records import record_from_json, write_record
from train.options import MODEL_NAMES

CHECKOUT = Path(__file__).resolve().parents[2]
NO_TIME = "no time left"
minutes_argument = RealNumber(0.0, 100_000.0, "min", above=True)
LEAST_SECONDS = 1.0
"""Time below which no step is started."""


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="benchmarks/gpu_check.sh", description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("gpu-check.json"),
        metavar="FILE",
        help="JSON that is written",
    )
    parser.add_argument("--minutes", type=minutes_argument, default=10.0, help="time for everything")
    parser.add_argument("--artifacts", type=Path, metavar="FOLDER", help="artefact folders that were made elsewhere")
    parser.add_argument(
        "--camvid", type=Path, metavar="FOLDER", help="CamVid, for mIoU (default: $SEGEDGE_DATA/camvid, data/camvid)"
    )
    parser.add_argument(
        "--size",
        type=size_argument,
        default=parse_size("512x1024"),
        metavar="HxW",
        help="size of the networks in pixels",
    )
    parser.add_argument(
        "--target-size",
        type=size_argument,
        default=parse_size("1024x2048"),
        metavar="HxW",
        help="size of the Fast-SCNN that the targets are judged by, and of timed kernels, in pixels",
    )
    parser.add_argument(
        "--models",
        type=models_argument,
        default=list(MODEL_NAMES),
        metavar="NAME,...",
        help=f"architectures (default: {','.join(MODEL_NAMES)})",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=CHECKOUT / "out" / "gpu-check",
        metavar="FOLDER",
        help="where artefacts and engines are made (default: out/gpu-check of the checkout)",
    )
    amounts = parser.add_argument_group("how much of everything")
    defaults = Amounts()
    for name, what in (
        ("frames", "least number of frames of a latency"),
        ("images", "images that engines are compared with their float graph on"),
        ("opens", "opens and closes of an engine"),
    ):
        default = getattr(defaults, name)
        amounts.add_argument(f"--{name}", type=positive_int, default=default, metavar="N", help=f"{what}")
    amounts.add_argument(
        "--seconds",
        type=positive_seconds,
        default=defaults.seconds,
        help="least time of a latency, each way",
    )
    amounts.add_argument(
        "--warm-up",
        type=positive_seconds,
        default=defaults.warmup_seconds,
        metavar="SECONDS",
        help="least time of frames before each latency",
    )
    amounts.add_argument(
        "--calibration-images", type=positive_int, metavar="N", help="of int8 (default: that of export/build_engine.py)"
    )
    return parser


def models_argument(text: str) -> list[str]:
    """Read names of architectures for argparse, written like "fast_scnn,segnet"."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in MODEL_NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"got '{text}', expected some of: {','.join(MODEL_NAMES)}")
    return names


class Check:
    """A check in progress, which runs steps while there is time, and writes what is known after each step.

    Args:
        output: Path of the JSON file.
        minutes: Time in minutes for all steps together.
        command: Command line by which the check was started.
        target: Name of the network that speeds are judged by.
        worker: Process that runs the steps.
        start_s: Value of time.monotonic() from which the minutes count, in s.
    """

    def __init__(
        self, output: Path, minutes: float, command: str, target: str, worker: Any, start_s: float | None = None
    ) -> None:
        self._output, self._minutes, self._command = output, minutes, command
        self._target, self._worker = target, worker
        self._start_s = time.monotonic() if start_s is None else start_s
        self._started_utc = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self._steps: dict[str, Step] = {}

    def left_s(self) -> float:
        """Return the time left, in s."""
        return self._start_s + 60.0 * self._minutes - time.monotonic()

    def run(self, planned: PlannedStep) -> Step:
        """Run a step or skip it, write the JSON, and return the record of the step, which says why it was skipped."""
        step = self._run(planned)
        self._steps[step.name] = step
        self.write(False)
        told = step.reason if step.status != RAN else "; ".join(step.problems)
        tail = f": {told}" if told else ""
        print_status(f"{step.name}: {step.status}, {format_seconds(step.seconds)}{tail}")
        return step

    def _run(self, planned: PlannedStep) -> Step:
        def without_result(status: str, reason: str, seconds: float = 0.0) -> Step:
            return Step(planned.name, planned.kind, status, reason, seconds)

        arguments = dict(planned.arguments)
        if self.left_s() < LEAST_SECONDS:
            return without_result(SKIPPED, NO_TIME)
        if planned.problem is not None:
            return without_result(SKIPPED, planned.problem)
        if planned.engine_of is not None:
            build = self._steps.get(planned.engine_of)
            if build is None or build.status != RAN:
                return without_result(SKIPPED, f"no engine: see {planned.engine_of}")
            arguments["folder"] = build.result["folder"]
        limit_s = min(planned.time_share * self.left_s(), planned.limit_s or float("inf"))
        print_status(f"{planned.name} ({format_seconds(self.left_s())} left)")
        start_s = time.monotonic()
        try:
            answer = self._worker.ask(planned.kind, arguments, limit_s)
        except StepTimeoutError:
            seconds = time.monotonic() - start_s
            reason = f"{NO_TIME}: it was ended after {seconds:.0f} s of {60 * self._minutes:.0f}"
            return without_result(SKIPPED, reason, seconds)
        except StepError as error:
            return without_result(FAILED, str(error), time.monotonic() - start_s)
        seconds = time.monotonic() - start_s
        return Step(planned.name, planned.kind, RAN, None, seconds, tuple(answer["problems"]), answer["result"])

    def record(self, is_finished: bool) -> GpuCheck:
        """Return the record of the check with what is known so far."""
        steps = tuple(self._steps.values())
        seen = self._steps.get("environment")
        surroundings = None
        if seen is not None and seen.status == RAN:
            surroundings = record_from_json(Environment, seen.result, "environment")
        return GpuCheck(
            started_utc=self._started_utc,
            command=self._command,
            minutes=self._minutes,
            seconds=time.monotonic() - self._start_s,
            is_finished=is_finished,
            environment=surroundings,
            steps=steps,
            verdicts=judge(steps, self._target),
        )

    def write(self, is_finished: bool) -> GpuCheck:
        """Write the record of the check with what is known so far, and return it."""
        known = self.record(is_finished)
        write_record(self._output, known)
        return known


def summary_lines(check: GpuCheck) -> list[str]:
    """Return the summary of a check as lines of text: the machine, the verdicts, and what is wrong."""
    lines = []
    surroundings = check.environment
    if surroundings is not None:
        machine = surroundings.machine
        lines += [
            f"{machine.gpu} (compute capability {machine.compute_capability}), "
            f"driver {surroundings.driver or 'unknown'}, CUDA {surroundings.cuda_driver or 'unknown'}, "
            f"TensorRT {surroundings.tensorrt or 'missing'}; {check.started_utc}"
        ]
    counts = {status: sum(step.status == status for step in check.steps) for status in (RAN, FAILED, SKIPPED)}
    counted = ", ".join(f"{count} {status}" for status, count in counts.items())
    lines.append(f"{len(check.steps)} steps in {format_seconds(check.seconds)}: {counted}")
    lines += [_verdict_line(verdict) for verdict in check.verdicts]
    wrongs = check.wrongs()
    lines += [f"WRONG  {wrong}" for wrong in wrongs]
    lines.append("everything that ran is right" if not wrongs else f"{len(wrongs)} things are wrong")
    return lines


def _verdict_line(verdict: Verdict) -> str:
    word = {True: "met   ", False: "UNMET ", None: "unknown"}[verdict.is_met]
    measured = "not measured" if verdict.measured is None else f"{verdict.measured:.2f} {verdict.unit}".rstrip()
    return f"{word:7} {verdict.target}: {measured}, wanted {verdict.wanted} ({verdict.reason})"


def _prepare_folder(work: Path, artifacts: Path | None) -> None:
    """Make the working directory of the steps, with artefacts of its own, and the runs and weights of the checkout."""
    (work / "artifacts").mkdir(parents=True, exist_ok=True)
    for name in ("runs", "weights"):
        if (CHECKOUT / name).is_dir() and not (work / name).exists():
            (work / name).symlink_to(CHECKOUT / name)
    if artifacts is not None:
        copy_artifacts(artifacts, work / "artifacts")


def _set_environment(data_root: Path) -> None:
    """Set the environment variables of the steps, whose process has another working directory."""
    os.environ[DATA_ROOT_VARIABLE] = str(data_root)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # an export beside TensorRT must not take the whole GPU


def run(arguments: argparse.Namespace, command: str) -> int:
    """Check what the arguments ask for, print the summary, and return the exit code."""
    start_s = time.monotonic()
    output, work = arguments.output.resolve(), arguments.work.resolve()
    if output.is_dir():
        raise InputError(f"--output {output} is a folder, expected a file")
    parts = environment.missing_parts()
    if parts:
        sentence = environment.missing_sentence(parts)
        if environment.is_fatal(parts):
            raise BackendError(f"nothing can be checked here; {sentence}")
        print_warning(sentence)
    data_root = Path(os.environ.get(DATA_ROOT_VARIABLE, CHECKOUT / "data")).resolve()
    camvid = (arguments.camvid or data_root / "camvid").resolve()
    if arguments.camvid is not None and not camvid.is_dir():
        raise InputError(f"CamVid folder not found: {camvid}")
    artifacts = arguments.artifacts.resolve() if arguments.artifacts is not None else None
    networks = find_networks(arguments.models, arguments.size, arguments.target_size, artifacts, camvid)
    _prepare_folder(work, artifacts)
    _set_environment(data_root)
    amounts = Amounts(
        frames=arguments.frames,
        seconds=arguments.seconds,
        warmup_seconds=arguments.warm_up,
        images=arguments.images,
        calibration_images=arguments.calibration_images,
        opens=arguments.opens,
    )
    target = _target_name(networks, arguments.target_size)
    with Worker(work) as worker:
        check = Check(output, arguments.minutes, command, target, worker, start_s)
        check.write(False)  # a place that cannot be written to is better found out now
        try:
            for planned in plan_steps(networks, arguments.target_size, amounts):
                check.run(planned)
        except KeyboardInterrupt:
            print_status(f"\nwhat was found so far: {output}")
            raise
        found = check.write(True)
    print("\n".join(summary_lines(found)))
    print(f"written: {output}")
    return 1 if found.wrongs() else 0


def _target_name(networks: list[Network], size: tuple[int, int]) -> str:
    for network in networks:
        if network.model == TARGET_MODEL and network.size == size:
            return network.name
    return Network(TARGET_MODEL, size, None, None).name


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    command = shlex.join(["benchmarks/gpu_check.sh", *(sys.argv[1:] if argv is None else argv)])
    return run_command(lambda: run(arguments, command))


if __name__ == "__main__":
    sys.exit(main())
