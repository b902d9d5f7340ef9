"""Measure a validation pass against the way it was done before: frames read and counted one after the other.

    python benchmarks/validation_speed.py [--frames 500] [--json]

Both sides label the same frames of 1024x2048 with the same network and the same labeller, so that the ratio is of
reading, counting and what goes on at once. The peer is kept here as it was: one thread decodes a frame and its label
map, maps ids by an index, labels, and counts by one histogram of 16-bit codes in NumPy. Blocks of frames are timed in
turn, the peer first in every other one, and the counts of both have to be the same. A few scenes are drawn beforehand
and linked under many names, so that no disk is in the figures.

Goal, for Fast-SCNN at 256x512 on two cores: at least 1.7 times as fast as the peer. The larger the network, the more of
the time is its own, on all cores on both sides.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.linked_streets import draw_streets, link_streets
from edge.accuracy import LabelFrame, count_labels
from edge.console import (
    CommandParser,
    Progress,
    RawHelpFormatter,
    parse_size,
    positive_int,
    print_json,
    run_command,
    size_argument,
)
from edge.datasets import Dataset
from edge.errors import SegEdgeError
from edge.imaging import read_rgb, read_stored_labels
from edge.labels import IGNORE_ID
from edge.machine import this_machine
from edge.metrics import ConfusionMatrix
from train.tensorflow_import import import_tensorflow

GOAL_RATIO = 1.7
BLOCK = 50
"""Frames of a block, which one side and then the other labels."""


def peer_counts(label_frame: LabelFrame, dataset: Dataset, indices: range) -> np.ndarray:
    """Count the labels of some frames as it was done before, (classes, classes) int64."""
    class_count = dataset.table.class_count
    to_train = np.full(256, -1, np.int16)
    for file_id, train_id in dataset.table.raw_to_train.items():
        to_train[file_id] = train_id
    counts = np.zeros((class_count, class_count), np.int64)
    for index in indices:
        sample = dataset.samples[index]
        frame_rgb = read_rgb(sample.image_path, dataset.depth)
        values = read_stored_labels(sample.label_path).ids
        used = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
        if (to_train[used] < 0).any():
            raise SegEdgeError(f"{sample.label_path} has unknown ids, expected drawn scenes")
        truth = to_train.astype(np.uint8)[values]
        predicted = label_frame(frame_rgb, *truth.shape)
        codes = truth.astype(np.uint16) << 8 | predicted
        joint = np.bincount(codes.ravel(), minlength=65536).reshape(256, 256)
        if joint[:class_count, class_count:].sum() + joint[class_count:IGNORE_ID].sum():
            raise SegEdgeError(f"{sample.name} has labels outside of the classes")
        counts += joint[:class_count, :class_count]
    return counts


def our_counts(label_frame: LabelFrame, dataset: Dataset, indices: range) -> np.ndarray:
    """Count the labels of some frames as a training does now, (classes, classes) int64."""
    return count_labels(label_frame, dataset, indices).counts


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("--frames", type=positive_int, default=500, help="frames of the pass")
    parser.add_argument("--scenes", type=positive_int, default=20, help="scenes that are drawn")
    parser.add_argument(
        "--size",
        type=size_argument,
        default=parse_size("256x512"),
        metavar="HEIGHTxWIDTH",
        help="size of the network in pixels",
    )
    parser.add_argument("--model", default="fast_scnn", help="model that labels, with random weights")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def labeller(model_name: str, height: int, width: int, class_count: int) -> LabelFrame:
    """Return the labeller of a network with random weights, which has labelled a frame already."""
    import_tensorflow("validation", "pip install -e '.[train]'")
    from train.models import model_spec
    from train.models.base import inference_model
    from train.validation import keras_labeller

    spec = model_spec(model_name)
    spec.check_size(height, width)
    label_frame = keras_labeller(inference_model(spec.build(height, width, class_count)), height, width)
    label_frame(np.zeros((height, width, 3), np.uint8), height, width)
    return label_frame


def measure(label_frame: LabelFrame, dataset: Dataset) -> dict:
    """Time both sides in turn, block by block, and return their record."""
    sides = {"peer": peer_counts, "ours": our_counts}
    seconds, cpu_seconds = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0.0)
    totals: dict[str, np.ndarray | int] = dict.fromkeys(sides, 0)
    ratios = []
    for count in sides.values():  # what is done once is in no figure
        count(label_frame, dataset, range(min(2, len(dataset))))
    with Progress("measure", len(dataset), "frame") as progress:
        for block, first in enumerate(range(0, len(dataset), BLOCK)):
            indices = range(first, min(first + BLOCK, len(dataset)))
            took = {}
            for side in ("peer", "ours") if block % 2 == 0 else ("ours", "peer"):
                start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
                totals[side] = totals[side] + sides[side](label_frame, dataset, indices)
                took[side] = (time.perf_counter_ns() - start_ns) / 1e9
                seconds[side] += took[side]
                cpu_seconds[side] += (time.process_time_ns() - start_cpu_ns) / 1e9
            ratios.append(took["peer"] / took["ours"])
            for _ in indices:
                progress.step()
    if not np.array_equal(totals["peer"], totals["ours"]):
        raise SegEdgeError("both sides count other labels, expected the same confusion matrix")
    matrix = ConfusionMatrix(dataset.table.class_count)
    matrix.counts += totals["ours"]
    return {
        "seconds": seconds,
        "ms_per_frame": {side: 1000 * value / len(dataset) for side, value in seconds.items()},
        "cpu_ms_per_frame": {side: 1000 * value / len(dataset) for side, value in cpu_seconds.items()},
        "ratio": seconds["peer"] / seconds["ours"],
        "ratio_of_blocks": {"min": min(ratios), "max": max(ratios)},
        "pixels": int(matrix.counts.sum()),
    }


def run(arguments: argparse.Namespace) -> int:
    """Measure both sides, print the result, and return the exit code: 1 if the goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        root, scenes = Path(folder), min(arguments.scenes, arguments.frames)
        draw_streets(root, "val", scenes)
        dataset = link_streets(root, "val", scenes, arguments.frames)
        label_frame = labeller(arguments.model, *arguments.size, dataset.table.class_count)
        load = os.getloadavg()[0]
        measured = measure(label_frame, dataset)
    machine = this_machine()
    result = {
        "processor": machine.cpu,
        "processors": machine.cpu_count,
        "load_average_1_min": load,
        "network": f"{arguments.model} {arguments.size[0]}x{arguments.size[1]}, random weights",
        "frames": arguments.frames,
        **measured,
        "goal_ratio": GOAL_RATIO,
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"{machine.cpu}, {machine.cpu_count} cores, load {load:.1f}; {result['network']}")
        for side in ("peer", "ours"):
            wall_ms, cpu_ms = measured["ms_per_frame"][side], measured["cpu_ms_per_frame"][side]
            print(
                f"{side}: {measured['seconds'][side]:.1f} s for {arguments.frames} frames of 1024x2048, "
                f"{wall_ms:.1f} ms a frame ({cpu_ms:.1f} ms of CPU time)"
            )
        spread = measured["ratio_of_blocks"]
        print(
            f"ratio {measured['ratio']:.2f} (blocks of {BLOCK} frames: {spread['min']:.2f} to {spread['max']:.2f}; "
            f"goal: at least {GOAL_RATIO:g}); the same counts of {measured['pixels']} pixels"
        )
    return 0 if measured["ratio"] >= GOAL_RATIO else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
