"""The command edge-bench with its sub-commands run, show, profile and doctor."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.frame_source import add_frame_arguments, check_one_set, chosen_frames
from edge.bench.measure import BenchSettings, run_benchmark
from edge.bench.output_folder import free_folder, latest_folder
from edge.bench.percentiles import NO_FIGURE, few_frames_sentence
from edge.bench.power_section import power_lines
from edge.bench.profile_cli import DESCRIPTION as PROFILE
from edge.bench.profile_cli import add_arguments as add_profile_arguments
from edge.bench.report import OVERLAYS_FOLDER, REPORT_FILE, write_report
from edge.bench.verdict import doubts
from edge.console import EXIT_INTERRUPTED, CommandParser, positive_int, print_note, print_status, run_command
from edge.datasets import open_dataset
from edge.doctor.cli import DESCRIPTION as DOCTOR
from edge.doctor.cli import add_arguments as add_doctor_arguments
from edge.errors import BackendError, InputError
from edge.frames import FrameSet
from edge.machine import check_threads
from edge.output_check import check_output
from edge.percentile_rule import percentile_text
from edge.records import read_record, record_to_json, write_record
from edge.runtime import Runner, open_engine
from edge.segmenter import NV12
from edge.telemetry import AUTO, open_power_source, power_choices


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="edge-bench", description="Measure how fast and how accurate an engine is on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="measure latency of each stage, frames per second and, on request, mIoU",
    )
    run.add_argument("engine", type=Path, help="engine folder, or artefact folder")
    add_frame_arguments(run)
    run.add_argument("--warmup", type=int, default=10, metavar="N", help="frames before the clock counts")
    run.add_argument("--frames", type=positive_int, default=200, metavar="N", help="at least this many are measured")
    run.add_argument("--seconds", type=float, default=5.0, help="at least this long is measured")
    run.add_argument("--threads", type=int, metavar="N", help="CPU cores for ONNX Runtime (default: all)")
    run.add_argument(
        "--in-flight",
        type=positive_int,
        default=1,
        metavar="N",
        help="frames under way at once: 1 for the least latency, 2 for throughput (TensorRT; default: %(default)s)",
    )
    run.add_argument(
        "--frame-format",
        choices=("bgr", NV12),
        default="bgr",
        help="what frames are handed over as: bgr, or nv12 as cameras and decoders give them (default: %(default)s)",
    )
    run.add_argument("--accuracy", action="store_true", help="also measure mIoU on the validation split")
    run.add_argument(
        "--power",
        choices=power_choices(),
        default=AUTO,
        help="where power (mW), temperatures and energy per frame (mJ) come from: jtop's service or the kernel's "
        "files on a Jetson, nvml for a graphics card; auto takes what is there",
    )
    run.add_argument(
        "--output",
        type=Path,
        help="folder for record.json, report.html and overlays; a second run goes to run-2 in it, a third to run-3",
    )
    run.add_argument("--json", action="store_true", help="print the record as JSON")
    run.set_defaults(function=_run)
    show = commands.add_parser("show", help="say in a few lines what a record holds")
    show.add_argument(
        "record", type=Path, help="record.json, or the folder that was given as --output: its latest run is shown"
    )
    show.set_defaults(function=_show)
    profile = commands.add_parser("profile", help="show where the time of an engine goes", description=PROFILE)
    add_profile_arguments(profile)
    doctor = commands.add_parser("doctor", help="say what this machine lacks, and what mends it", description=DOCTOR)
    add_doctor_arguments(doctor)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: arguments.function(arguments))


def _run(arguments: argparse.Namespace) -> int:
    if arguments.warmup < 0 or arguments.seconds < 0:
        raise InputError("--warmup or --seconds is negative, expected numbers of at least 0")
    check_one_set(arguments, arguments.accuracy)
    if arguments.output:
        check_output(arguments.output)
    runner, card = open_engine(arguments.engine, check_threads(arguments.threads))
    contract = card.contract
    # Accuracy or a folder of a dataset, without its name, means the one that the engine was made for.
    dataset = arguments.dataset or (contract.dataset if arguments.accuracy or arguments.data_dir else None)
    labelled = open_dataset(dataset, arguments.data_dir, "val") if arguments.accuracy else None
    frames = chosen_frames(arguments, dataset, (contract.height, contract.width))
    settings = BenchSettings(
        arguments.warmup, arguments.frames, arguments.seconds, arguments.in_flight, arguments.frame_format
    )
    with contextlib.ExitStack() as opened:
        power, passed_over = open_power_source(arguments.power, is_on_gpu=card.backend == "tensorrt")
        for reason in passed_over:
            print_note(f"power: {reason}")
        if power is not None:
            opened.callback(power.close)
        interruptions: list[KeyboardInterrupt] = []
        record = run_benchmark(runner, card, frames, settings, labelled, power, interruptions)
    if arguments.in_flight > record.frames_in_flight:
        print_note("in flight: 1, since the host does one frame at a time here")
    # Shown before it is written: what was measured is not lost with a full disk.
    if arguments.json:
        print(json.dumps(record_to_json(record), indent=2), flush=True)
    else:
        _print_record(record)
    if arguments.output:
        _write(arguments, record, runner, frames)
    if interruptions:
        print_status("interrupted: the figures are those of the frames until then, and are marked as partial")
        return EXIT_INTERRUPTED
    if record.power is not None and record.power.failure and arguments.power != AUTO:
        raise BackendError(f"{record.power.failure} (latency was measured and is kept, energy was not)")
    return 0


def _write(arguments: argparse.Namespace, record: BenchRecord, runner: Runner, frames: FrameSet) -> None:
    with free_folder(arguments.output, (RECORD_FILE, REPORT_FILE, OVERLAYS_FOLDER)) as output:
        write_record(output / RECORD_FILE, record)
        with contextlib.nullcontext() if record.is_partial else runner:
            # Who interrupts does not want to wait for pictures.
            write_report(output, record, None if record.is_partial else runner, frames)
    if not arguments.json:
        print(f"record: {output / RECORD_FILE}\nreport: {output / REPORT_FILE}")


def _show(arguments: argparse.Namespace) -> int:
    path, runs = arguments.record, 0
    if path.is_dir():
        folder, runs = latest_folder(path, RECORD_FILE)
        path = folder / RECORD_FILE
    record = read_record(BenchRecord, path)
    if runs > 1:
        print(f"record: {path}, the latest of {runs} runs in {arguments.record}")
    for sentence in doubts(record):
        print(sentence)
    check = record.engine.check
    if check is not None and check.miou_float is not None and check.miou_engine is not None:
        print(
            f"mIoU {100 * check.miou_float:.2f} % before {record.engine.precision}, "
            f"{100 * check.miou_engine:.2f} % after ({check.image_count} images of {check.images_from})"
        )
    if record.engine.budget_sentence():
        print(record.engine.budget_sentence())
    print(
        f"latency {record.end_to_end.p50_ms:.1f} ms median, p99 {percentile_text(record.end_to_end.p99_ms, 99)}, "
        f"{record.fps:.1f} fps ({record.machine.gpu or record.machine.cpu}, {record.engine.backend})"
    )
    for line in power_lines(record.power):
        print(line)
    for name in (OVERLAYS_FOLDER, REPORT_FILE):
        if (path.parent / name).exists():
            print(f"{name.split('.')[0]}: {path.parent / name}")
    return 0


def _print_record(record: BenchRecord) -> None:
    contract = record.engine.contract
    print(
        f"{contract.model} {record.engine.precision} {contract.height}x{contract.width} on {record.runner['device']} "
        f"with {record.engine.backend} {record.runner['version']}, post-processing {record.postprocess}"
    )
    print(
        f"{record.end_to_end.sample_count} frames of {record.frame_height}x{record.frame_width} ({record.input}"
        f"{', NV12' if record.frame_format == NV12 else ''}) after {record.warmup_frames} to warm up"
    )
    print(f"{'':12} {'p50':>9} {'p90':>9} {'p99':>9} {'max':>9}  ms")
    for name, stage in [*record.stages.items(), ("end to end", record.end_to_end)]:
        values = (stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.max_ms)
        print(f"{name:12} {' '.join(f'{NO_FIGURE:>9}' if value is None else f'{value:9.3f}' for value in values)}")
    if few_frames_sentence(record.end_to_end):
        print(f"{NO_FIGURE}: {few_frames_sentence(record.end_to_end)}")
    around = record.network_share()
    if around is not None:
        print(f"{record.fps:.1f} fps; {100 * around:.1f} % of the time in the network, the rest around it")
    else:
        print(f"{record.fps:.1f} fps with {record.frames_in_flight} frames in flight")
    if contract.decision is not None:
        print(f"labels: {contract.decision_sentence()}")
    for name in ("cuda_graph", "kernels"):
        if str(record.runner.get(name, "yes")) != "yes":
            print(f"note: {name.replace('_', ' ')}: {record.runner[name]}")
    if record.accuracy is not None:
        print(
            f"mIoU {100 * record.accuracy.miou:.2f} %, pixel accuracy {100 * record.accuracy.pixel_accuracy:.2f} % "
            f"on {record.accuracy.frame_count} frames of {record.accuracy.dataset} {record.accuracy.split}"
        )
    for line in power_lines(record.power):
        print(line)
    if record.load is not None:
        print(f"load: {record.load.sentence()}")
    for sentence in doubts(record):
        print(sentence)
    for note in record.engine.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    sys.exit(main())
