"""The command edge-bench with its sub-commands run, show, profile, compare, leaderboard and doctor."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

from edge.bench.bench_record import RECORD_FILE, BenchRecord
from edge.bench.compare_cli import DESCRIPTION as COMPARE
from edge.bench.compare_cli import add_arguments as add_compare_arguments
from edge.bench.frame_source import add_frame_arguments, check_one_set, chosen_frames
from edge.bench.measure import BenchSettings, refuse_accuracy_of_random_weights, run_benchmark
from edge.bench.output_folder import free_folder, latest_folder
from edge.bench.power_section import power_lines
from edge.bench.profile_cli import DESCRIPTION as PROFILE
from edge.bench.profile_cli import add_arguments as add_profile_arguments
from edge.bench.report import OVERLAYS_FOLDER, REPORT_FILE, write_report
from edge.bench.show import DESCRIPTION as SHOW
from edge.bench.show import add_arguments as add_show_arguments
from edge.bench.verdict import doubts
from edge.console import (
    CommandParser,
    add_version_argument,
    non_negative_int,
    positive_int,
    print_json,
    print_note,
    print_status,
    print_warning,
    run_command,
    seconds_argument,
    stand_out,
)
from edge.datasets import open_dataset
from edge.datasets.reference import change_sentence, dataset_reference, recorded_dataset
from edge.doctor.cli import DESCRIPTION as DOCTOR
from edge.doctor.cli import add_arguments as add_doctor_arguments
from edge.errors import BackendError
from edge.frames import FrameSet
from edge.interruption import interrupted_exit_code, interruption_name, kept_when_interrupted
from edge.leaderboard.cli import DESCRIPTION as LEADERBOARD
from edge.leaderboard.cli import add_arguments as add_leaderboard_arguments
from edge.machine import threads_argument
from edge.output_check import check_output
from edge.picture_check import checked_dataset
from edge.records import read_record, record_to_json, write_record
from edge.runtime import Runner, open_engine
from edge.segmenter import NV12
from edge.statistics.percentiles import NO_FIGURE, few_frames_sentence
from edge.telemetry import AUTO, open_power_source, power_choices


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="edge-bench", description="Measure how fast and how accurate an engine is on this machine."
    )
    add_version_argument(parser)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="measure latency of each stage, frames per second and, on request, mIoU",
    )
    run.add_argument("engine", type=Path, help="engine folder, or artefact folder")
    add_frame_arguments(run)
    run.add_argument("--warmup", type=non_negative_int, default=10, metavar="N", help="frames before the clock counts")
    run.add_argument("--frames", type=positive_int, default=200, metavar="N", help="at least this many are measured")
    run.add_argument("--seconds", type=seconds_argument, default=5.0, help="at least this long is measured")
    run.add_argument("--threads", type=threads_argument, metavar="N", help="cores for ONNX Runtime (default: all)")
    run.add_argument(
        "--in-flight",
        type=positive_int,
        default=1,
        metavar="N",
        help="frames under way at once: 1 for the least latency, 2 for throughput (TensorRT)",
    )
    run.add_argument(
        "--frame-format",
        choices=("bgr", NV12),
        default="bgr",
        help="what frames are handed over as: bgr, or nv12 as cameras and decoders give them",
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
    show = commands.add_parser("show", help="say in a few lines what a record holds", description=SHOW)
    add_show_arguments(show)
    profile = commands.add_parser("profile", help="show where the time of an engine goes", description=PROFILE)
    add_profile_arguments(profile)
    leaderboard = commands.add_parser(
        "leaderboard", help="put engines side by side, and say which of them meet a need", description=LEADERBOARD
    )
    add_leaderboard_arguments(leaderboard)
    compare = commands.add_parser("compare", help="say whether one run is faster than another", description=COMPARE)
    add_compare_arguments(compare)
    doctor = commands.add_parser("doctor", help="say what this machine lacks, and what mends it", description=DOCTOR)
    add_doctor_arguments(doctor)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: arguments.function(arguments), getattr(arguments, "json", False))


def _run(arguments: argparse.Namespace) -> int:
    check_one_set(arguments, arguments.accuracy)
    if arguments.output:
        check_output(arguments.output)
    runner, card = open_engine(arguments.engine, arguments.threads or 0)
    contract = card.contract
    # Accuracy or a folder of a dataset, without its name, means the one that the engine was made for.
    own = recorded_dataset(contract.dataset, contract.described)
    dataset = arguments.dataset or (own.option if arguments.accuracy or arguments.data_dir else None)
    if dataset == own.option:
        own.require_here()
    labelled = None
    if arguments.accuracy:
        refuse_accuracy_of_random_weights(card)
        opened = open_dataset(dataset, arguments.data_dir, "val")
        labelled = checked_dataset(opened, needs_labels=True, skip_bad=arguments.skip_bad)
        change = change_sentence(dataset_reference(dataset), contract.described, "the export of this network")
        if change:
            print_warning(f"dataset description {change}")
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
    with kept_when_interrupted(lambda: _kept(arguments.output, record)):
        # Shown before it is written: what was measured is not lost with a full disk. Nor is it with a reader that
        # leaves (`| head`), or a signal that comes meanwhile.
        try:
            if arguments.json:
                print_json(record_to_json(record))
            else:
                _print_record(record)
        finally:
            if arguments.output:
                _write(arguments, record, runner, frames)
    if interruptions:
        what = "the figures are those of the frames until then, and are marked as partial"
        print_status(f"{interruption_name(interruptions[0])}: {what}")
        return interrupted_exit_code(interruptions[0])
    if record.power is not None and record.power.failure and arguments.power != AUTO:
        raise BackendError(f"{record.power.failure} (latency was measured and is kept, energy was not)")
    return 0


def _kept(output: Path | None, record: BenchRecord) -> str | None:
    """Say where the record of a whole measurement is, for a command that was interrupted after it."""
    path = latest_folder(output, RECORD_FILE)[0] / RECORD_FILE if output is not None else None
    if path is None or not path.is_file() or read_record(BenchRecord, path) != record:
        return None
    return f"the record is whole: {path}"


def _write(arguments: argparse.Namespace, record: BenchRecord, runner: Runner, frames: FrameSet) -> None:
    with free_folder(arguments.output, (RECORD_FILE, REPORT_FILE, OVERLAYS_FOLDER)) as output:
        write_record(output / RECORD_FILE, record)
        with contextlib.nullcontext() if record.is_partial else runner:
            # Who interrupts does not want to wait for pictures.
            write_report(output, record, None if record.is_partial else runner, frames)
    if not arguments.json:
        print(f"record: {output / RECORD_FILE}\nreport: {output / REPORT_FILE}")


def _print_record(record: BenchRecord) -> None:
    contract = record.engine.contract
    if contract.weights.is_random:
        print(stand_out(contract.weights.warning(), sys.stdout))
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
        if record.accuracy.group_sentence():
            print(record.accuracy.group_sentence())
    if record.skipped_pictures:
        names = ", ".join(record.skipped_pictures[:4])
        print(f"left out, since they cannot be read: {len(record.skipped_pictures)} of the pictures, such as {names}")
    for line in power_lines(record.power):
        print(line)
    if record.load is not None:
        print(f"load: {record.load.sentence()}")
    for sentence in doubts(record):
        print(sentence)
    for note in record.engine.notes:
        if note != contract.weights.warning():
            print(f"note: {note}")


if __name__ == "__main__":
    sys.exit(main())
