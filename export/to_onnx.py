"""Write a model as an ONNX graph under the contract: `python export/to_onnx.py --model fast_scnn`.

The graph takes uint8 NHWC frames and gives float logits NCHW at the model's stride; BatchNorm is
folded, shapes are static, the opset is one that TensorRT 8.5 parses. export/from_keras/exporter.py
does the work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.artifacts import ARTIFACTS_ROOT, artifact_folder, sha256_file
from edge.card import build_command
from edge.console import CommandParser, WholeNumber, print_json, print_status, run_command, size_argument, stand_out
from edge.contract import GRAPH_FILE
from edge.datasets import add_dataset_option
from edge.errors import InputError, WeightsError
from edge.output_check import check_output
from edge.records import read_record, record_to_json
from export.backends.options import LARGEST_BATCH
from export.build_inputs import add_weights_arguments, choose_inputs
from export.from_keras.exporter import ExportRequest, export_model, refuse_to_lose_weights
from export.graph.parity import PARITY_FILE, ParityReport
from export.held_out import PARITY_IMAGES, held_out_frames
from export.weights_choice import DEFAULT_SIZE_TEXT
from train.options import add_option_argument, parse_assignments


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/to_onnx.py",
        description="Export a model to ONNX and compare it with Keras on images.",
    )
    parser.add_argument("--model", required=True, help="architecture, such as fast_scnn")
    add_dataset_option(parser, "whose classes (default: the weights')")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder, for the images of the parity check")
    add_weights_arguments(parser)
    parser.add_argument(
        "--size",
        type=size_argument,
        metavar="HxW",
        help=f"input pixels (default: the weights' own, else {DEFAULT_SIZE_TEXT})",
    )
    parser.add_argument(
        "--batch", type=WholeNumber(1, LARGEST_BATCH), default=1, metavar="N", help="frames in one call"
    )
    add_option_argument(parser)
    parser.add_argument("--output", type=Path, help="artefact folder (default: artifacts/MODEL[+OPTIONS]-DATASET-HxW)")
    parser.add_argument("--json", action="store_true", help="print contract and parity report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _export(arguments), arguments.json)


def _export(arguments: argparse.Namespace) -> int:
    given = parse_assignments(arguments.option)
    sources = choose_inputs(
        arguments.model,
        arguments.dataset,
        arguments.data_dir,
        arguments.weights,
        arguments.size,
        given,
        random_weights=arguments.random_weights,
    )
    for line in sources.told:
        print_status(line)
    size = sources.size
    if arguments.batch != 1 and sources.options.get("monte_carlo"):
        raise InputError(f"{arguments.model} with samples takes one frame in a call, got --batch {arguments.batch}")
    request = ExportRequest(
        arguments.model,
        sources.dataset,
        *size,
        sources.weights_path,
        sources.options,
        arguments.batch,
        sources.classes(),
        sources.described(),
    )
    folder = arguments.output or artifact_folder(
        arguments.model, sources.dataset, *size, ARTIFACTS_ROOT, sources.options, arguments.batch
    )
    check_output(folder)
    if request.weights_path is None:
        if not sources.has_random_weights:
            raise WeightsError(
                f"{sources.told[0]}, and their file is not here, so there is nothing to export. Next: --weights PATH"
            )
        refuse_to_lose_weights(folder)
        print_status(stand_out(request.provenance()[0].sentence()))
    frames = held_out_frames(sources.reference.option, sources.data_dir, *size, max(PARITY_IMAGES, arguments.batch))
    contract = export_model(request, folder, frames)
    report = read_record(ParityReport, folder / PARITY_FILE)
    if arguments.json:
        print_json({"contract": record_to_json(contract), "parity": record_to_json(report)})
    else:
        sentence = contract.weights.sentence()
        print(stand_out(sentence, sys.stdout) if contract.weights.is_random else sentence)
        print(report.sentence())
        print(f"graph: {folder / GRAPH_FILE} (sha256 {sha256_file(folder / GRAPH_FILE)[:12]})")
        if contract.batch == 1:
            print(f"next: {build_command(contract, '--int8')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
