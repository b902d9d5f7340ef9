"""Measure collecting ranges against onnxruntime.quantization, in seconds per image.

    python benchmarks/calibration_speed.py ARTIFACT [--images 4] [--pictures FOLDER] [--json]

The peer is `create_calibrator(..., calibrate_method=CalibrationMethod.Percentile)` with its defaults, on
the same graph and the same images. Each side runs in a process of its own, one after the other, and is
timed from opening the graph to the last threshold: ours by four methods and with figures per channel, the
peer's by one. Images are drawn or read beforehand and lie in memory. The peer keeps every activation of
every image until the end, about 0.7 GB an image at 1024x2048, so few images are asked of it.

Goal, for Fast-SCNN at 1024x2048: at least 5 times fewer seconds per image than the peer. The artefact is
made by `python export/to_onnx.py --model fast_scnn --dataset cityscapes --size 1024x2048 --random-weights`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.onnx_graph.file import import_onnx
from calibration.ranges.collector import collect_ranges
from calibration.ranges.thresholds import CALIBRATION_METHODS
from edge.console import CommandParser, Progress, RawHelpFormatter, positive_int, print_json, run_command
from edge.contract import GRAPH_FILE, read_contract
from edge.errors import SegEdgeError
from edge.frames import FolderFrames, FrameSet, SyntheticFrames
from edge.machine import this_machine
from edge.preprocess import prepare_rgb
from edge.runtime.onnxruntime import import_onnxruntime

GOAL_RATIO = 5.0
SIDES = ("ours", "peer")


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact folder with model.onnx")
    parser.add_argument("--images", type=positive_int, default=4, help="images that both sides count")
    parser.add_argument("--pictures", type=Path, help="a folder of pictures to take them from (default: drawn scenes)")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "FRAMES"), help=argparse.SUPPRESS)
    return parser


class FramesInMemory(FrameSet):
    """Frames in memory, read before the clock started."""

    def __init__(self, frames_rgb: np.ndarray) -> None:
        super().__init__("memory", [str(index) for index in range(len(frames_rgb))])
        self._frames_rgb = frames_rgb

    def read(self, index: int) -> np.ndarray:
        """Return frame `index` as (height, width, 3) uint8 RGB."""
        return self._frames_rgb[index]

    def digest(self, index: int) -> str:
        """Return the number of a frame as its digest: these frames are not stored on disk."""
        return str(index)


def collect_ours(artifact: Path, frames_rgb: np.ndarray) -> int:
    """Collect ranges with this project and return the number of tensors that have ranges."""
    ranges = collect_ranges(artifact, FramesInMemory(frames_rgb), "not kept", show_progress=False, resume=False)
    return len(ranges.tensors)


def collect_peer(artifact: Path, frames_rgb: np.ndarray, folder: Path) -> int:
    """Collect ranges with onnxruntime.quantization and return the number of tensors that have ranges."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

    name = read_contract(artifact).input_name

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter([{name: frame_rgb[None]} for frame_rgb in frames_rgb])

        def get_next(self) -> dict | None:
            return next(self._feeds, None)

    calibrator = create_calibrator(
        str(artifact / GRAPH_FILE),
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod.Percentile,
    )
    calibrator.collect_data(Reader())
    return len(calibrator.compute_data().data)


def run_child(artifact: Path, side: str, frames_path: str) -> int:
    """Time one side in this process, print its record as JSON, and return the exit code."""
    frames_rgb = np.load(frames_path)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):  # the peer prints as it goes
        if side == "peer":
            import onnxruntime.quantization  # noqa: F401  (importing is nobody's counting)
        else:
            import_onnx()
        start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        if side == "peer":
            tensors = collect_peer(artifact, frames_rgb, Path(folder))
        else:
            tensors = collect_ours(artifact, frames_rgb)
        seconds = (time.perf_counter_ns() - start_ns) / 1e9
        cpu_seconds = (time.process_time_ns() - start_cpu_ns) / 1e9
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    record = {
        "seconds_per_image": seconds / len(frames_rgb),
        "cpu_seconds_per_image": cpu_seconds / len(frames_rgb),
        "tensors": tensors,
        "peak_bytes": peak_bytes,
    }
    print(json.dumps(record))
    return 0


def measure(artifact: Path, side: str, frames_path: Path) -> dict:
    """Return the record of one side, timed in a process of its own."""
    command = [sys.executable, __file__, str(artifact), "--child", side, str(frames_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        lines = finished.stderr.strip().splitlines() or [f"it ended with {finished.returncode}"]
        raise SegEdgeError(f"{side} failed: {lines[-1].replace('error: ', '', 1)}")
    return json.loads(finished.stdout)


def run(arguments: argparse.Namespace) -> int:
    """Measure both sides, print the result, and return the exit code: 1 if the goal is missed."""
    if arguments.child:
        return run_child(arguments.artifact, *arguments.child)
    contract = read_contract(arguments.artifact)
    import_onnx("comparing with onnxruntime.quantization")
    size = (contract.height, contract.width)
    source = (
        FolderFrames(arguments.pictures) if arguments.pictures else SyntheticFrames(arguments.images, *size, 8_000_000)
    )
    count = min(arguments.images, len(source))
    with tempfile.TemporaryDirectory() as folder, Progress("measure", count + len(SIDES), "step") as progress:
        frames_rgb = np.empty((count, *size, 3), np.uint8)
        for index in range(count):
            frames_rgb[index] = prepare_rgb(source.read(index), *size)[0]
            progress.step("images")
        frames_path = Path(folder) / "frames.npy"
        np.save(frames_path, frames_rgb)
        load = os.getloadavg()[0]
        sides = {}
        for side in SIDES:
            sides[side] = measure(arguments.artifact, side, frames_path)
            progress.step(side)
    ratio = sides["peer"]["seconds_per_image"] / sides["ours"]["seconds_per_image"]
    machine = this_machine()
    result = {
        "processor": machine.cpu,
        "processors": machine.cpu_count,
        "load_average_1_min": load,
        "onnxruntime": import_onnxruntime().__version__,
        "network": f"{contract.model} {size[0]}x{size[1]}",
        "images": count,
        "images_from": source.description,
        "methods": list(CALIBRATION_METHODS),
        **sides,
        "ratio": ratio,
        "goal_ratio": GOAL_RATIO,
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"{machine.cpu}, {machine.cpu_count} cores, load {load:.1f}; onnxruntime {result['onnxruntime']}")
        print(f"{result['network']}, {count} images, {source.description}")
        for side, what in (("ours", f"{len(CALIBRATION_METHODS)} methods"), ("peer", "percentile")):
            measured = sides[side]
            print(
                f"{side}: {measured['seconds_per_image']:.2f} s per image "
                f"({measured['cpu_seconds_per_image']:.2f} s of CPU time), {measured['tensors']} tensors, {what}, "
                f"peak {measured['peak_bytes'] / 1e9:.2f} GB"
            )
        print(f"ratio {ratio:.1f} (goal: at least {GOAL_RATIO:g})")
    return 0 if ratio >= GOAL_RATIO else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
