"""Measure what INT8 costs in mIoU here and with onnxruntime.quantization, on the same images.

    python benchmarks/int8_accuracy.py ARTIFACT --data-dir DIR [--images 16] [--accuracy-images 101] [--json]

The artefact has an INT8 engine of ONNX Runtime, as `build_engine.py --int8 --backend onnxruntime` leaves it. The
peer is `quantize_static` with its defaults (uint8 activations, int8 weights, Q/DQ) and weights per channel, by
percentile and by min-max ranges. It calibrates on the first of the images that the artefact was calibrated on, since it
keeps every activation of every image; ours took all of them. All networks run on ONNX Runtime's CPU kernels, and are
judged on the same labelled validation frames.

Goal: ours loses at most 0.5 points.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration.images.frames import read_manifest_frames
from calibration.images.selection import MANIFEST_FILE
from calibration.search.accuracy import AccuracySet, drop_points, graph_runner
from edge.card import engine_folder, read_card
from edge.console import CommandParser, RawHelpFormatter, positive_int, print_json, run_command
from edge.contract import GRAPH_FILE, Contract, read_contract
from edge.datasets import open_dataset
from edge.errors import DatasetError
from edge.frames import DatasetFrames, FrameSet
from edge.machine import this_machine
from edge.preprocess import FramePreparer
from edge.runtime import open_engine
from edge.runtime.onnxruntime import import_onnxruntime

GOAL_DROP_POINTS = 0.5
PEER_METHODS = ("Percentile", "MinMax")


def build_parser() -> argparse.ArgumentParser:
    parser = CommandParser(description=__doc__, formatter_class=RawHelpFormatter)
    parser.add_argument("artifact", type=Path, help="artefact folder with an INT8 engine of ONNX Runtime")
    parser.add_argument("--data-dir", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--images", type=positive_int, default=16, help="images of the peer")
    parser.add_argument("--accuracy-images", type=positive_int, default=101, help="validation frames")
    parser.add_argument("--json", action="store_true", help="print a JSON record")
    return parser


def quantize_with_peer(artifact: Path, contract: Contract, frames: FrameSet, count: int, method: str) -> bytes:
    """Return the INT8 graph, as bytes, that onnxruntime.quantization makes of model.onnx."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static

    prepare = FramePreparer(contract.height, contract.width, "rgb")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._indices = iter(range(min(count, len(frames))))

        def get_next(self) -> dict | None:
            index = next(self._indices, None)
            return None if index is None else {contract.input_name: prepare(frames.read(index)).copy()}

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):  # the peer prints as it goes
        path = Path(folder) / "peer.onnx"
        quantize_static(
            str(artifact / GRAPH_FILE),
            str(path),
            Reader(),
            per_channel=True,
            calibrate_method=getattr(CalibrationMethod, method),
        )
        return path.read_bytes()


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the result, and return the exit code: 1 if the goal is missed."""
    contract = read_contract(arguments.artifact)
    engine = engine_folder(arguments.artifact, "onnxruntime", "int8")
    card = read_card(engine)
    images, _ = read_manifest_frames(arguments.artifact / MANIFEST_FILE, contract.dataset, arguments.data_dir)
    judged = open_dataset(contract.dataset, arguments.data_dir, "val", limit=arguments.accuracy_images)
    if judged.table.class_names != contract.class_names:
        raise DatasetError(f"{judged.name} has other classes than the network, expected those of {contract.dataset}")
    accuracy = AccuracySet(DatasetFrames(judged), judged, graph_runner(arguments.artifact / GRAPH_FILE, contract))
    rows = {"ours": accuracy.evaluate(open_engine(engine)[0], "ours")}
    for method in PEER_METHODS:
        data = quantize_with_peer(arguments.artifact, contract, images, arguments.images, method)
        rows[f"onnxruntime.quantization, {method}"] = accuracy.evaluate(graph_runner(data, contract), method)
    drops = {name: drop_points(accuracy.float_labels, labels) for name, labels in rows.items()}
    result = {
        "processor": this_machine().cpu,
        "onnxruntime": import_onnxruntime().__version__,
        "network": f"{contract.model} {contract.height}x{contract.width}",
        "weights": contract.weights.sentence(),
        "judged_on": f"{len(judged)} frames of {judged.name} {judged.split}",
        "calibration_images": {"ours": card.calibration.image_count, "peer": min(arguments.images, len(images))},
        "int8_mac_share": card.int8_mac_share,
        "recipe": card.calibration.recipe,
        "miou_float": accuracy.float_labels.miou(),
        "miou": {name: labels.miou() for name, labels in rows.items()},
        "drop_points": drops,
        "label_agreement": {name: labels.agreement for name, labels in rows.items()},
        "goal_drop_points": GOAL_DROP_POINTS,
    }
    if arguments.json:
        print_json(result)
    else:
        print(f"{result['network']}, {result['weights']}; {result['processor']}, onnxruntime {result['onnxruntime']}")
        print(f"float32: mIoU {100 * result['miou_float']:.2f} %, {result['judged_on']}")
        for name, labels in rows.items():
            print(
                f"{name}: mIoU {100 * labels.miou():.2f} %, drop {drops[name]:+.2f} points, "
                f"{100 * labels.agreement:.2f} % of labels kept"
            )
        print(f"ours: {100 * card.int8_mac_share:.1f} % of multiply-adds in INT8, {card.calibration.recipe}")
        print(f"goal: a drop of at most {GOAL_DROP_POINTS:g} points")
    return 0 if drops["ours"] <= GOAL_DROP_POINTS else 1


def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: run(arguments), arguments.json)


if __name__ == "__main__":
    sys.exit(main())
