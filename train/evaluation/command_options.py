"""The command line of `train/evaluate.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edge.console import CommandParser, RealNumber, non_negative_int, positive_int, size_argument
from edge.datasets import SPLITS, add_dataset_option
from edge.evaluation.boundaries import TOLERANCE
from edge.evaluation.predicted_values import FILE_IDS, KINDS
from edge.evaluation.scores import IGNORED, VOIDS
from edge.evaluation.windows import OVERLAP
from edge.evaluation.worst_frames import MOST
from edge.picture_check import SKIP_BAD_HELP

RESULTS_ROOT = Path("out/evaluation")


class ScaleList:
    """Type of an option that takes scales, such as `0.75,1,1.25`; argparse calls it with the text."""

    def __call__(self, text: str) -> tuple[float, ...]:
        """Return the scales.

        Raises:
            argparse.ArgumentTypeError: A part is no number from 0.1 to 4, or there are several equal ones.
        """
        one = RealNumber(0.1, 4.0, "of the frame")
        scales = tuple(one(part) for part in text.split(","))
        if len(set(scales)) < len(scales):
            raise argparse.ArgumentTypeError(f"got '{text}', expected scales that differ")
        return scales


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line of an evaluation."""
    parser = CommandParser(
        prog="train/evaluate.py",
        description="Score a network on a split or a folder: IoU of classes, categories and groups, iIoU, boundary F1, "
        "confusion matrix, and pictures of the frames that are labelled worst. Without label maps it predicts alone.",
    )
    parser.add_argument(
        "subject",
        type=Path,
        nargs="?",
        metavar="PATH",
        help="a run folder, a *.weights.h5 file, an artefact or engine folder, or GRAPH.onnx beside its contract.json",
    )
    data = parser.add_argument_group("frames")
    add_dataset_option(data, "whose classes, ids and frames are meant, by default those of PATH")
    data.add_argument("--data-dir", type=Path, help="the dataset's folder (default: $SEGEDGE_DATA/NAME, data/NAME)")
    data.add_argument("--split", choices=SPLITS, help="split that is evaluated (default: val)")
    data.add_argument("--images", type=Path, metavar="FOLDER", help="plain folder of pictures, in place of a split")
    data.add_argument("--labels", type=Path, metavar="FOLDER", help="label maps of --images, by their names")
    data.add_argument("--limit", type=positive_int, metavar="N", help="frames, spread over the split (default: all)")
    data.add_argument("--skip-bad", action="store_true", help=SKIP_BAD_HELP)
    looks = parser.add_argument_group("how the network looks at a frame")
    looks.add_argument(
        "--size", type=size_argument, metavar="HxW", help="pixels of its input, for weights (default: as validated)"
    )
    looks.add_argument(
        "--scales",
        type=ScaleList(),
        default=(1.0,),
        metavar="S,S",
        help="scales whose class probabilities are averaged (default: 1)",
    )
    looks.add_argument("--flip", action="store_true", help="average with the mirrored frame too")
    looks.add_argument(
        "--sliding-window", type=size_argument, metavar="HxW", help="pixels of windows over the frame at its own size"
    )
    looks.add_argument(
        "--overlap",
        type=RealNumber(0.0, 0.9, "share"),
        default=OVERLAP,
        metavar="SHARE",
        help="share of a window that the next one covers too (default: a third)",
    )
    scores = parser.add_argument_group("scores")
    scores.add_argument(
        "--void",
        choices=VOIDS,
        default=IGNORED,
        help="what a class is that is predicted where the labels are ignored: nothing, as in Cityscapes, or a false "
        "positive of its class",
    )
    scores.add_argument(
        "--boundary-tolerance",
        type=RealNumber(0.0, 0.5, "share", above=True),
        default=TOLERANCE,
        metavar="SHARE",
        help="share of a frame's diagonal within which a boundary is right",
    )
    scores.add_argument("--no-boundary-f1", action="store_true", help="leave boundary F1 out, which takes most time")
    results = parser.add_argument_group("results")
    results.add_argument("--predictions", type=Path, metavar="DIR", help="write label maps in the form of an upload")
    results.add_argument("--predictions-from", type=Path, metavar="DIR", help="score label maps *.png of DIR, no PATH")
    results.add_argument(
        "--prediction-ids",
        choices=KINDS,
        default=FILE_IDS,
        help="ids in --predictions-from: those of the dataset's label maps, or train ids",
    )
    results.add_argument("--worst", type=non_negative_int, default=MOST, metavar="N", help="frames that are shown")
    results.add_argument(
        "--output", type=Path, metavar="DIR", help=f"folder of the page (default: {RESULTS_ROOT}/NAME)"
    )
    results.add_argument("--json", action="store_true", help="print the record as JSON")
    return parser
