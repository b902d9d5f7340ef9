"""The options of `edge-bench run`: what is measured, in which order, for how long, and beside what."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.bench.frame_source import add_frame_arguments
from edge.bench.scenarios.scenario_record import CameraRules
from edge.bench.settings import (
    CAMERA,
    QUICK_FRAMES,
    QUICK_S,
    SCENARIO_NAMES,
    STANDARD_FRAMES,
    STANDARD_S,
    BenchSettings,
)
from edge.bench.validity import RunConditions
from edge.console import RealNumber, non_negative_int, positive_int, seconds_argument
from edge.errors import InputError
from edge.machine import threads_argument
from edge.run_store.store import RUNS_FILE, RUNS_VARIABLE
from edge.segmenter import NV12
from edge.telemetry import AUTO, power_choices

camera_fps = RealNumber(0.01, 10_000.0, "fps")
deadline_ms_argument = RealNumber(0.01, 3_600_000.0, "ms")
miss_share_argument = RealNumber(0.0, 0.99, "share", above=True)
clock_mhz_argument = RealNumber(1.0, 100_000.0, "MHz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sub-command to its parser."""
    parser.add_argument("engine", type=Path, help="engine folder, or artefact folder")
    add_frame_arguments(parser, with_input=True)
    add_rule_arguments(parser)
    add_frame_order_arguments(parser)
    parser.add_argument("--accuracy", action="store_true", help="also measure mIoU on the validation split")
    add_machine_arguments(parser)
    add_result_arguments(parser)


def add_frame_order_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about how frames are handed over."""
    parser.add_argument(
        "--in-flight",
        type=positive_int,
        metavar="N",
        help="frames under way at once: 1 for the least latency, 2 for throughput (TensorRT) (default: 1, 2 for "
        "pipelined, 4 for offline)",
    )
    parser.add_argument(
        "--frame-format",
        choices=("bgr", NV12),
        default="bgr",
        help="what frames are handed over as: bgr, or nv12 as cameras and decoders give them",
    )
    parser.add_argument(
        "--include-decode",
        action="store_true",
        help="read and decode each frame within its time, instead of before the clock starts",
    )


def add_rule_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that fix how long is measured, and in which order frames come."""
    parser.add_argument(
        "--scenario",
        choices=SCENARIO_NAMES,
        help="order in which frames come: one at a time, several under way, all at once for the rate alone, or at a "
        "camera's rate whether or not the engine is ready (default: by --in-flight, as a quick look)",
    )
    parser.add_argument("--fps", type=camera_fps, help="rate of the camera in frames per second (default: 30 fps)")
    parser.add_argument(
        "--deadline-ms",
        type=deadline_ms_argument,
        metavar="MS",
        help="longest time in ms from a camera frame's arrival to its labels (default: that from frame to frame)",
    )
    parser.add_argument(
        "--allowed-misses",
        type=miss_share_argument,
        metavar="SHARE",
        help="share of the deadlines that may be missed, such as 0.001 (default: 0.01)",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="measure the whole duration, also where the verdict on the deadlines is certain before",
    )
    parser.add_argument(
        "--warmup", type=non_negative_int, default=10, metavar="N", help="frames before the clock counts"
    )
    parser.add_argument(
        "--min-frames",
        "--frames",
        dest="frames",
        type=positive_int,
        metavar="N",
        help=f"at least this many are measured (default: {STANDARD_FRAMES} with --scenario, else {QUICK_FRAMES})",
    )
    parser.add_argument(
        "--duration",
        "--seconds",
        dest="seconds",
        type=seconds_argument,
        metavar="SECONDS",
        help=f"at least this long is measured, in seconds (default: {STANDARD_S:g} s with --scenario, else "
        f"{QUICK_S:g} s)",
    )


def add_machine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about the machine: threads, power, and what a run has to find there."""
    add_thread_argument(parser)
    parser.add_argument(
        "--power",
        choices=power_choices(),
        default=AUTO,
        help="where power (mW), temperatures and energy per frame (mJ) come from: sysfs, the kernel's files, or jtop's "
        "service on a Jetson, nvml for a graphics card, rapl for a processor, host for load and temperatures without "
        "power; auto takes what is there",
    )
    parser.add_argument(
        "--idle-seconds",
        type=seconds_argument,
        default=0.0,
        metavar="SECONDS",
        help="measure the idle machine for so many seconds first, for the energy net of it (default: 0 s)",
    )
    add_condition_arguments(parser)


def add_thread_argument(parser: argparse.ArgumentParser) -> None:
    """Add --threads to a command."""
    parser.add_argument("--threads", type=threads_argument, metavar="N", help="cores for ONNX Runtime (default: all)")


def add_condition_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about what a run has to find on the machine, without which it is invalid."""
    parser.add_argument("--power-mode", metavar="NAME", help="power mode without which a run is invalid, such as MAXN")
    parser.add_argument(
        "--gpu-clock",
        type=clock_mhz_argument,
        metavar="MHZ",
        help="clock of the GPU in MHz without which a run is invalid",
    )
    parser.add_argument(
        "--cpu-clock",
        type=clock_mhz_argument,
        metavar="MHZ",
        help="clock of the CPU in MHz without which a run is invalid",
    )


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about where the results of one run go."""
    add_database_arguments(parser)
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for record.json, report.html and overlays; a second run goes to run-2 in it, a third to run-3",
    )
    parser.add_argument(
        "--prometheus",
        type=Path,
        metavar="FILE",
        help="write the figures as the text file that node_exporter reads (FILE.prom in its textfile folder)",
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def add_database_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --runs and --no-runs to a command that measures."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FILE",
        help=f"database that the run is written to as it goes (default: ${RUNS_VARIABLE}, else {RUNS_FILE} here)",
    )
    parser.add_argument("--no-runs", action="store_true", help="write the run to no database")


def bench_settings(arguments: argparse.Namespace) -> BenchSettings:
    """Return the rules of a measurement that options choose.

    Args:
        arguments: Parsed options of `add_arguments`.

    Raises:
        InputError: An option belongs to another scenario.
    """
    is_standard = arguments.scenario is not None
    frames, seconds = (STANDARD_FRAMES, STANDARD_S) if is_standard else (QUICK_FRAMES, QUICK_S)
    return BenchSettings(
        warmup_frames=arguments.warmup,
        frames=frames if arguments.frames is None else arguments.frames,
        seconds=seconds if arguments.seconds is None else arguments.seconds,
        in_flight=arguments.in_flight or 1,
        frame_format=arguments.frame_format,
        scenario=arguments.scenario,
        includes_decode=arguments.include_decode,
        camera=_camera_rules(arguments),
        idle_seconds=arguments.idle_seconds,
    )


def asked_conditions(arguments: argparse.Namespace) -> RunConditions:
    """Return the power mode and the clocks that a run has to have."""
    return RunConditions(
        power_mode_asked=arguments.power_mode,
        gpu_clock_asked_mhz=arguments.gpu_clock,
        cpu_clock_asked_mhz=arguments.cpu_clock,
    )


def _camera_rules(arguments: argparse.Namespace) -> CameraRules | None:
    if arguments.scenario == CAMERA:
        fps = arguments.fps or CameraRules.fps
        return CameraRules(
            fps=fps,
            deadline_ms=arguments.deadline_ms or 1000 / fps,
            allowed_miss_share=arguments.allowed_misses or CameraRules.allowed_miss_share,
            stops_early=not arguments.whole,
        )
    named = {
        "--fps": arguments.fps,
        "--deadline-ms": arguments.deadline_ms,
        "--allowed-misses": arguments.allowed_misses,
        "--whole": arguments.whole or None,
    }
    wrong = [option for option, value in named.items() if value is not None]
    if wrong:
        is_plural = len(wrong) > 1
        raise InputError(
            f"{' and '.join(wrong)} {'are' if is_plural else 'is'} about a camera's frames, and the scenario is "
            f"{arguments.scenario or 'a quick look without a camera'}. Next: --scenario camera"
        )
    return None
