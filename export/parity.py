"""Are the Keras model and its ONNX graph the same network? On real images, in numbers.

Every export runs `compare` and keeps its figures in parity.json; `python export/parity.py ARTIFACT`
compares again, on as many images as wanted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Callable, Iterable

import numpy as np

if __name__ == "__main__":  # run by its path: the checkout, not this folder, is where packages are
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from edge.console import CommandParser, positive_int, run_command
from edge.errors import ParityError
from edge.metrics import label_agreement
from edge.postprocess import upsample_argmax
from edge.records import record, record_to_json

PARITY_FILE = "parity.json"

LOGIT_TOLERANCE = 1e-4
"""Largest difference, as a share of the logit range: float32 convolutions summed in another order."""

LABEL_TOLERANCE = 0.9999
"""Least share of pixels with the same label; only near ties can differ."""


@record(schema=1, what="parity report")
class ParityReport:
    """Keras against ONNX Runtime.

    Attributes:
        graph_sha256: of the ONNX graph.
        image_count: images that were compared.
        images_from: where they come from.
        logit_error: largest difference of two logits over the range of that image's logits.
        label_agreement: share of pixels with the same label at the network's size, 0 to 1.
        logit_range: smallest range of logits of an image, to judge the error by.
    """

    graph_sha256: str
    image_count: int
    images_from: str
    logit_error: float
    label_agreement: float
    logit_range: float

    def check(self) -> None:
        """Refuse a graph that is not the network.

        Raises:
            ParityError: an error over its tolerance.
        """
        # Written so that a NaN fails.
        if not (self.logit_error <= LOGIT_TOLERANCE and self.label_agreement >= LABEL_TOLERANCE):
            raise ParityError(
                f"the ONNX graph is not the Keras model: logit error {self.logit_error:.2e} of the range "
                f"(at most {LOGIT_TOLERANCE:.0e}), labels equal on {100 * self.label_agreement:.4f} % of pixels "
                f"(at least {100 * LABEL_TOLERANCE} %)"
            )

    def sentence(self) -> str:
        """Say it in one line."""
        return (
            f"parity with Keras on {self.image_count} images of {self.images_from}: logit error "
            f"{self.logit_error:.1e} of the range, labels equal on {100 * self.label_agreement:.4f} %"
        )


Network = Callable[[np.ndarray], np.ndarray]
"""(1, height, width, 3) uint8 RGB -> (classes, h, w) float32 logits."""


def compare(
    keras_network: Network, onnx_network: Network, tensors: Iterable[np.ndarray], images_from: str, graph_sha256: str
) -> ParityReport:
    """Run both forms of a network on the same images.

    Args:
        keras_network: the original.
        onnx_network: the exported graph.
        tensors: prepared frames, (1, height, width, 3) uint8 RGB.
        images_from: where they come from, for the report.
        graph_sha256: of the graph, for the report.

    Raises:
        ParityError: logits of other shapes, logits that are not finite, or no images.
    """
    errors, agreements, ranges = [], [], []
    for tensor in tensors:
        expected, actual = keras_network(tensor), onnx_network(tensor)
        if expected.shape != actual.shape:
            raise ParityError(f"the Keras model gives logits {expected.shape}, its ONNX graph {actual.shape}")
        for whose, logits in (("the Keras model", expected), ("its ONNX graph", actual)):
            if not np.isfinite(logits).all():
                raise ParityError(f"{whose} gives logits that are NaN or infinite. Next: check the weights")
        spread = float(expected.max() - expected.min())
        ranges.append(spread)
        difference = float(np.abs(expected - actual).max())
        errors.append(difference / spread if spread else difference)
        height, width = tensor.shape[1:3]
        agreements.append(
            label_agreement(upsample_argmax(expected, height, width), upsample_argmax(actual, height, width))
        )
    if not errors:
        raise ParityError("no images to compare the ONNX graph on")
    return ParityReport(
        graph_sha256, len(errors), images_from, float(np.max(errors)), float(np.mean(agreements)), float(min(ranges))
    )


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = CommandParser(
        prog="export/parity.py",
        description="Compare the ONNX graph of an artefact folder with its Keras model on images, again.",
    )
    parser.add_argument("artifact", type=Path, help="artefact folder, such as artifacts/fast_scnn-camvid-384x512")
    parser.add_argument("--weights", type=Path, help="its weights (default: the run its contract names)")
    parser.add_argument("--data-dir", type=Path, help="the dataset's folder (default: where it was found at export)")
    parser.add_argument("--images", type=positive_int, default=8, help="images to compare on (default: 8)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(lambda: _compare_again(arguments))


def _compare_again(arguments: argparse.Namespace) -> int:
    # Here alone, since to_onnx imports this module for its own check.
    from export.to_onnx import compare_artifact

    report = compare_artifact(arguments.artifact, arguments.weights, arguments.data_dir, arguments.images)
    print(json.dumps(record_to_json(report), indent=2) if arguments.json else report.sentence())
    report.check()
    return 0


if __name__ == "__main__":
    sys.exit(main())
