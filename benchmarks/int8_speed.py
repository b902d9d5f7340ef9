"""Measure INT8 against float32 on this CPU, from a frame to its labels.

    python benchmarks/int8_speed.py ARTIFACT [--images FOLDER] [--json]

Both networks run with ONNX Runtime on all cores, in turns of a few frames each: an idle session's
threads spin for a while, so only one is open at a time. The clock covers preprocessing, the network and
post-processing, as in `edge-bench`; figures are medians. Labels are compared with those of the float
network, and with those of an exact simulation of the same INT8 graph, in which no kernel of the CPU
takes part.

Goal, for Fast-SCNN at 1024x2048: INT8 at least 3 times faster. The artefact is made by
`python export/build_engine.py --model fast_scnn --int8 --size 1024x2048 --random-weights`, or of a trained run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np

from edge.opencv import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.search.accuracy import graph_runner
from edge.artifacts import sha256_file
from edge.card import build_command, engine_folder
from edge.console import CommandParser, Progress, RawHelpFormatter, positive_int, print_json, run_command
from edge.contract import GRAPH_FILE
from edge.errors import EngineMismatchError
from edge.frames import FolderFrames, FrameSet, SyntheticFrames
from edge.machine import this_machine
from edge.metrics import label_agreement
from edge.runtime import open_engine
from edge.runtime.base import Runner
from edge.runtime.onnxruntime import OnnxRuntimeRunner, import_onnxruntime
from edge.segmenter import STAGES, Segmenter
from export.pipeline.layer_times import compare_times

GOAL_RATIO = 3.0
WARMUP_FRAMES = 3
DISTINCT_FRAMES = 4


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact folder with model.onnx and an INT8 engine")
    parser.add_argument("--images", type=Path, help="a picture or a folder of pictures (default: drawn scenes)")
    parser.add_argument("--rounds", type=positive_int, default=6, help="turns of each network")
    parser.add_argument("--frames", type=positive_int, default=10, help="frames measured in a turn")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def measure(runner: Runner, frames_bgr: list[np.ndarray], count: int) -> dict[str, list[float]]:
    """Label frames and return stage -> latency of each frame, in ms."""
    samples_ms: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with runner:
        segmenter = Segmenter(runner, "bgr")
        for index in range(WARMUP_FRAMES + count):
            stage_ns = segmenter(frames_bgr[index % len(frames_bgr)]).stage_ns
            if index >= WARMUP_FRAMES:
                for stage in STAGES:
                    samples_ms[stage].append(stage_ns[stage] / 1e6)
    return samples_ms


def labels_of(runner: Runner, frames_bgr: list[np.ndarray]) -> list[np.ndarray]:
    """Return the label map of each frame, (height, width) uint8."""
    with runner:
        segmenter = Segmenter(runner, "bgr")
        return [segmenter(frame_bgr).labels.copy() for frame_bgr in frames_bgr]


def summary(samples_ms: dict[str, list[float]]) -> dict[str, float]:
    """Return the median latency of each stage and of a whole frame, in ms."""
    medians = {f"{stage}_ms": statistics.median(values) for stage, values in samples_ms.items()}
    return {**medians, "total_ms": statistics.median(map(sum, zip(*samples_ms.values())))}


def agreement(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Return the mean share of pixels with the same label in two lists of label maps, 0 to 1."""
    return statistics.mean(label_agreement(*pair) for pair in zip(first, second))


def run(arguments: argparse.Namespace) -> int:
    """Measure both networks, print the result, and return the exit code: 1 if the goal is missed."""
    folder = engine_folder(arguments.artifact, "onnxruntime", "int8")
    int8, card = open_engine(folder)
    contract, graph = card.contract, arguments.artifact / GRAPH_FILE
    if sha256_file(graph) != contract.graph_sha256:
        raise EngineMismatchError(
            f"{folder} was built from another graph than {graph}, expected one and the same. "
            f"Next: {build_command(contract, '--int8')}"
        )
    float32 = OnnxRuntimeRunner(graph, contract)
    exact = graph_runner(folder / card.engine_file, contract, exact=True)
    size = (contract.height, contract.width)
    frames: FrameSet = (
        FolderFrames(arguments.images) if arguments.images else SyntheticFrames(DISTINCT_FRAMES, *size, 9_000_000)
    )
    count = min(len(frames), DISTINCT_FRAMES)
    frames_bgr = [cv2.cvtColor(frames.read(index), cv2.COLOR_RGB2BGR) for index in range(count)]
    sides = {"float32": float32, "int8": int8}
    samples_ms: dict[str, dict[str, list[float]]] = {side: {stage: [] for stage in STAGES} for side in sides}
    with Progress("measure", arguments.rounds, "round") as progress:
        for _ in range(arguments.rounds):
            for side, runner in sides.items():
                for stage, values in measure(runner, frames_bgr, arguments.frames).items():
                    samples_ms[side][stage].extend(values)
            progress.step()
    labels = {name: labels_of(runner, frames_bgr) for name, runner in (*sides.items(), ("exact", exact))}
    timed, _ = compare_times((folder / card.engine_file).read_bytes(), graph.read_bytes(), contract, frames)
    by_layer = {name: pair.medians_ms() for name, pair in timed.items()}
    slower = [name for name, (fast, plain) in by_layer.items() if fast > plain and timed[name].is_told_apart()]
    slower.sort(key=lambda name: by_layer[name][1] - by_layer[name][0])
    machine, medians = this_machine(), {side: summary(samples_ms[side]) for side in sides}
    ratio = medians["float32"]["total_ms"] / medians["int8"]["total_ms"]
    result = {
        "processor": machine.cpu,
        "processors": machine.cpu_count,
        "onnxruntime": import_onnxruntime().__version__,
        "network": f"{contract.model} {size[0]}x{size[1]}",
        "weights": contract.weights.sentence(),
        "images_from": frames.description,
        "frames": arguments.rounds * arguments.frames,
        **medians,
        "ratio": ratio,
        "goal_ratio": GOAL_RATIO,
        "inference_ratio": medians["float32"]["inference_ms"] / medians["int8"]["inference_ms"],
        "agreement_with_float": agreement(labels["int8"], labels["float32"]),
        "agreement_with_simulation": agreement(labels["int8"], labels["exact"]),
        "layers_timed": len(by_layer),
        "layers_slower_in_int8": {name: by_layer[name] for name in slower},
    }
    if arguments.json:
        print_json(result)
    else:
        print_result(result)
    return 0 if ratio >= GOAL_RATIO else 1


def print_result(result: dict) -> None:
    """Print the result as text for people."""
    print(f"{result['processor']}, {result['processors']} cores; onnxruntime {result['onnxruntime']}")
    print(f"{result['network']}, {result['weights']}; {result['frames']} frames of {result['images_from']}, medians")
    for side in ("float32", "int8"):
        stages = ", ".join(f"{stage} {result[side][f'{stage}_ms']:.2f}" for stage in STAGES)
        print(f"{side:8}{result[side]['total_ms']:7.2f} ms a frame ({stages})")
    print(f"labels equal to the float network's on {result['agreement_with_float']:.2%} of pixels, ", end="")
    print(f"to the exact simulation's on {result['agreement_with_simulation']:.2%}")
    slower = result["layers_slower_in_int8"]
    print(f"{len(slower)} of {result['layers_timed']} layers are slower in INT8", end="")
    worst = (f"{name} {fast:.2f} ms against {plain:.2f}" for name, (fast, plain) in list(slower.items())[:3])
    print(": " + ", ".join(worst) if slower else "")
    print(f"ratio {result['ratio']:.2f} (goal: at least {GOAL_RATIO:g}), network alone {result['inference_ratio']:.2f}")


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
